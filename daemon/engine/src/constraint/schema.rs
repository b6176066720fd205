//! The checks of JSON Schemas before they are compiled.

use serde_json::{Map, Value, json};

use super::{bounds, closed, pattern};
use crate::error::Error;

/// Maximum nesting of a schema.
const MAX_DEPTH: usize = 64;

/// Maximum number of values and member names of a schema.
const MAX_NODES: usize = 10_000;

/// Maximum of `minLength`, `minItems` and `minProperties`.
const MAX_LEAST: u64 = 10_000;

/// Maximum number of comparisons of the patterns of `patternProperties`, of which no two may match the same name.
/// The compiler compares each pair, which takes about a millisecond, and again where it merges branches.
const MAX_COMPARISONS: usize = 200;

/// The member with settings of the compiler. A client cannot set them.
const SETTINGS: &str = "x-guidance";

/// White space between the parts of JSON: a few blanks, or a line break with an indent.
/// Without a bound, a model could write white space without end.
const WHITE_SPACE: &str = r"[\x20\x09]{1,32}|\x0D?\x0A[\x20\x09]{0,64}";

/// Reads and checks a schema, closes its objects, adds missing bounds, and adds our settings.
///
/// # Errors
/// [`Error::Invalid`] when it is not a JSON object, is too large, or has a reference to another document.
pub(super) fn read(text: &str) -> Result<Value, Error> {
    let mut schema = Value::Object(checked(text)?);
    closed::close(&mut schema)?;
    Ok(bounded(schema))
}

/// The schema of a tool's arguments, without keywords that cannot be enforced. `None` if it cannot be enforced at all.
pub(super) fn of_tool(text: &str) -> Option<Value> {
    let mut schema = read(text).ok()?;
    schema[SETTINGS]["lenient"] = true.into();
    // Some templates write calls in this way.
    schema[SETTINGS]["json_allow_general_unicode_escapes"] = true.into();
    Some(schema)
}

fn bounded(mut schema: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        bounds::bound(members);
        members.insert(SETTINGS.into(), settings());
    }
    schema
}

fn checked(text: &str) -> Result<Map<String, Value>, Error> {
    // The JSON reader limits the nesting to 128, which bounds the stack.
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| Error::Invalid(format!("the JSON schema is no JSON: {error}")))?;
    let Value::Object(mut members) = schema else {
        return Err(Error::Invalid("the JSON schema must be an object".into()));
    };
    members.remove(SETTINGS);
    let mut walk = Walk::default();
    walk.object(&members, 1)?;
    walk.compared()?;
    Ok(members)
}

/// The schema of any JSON object.
pub(super) fn any_object() -> Value {
    bounded(json!({"type": "object"}))
}

/// Whether an object may have members that the schema does not name.
pub(super) fn has_open_names(schema: &Value) -> bool {
    let mut schemas = vec![schema];
    while let Some(schema) = schemas.pop() {
        let Value::Object(members) = schema else {
            return true;
        };
        if is_open(members) {
            return true;
        }
        for (word, value) in members {
            match (word.as_str(), value) {
                ("$ref", Value::String(target)) if bounds::is_anything(target) => return true,
                ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                    let others = named.iter().filter(|(name, _)| !bounds::is_ours(name));
                    schemas.extend(others.map(|(_, schema)| schema));
                }
                ("allOf" | "anyOf" | "oneOf" | "items" | "prefixItems", Value::Array(list)) => {
                    schemas.extend(list);
                }
                ("items" | "additionalItems", schema) => schemas.push(schema),
                _ => {}
            }
        }
    }
    false
}

/// Whether a schema itself permits members that it does not name.
fn is_open(members: &Map<String, Value>) -> bool {
    let has = |word: &str| members.contains_key(word);
    let may_be = |kind: &str| match members.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
        _ => true,
    };
    let is_known = ["enum", "const", "$ref", "allOf", "anyOf", "oneOf"];
    if is_known.into_iter().any(has) && !has("additionalProperties") && !has("patternProperties") {
        return false;
    }
    let is_closed = members.get("additionalProperties") == Some(&Value::Bool(false));
    may_be("object") && (!is_closed || has("patternProperties"))
        || may_be("array") && !(has("items") || has("prefixItems"))
}

/// `oneOf` is read as `anyOf` if its branches may overlap: a value of several branches is allowed.
fn settings() -> Value {
    json!({"whitespace_pattern": WHITE_SPACE, "coerce_one_of": true})
}

#[derive(Debug, Default)]
struct Walk {
    nodes: usize,
    /// Patterns of all `patternProperties`.
    patterns: usize,
    /// References, and branches of `anyOf`, `oneOf` and `allOf`.
    branches: usize,
}

impl Walk {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.count()?;
        if depth > MAX_DEPTH {
            return Err(Error::Invalid(format!(
                "the JSON schema is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        match value {
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.value(item, depth + 1)),
            Value::Object(members) => self.object(members, depth),
            _ => Ok(()),
        }
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) -> Result<(), Error> {
        for (name, value) in members {
            self.count()?;
            member(name, value)?;
            match (name.as_str(), value) {
                ("patternProperties", Value::Object(patterns)) => self.patterns += patterns.len(),
                ("anyOf" | "allOf" | "oneOf", Value::Array(branches)) => {
                    self.branches += branches.len();
                }
                ("$ref", _) => self.branches += 1,
                _ => {}
            }
            self.value(value, depth + 1)?;
        }
        Ok(())
    }

    /// Bounds the time for comparing patterns.
    fn compared(&self) -> Result<(), Error> {
        let pairs = self.patterns * self.patterns.saturating_sub(1) / 2;
        let times = (self.branches + 1).saturating_mul(self.branches + 1);
        if pairs.saturating_mul(times) > MAX_COMPARISONS {
            return Err(Error::Invalid(format!(
                "the JSON schema has {} patterns in patternProperties and {} branches; comparing them takes too long, so use fewer of them",
                self.patterns, self.branches
            )));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::Invalid(format!(
                "the JSON schema has more than {MAX_NODES} values and names"
            )));
        }
        Ok(())
    }
}

/// Checks the values of some keywords. A property with such a name has a schema as its value, which is not checked here.
fn member(name: &str, value: &Value) -> Result<(), Error> {
    match (name, value) {
        ("pattern", Value::String(text)) => pattern::check(text),
        ("patternProperties", Value::Object(patterns)) => {
            patterns.keys().try_for_each(|text| pattern::check(text))
        }
        ("$ref", Value::String(target)) if !target.starts_with('#') => {
            let shown: String = target.chars().take(80).collect();
            Err(Error::Invalid(format!(
                "the JSON schema refers to {shown:?}, but only what begins with '#', in the schema itself, can be followed"
            )))
        }
        ("minLength" | "minItems" | "minProperties", Value::Number(least))
            if least.as_f64().is_some_and(|least| least > MAX_LEAST as f64) =>
        {
            Err(Error::Invalid(format!(
                "{name} of the JSON schema is {least}, but at most {MAX_LEAST} is allowed"
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(schema: &str, why: &str) {
        let error = read(schema).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)));
        assert!(error.to_string().contains(why), "{error}");
    }

    #[test]
    fn ordinary_schemas_pass_with_our_settings() {
        let schema = r#"{"type": "object", "properties": {"a": {"type": "string", "pattern": "^a+$"}}, "required": ["a"], "x-guidance": {"lenient": true}}"#;
        let read = read(schema).unwrap();
        assert_eq!(read["properties"]["a"]["pattern"], "^a+$");
        assert_eq!(read[SETTINGS], settings());
    }

    #[test]
    fn names_are_open_unless_the_schema_lists_all() {
        for (schema, is_open) in [
            (json!({"type": "string"}), false),
            (json!({"enum": [{}, 1]}), false),
            (
                json!({"properties": {"a": {"type": ["null", "number"]}}, "type": "object"}),
                false,
            ),
            (json!({"properties": {"a": {}}}), true),
            (json!({"type": "object"}), true),
            (json!({"type": "array", "items": {"type": "object"}}), true),
            (json!({"type": "array"}), true),
            (
                json!({"type": "object", "additionalProperties": {"type": "null"}}),
                true,
            ),
            (
                json!({"type": "object", "patternProperties": {"^a": false}, "additionalProperties": false}),
                true,
            ),
            (
                json!({"anyOf": [{"type": "null"}, {"type": "object"}]}),
                true,
            ),
        ] {
            let read = read(&schema.to_string()).unwrap();
            assert_eq!(has_open_names(&read), is_open, "{schema}");
        }
    }

    #[test]
    fn properties_may_have_the_names_of_keywords() {
        let schema = r#"{"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}, "minLength": {"type": "integer"}}}"#;
        assert!(read(schema).is_ok());
    }

    #[test]
    fn invalid_schemas_are_refused() {
        refused("{", "no JSON");
        refused("[]", "must be an object");
        refused("true", "must be an object");
        refused("{\"a\": \"\u{1}\"}", "no JSON");
    }

    #[test]
    fn depth_and_size_are_limited() {
        let nested = |levels: usize| {
            format!(
                "{}{}",
                r#"{"items":"#.repeat(levels) + "{}",
                "}".repeat(levels)
            )
        };
        assert!(read(&nested(30)).is_ok());
        refused(&nested(70), "deeper than 64");
        // Deeper than the limit of the JSON reader.
        refused(&nested(60_000), "no JSON");
        refused(&"[".repeat(60_000), "no JSON");
        let wide = format!(r#"{{"enum": [{}1]}}"#, "1,".repeat(20_000));
        refused(&wide, "more than 10000");
    }

    #[test]
    fn patterns_that_must_be_compared_are_few() {
        let patterns = |count: usize, branches: usize| {
            let patterns: Map<String, Value> = (0..count)
                .map(|it| (format!("^{it}$"), json!({})))
                .collect();
            json!({"patternProperties": patterns, "anyOf": vec![json!({}); branches]}).to_string()
        };
        for (count, branches) in [(20, 0), (1, 100), (3, 5)] {
            assert!(read(&patterns(count, branches)).is_ok());
        }
        for (count, branches) in [(21, 0), (2, 14), (5, 4)] {
            refused(&patterns(count, branches), "takes too long");
        }
    }

    #[test]
    fn patterns_references_and_least_counts_are_checked() {
        refused(r#"{"pattern": "((a{100}){100}){100}"}"#, "repeats too much");
        refused(r#"{"patternProperties": {"(": {}}}"#, "unclosed");
        refused(
            r#"{"$ref": "https://example.org/schema.json"}"#,
            "https://example.org",
        );
        refused(r#"{"$ref": "other.json#/a"}"#, "other.json");
        refused(r#"{"type": "string", "minLength": 1e9}"#, "minLength");
    }
}

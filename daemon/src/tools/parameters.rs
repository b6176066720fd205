//! Normalizes the parameters of a tool to a JSON Schema of an object.
//!
//! Clients in some languages write an empty object as an empty list, and an absent member as `null`. Where a schema needs an
//! object, an empty list counts as an empty object; a member that is `null` counts as absent.

use serde_json::{Map, Value, json};

/// Members that map names to schemas.
const BY_NAME: [&str; 5] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
];

/// Members that are a schema.
const ONE: [&str; 7] = [
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
];

/// Members that are a list of schemas.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];

/// Reads the parameters of a tool. Null, `false`, and an empty text or list count as an object without properties.
///
/// # Errors
/// A message to follow the tool's name, when they are not the schema of an object.
pub(super) fn read(given: Value) -> Result<Value, String> {
    let members = match given {
        Value::Null | Value::Bool(false) => Map::new(),
        Value::String(text) if text.trim().is_empty() => Map::new(),
        Value::Array(items) if items.is_empty() => Map::new(),
        Value::Object(members) => members,
        _ => return Err("its parameters must be a JSON Schema, an object".into()),
    };
    let Value::Object(mut members) = schema(Value::Object(members)) else {
        unreachable!("a schema with members stays one");
    };
    match members.get("type") {
        None if !members.contains_key("$ref")
            && !LISTS.iter().any(|it| members.contains_key(*it)) =>
        {
            let mut whole = Map::from_iter([("type".to_owned(), json!("object"))]);
            whole.append(&mut members);
            whole.entry("properties").or_insert_with(|| json!({}));
            Ok(Value::Object(whole))
        }
        None => Ok(Value::Object(members)),
        Some(Value::String(kind)) if kind == "object" => Ok(Value::Object(members)),
        Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "object") => {
            members.insert("type".into(), json!("object"));
            Ok(Value::Object(members))
        }
        Some(_) => Err("its parameters must be of the type \"object\"".into()),
    }
}

/// The normalized schema, with its members in the client's order. The JSON parser has bounded its depth.
fn schema(given: Value) -> Value {
    match given {
        Value::Array(items) if items.is_empty() => json!({}),
        Value::Object(members) => members
            .into_iter()
            .filter_map(|(name, member)| Some((name.clone(), part(&name, member)?)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

/// One member of a schema; `None` leaves it out.
fn part(name: &str, member: Value) -> Option<Value> {
    let is_schema = |name| ONE.contains(&name) || name == "items";
    Some(match member {
        Value::Null if has_no_null(name) => return None,
        Value::Array(items) if items.is_empty() && BY_NAME.contains(&name) => json!({}),
        Value::Object(members) if BY_NAME.contains(&name) => members
            .into_iter()
            .map(|(name, member)| (name, schema(member)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) if LISTS.contains(&name) || (name == "items" && !items.is_empty()) => {
            items.into_iter().map(schema).collect()
        }
        Value::Object(members) if name == "required" && members.is_empty() => return None,
        member if is_schema(name) => schema(member),
        other => other,
    })
}

/// Whether `null` is no valid value of this member, so that it counts as absent.
fn has_no_null(name: &str) -> bool {
    !matches!(name, "const" | "default" | "enum" | "examples")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_parameters_are_an_object_without_properties() {
        let none = json!({"type": "object", "properties": {}});
        for given in [
            json!(null),
            json!([]),
            json!({}),
            json!(""),
            json!(false),
            json!({"type": "object", "properties": []}),
            json!({"type": "object", "properties": [], "required": {}}),
            json!({"type": null, "properties": null, "required": null}),
        ] {
            assert_eq!(read(given.clone()).unwrap(), none, "{given}");
        }
    }

    #[test]
    fn an_empty_list_is_an_empty_object_where_a_schema_needs_one() {
        let given = json!({"type": "object", "properties": {
            "properties": {"type": "object", "properties": []},
            "any": [],
            "list": {"type": "array", "items": []},
            "either": {"anyOf": [[], {"type": "null"}]},
            "word": {"enum": [null, "a"], "default": null, "description": null},
        }, "required": []});
        let expected = json!({"type": "object", "properties": {
            "properties": {"type": "object", "properties": {}},
            "any": {},
            "list": {"type": "array", "items": {}},
            "either": {"anyOf": [{}, {"type": "null"}]},
            "word": {"enum": [null, "a"], "default": null},
        }, "required": []});
        assert_eq!(read(given).unwrap(), expected);
    }

    #[test]
    fn a_valid_schema_does_not_change() {
        for given in [
            json!({"type": "object", "properties": {"b": {}, "a": {"type": ["string", "null"]}}, "required": ["b"], "additionalProperties": false}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}),
        ] {
            assert_eq!(read(given.clone()).unwrap().to_string(), given.to_string());
        }
    }

    #[test]
    fn a_schema_without_a_type_is_one_of_an_object() {
        let read = read(json!({"properties": {"a": {}}})).unwrap();
        assert_eq!(read, json!({"type": "object", "properties": {"a": {}}}));
    }

    #[test]
    fn parameters_of_another_type_are_refused() {
        for given in [
            json!([1]),
            json!("a"),
            json!(true),
            json!(1),
            json!({"type": "string"}),
            json!({"type": ["string"]}),
        ] {
            assert!(read(given.clone()).is_err(), "{given}");
        }
    }
}

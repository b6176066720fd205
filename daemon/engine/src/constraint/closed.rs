//! Closes the objects of a JSON Schema: where `properties` stand and `additionalProperties` is not said, no other member may come.
//!
//! JSON Schema leaves such an object open, and a model would invent members for ever. Ollama and llama.cpp close it too.
//!
//! Several parts can tell of one object: a schema, all of its `allOf`, what its `$ref` leads to, and one of its `anyOf`. A part that
//! forbids the members of the others would allow nothing at all. So each part is closed behind the names of all of them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::Error;

/// Longest way of references that is followed from part to part of one object.
const MAX_WAY: usize = 32;

/// What tells of an object together with what else is said of it. A reference that stands alone is only another name.
const PARTS: [&str; 5] = ["properties", "required", "allOf", "anyOf", "oneOf"];

/// Most steps from part to part in one schema.
const MAX_STEPS: usize = 20_000;

/// Closes the objects of a schema.
///
/// # Errors
/// [`Error::Invalid`] when the parts of objects lead to each other in too many ways.
pub(super) fn close(schema: &mut Value) -> Result<(), Error> {
    let root = schema.clone();
    let mut closing = Closing {
        root: &root,
        steps: MAX_STEPS,
    };
    closing.part(schema, &Members::default(), 0)
}

struct Closing<'s> {
    /// The schema as it was, for references.
    root: &'s Value,
    /// Steps that may still be taken.
    steps: usize,
}

/// What parts say of their object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Members {
    names: BTreeSet<String>,
    /// Whether one says itself that other members may come.
    is_open: bool,
}

impl Members {
    fn and(&self, other: &Self) -> Self {
        Self {
            names: self.names.union(&other.names).cloned().collect(),
            is_open: self.is_open || other.is_open,
        }
    }
}

impl Closing<'_> {
    /// Closes a part of an object, and all objects below it; `others` is what the other parts say.
    fn part(&mut self, schema: &mut Value, others: &Members, way: usize) -> Result<(), Error> {
        self.step()?;
        let Value::Object(members) = schema else {
            return Ok(());
        };
        // The object is closed, and no other part knows more.
        if members.get("unevaluatedProperties") == Some(&Value::Bool(false)) {
            members.remove("unevaluatedProperties");
        }
        self.below(members)?;
        if *others == Members::default() && !PARTS.iter().any(|it| members.contains_key(*it)) {
            return Ok(());
        }
        let all = others.and(&self.members(members, true, way)?);
        let around = others.and(&self.members(members, false, way)?);
        let target = self.open_target(members, &all, way)?;
        if let Some(Value::Array(parts)) = members.get_mut("allOf") {
            self.parts(parts, &all, way)?;
        }
        for name in ["anyOf", "oneOf"] {
            // Branches exclude each other: none knows the names of another.
            if let Some(Value::Array(branches)) = members.get_mut(name) {
                self.parts(branches, &around, way)?;
            }
        }
        if let Some(mut target) = target {
            self.part(&mut target, &all, way + 1)?;
            members.remove("$ref");
            let parts = members
                .entry("allOf")
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(parts) = parts {
                parts.push(target);
            }
        }
        shut(members, &all);
        Ok(())
    }

    fn parts(&mut self, parts: &mut [Value], others: &Members, way: usize) -> Result<(), Error> {
        let mut parts = parts.iter_mut();
        parts.try_for_each(|part| self.part(part, others, way))
    }

    /// A copy of what `$ref` leads to, if that knows less than all parts: where it stands it is closed too early.
    fn open_target(
        &mut self,
        members: &Map<String, Value>,
        all: &Members,
        way: usize,
    ) -> Result<Option<Value>, Error> {
        let Some(target) = self.target(members).filter(|_| way < MAX_WAY) else {
            return Ok(None);
        };
        let said = self.said(target, way + 1)?;
        Ok((said != *all).then(|| target.clone()))
    }

    /// Closes other objects.
    fn below(&mut self, members: &mut Map<String, Value>) -> Result<(), Error> {
        let alone = Members::default();
        for (name, value) in members.iter_mut() {
            match (name.as_str(), value) {
                (
                    "properties" | "patternProperties" | "$defs" | "definitions",
                    Value::Object(schemas),
                ) => {
                    let mut schemas = schemas.values_mut();
                    schemas.try_for_each(|it| self.part(it, &alone, 0))?;
                }
                ("items" | "prefixItems", Value::Array(schemas)) => {
                    self.parts(schemas, &alone, 0)?;
                }
                ("items" | "additionalItems" | "additionalProperties", schema) => {
                    self.part(schema, &alone, 0)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn said(&mut self, schema: &Value, way: usize) -> Result<Members, Error> {
        match schema {
            Value::Object(members) => self.members(members, true, way),
            _ => Ok(Members::default()),
        }
    }

    /// What a schema and its parts say of their object, with what its branches say or without.
    fn members(
        &mut self,
        members: &Map<String, Value>,
        branches: bool,
        way: usize,
    ) -> Result<Members, Error> {
        self.step()?;
        let mut all = Members {
            names: BTreeSet::new(),
            is_open: matches!(members.get("additionalProperties"), Some(it) if *it != Value::Bool(false)),
        };
        if let Some(Value::Object(properties)) = members.get("properties") {
            all.names.extend(properties.keys().cloned());
        }
        if let Some(Value::Array(required)) = members.get("required") {
            let required = required.iter().filter_map(Value::as_str);
            all.names.extend(required.map(String::from));
        }
        if let Some(target) = self.target(members).filter(|_| way < MAX_WAY) {
            all = all.and(&self.said(target, way + 1)?);
        }
        let kinds: &[&str] = match branches {
            true => &["allOf", "anyOf", "oneOf"],
            false => &["allOf"],
        };
        let parts = kinds
            .iter()
            .filter_map(|kind| members.get(*kind)?.as_array());
        for part in parts.flatten() {
            all = all.and(&self.said(part, way)?);
        }
        Ok(all)
    }

    fn step(&mut self) -> Result<(), Error> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| {
            Error::Invalid(
                "the objects of the JSON schema have too many parts by allOf, anyOf and $ref; use fewer of them"
                    .into(),
            )
        })?;
        Ok(())
    }
}

impl<'s> Closing<'s> {
    /// What the reference of a schema leads to.
    fn target(&self, members: &Map<String, Value>) -> Option<&'s Value> {
        let reference = members.get("$ref")?.as_str()?;
        self.root.pointer(reference.strip_prefix('#')?)
    }
}

/// Lets no member come but those of all parts, unless a part says otherwise.
fn shut(members: &mut Map<String, Value>, all: &Members) {
    if all.is_open || members.contains_key("additionalProperties") {
        return;
    }
    let Some(Value::Object(properties)) = members.get_mut("properties") else {
        return;
    };
    for name in &all.names {
        properties.entry(name).or_insert(Value::Bool(true));
    }
    members.insert("additionalProperties".into(), Value::Bool(false));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn closed(mut schema: Value) -> Value {
        close(&mut schema).unwrap();
        schema
    }

    #[test]
    fn what_names_its_members_has_no_other() {
        let schema =
            json!({"properties": {"a": {"type": "array", "items": {"properties": {"b": {}}}}}});
        let expected = json!({
            "properties": {"a": {"type": "array", "items": {"properties": {"b": {}}, "additionalProperties": false}}},
            "additionalProperties": false,
        });
        assert_eq!(closed(schema), expected);
    }

    #[test]
    fn what_says_nothing_of_members_or_says_it_itself_stays() {
        for schema in [
            json!({"type": "object"}),
            json!({"properties": {"a": {}}, "additionalProperties": true}),
            json!({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}),
            json!({"enum": [{"properties": {"a": 1}}], "default": {"properties": {}}}),
        ] {
            assert_eq!(closed(schema.clone()), schema);
        }
    }

    #[test]
    fn the_parts_of_one_object_are_closed_together() {
        let schema = json!({
            "allOf": [{"properties": {"a": {}}}, {"$ref": "#/$defs/b"}],
            "$defs": {"b": {"properties": {"b": {}}}},
        });
        let closed = closed(schema);
        assert_eq!(
            closed["allOf"][0]["properties"],
            json!({"a": {}, "b": true})
        );
        // The part gets a copy; others that lead to the same see it closed by itself.
        assert_eq!(
            closed["allOf"][1]["allOf"][0]["properties"],
            json!({"b": {}, "a": true})
        );
        assert_eq!(closed["$defs"]["b"]["properties"], json!({"b": {}}));
    }

    #[test]
    fn branches_do_not_know_each_other() {
        let closed = closed(json!({
            "properties": {"kind": {}},
            "anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}],
        }));
        assert_eq!(
            closed["properties"],
            json!({"kind": {}, "a": true, "b": true})
        );
        assert_eq!(
            closed["anyOf"][0]["properties"],
            json!({"a": {}, "kind": true})
        );
    }

    #[test]
    fn references_that_multiply_are_refused() {
        let mut defs = Map::new();
        for link in 0..30 {
            let next = json!({"$ref": format!("#/$defs/{}", link + 1)});
            defs.insert(link.to_string(), json!({"allOf": [next, next]}));
        }
        let mut schema = json!({"$defs": defs, "$ref": "#/$defs/0"});
        let error = close(&mut schema).unwrap_err().to_string();
        assert!(error.contains("too many parts"), "{error}");
    }
}

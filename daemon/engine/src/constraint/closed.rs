//! Closes the objects of a JSON Schema: with `properties` and without `additionalProperties`, no other member is allowed.
//!
//! JSON Schema leaves such an object open, and a model could invent members without end. Ollama and llama.cpp close it too.
//!
//! Several parts can describe one object: a schema, all of its `allOf`, the target of its `$ref`, and one of its `anyOf`. Parts that
//! forbid the members of each other would allow nothing. So each part permits the names of all parts.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::Error;

/// Maximum length of a chain of references between the parts of one object.
const MAX_WAY: usize = 32;

/// Keywords that describe an object together with `$ref`. A `$ref` without them is only another name.
const PARTS: [&str; 5] = ["properties", "required", "allOf", "anyOf", "oneOf"];

/// Maximum number of steps between parts in one schema.
const MAX_STEPS: usize = 20_000;

/// Closes the objects of a schema.
///
/// # Errors
/// [`Error::Invalid`] when the parts of objects refer to each other too often.
pub(super) fn close(schema: &mut Value) -> Result<(), Error> {
    let root = schema.clone();
    let mut closing = Closing {
        root: &root,
        steps: MAX_STEPS,
    };
    closing.part(schema, &Members::default(), 0)
}

struct Closing<'s> {
    /// The unchanged schema, for references.
    root: &'s Value,
    /// Remaining steps.
    steps: usize,
}

/// The members that parts permit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Members {
    names: BTreeSet<String>,
    /// Whether a part itself permits other members.
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
    /// Closes a part of an object, and all objects below it; `others` are the members of the other parts.
    fn part(&mut self, schema: &mut Value, others: &Members, way: usize) -> Result<(), Error> {
        self.step()?;
        let Value::Object(members) = schema else {
            return Ok(());
        };
        // The object is closed, and no other part has more names.
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
            // Branches are alternatives: none gets the names of another.
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

    /// A copy of the target of `$ref`, if the target has fewer names than all parts together.
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

    /// The members of a schema and its parts, with or without those of its branches.
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
    /// The target of the reference of a schema.
    fn target(&self, members: &Map<String, Value>) -> Option<&'s Value> {
        let reference = members.get("$ref")?.as_str()?;
        self.root.pointer(reference.strip_prefix('#')?)
    }
}

/// Permits only the members of all parts, unless a part permits others.
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
    fn an_object_with_named_members_is_closed() {
        let schema =
            json!({"properties": {"a": {"type": "array", "items": {"properties": {"b": {}}}}}});
        let expected = json!({
            "properties": {"a": {"type": "array", "items": {"properties": {"b": {}}, "additionalProperties": false}}},
            "additionalProperties": false,
        });
        assert_eq!(closed(schema), expected);
    }

    #[test]
    fn an_object_without_properties_or_with_its_own_rule_is_unchanged() {
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
        // The part gets a copy; for other references the target is closed by itself.
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

//! The parameters of a tool as clients write them, made one JSON Schema of an object.
//!
//! Some languages have one empty value for a list and an object, or write `null` for what is not there. Where a schema can
//! only have an object, an empty list is an empty object; `null` is as good as absent.

use serde_json::{Map, Value, json};

/// Members that hold schemas by name.
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

/// Reads the parameters of a tool. What stands for none is an object without members.
///
/// # Errors
/// For people, behind the tool's name: when they are no schema of an object.
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

/// A schema whose parts are what they have to be, in the order of the client. It is no deeper than JSON that was read.
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

/// Members in which `null` is no value but stands for their absence.
fn has_no_null(name: &str) -> bool {
    !matches!(name, "const" | "default" | "enum" | "examples")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_none_is_an_object_without_members() {
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
    fn empty_lists_inside_are_empty_objects_where_these_belong() {
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
    fn a_schema_in_order_stays_as_it_is() {
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
    fn what_is_no_schema_of_an_object_is_refused() {
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

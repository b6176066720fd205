//! The constraint of an answer.

use api::openai::ResponseFormat;
use runner_protocol::{MAX_CONSTRAINT_BYTES, Shape};
use serde_json::Value;

use crate::dialect::fields;
use crate::error::Error;

/// The constraint of a request; at most one of the three may have one.
///
/// # Errors
/// [`Error::Field`] for a format without its schema, for an unknown format, and for two constraints.
pub(super) fn shape(
    format: Option<&ResponseFormat>,
    schema: Option<&Value>,
    grammar: Option<&str>,
) -> Result<Option<Shape>, Error> {
    let grammar = grammar.filter(|grammar| !grammar.is_empty());
    let shapes = [
        (
            "response_format",
            format.map(of_format).transpose()?.flatten(),
        ),
        (
            "json_schema",
            given(schema)
                .map(|schema| of_schema("json_schema", schema))
                .transpose()?,
        ),
        ("grammar", grammar.map(of_grammar).transpose()?),
    ];
    let mut given = shapes
        .into_iter()
        .filter_map(|(field, shape)| Some((field, shape?)));
    match (given.next(), given.next()) {
        (Some((first, _)), Some((second, _))) => {
            Err(Error::field(second, format!("goes without {first}")))
        }
        (first, _) => Ok(first.map(|(_, shape)| shape)),
    }
}

fn given(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn of_format(format: &ResponseFormat) -> Result<Option<Shape>, Error> {
    let nested = format.json_schema.as_ref();
    let nested = given(nested.and_then(|it| it.schema.as_ref()));
    let schema = match (nested, given(format.schema.as_ref())) {
        (Some(schema), _) => Some(of_schema("response_format.json_schema.schema", schema)?),
        (None, Some(schema)) => Some(of_schema("response_format.schema", schema)?),
        (None, None) => None,
    };
    match (format.kind.as_deref(), schema) {
        (Some("text"), _) => Ok(None),
        (Some("json_object"), None) => Ok(Some(Shape::Json)),
        (Some("json_object" | "json_schema"), Some(schema)) => Ok(Some(schema)),
        (Some("json_schema"), None) => Err(Error::field(
            "response_format.json_schema.schema",
            "is required with the type json_schema",
        )),
        _ => Err(Error::field(
            "response_format.type",
            "must be text, json_object or json_schema",
        )),
    }
}

/// The constraint of a schema.
///
/// # Errors
/// [`Error::Field`] for a value that is no object, and for a schema that is too large.
pub(super) fn of_schema(field: &'static str, schema: &Value) -> Result<Shape, Error> {
    if !schema.is_object() {
        return Err(Error::field(
            field,
            "must be an object that is a JSON Schema",
        ));
    }
    fields::schema(schema).map_err(|error| Error::field(field, error.to_string()))
}

fn of_grammar(grammar: &str) -> Result<Shape, Error> {
    if grammar.len() > MAX_CONSTRAINT_BYTES {
        let reason = format!("must have at most {MAX_CONSTRAINT_BYTES} bytes");
        return Err(Error::field("grammar", reason));
    }
    Ok(Shape::Grammar(grammar.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(format: Value) -> Result<Option<Shape>, Error> {
        let format = serde_json::from_value(format).unwrap();
        shape(Some(&format), None, None)
    }

    #[test]
    fn a_schema_counts_in_each_place_where_clients_write_it() {
        let schema = json!({"type": "object", "b": 1, "a": 2});
        let expected = Some(Shape::Schema(schema.to_string()));
        for format in [
            json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}}),
            json!({"type": "json_schema", "json_schema": {"schema": schema}}),
            json!({"type": "json_schema", "schema": schema}),
            json!({"type": "json_object", "schema": schema}),
        ] {
            assert_eq!(read(format).unwrap(), expected);
        }
        assert_eq!(shape(None, Some(&schema), None).unwrap(), expected);
        assert_eq!(
            read(json!({"type": "json_object"})).unwrap(),
            Some(Shape::Json)
        );
        assert_eq!(read(json!({"type": "text"})).unwrap(), None);
    }

    #[test]
    fn a_format_is_never_left_out() {
        for (format, field) in [
            (
                json!({"type": "json_schema"}),
                "response_format.json_schema.schema",
            ),
            (
                json!({"type": "json_schema", "json_schema": {"name": "x"}}),
                "response_format.json_schema.schema",
            ),
            (
                json!({"type": "json_schema", "schema": true}),
                "response_format.schema",
            ),
            (json!({"type": "xml"}), "response_format.type"),
            (json!({}), "response_format.type"),
        ] {
            assert_eq!(read(format).unwrap_err().param(), Some(field));
        }
        let both = shape(None, Some(&json!({})), Some("root ::= \"a\""));
        assert_eq!(both.unwrap_err().param(), Some("grammar"));
    }
}

//! `--format` and `/set format`: the constraint on answers.

use std::path::Path;

use serde_json::Value;

use crate::error::Failure;
use crate::{env, fs};

/// Longest file of a schema in bytes, white space included.
const MAX_FILE: usize = 1 << 20;

/// Longest schema in bytes, without white space: the daemon's limit.
const MAX_SCHEMA: usize = 64 << 10;

/// The `format` field of a request for `json`, or for the path of a file with a JSON Schema.
///
/// # Errors
/// The file cannot be read, is too long, or is not a schema.
pub(crate) fn read(form: &str, home: Option<&Path>) -> anyhow::Result<Value> {
    if form == "json" {
        return Ok(form.into());
    }
    let path = env::typed_path(form, home);
    let bytes = match fs::read(&path, MAX_FILE) {
        Err(error) if error.is_missing() => {
            let hint = "a format is `json`, or the path of a file with a JSON Schema";
            return Err(Failure::usage(error.to_string()).hint(hint).into());
        }
        bytes => bytes?,
    };
    let shown = path.display();
    let schema: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(format!("`{shown}` is not JSON: {error}")))?;
    if !schema.is_object() {
        return Err(Failure::new(format!("`{shown}` is not a JSON Schema"))
            .hint("a schema is an object, such as `{\"type\": \"array\"}`")
            .into());
    }
    let length = schema.to_string().len();
    if length > MAX_SCHEMA {
        return Err(Failure::new(format!(
            "`{shown}` is a schema of {length} bytes, but at most {MAX_SCHEMA} are allowed"
        ))
        .into());
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests make files")]

    use serde_json::json;

    use super::*;
    use crate::error::Report;

    /// Reads a file with this content.
    fn read_file(content: &str) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.json"), content).unwrap();
        read("~/s.json", Some(folder.path())).map_err(|error| {
            let body = Report::of(&error).body.unwrap();
            let error = body.error.replace(folder.path().to_str().unwrap(), "HOME");
            format!("{error} ({})", body.hint.unwrap_or_default())
        })
    }

    fn refuse(content: &str, expected: &str) {
        assert_eq!(read_file(content), Err(expected.to_owned()));
    }

    #[test]
    fn json_is_a_word_and_anything_else_a_file() {
        assert_eq!(read("json", None).unwrap(), json!("json"));
        let schema = read_file(" { \"type\" : \"array\" }\n").unwrap();
        assert_eq!(schema, json!({ "type": "array" }));
    }

    #[test]
    fn members_keep_their_order() {
        let schema = r#"{"properties":{"z":{},"a":{},"m":{}}}"#;
        assert_eq!(read_file(schema).unwrap().to_string(), schema);
    }

    #[test]
    fn white_space_does_not_make_a_schema_too_long() {
        let padded = |length: usize| format!("{{{}\"const\":1}}", " ".repeat(length));
        assert_eq!(read_file(&padded(MAX_SCHEMA)), Ok(json!({ "const": 1 })));
        refuse(
            &padded(MAX_FILE),
            "cannot read `HOME/s.json`: it is longer than 1048576 bytes ()",
        );
    }

    #[test]
    fn a_file_without_a_schema_is_refused_by_name() {
        let missing = read("./nothing.json", None).unwrap_err();
        let body = Report::of(&missing).body.unwrap();
        assert_eq!(
            body.error,
            "cannot open `./nothing.json`: No such file or directory (os error 2)"
        );
        assert!(body.hint.unwrap().contains("`json`"));
        refuse(
            "{\"type\": }",
            "`HOME/s.json` is not JSON: expected value at line 1 column 10 ()",
        );
        refuse(
            "",
            "`HOME/s.json` is not JSON: EOF while parsing a value at line 1 column 0 ()",
        );
        for no_object in ["\"json\"", "[]", "true"] {
            refuse(
                no_object,
                "`HOME/s.json` is not a JSON Schema (a schema is an object, such as `{\"type\": \"array\"}`)",
            );
        }
        let long = json!({ "const": "x".repeat(MAX_SCHEMA) }).to_string();
        refuse(
            &long,
            "`HOME/s.json` is a schema of 65548 bytes, but at most 65536 are allowed ()",
        );
    }
}

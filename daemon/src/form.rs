//! What a request asks of its answer's form, and of what is told of its tokens.

use api::TokenLogprob;
use runner_protocol::{
    Constraint, Likelihood, Logprob, MAX_CONSTRAINT_BYTES, MAX_TOP_LOGPROBS, Shape,
};
use serde_json::Value;

use crate::error::Error;

/// The form of one answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Form {
    /// What the text must look like.
    pub constraint: Option<Constraint>,
    /// Report how likely each token was, and so many alternatives.
    pub logprobs: Option<u32>,
}

impl Form {
    /// Reads the fields of a request as Ollama's clients send them.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a field has a value that means nothing. Whether a schema can be enforced is for the runner to say.
    pub fn read(
        format: Option<&Value>,
        logprobs: Option<bool>,
        top_logprobs: Option<u32>,
    ) -> Result<Self, Error> {
        let shape = format.map(shape).transpose()?.flatten();
        Ok(Self {
            constraint: shape.map(|shape| Constraint { shape, after: None }),
            logprobs: likelihoods(logprobs, top_logprobs)?,
        })
    }
}

/// Null and the empty text mean that there is none, as clients send them.
fn shape(format: &Value) -> Result<Option<Shape>, Error> {
    let wrong =
        || Error::Invalid("format must be \"json\" or an object that is a JSON Schema".to_owned());
    match format {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) if text == "json" => Ok(Some(Shape::Json)),
        Value::Object(_) => {
            let schema = format.to_string();
            if schema.len() > MAX_CONSTRAINT_BYTES {
                return Err(Error::Invalid(format!(
                    "format has {} bytes, but at most {MAX_CONSTRAINT_BYTES} are allowed",
                    schema.len()
                )));
            }
            Ok(Some(Shape::Schema(schema)))
        }
        _ => Err(wrong()),
    }
}

fn likelihoods(wanted: Option<bool>, top: Option<u32>) -> Result<Option<u32>, Error> {
    let top = top.unwrap_or(0);
    if top > MAX_TOP_LOGPROBS {
        return Err(Error::Invalid(format!(
            "top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}"
        )));
    }
    match wanted {
        Some(true) => Ok(Some(top)),
        _ if top > 0 => Err(Error::Invalid(
            "top_logprobs goes with logprobs: true".to_owned(),
        )),
        _ => Ok(None),
    }
}

/// What is told of tokens, in the words of the API; nothing where nothing was asked for.
pub(crate) fn told(logprobs: Vec<Logprob>) -> Option<Vec<api::Logprob>> {
    let one = |likelihood: Likelihood| TokenLogprob {
        token: String::from_utf8_lossy(&likelihood.bytes).into_owned(),
        logprob: likelihood.logprob,
        bytes: likelihood.bytes,
    };
    let all = logprobs.into_iter().map(|logprob| api::Logprob {
        chosen: one(logprob.chosen),
        top_logprobs: logprob.top.into_iter().map(one).collect(),
    });
    let all: Vec<api::Logprob> = all.collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(format: Value) -> Result<Option<Shape>, Error> {
        Form::read(Some(&format), None, None).map(|form| form.constraint.map(|it| it.shape))
    }

    #[test]
    fn json_and_schemas_are_shapes_and_nothing_is_none() {
        assert_eq!(read(json!(null)).unwrap(), None);
        assert_eq!(read(json!("")).unwrap(), None);
        assert_eq!(read(json!("json")).unwrap(), Some(Shape::Json));
        let schema = json!({"type": "object", "b": 1, "a": 2});
        let expected = r#"{"type":"object","b":1,"a":2}"#;
        assert_eq!(read(schema).unwrap(), Some(Shape::Schema(expected.into())));
        assert_eq!(Form::read(None, None, None).unwrap(), Form::default());
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for format in [json!("xml"), json!(1), json!(true), json!([])] {
            let error = read(format).unwrap_err().to_string();
            assert!(error.contains("JSON Schema"), "{error}");
        }
        let long = json!({"description": "x".repeat(70_000)});
        assert!(read(long).unwrap_err().to_string().contains("65536"));
    }

    #[test]
    fn likelihoods_are_asked_for_by_two_fields() {
        let read = |wanted, top| Form::read(None, wanted, top).map(|form| form.logprobs);
        assert_eq!(read(None, None).unwrap(), None);
        assert_eq!(read(Some(false), Some(0)).unwrap(), None);
        assert_eq!(read(Some(true), None).unwrap(), Some(0));
        assert_eq!(read(Some(true), Some(20)).unwrap(), Some(20));
        assert!(read(Some(true), Some(21)).is_err());
        assert!(read(None, Some(3)).is_err());
        assert!(read(Some(false), Some(3)).is_err());
    }

    #[test]
    fn tokens_that_are_no_text_keep_their_bytes() {
        let likelihood = |bytes: &[u8]| Likelihood {
            token: 7,
            bytes: bytes.to_vec(),
            logprob: -0.5,
        };
        let told = told(vec![Logprob {
            chosen: likelihood(b"\xf0\x9f"),
            top: vec![likelihood(b"a")],
        }]);
        assert_eq!(
            serde_json::to_value(told).unwrap(),
            json!([{
                "token": "\u{fffd}", "logprob": -0.5, "bytes": [240, 159],
                "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}],
            }])
        );
        assert_eq!(super::told(Vec::new()), None);
    }
}

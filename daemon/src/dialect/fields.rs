//! Fields that are the same in several dialects.

use std::collections::BTreeMap;

use runner_protocol::{Bias, MAX_BIASES, MAX_CONSTRAINT_BYTES, MAX_TOP_LOGPROBS, Shape};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::ask::Target;
use crate::duration::KeepAlive;
use crate::error::Error;
use crate::extract::model_name;
use crate::options;

/// The model of a request, by the name, the options and the keep-alive of its body.
///
/// # Errors
/// [`Error::Invalid`] names the field.
pub(crate) fn target(
    arrived: Instant,
    model: &str,
    options: Option<&Map<String, Value>>,
    keep_alive: Option<&api::KeepAlive>,
) -> Result<Target, Error> {
    Ok(Target {
        arrived,
        model: model_name(model)?,
        label: model.to_owned(),
        parameters: options::read(options)?,
        keep_alive: keep_alive
            .map(KeepAlive::read)
            .transpose()
            .map_err(Error::Invalid)?,
    })
}

/// The schema of an answer, as text.
///
/// # Errors
/// [`Error::Invalid`] for a schema that is too large. The runner checks whether it can enforce it.
pub(crate) fn schema(schema: &Value) -> Result<Shape, Error> {
    let text = schema.to_string();
    if text.len() > MAX_CONSTRAINT_BYTES {
        return Err(Error::Invalid(format!(
            "format has {} bytes, but at most {MAX_CONSTRAINT_BYTES} are allowed",
            text.len()
        )));
    }
    Ok(Shape::Schema(text))
}

/// The number of top logprobs, if logprobs are requested.
///
/// # Errors
/// [`Error::Invalid`] for too many top logprobs, and for top logprobs without `logprobs`.
pub(crate) fn logprobs(wanted: Option<bool>, top: Option<u32>) -> Result<Option<u32>, Error> {
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

/// Logit biases, by token id.
///
/// # Errors
/// [`Error::Invalid`] for too many biases, and for a key that is not a token id. The runner checks the range of ids and shifts.
pub(crate) fn biases(shifts: Option<&BTreeMap<String, f32>>) -> Result<Vec<Bias>, Error> {
    let Some(shifts) = shifts else {
        return Ok(Vec::new());
    };
    if shifts.len() > MAX_BIASES {
        return Err(Error::Invalid(format!(
            "logit_bias names {} tokens, but at most {MAX_BIASES} are allowed",
            shifts.len()
        )));
    }
    let bias = |(token, &shift): (&String, &f32)| match token.parse() {
        Ok(token) => Ok(Bias { token, shift }),
        Err(_) => Err(Error::Invalid(format!(
            "logit_bias names '{}', which is not the number of a token",
            token.chars().take(40).collect::<String>()
        ))),
    };
    shifts.iter().map(bias).collect()
}

/// The scales of adapters, by their index.
pub(crate) fn adapters(lora: Option<&[api::AdapterScale]>) -> Option<Vec<(u32, f32)>> {
    let scales = lora?.iter();
    Some(scales.map(|adapter| (adapter.id, adapter.scale)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn two_fields_request_logprobs() {
        assert_eq!(logprobs(None, None).unwrap(), None);
        assert_eq!(logprobs(Some(false), Some(0)).unwrap(), None);
        assert_eq!(logprobs(Some(true), None).unwrap(), Some(0));
        assert_eq!(logprobs(Some(true), Some(20)).unwrap(), Some(20));
        assert!(logprobs(Some(true), Some(21)).is_err());
        assert!(logprobs(None, Some(3)).is_err());
        assert!(logprobs(Some(false), Some(3)).is_err());
    }

    #[test]
    fn a_schema_keeps_its_order_and_is_bounded() {
        let given = json!({"type": "object", "b": 1, "a": 2});
        let expected = r#"{"type":"object","b":1,"a":2}"#;
        assert_eq!(schema(&given).unwrap(), Shape::Schema(expected.into()));
        let long = json!({"description": "x".repeat(70_000)});
        assert!(schema(&long).unwrap_err().to_string().contains("65536"));
    }

    #[test]
    fn a_bias_names_its_token_by_id() {
        let read = |token: &str| biases(Some(&BTreeMap::from([(token.to_owned(), -1.5)])));
        let seventeen = Bias {
            token: 17,
            shift: -1.5,
        };
        assert_eq!(read("17").unwrap(), [seventeen]);
        let refusal = |read: Result<Vec<Bias>, Error>| read.unwrap_err().to_string();
        for token in ["", "1.5", "the", "99999999999"] {
            assert!(refusal(read(token)).contains("not the number of a token"));
        }
        let many = (0..=MAX_BIASES).map(|token| (token.to_string(), 1.0));
        assert!(refusal(biases(Some(&many.collect()))).contains("at most"));
    }
}

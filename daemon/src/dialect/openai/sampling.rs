//! Fields that become parameters, limits and biases.

use api::KeepAlive;
use modelfile::Parameters;
use runner_protocol::{Bias, MAX_BIASES};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::ask::Target;
use crate::dialect::fields;
use crate::error::Error;
use crate::options;
use crate::tools::quoted;

/// Most choices of one prompt.
pub(super) const MAX_CHOICES: u32 = 16;

/// The fields of a request that name its model and set parameters.
pub(super) struct TargetFields<'a> {
    /// Name of the model.
    pub(super) model: Option<&'a str>,
    /// Parameters of a Modelfile.
    pub(super) options: Option<&'a Map<String, Value>>,
    /// How long the model stays loaded.
    pub(super) keep_alive: Option<&'a KeepAlive>,
    /// Fields that set a parameter: name of the field, name of the parameter, value.
    pub(super) parameters: Vec<(&'static str, &'static str, &'a Value)>,
    /// Stop texts.
    pub(super) stop: Option<&'a Value>,
}

/// The model of a request, with its parameters.
///
/// # Errors
/// [`Error::Field`] names the field.
pub(super) fn target(given: TargetFields<'_>) -> Result<Target, Error> {
    let in_field = |name: &'static str| move |error: Error| Error::field(name, error.to_string());
    let model = given.model.filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Error::field("model", "is required"))?;
    let mut target =
        fields::target(Instant::now(), model, None, None).map_err(in_field("model"))?;
    target.parameters = options::read(given.options).map_err(in_field("options"))?;
    if let Some(keep_alive) = given.keep_alive {
        let read = crate::duration::KeepAlive::read(keep_alive);
        target.keep_alive = Some(read.map_err(|reason| Error::field("keep_alive", reason))?);
    }
    options::set_all(&mut target.parameters, given.parameters)?;
    if let Some(stop) = given.stop {
        set_stop(&mut target.parameters, stop)?;
    }
    Ok(target)
}

/// Sets the stop texts. Empty ones, which clients send for none, are ignored.
fn set_stop(parameters: &mut Parameters, stop: &Value) -> Result<(), Error> {
    let given = match stop {
        Value::Array(texts) => texts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let is_empty = |text: &&Value| text.is_null() || text.as_str().is_some_and(str::is_empty);
    let texts: Vec<Value> = given
        .iter()
        .filter(|text| !is_empty(text))
        .cloned()
        .collect();
    if texts.is_empty() {
        return Ok(());
    }
    if !texts.iter().all(Value::is_string) {
        return Err(Error::field("stop", "must be a text or a list of texts"));
    }
    options::set(parameters, "stop", "stop", &Value::Array(texts))
}

/// Logit biases: an object from token ids to numbers, or llama.cpp's list of pairs of both.
///
/// # Errors
/// [`Error::Field`] for another value, and for too many biases. The runner checks the range of ids and numbers.
pub(super) fn biases(given: Option<&Value>) -> Result<Vec<Bias>, Error> {
    let wrong = |reason: String| Error::field("logit_bias", reason);
    let biases: Vec<Bias> = match given {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(members)) => members
            .iter()
            .map(|(token, shift)| bias(&Value::from(token.as_str()), shift))
            .collect::<Result<_, String>>()
            .map_err(wrong)?,
        Some(Value::Array(pairs)) => pairs
            .iter()
            .map(|pair| match pair.as_array().map(Vec::as_slice) {
                Some([token, shift]) => bias(token, shift),
                _ => Err("must be a list of pairs of a token id and a number".to_owned()),
            })
            .collect::<Result<_, String>>()
            .map_err(wrong)?,
        Some(_) => return Err(wrong("must be an object from token ids to numbers".into())),
    };
    if biases.len() > MAX_BIASES {
        let found = biases.len();
        return Err(wrong(format!(
            "names {found} tokens, but at most {MAX_BIASES} are allowed"
        )));
    }
    Ok(biases)
}

fn bias(token: &Value, shift: &Value) -> Result<Bias, String> {
    let id = match token {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64().and_then(|id| i32::try_from(id).ok()),
    };
    let token =
        id.ok_or_else(|| format!("names {}, which is no token id", quoted(&token.to_string())))?;
    // llama.cpp writes a token that must not come as `false`.
    let shift = match shift {
        Value::Bool(false) => Some(f32::NEG_INFINITY),
        other => other.as_f64().map(|shift| shift as f32),
    };
    let shift = shift.ok_or_else(|| format!("has no number for the token {token}"))?;
    Ok(Bias { token, shift })
}

/// A whole number of a field, up to `most`; `None` if it is absent.
///
/// # Errors
/// [`Error::Field`] for another value.
pub(super) fn whole(
    field: &str,
    value: Option<&Value>,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<u32>, Error> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    // JavaScript and Python write whole numbers as `2.0` too.
    let number = value.as_f64().filter(|number| number.fract() == 0.0);
    let number = number
        .filter(|number| (f64::from(*range.start())..=f64::from(*range.end())).contains(number));
    number.map(|number| Some(number as u32)).ok_or_else(|| {
        let (least, most) = range.into_inner();
        Error::field(
            field,
            format!("must be a whole number from {least} to {most}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_stop_texts_are_ignored() {
        let stop = |value: Value| {
            let mut parameters = Parameters::default();
            set_stop(&mut parameters, &value).map(|()| parameters.stop().map(<[String]>::to_vec))
        };
        for none in [json!(""), json!(null), json!([]), json!(["", null])] {
            assert_eq!(stop(none).unwrap(), None);
        }
        assert_eq!(stop(json!("a")).unwrap().unwrap(), ["a"]);
        assert_eq!(stop(json!(["", "a", "b"])).unwrap().unwrap(), ["a", "b"]);
        for wrong in [json!(1), json!([1]), json!({}), json!([["a"]]), json!(true)] {
            assert_eq!(stop(wrong).unwrap_err().param(), Some("stop"));
        }
    }

    #[test]
    fn a_bias_is_a_member_or_a_pair() {
        let seventeen = Bias {
            token: 17,
            shift: -1.5,
        };
        for given in [
            json!({"17": -1.5}),
            json!([[17, -1.5]]),
            json!([["17", -1.5]]),
        ] {
            assert_eq!(biases(Some(&given)).unwrap(), [seventeen]);
        }
        assert_eq!(biases(Some(&json!(null))).unwrap(), []);
        for wrong in [
            json!({"the": 1}),
            json!({"1": "x"}),
            json!([1]),
            json!([[1]]),
            json!(true),
        ] {
            assert_eq!(
                biases(Some(&wrong)).unwrap_err().param(),
                Some("logit_bias")
            );
        }
    }

    #[test]
    fn a_whole_number_has_a_range() {
        let read = |value: Value| whole("n", Some(&value), 1..=16);
        assert_eq!(read(json!(null)).unwrap(), None);
        assert_eq!(read(json!(2)).unwrap(), Some(2));
        assert_eq!(read(json!(2.0)).unwrap(), Some(2));
        for wrong in [
            json!(0),
            json!(17),
            json!(1.5),
            json!("2"),
            json!(1e308),
            json!([]),
        ] {
            assert_eq!(read(wrong).unwrap_err().param(), Some("n"));
        }
    }
}

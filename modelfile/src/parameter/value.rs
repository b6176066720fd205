//! One parameter with its checked value.

use std::fmt;

use crate::diagnostic::displayable;

use super::error::Error;
use super::spec::{self, Kind, MAX_TEXT_BYTES, ParameterSpec, retired};

/// A checked value. Floats are finite, so equality is total.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a [`Kind::Int`].
    Int(i64),
    /// Of a [`Kind::Float`].
    Float(f64),
    /// Of a [`Kind::Bool`].
    Bool(bool),
    /// One element of a [`Kind::TextList`].
    Text(String),
}

impl fmt::Display for Value {
    /// The text in a Modelfile, before quoting. Parsing it gives the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A `PARAMETER` line: a known parameter with a valid value.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    spec: &'static ParameterSpec,
    value: Value,
}

impl Parameter {
    /// Reads `text` as a value of the parameter `name`.
    ///
    /// Numbers are decimal. Booleans are `true` and `false`, and as in Ollama also `1`, `0`, `t`, `f`,
    /// and the capitalised forms.
    ///
    /// # Errors
    ///
    /// The name is unknown or retired, or the value has the wrong type or is out of range.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let spec = look_up(name)?;
        let value = match &spec.kind {
            Kind::Int(_) => text.parse().ok().map(Value::Int),
            Kind::Float(_) => text.parse().ok().map(Value::Float),
            Kind::Bool => parse_bool(text).map(Value::Bool),
            Kind::TextList => Some(Value::Text(text.to_owned())),
        };
        let value = value.ok_or_else(|| invalid(spec, quoted(text)))?;
        Self::checked(spec, value, || quoted(text))
    }

    /// Reads a JSON value of the parameter `spec`; for a list, one element of it.
    ///
    /// A number with a fraction of zero (`4096.0`) counts as a whole number, because many clients have
    /// only floating point.
    pub(super) fn from_json(
        spec: &'static ParameterSpec,
        json: &serde_json::Value,
    ) -> Result<Self, Error> {
        let value = match &spec.kind {
            Kind::Int(_) => json
                .as_i64()
                .or_else(|| json.as_f64().and_then(whole))
                .map(Value::Int),
            Kind::Float(_) => json.as_f64().map(Value::Float),
            Kind::Bool => json.as_bool().map(Value::Bool),
            Kind::TextList => json.as_str().map(|text| Value::Text(text.to_owned())),
        };
        let found = || displayable(&json.to_string(), 40);
        let value = value.ok_or_else(|| invalid(spec, found()))?;
        Self::checked(spec, value, found)
    }

    fn checked(
        spec: &'static ParameterSpec,
        value: Value,
        found: impl FnOnce() -> String,
    ) -> Result<Self, Error> {
        let fits = match (&spec.kind, &value) {
            (Kind::Int(range), Value::Int(number)) => range.contains(number),
            // A range holds neither infinities nor NaN.
            (Kind::Float(range), Value::Float(number)) => range.contains(number),
            (Kind::Bool, Value::Bool(_)) => true,
            (Kind::TextList, Value::Text(text)) => {
                return check_text(spec.name, text).map(|()| Self { spec, value });
            }
            _ => false,
        };
        if fits {
            Ok(Self { spec, value })
        } else {
            Err(invalid(spec, found()))
        }
    }

    /// A parameter from a value that was checked before.
    pub(super) fn known(spec: &'static ParameterSpec, value: Value) -> Self {
        Self { spec, value }
    }

    /// The parameter's entry in the table.
    pub fn spec(&self) -> &'static ParameterSpec {
        self.spec
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether it is one text of a list, to which other lines add.
    pub fn is_of_a_list(&self) -> bool {
        self.spec.kind == Kind::TextList
    }

    pub(super) fn into_value(self) -> Value {
        self.value
    }
}

/// The entry with this name, or why there is none.
pub(super) fn look_up(name: &str) -> Result<&'static ParameterSpec, Error> {
    if let Some(spec) = spec::find(name) {
        return Ok(spec);
    }
    Err(match retired().iter().find(|entry| entry.name == name) {
        Some(entry) => Error::Retired(entry),
        None => Error::Unknown {
            name: displayable(name, 40),
        },
    })
}

fn check_text(name: &'static str, text: &str) -> Result<(), Error> {
    match text.len() {
        0 => Err(Error::EmptyText(name)),
        1..=MAX_TEXT_BYTES => Ok(()),
        bytes => Err(Error::LongText { name, bytes }),
    }
}

/// `number` as a whole number, if it is one exactly.
fn whole(number: f64) -> Option<i64> {
    /// 2^63, the first number that is too large.
    const END: f64 = 9_223_372_036_854_775_808.0;
    (number.fract() == 0.0 && (-END..END).contains(&number)).then_some(number as i64)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

fn invalid(spec: &'static ParameterSpec, found: String) -> Error {
    Error::Invalid { spec, found }
}

fn quoted(text: &str) -> String {
    format!("`{}`", displayable(text, 40))
}

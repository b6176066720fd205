//! Sampling and runner parameters: one table of names, types, ranges and defaults.
//!
//! The table ([`specs`]) holds for every way to set a parameter: a `PARAMETER` line
//! ([`Parameter`]), the params layer of a stored model and the `options` of a request
//! ([`Parameters::from_json`]), and `/set parameter` ([`Parameters::set`]).
//! Every value has been checked: its type is right, it is in range, and it is finite.

mod error;
mod set;
mod spec;
mod value;

pub use error::Error;
pub use set::Parameters;
pub use spec::{
    DefaultValue, Kind, MAX_TEXT_BYTES, MAX_TEXTS, ParameterSpec, Reload, Retired, find, retired,
    specs,
};
pub use value::{Parameter, Value};

//! Settings of `slm run` for every answer.

use api::KeepAlive;
use modelfile::Parameters;
use serde_json::Value;

use crate::args::Run;
use crate::output::Output;
use crate::{env, format, params};

/// Parameters and format of every answer, checked before the first request.
#[derive(Debug)]
pub(crate) struct AnswerSettings {
    /// Parameters that override those of the model.
    pub(crate) parameters: Parameters,
    /// The `format` field of requests.
    pub(crate) format: Option<Value>,
}

impl AnswerSettings {
    pub(crate) fn of(args: &Run, out: &Output) -> anyhow::Result<Self> {
        let home = env::home_folder(&env::Process);
        let read = |form: &String| format::read(form, home.as_deref());
        Ok(Self {
            parameters: params::parse(&args.params, out)?,
            format: args.format.as_ref().map(read).transpose()?,
        })
    }
}

/// A number is in seconds; the daemon parses any other text.
pub(crate) fn keep_alive(text: &str) -> KeepAlive {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => KeepAlive::Seconds(seconds),
        _ => KeepAlive::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_keep_alive_in_seconds() {
        assert_eq!(keep_alive("-1"), KeepAlive::Seconds(-1.0));
        assert_eq!(keep_alive("2.5"), KeepAlive::Seconds(2.5));
        assert_eq!(keep_alive("10m"), KeepAlive::Text("10m".to_owned()));
        assert_eq!(keep_alive("inf"), KeepAlive::Text("inf".to_owned()));
    }
}

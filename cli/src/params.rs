//! `--param NAME=VALUE`, with the rules of `PARAMETER` in a Modelfile.

use modelfile::{Parameters, parameter};

use crate::error::Failure;
use crate::output::Output;

/// Parses all `NAME=VALUE`s of a command line. Several `stop` texts add up; of any other name the last value counts.
/// A retired name gets a warning and is left out, as in a Modelfile.
pub(crate) fn parse(texts: &[String], out: &Output) -> Result<Parameters, Failure> {
    let mut parameters = Parameters::default();
    for text in texts {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--param `{text}`: there is no `=`"))
                .hint("write it as NAME=VALUE, for example `--param temperature=0.7`")
        })?;
        match parameters.set(name.trim(), value) {
            Ok(()) => {}
            Err(error @ parameter::Error::Retired(_)) => {
                out.warn(&format!("--param `{text}`: {error}; it is left out"));
            }
            Err(error) => return Err(refuse(text, &error)),
        }
    }
    Ok(parameters)
}

/// The help of `--param`, with all names.
pub(crate) fn long_help() -> String {
    let names: Vec<&str> = parameter::specs().iter().map(|spec| spec.name).collect();
    format!(
        "Set a parameter, as `PARAMETER` in a Modelfile does; can be repeated.\n\nThe names are {}. \
         `/set parameter` in a conversation explains each one and shows its current value.",
        names.join(", ")
    )
}

fn refuse(text: &str, error: &parameter::Error) -> Failure {
    let failure = Failure::usage(format!("--param `{text}`: {error}"));
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    fn check(texts: &[&str], expected: &str) {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let mode = OutputMode {
            json: true,
            ..OutputMode::default()
        };
        let out = Output::new(mode, &[]);
        let shown = match parse(&texts, &out) {
            Ok(parameters) => serde_json::to_string(&parameters.to_json()).unwrap(),
            Err(failure) => failure.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn values_have_their_types() {
        check(
            &["temperature=0.5", "num_ctx=8192"],
            r#"{"num_ctx":8192,"temperature":0.5}"#,
        );
        check(&["seed=1", "seed=2"], r#"{"seed":2}"#);
        check(&["stop=a=b", "stop= c"], r#"{"stop":["a=b"," c"]}"#);
    }

    #[test]
    fn a_retired_name_is_left_out() {
        check(&["use_mlock=true", "seed=1"], r#"{"seed":1}"#);
    }

    #[test]
    fn an_error_quotes_the_typed_text() {
        check(&["temperature"], "--param `temperature`: there is no `=`");
        check(
            &["temprature=1"],
            "--param `temprature=1`: unknown parameter `temprature`",
        );
    }
}

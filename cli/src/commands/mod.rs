//! One file per command: from its arguments to requests, from the replies to text.

pub(crate) mod completions;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod jobs;
pub(crate) mod list;
mod local;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod reference;
pub(crate) mod replaced;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod stop;
mod transfer;
pub(crate) mod verify;
pub(crate) mod version;

use std::collections::BTreeMap;

use serde_json::json;

use crate::client;
use crate::error::Report;
use crate::exit::Exit;
use crate::output::Output;

/// Does the same with every model named, says of each what became of it, and fails if one failed.
///
/// A daemon that does not answer is not asked again for the next one.
async fn each(
    out: &Output,
    models: &[String],
    mut act: impl AsyncFnMut(&str) -> anyhow::Result<Outcome>,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Ok;
    let mut became = BTreeMap::<&str, Vec<&String>>::new();
    for model in models {
        match act(model).await {
            Ok(Outcome { word, note }) => {
                out.note(&note);
                became.entry(word).or_default().push(model);
            }
            Err(error) => {
                let error = without_pull_hint(error);
                let report = Report::of(&error);
                if report.exit != Exit::Failed {
                    return Err(error);
                }
                out.report(&report);
                exit = report.exit;
            }
        }
    }
    // Where nothing was done, the error alone answers.
    if out.json() && !became.is_empty() {
        out.json_document(&json!(became))?;
    }
    Ok(exit)
}

/// The error of a command that works on local models only, so its hint does not offer a pull.
fn without_pull_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<client::Error>() {
        Ok(error) => error.without_fetching().into(),
        Err(other) => other,
    }
}

/// What became of one model.
struct Outcome {
    /// The list of a JSON document that it belongs to.
    word: &'static str,
    /// A line for people.
    note: String,
}

//! One file per command: arguments to requests, replies to text.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod gc;
pub(crate) mod jobs;
pub(crate) mod launch;
pub(crate) mod list;
pub(crate) mod load;
mod local;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod reference;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod variants;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod why;

use std::collections::BTreeMap;

use serde_json::json;

use crate::client;
use crate::error::Report;
use crate::exit::Exit;
use crate::output::Output;

/// Applies one action to every named model, reports each result, and fails if one failed.
///
/// An error that is not about one model, such as a daemon that does not answer, skips the remaining models.
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
    // If the action failed for all models, there is no document, only their errors.
    if out.json() && !became.is_empty() {
        out.json_document(&json!(became))?;
    }
    Ok(exit)
}

/// The same error with a hint that does not offer a pull, for commands that work on models in the store.
fn without_pull_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<client::Error>() {
        Ok(error) => error.without_fetching().into(),
        Err(other) => other,
    }
}

/// The result for one model.
struct Outcome {
    /// What became of the model, such as `removed`: the key of its list in the JSON document.
    word: &'static str,
    /// The line for a terminal.
    note: String,
}

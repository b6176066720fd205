//! One file per command: from its arguments to requests, from the replies to text.

pub(crate) mod completions;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod reference;
pub(crate) mod replaced;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod verify;
pub(crate) mod version;

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
    done: &str,
    mut act: impl AsyncFnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Ok;
    let mut succeeded = Vec::new();
    for model in models {
        match act(model).await {
            Ok(()) => {
                out.note(&format!("{done} `{model}`"));
                succeeded.push(model);
            }
            Err(error) => {
                let error = stay_here(error);
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
    if out.json() && !succeeded.is_empty() {
        out.json_document(&json!({ done: succeeded }))?;
    }
    Ok(exit)
}

/// The error of a command for models that are here: one that is not here need not be fetched for it.
fn stay_here(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<client::Error>() {
        Ok(error) => error.without_fetching().into(),
        Err(other) => other,
    }
}

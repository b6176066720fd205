//! One file per route: it reads the request, asks store, scheduler or jobs, and writes the answer.
//!
//! Each says what happens when its client leaves: *cancel* ends the work, *detach* lets it go on.

pub(crate) mod adopt;
pub(crate) mod blobs;
pub(crate) mod chat;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod embed;
pub(crate) mod generate;
pub(crate) mod jobs;
pub(crate) mod login;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rerank;
pub(crate) mod root;
pub(crate) mod search;
pub(crate) mod show;
pub(crate) mod tags;
pub(crate) mod verify;
pub(crate) mod version;

use api::Progress;
use axum::Json;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};

use crate::error::Error;
use crate::ndjson;

/// The answer of a job: its lines as they come, or only the last one.
async fn progress(
    lines: impl Stream<Item = Result<Progress, Error>> + Send + 'static,
    stream: Option<bool>,
) -> Result<Response, Error> {
    let mut lines = Box::pin(lines);
    if stream == Some(false) {
        let mut last = Err(Error::Internal);
        while let Some(line) = lines.next().await {
            last = line;
        }
        return Ok(Json(last?).into_response());
    }
    // A job that fails at once has a status of its own.
    match lines.next().await {
        Some(Err(error)) => Err(error),
        Some(Ok(first)) => {
            let first = futures::stream::once(std::future::ready(Ok(first)));
            Ok(ndjson::stream(first.chain(lines)))
        }
        None => Err(Error::Internal),
    }
}

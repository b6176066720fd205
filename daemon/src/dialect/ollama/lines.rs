//! Responses of long operations: lines of progress.

use api::Progress;
use axum::Json;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};

use super::body;
use crate::error::Error;
use crate::transport::ndjson;

/// Streams the lines of an operation; with `stream: false` responds with the last line.
pub(crate) async fn stream_progress(
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
    // An operation that fails before its first line is reported by the status of the response.
    match lines.next().await {
        Some(Err(error)) => Err(error),
        Some(Ok(first)) => {
            let first = futures::stream::once(std::future::ready(Ok(first)));
            Ok(ndjson::stream(first.chain(lines), body))
        }
        None => Err(Error::Internal),
    }
}

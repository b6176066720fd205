//! `HEAD` and `POST /api/blobs/{digest}`: checks for a blob, and stores one.

use std::io;
use std::time::Duration;

use api::ErrorBody;
use axum::body::Body;
use axum::extract::State;
use futures::{Stream, StreamExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use registry::Put;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Path, digest_of};

/// Longest time between two pieces of an upload.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks whether the store has a valid blob.
///
/// *Cancel*.
#[utoipa::path(
    head,
    path = api::routes::BLOB,
    params(("digest" = String, Path, description = "`sha256:<hex>`")),
    responses(
        (status = 200, description = "The store has the blob"),
        (status = "4XX", description = "The digest is malformed, or the store does not have the blob"),
        (status = "5XX", description = "The store failed"),
    ),
    tag = "Ollama"
)]
pub(crate) async fn head(
    State(app): State<App>,
    Path(digest): Path<String>,
) -> Result<StatusCode, Error> {
    let digest = digest_of(&digest)?;
    if app.registry.has_blob_in_turn(&digest).await? {
        Ok(StatusCode::OK)
    } else {
        Err(registry::Error::BlobNotFound { digest }.into())
    }
}

/// Stores a blob under its digest.
///
/// The bytes are hashed as they arrive. *Cancel*: a partial upload is discarded.
#[utoipa::path(
    post,
    path = api::routes::BLOB,
    params(("digest" = String, Path, description = "`sha256:<hex>`")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The store has the blob already"),
        (status = 201, description = "The blob is stored"),
        (status = "4XX", description = "The digest is malformed, or the bytes have another one", body = ErrorBody),
        (status = "5XX", description = "The store failed, or is full", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Path(digest): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    let digest = digest_of(&digest)?;
    let size = announced(&headers);
    match app.registry.put_blob(&digest, size, pieces(body)).await? {
        Put::Created => Ok(StatusCode::CREATED),
        Put::Exists => Ok(StatusCode::OK),
    }
}

/// The size that the client announces.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The bytes as they arrive; a pause of [`PATIENCE`] ends the stream with an error.
fn pieces(body: Body) -> impl Stream<Item = io::Result<bytes::Bytes>> + Send {
    futures::stream::unfold(Some(body.into_data_stream()), |stream| async move {
        let mut stream = stream?;
        match tokio::time::timeout(PATIENCE, stream.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(stream))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

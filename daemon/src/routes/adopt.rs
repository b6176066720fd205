//! `POST /slm/v1/store/adopt`: puts a file of this machine into the store, without copying where possible.
//!
//! On the Unix socket only: its clients can read the file anyway. Over TCP, other users of this machine could make the daemon read
//! files of its owner.

use std::path::PathBuf;

use api::{AdoptMethod, AdoptRequest, Adopted, ErrorBody, Progress};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use registry::Put;
use registry::source::Method;

use crate::app::App;
use crate::dialect::ollama::stream_progress;
use crate::error::Error;
use crate::extract::{Json, SMALL};
use crate::listen::Peer;
use crate::progress;

/// Puts a file of this machine into the store, without copying where possible.
///
/// On the Unix socket only. The answer is a stream of progress, with the digest in the last line. *Detach*.
#[utoipa::path(
    post,
    path = api::routes::ADOPT,
    request_body = AdoptRequest,
    responses(
        (status = 200, description = "Lines of progress", body = Progress, content_type = "application/x-ndjson"),
        (status = "4XX", description = "The request did not come over the Unix socket, or the file cannot be read", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Json(request): Json<AdoptRequest, SMALL>,
) -> Result<Response, Error> {
    super::on_socket(peer, api::routes::ADOPT)?;
    let path = PathBuf::from(&request.path);
    if !path.is_absolute() {
        return Err(Error::Invalid("path must be absolute".into()));
    }
    let registry = app.registry.clone();
    let lines = app.operations.join_detached(
        format!("adopt {}", request.path),
        move |reporter| async move {
            let adopted = registry.adopt(&path, &reporter).await?;
            Ok(Progress {
                adopted: Some(Adopted {
                    digest: adopted.digest.to_string(),
                    size: adopted.size,
                    method: match (adopted.put, adopted.method) {
                        (Put::Exists, _) => AdoptMethod::Present,
                        (Put::Created, Method::Reflink) => AdoptMethod::Reflink,
                        (Put::Created, Method::HardLink) => AdoptMethod::HardLink,
                        (Put::Created, Method::Copy) => AdoptMethod::Copy,
                    },
                }),
                ..progress::success()
            })
        },
    );
    stream_progress(lines, None).await
}

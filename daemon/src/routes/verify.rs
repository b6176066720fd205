//! `POST /slm/v1/store/verify`: hashes blobs again and reports damage.

use api::{ErrorBody, Progress, VerifyRequest};
use axum::extract::State;
use axum::response::Response;
use registry::VerifyOptions;

use crate::app::App;
use crate::dialect::ollama::stream_progress;
use crate::error::Error;
use crate::extract::{Json, SMALL, model_name};
use crate::{progress, wire};

/// Hashes blobs again and reports damage.
///
/// The answer is a stream of progress, with the report in the last line. *Detach*; a second client joins the operation.
#[utoipa::path(
    post,
    path = api::routes::VERIFY,
    request_body = VerifyRequest,
    responses(
        (status = 200, description = "Lines of progress", body = Progress, content_type = "application/x-ndjson"),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<VerifyRequest, SMALL>,
) -> Result<Response, Error> {
    let names = request
        .models
        .iter()
        .map(|name| model_name(name))
        .collect::<Result<Vec<_>, _>>()?;
    let key = format!("verify {:?} {names:?}", request.quarantine);
    let registry = app.registry.clone();
    let lines = app
        .operations
        .join_detached(key, move |reporter| async move {
            let options = VerifyOptions {
                names,
                quarantine: request.quarantine,
            };
            let report = registry.verify(options, &reporter).await?;
            Ok(Progress {
                report: Some(wire::verify_report(report, request.quarantine)),
                ..progress::success()
            })
        });
    stream_progress(lines, None).await
}

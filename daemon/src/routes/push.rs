//! `POST /api/push`: sends a model to a registry.

use api::{Progress, PushFormat, PushRequest, Pushed};
use axum::extract::State;
use axum::response::Response;
use registry::push::Format;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference};
use crate::jobs;

/// A stream of progress whose last line says what was sent. *Cancel*: a second client joins the push, and it ends when the last of
/// them leaves.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PushRequest, SMALL>,
) -> Result<Response, Error> {
    let source = reference(request.name())?.name;
    let destination = reference(request.destination.as_deref().unwrap_or(request.name()))?;
    let insecure = request.insecure == Some(true);
    let format = match request.format {
        None | Some(PushFormat::Ollama) => Format::Ollama,
        Some(PushFormat::ModelPack) => Format::ModelPack,
    };
    let App {
        registry, sources, ..
    } = app.clone();
    let (from, to) = (source.full().to_ascii_lowercase(), destination.name.full());
    let key = format!("push {from} {to} {format:?} {insecure}");
    let lines = app.jobs.join_while_heard(key, move |reporter| async move {
        let pushed = registry
            .push(&source, &destination, format, insecure, &sources, &reporter)
            .await?;
        Ok(Progress {
            pushed: Some(Pushed {
                place: pushed.place,
                digest: pushed.digest.to_string(),
                present: pushed.present,
                mounted: pushed.mounted,
                sent: pushed.sent,
            }),
            ..jobs::success()
        })
    });
    super::progress(lines, request.stream).await
}

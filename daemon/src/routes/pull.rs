//! `POST /api/pull`: fetches a model. `POST /api/explain`: says what that would do.

use api::{Explanation, ExplanationFile, PullRequest};
use axum::extract::State;
use axum::response::Response;
use registry::Digest;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference};
use crate::transfers::{Asked, Work};

/// A stream of progress. A second client joins the pull. *Detach* with `background`; else *cancel*: it ends when the last of its
/// clients leaves.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<PullRequest, SMALL>,
) -> Result<Response, Error> {
    let reference = reference(request.name())?;
    let insecure = request.insecure == Some(true);
    // Case does not tell models apart, so the same model is the same job however it is written.
    let (name, place) = (reference.name.full().to_ascii_lowercase(), &reference.place);
    let scheme = (reference.is_plain, reference.is_tls);
    let what = format!("pull {name} {place:?} {scheme:?} {insecure}");
    let asked = Asked {
        // An address may have a secret in its query.
        key: Digest::of(what.as_bytes()).to_string(),
        model: reference.name.to_string(),
        work: Work::Pull {
            model: request.name().to_owned(),
            insecure,
        },
        background: request.background == Some(true),
        priority: request.priority,
        now: request.now == Some(true),
    };
    let lines = app.transfers.ask(asked).await?;
    super::progress(lines, request.stream).await
}

/// What a pull would do, without fetching weights. *Cancel*: it ends with the request.
pub(crate) async fn explain(
    State(app): State<App>,
    Json(request): Json<PullRequest, SMALL>,
) -> Result<axum::Json<Explanation>, Error> {
    let reference = reference(request.name())?;
    let insecure = request.insecure == Some(true);
    let found = app
        .registry
        .explain(&reference, insecure, &app.sources)
        .await?;
    Ok(axum::Json(Explanation {
        model: found.name.to_string(),
        missing: found.missing(),
        place: found.place,
        steps: found.steps,
        files: found
            .files
            .into_iter()
            .map(|file| ExplanationFile {
                title: file.title,
                size: file.size,
                digest: file.digest.map(|digest| digest.to_string()),
                here: file.here,
            })
            .collect(),
    }))
}

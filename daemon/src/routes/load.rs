//! `POST /slm/v1/load`, `unload`, `pin` and `unpin`: which models are loaded.

use api::{ErrorBody, LoadRequest, LoadResponse, UnloadRequest, UnloadResponse, UnpinResponse};
use axum::Json;
use axum::extract::State;
use tokio::time::Instant;

use crate::answer::Timings;
use crate::app::App;
use crate::ask::Target;
use crate::dialect::fields;
use crate::duration::nanos;
use crate::error::Error;
use crate::extract::{self, SMALL, model_name};
use crate::{loaded, serve, wire};

/// Loads a model and generates nothing.
///
/// A loaded model stays for its keep-alive from now on. *Cancel*: a load without other requests is cancelled.
#[utoipa::path(
    post,
    path = api::routes::LOAD,
    request_body = LoadRequest,
    responses(
        (status = 200, description = "The model is loaded", body = LoadResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn load(
    State(app): State<App>,
    extract::Json(request): extract::Json<LoadRequest, SMALL>,
) -> Result<Json<LoadResponse>, Error> {
    let target = target(&request)?;
    let timings = serve::load(&app, &target, None).await?;
    if request.replace {
        serve::unload_earlier(&app, &target.model).await?;
    }
    Ok(loaded(&app, &target, &timings).await)
}

/// Loads a model and pins it: it stays loaded until it is unpinned, unloaded by `/slm/v1/unload`, or removed, or the daemon
/// stops.
///
/// *Cancel*: a load without other requests is cancelled.
#[utoipa::path(
    post,
    path = api::routes::PIN,
    request_body = LoadRequest,
    responses(
        (status = 200, description = "The model is loaded and pinned", body = LoadResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn pin(
    State(app): State<App>,
    extract::Json(request): extract::Json<LoadRequest, SMALL>,
) -> Result<Json<LoadResponse>, Error> {
    let target = target(&request)?;
    let timings = serve::pin(&app, &target).await?;
    if request.replace {
        serve::unload_earlier(&app, &target.model).await?;
    }
    Ok(loaded(&app, &target, &timings).await)
}

/// Unpins a model, which then leaves as others do.
///
/// *Detach*.
#[utoipa::path(
    post,
    path = api::routes::UNPIN,
    request_body = UnloadRequest,
    responses(
        (status = 200, description = "The model is not pinned", body = UnpinResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn unpin(
    State(app): State<App>,
    extract::Json(request): extract::Json<UnloadRequest, SMALL>,
) -> Result<Json<UnpinResponse>, Error> {
    let name = model_name(&request.model)?;
    let was_pinned = serve::unpin(&app, &name).await?;
    Ok(Json(UnpinResponse {
        model: name.to_string(),
        was_pinned,
    }))
}

/// Unloads a model, also a pinned one, which is unpinned.
///
/// An idle model is unloaded before the response, a busy one after its last request. *Detach*.
#[utoipa::path(
    post,
    path = api::routes::UNLOAD,
    request_body = UnloadRequest,
    responses(
        (status = 200, description = "What became of the model", body = UnloadResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn unload(
    State(app): State<App>,
    extract::Json(request): extract::Json<UnloadRequest, SMALL>,
) -> Result<Json<UnloadResponse>, Error> {
    let name = model_name(&request.model)?;
    let unloading = serve::unload(&app, &name, true).await?;
    Ok(Json(UnloadResponse {
        model: name.to_string(),
        unload: wire::unload(unloading),
    }))
}

fn target(request: &LoadRequest) -> Result<Target, Error> {
    fields::target(
        Instant::now(),
        &request.model,
        request.options.as_ref(),
        request.keep_alive.as_ref(),
    )
}

async fn loaded(app: &App, target: &Target, timings: &Timings) -> Json<LoadResponse> {
    Json(LoadResponse {
        model: target.model.to_string(),
        load_duration: nanos(timings.load),
        loaded: loaded::model(app, &target.model).await,
    })
}

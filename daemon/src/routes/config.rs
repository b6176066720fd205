//! `GET /slm/v1/config` and `POST /slm/v1/config/reload`: the settings in force, and what is wrong with their files.

use api::{ConfigResponse, ErrorBody};
use axum::extract::State;
use axum::{Extension, Json};

use super::on_socket;
use crate::app::App;
use crate::config;
use crate::error::Error;
use crate::listen::Peer;

/// Shows each setting with its value and its origin, the settings per model, and the mistakes in the files.
///
/// Passwords of proxies are left out. Only over the Unix socket, because values name paths of this machine. *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::CONFIG,
    responses(
        (status = 200, description = "The settings in force", body = ConfigResponse),
        (status = 403, description = "The request did not come over the Unix socket", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn get(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
) -> Result<Json<ConfigResponse>, Error> {
    on_socket(peer, api::routes::CONFIG)?;
    report(&app).await
}

/// Reads `config.yaml` again now, without waiting until the change is noticed, and shows the settings in force then.
///
/// A file with a mistake changes nothing, and the answer has the mistake in `refused`. Only over the Unix socket. *Detach*.
#[utoipa::path(
    post,
    path = api::routes::CONFIG_RELOAD,
    responses(
        (status = 200, description = "The settings in force after the reload", body = ConfigResponse),
        (status = 403, description = "The request did not come over the Unix socket", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn reload(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
) -> Result<Json<ConfigResponse>, Error> {
    on_socket(peer, api::routes::CONFIG_RELOAD)?;
    config::tell(&app.config.reload().await, &app.events);
    report(&app).await
}

async fn report(app: &App) -> Result<Json<ConfigResponse>, Error> {
    let catalogs = app.registry.check_catalogs().await?;
    Ok(Json(config::report(&app.config, &catalogs)))
}

//! Routes of Ollama that depend on ollama.com. slm has no account there and sends nothing there, and says so in the forms that
//! clients understand.

use api::{CloudStatus, ErrorBody, RecommendationsResponse, StatusResponse};
use axum::Json;

use crate::error::Error;

/// Says that the cloud is disabled.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = "/api/status",
    responses((status = 200, description = "The cloud is disabled", body = StatusResponse)),
    tag = "Ollama"
)]
pub(super) async fn status() -> Json<StatusResponse> {
    Json(StatusResponse {
        cloud: CloudStatus {
            disabled: true,
            source: "config".to_owned(),
        },
    })
}

/// Refused: no user is signed in.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = "/api/me",
    responses((status = 401, description = "No user is signed in", body = ErrorBody)),
    tag = "Ollama"
)]
pub(super) async fn me() -> Error {
    Error::NoAccount
}

/// Refused: no user is signed in.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = "/api/signout",
    responses((status = 401, description = "No user is signed in", body = ErrorBody)),
    tag = "Ollama"
)]
pub(super) async fn sign_out() -> Error {
    Error::NoAccount
}

/// Refused: no user is signed in.
///
/// The older form of `/api/signout`. *Cancel*.
#[utoipa::path(
    delete,
    path = "/api/user/keys/{key}",
    params(("key" = String, Path, description = "A public key; it does not matter")),
    responses((status = 401, description = "No user is signed in", body = ErrorBody)),
    tag = "Ollama"
)]
pub(super) async fn remove_key() -> Error {
    Error::NoAccount
}

/// Refused: searches of the web are a service of ollama.com.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = "/api/experimental/web_search",
    responses((status = 403, description = "The cloud is disabled", body = ErrorBody)),
    tag = "Ollama"
)]
pub(super) async fn web_search() -> Error {
    Error::NoCloud("web_search")
}

/// Refused: fetches of web pages are a service of ollama.com.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = "/api/experimental/web_fetch",
    responses((status = 403, description = "The cloud is disabled", body = ErrorBody)),
    tag = "Ollama"
)]
pub(super) async fn web_fetch() -> Error {
    Error::NoCloud("web_fetch")
}

/// An empty list: slm does not fetch the recommendations of ollama.com.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = "/api/experimental/model-recommendations",
    responses((status = 200, description = "An empty list", body = RecommendationsResponse)),
    tag = "Ollama"
)]
pub(super) async fn recommendations() -> Json<RecommendationsResponse> {
    Json(RecommendationsResponse::default())
}

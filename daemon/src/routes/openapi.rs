//! `GET /slm/v1/openapi.json`: the description of the API.

use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use crate::openapi;

/// The OpenAPI document.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::OPENAPI,
    responses((status = 200, description = "The document", body = Object)),
    tag = "slm"
)]
pub(crate) async fn get() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi::json())
}

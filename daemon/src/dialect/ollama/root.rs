//! `GET /`: a sign of life.

/// Says that the daemon runs, for people and health checks.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::ROOT,
    responses(
        (status = 200, description = "`Ollama is running`", body = str, content_type = "text/plain"),
    ),
    tag = "Ollama"
)]
pub(crate) async fn get() -> &'static str {
    "Ollama is running"
}

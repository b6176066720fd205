//! `GET /`: a sign of life.

/// For people and health checks. *Cancel*.
pub(crate) async fn get() -> &'static str {
    "Ollama is running"
}

//! `GET /`: says that the daemon runs.

/// For people and for probes. *Cancel*: there is nothing to go on.
pub(crate) async fn get() -> &'static str {
    "slm is running"
}

//! Route paths, in one place for both sides.

/// Says that the daemon runs: `GET`, `HEAD`.
pub const ROOT: &str = "/";
/// Versions: `GET`.
pub const VERSION: &str = "/api/version";
/// Continue a prompt, load or unload a model: `POST`.
pub const GENERATE: &str = "/api/generate";
/// Continue a conversation: `POST`.
pub const CHAT: &str = "/api/chat";
/// Turn texts into vectors: `POST`.
pub const EMBED: &str = "/api/embed";
/// Turn one text into a vector, the older form: `POST`.
pub const EMBEDDINGS: &str = "/api/embeddings";
/// Order documents by a query (ours): `POST`.
pub const RERANK: &str = "/api/rerank";
/// The same, where clients of other services look for it: `POST`.
pub const RERANK_V1: &str = "/v1/rerank";
/// Names in the store: `GET`.
pub const TAGS: &str = "/api/tags";
/// One model in detail: `POST`.
pub const SHOW: &str = "/api/show";
/// Make a model: `POST`.
pub const CREATE: &str = "/api/create";
/// Test for or upload a blob: `HEAD`, `POST`. The path ends in a digest.
pub const BLOB: &str = "/api/blobs/{digest}";
/// Give a model a second name: `POST`.
pub const COPY: &str = "/api/copy";
/// Remove a name: `DELETE`.
pub const DELETE: &str = "/api/delete";
/// Fetch a model: `POST`.
pub const PULL: &str = "/api/pull";
/// What a pull would do (ours).
pub const EXPLAIN: &str = "/api/explain";
/// Send a model to a registry: `POST`.
pub const PUSH: &str = "/api/push";
/// Keep a login for a host (ours, on the Unix socket only): `POST`.
pub const LOGIN: &str = "/api/login";
/// Forget a login (ours, on the Unix socket only): `POST`.
pub const LOGOUT: &str = "/api/logout";
/// The hosts that there are logins for, and the public key (ours, on the Unix socket only): `POST`.
pub const LOGINS: &str = "/api/logins";
/// Find models in the catalogs and on the hub (ours): `POST`.
pub const SEARCH: &str = "/api/search";
/// Transfers under way (ours): `GET`; with `?all=true` also finished ones.
pub const JOBS: &str = "/api/jobs";
/// What a transfer reports, from its beginning on (ours): `GET`.
pub const JOB_PROGRESS: &str = "/api/jobs/{id}/progress";
/// Stop a transfer and keep its bytes (ours): `POST`.
pub const JOB_PAUSE: &str = "/api/jobs/{id}/pause";
/// Go on with a transfer (ours): `POST`; with `?now=true` whatever it waits for.
pub const JOB_RESUME: &str = "/api/jobs/{id}/resume";
/// Call a transfer off (ours): `POST`; with `?remove=true` its bytes go too.
pub const JOB_CANCEL: &str = "/api/jobs/{id}/cancel";
/// Put a transfer before or behind others (ours): `POST`, with `?priority=high`, `normal` or `low`.
pub const JOB_PRIORITY: &str = "/api/jobs/{id}/priority";
/// Loaded models: `GET`.
pub const PS: &str = "/api/ps";
/// Check the store (ours): `POST`.
pub const VERIFY: &str = "/api/verify";
/// Take in a local file without copying where possible (ours, on the Unix socket only): `POST`.
pub const ADOPT: &str = "/api/adopt";

/// The path of one blob.
pub fn blob(digest: &str) -> String {
    format!("/api/blobs/{digest}")
}

/// The path of something about one job, which `path` has `{id}` in.
pub fn job(path: &str, id: u64) -> String {
    path.replace("{id}", &id.to_string())
}

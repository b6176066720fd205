//! Route paths, for the daemon and its clients.

/// Says that the daemon runs: `GET`, `HEAD`.
pub const ROOT: &str = "/";
/// Says whether the daemon accepts work (ours): `GET`, `HEAD`.
pub const HEALTH: &str = "/health";
/// Says that the daemon answers requests (ours): `GET`, `HEAD`.
pub const HEALTH_LIVE: &str = "/health/live";
/// The same as [`HEALTH`], for load balancers (ours): `GET`, `HEAD`.
pub const HEALTH_READY: &str = "/health/ready";
/// The OpenAPI document of all routes (ours): `GET`.
pub const OPENAPI: &str = "/slm/v1/openapi.json";
/// The page that shows it (ours): `GET`.
pub const DOCS: &str = "/slm/v1/docs";
/// The files of that page (ours): `GET`.
pub const DOCS_FILE: &str = "/slm/v1/docs/{file}";
/// Versions: `GET`.
pub const VERSION: &str = "/api/version";
/// Continue a prompt, load or unload a model: `POST`.
pub const GENERATE: &str = "/api/generate";
/// Continue a conversation: `POST`.
pub const CHAT: &str = "/api/chat";
/// Embed texts: `POST`.
pub const EMBED: &str = "/api/embed";
/// Embed one text, the older route: `POST`.
pub const EMBEDDINGS: &str = "/api/embeddings";
/// Rank documents by a query (ours): `POST`.
pub const RERANK: &str = "/slm/v1/rerank";
/// The same under the path of other rerank services: `POST`.
pub const RERANK_V1: &str = "/v1/rerank";
/// Names in the store: `GET`.
pub const TAGS: &str = "/api/tags";
/// One model in detail: `POST`.
pub const SHOW: &str = "/api/show";
/// Create a model: `POST`.
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
pub const EXPLAIN: &str = "/slm/v1/explain";
/// What a model would take, before it is loaded or fetched (ours): `POST`.
pub const PLAN: &str = "/slm/v1/plan";
/// The variants of a model (ours).
pub const VARIANTS: &str = "/slm/v1/variants";
/// Send a model to a registry: `POST`.
pub const PUSH: &str = "/api/push";
/// Store a login for a host (ours, on the Unix socket only): `POST`.
pub const LOGIN: &str = "/slm/v1/login";
/// Delete a login (ours, on the Unix socket only): `POST`.
pub const LOGOUT: &str = "/slm/v1/logout";
/// Hosts with a login, and the public key (ours, on the Unix socket only): `POST`.
pub const LOGINS: &str = "/slm/v1/logins";
/// Find models in the catalogs and on the hub (ours): `POST`.
pub const SEARCH: &str = "/slm/v1/search";
/// Jobs in progress (ours): `GET`; with `?all=true` also finished jobs.
pub const JOBS: &str = "/slm/v1/jobs";
/// Progress of a job, from its first line (ours): `GET`.
pub const JOB_PROGRESS: &str = "/slm/v1/jobs/{id}/progress";
/// Pause a job and keep its bytes (ours): `POST`.
pub const JOB_PAUSE: &str = "/slm/v1/jobs/{id}/pause";
/// Resume a job (ours): `POST`; with `?now=true` without waiting for the window or an unmetered network.
pub const JOB_RESUME: &str = "/slm/v1/jobs/{id}/resume";
/// Cancel a job (ours): `POST`; with `?remove=true` its bytes are removed.
pub const JOB_CANCEL: &str = "/slm/v1/jobs/{id}/cancel";
/// Change the priority of a job (ours): `POST`, with `?priority=high`, `normal` or `low`.
pub const JOB_PRIORITY: &str = "/slm/v1/jobs/{id}/priority";
/// Load a model (ours): `POST`.
pub const LOAD: &str = "/slm/v1/load";
/// Unload a model, also a pinned one (ours): `POST`.
pub const UNLOAD: &str = "/slm/v1/unload";
/// Load a model and pin it (ours): `POST`.
pub const PIN: &str = "/slm/v1/pin";
/// Unpin a model (ours): `POST`.
pub const UNPIN: &str = "/slm/v1/unpin";
/// The last loads, unloads and refusals with their reasons (ours): `GET`.
pub const WHY: &str = "/slm/v1/why";
/// Events as they happen (ours): `GET`.
pub const EVENTS: &str = "/slm/v1/events";
/// The settings in force (ours, on the Unix socket only): `GET`.
pub const CONFIG: &str = "/slm/v1/config";
/// Read `config.yaml` again (ours, on the Unix socket only): `POST`.
pub const CONFIG_RELOAD: &str = "/slm/v1/config/reload";
/// What this machine can compute on (ours): `GET`; with `?refresh=true` it is probed anew.
pub const DEVICES: &str = "/slm/v1/devices";
/// Advice about the installation (ours): `GET`.
pub const DOCTOR: &str = "/slm/v1/doctor";
/// Tokens of a text (ours): `POST`.
pub const TOKENIZE: &str = "/slm/v1/tokenize";
/// Text of tokens (ours): `POST`.
pub const DETOKENIZE: &str = "/slm/v1/detokenize";
/// The prompt of a conversation (ours): `POST`.
pub const APPLY_TEMPLATE: &str = "/slm/v1/apply-template";
/// Loaded models: `GET`.
pub const PS: &str = "/api/ps";
/// Verify the store (ours): `POST`.
pub const VERIFY: &str = "/slm/v1/store/verify";
/// Remove files of the store that nothing needs (ours): `POST`.
pub const GC: &str = "/slm/v1/store/gc";
/// Adopt a local file, without copying where possible (ours, on the Unix socket only): `POST`.
pub const ADOPT: &str = "/slm/v1/store/adopt";

/// Continue a conversation, in Anthropic's dialect: `POST`.
pub const MESSAGES: &str = "/v1/messages";
/// Count the tokens of a prompt, in Anthropic's dialect: `POST`.
pub const COUNT_TOKENS: &str = "/v1/messages/count_tokens";
/// Batches of messages, which are refused.
pub const MESSAGE_BATCHES: &str = "/v1/messages/batches";
/// One batch of messages and what belongs to it, which is refused.
pub const MESSAGE_BATCH: &str = "/v1/messages/batches/{*rest}";

/// The path of one blob.
pub fn blob(digest: &str) -> String {
    format!("/api/blobs/{digest}")
}

/// `path` with `{id}` replaced by the id of a job.
pub fn job(path: &str, id: u64) -> String {
    path.replace("{id}", &id.to_string())
}

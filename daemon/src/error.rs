//! Errors of requests. Only this file gives them a status, code, message and hint.
//!
//! An error is data until a dialect writes it in its format (`rendered`): a route returns it, and its response carries it.
//! The log gets server errors with their causes, and no text of a client.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};
use runner_protocol::FailureKind;
use serde_json::Value;
use supervisor as runner_side;

use crate::memory::Bytes;
use crate::template;

/// Why a request failed. Can be cloned, because one failure can end many requests that wait for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request is invalid; the message names the mistake.
    #[error("{0}")]
    Invalid(String),
    /// A field of the request has a wrong value.
    #[error("field `{name}`: {reason}")]
    Field {
        /// The field, as the client wrote it: `messages[0].content`.
        name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The request needs something that slm does not support yet.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// The body is larger than this route takes.
    #[error("the request body has more than {limit} bytes")]
    TooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the request body did not arrive within {} s", .0.as_secs())]
    SlowBody(Duration),
    /// The body is compressed in a way that the daemon cannot decode.
    #[error("the content encoding {0:?} is not supported")]
    Encoding(String),
    /// A web page sent a body without a content type that makes the browser ask first.
    #[error("a web page must send its body as application/json")]
    ContentType,
    /// The body broke off.
    #[error("the request body broke off")]
    BrokenBody,
    /// The `Host` header does not name this machine.
    #[error("host {0:?} is not allowed")]
    ForbiddenHost(String),
    /// The request comes from a web page of an origin that is not allowed.
    #[error("requests from web pages of origin {0:?} are not allowed")]
    ForbiddenOrigin(String),
    /// The route is open on the Unix socket only.
    #[error("{0} is open on the Unix socket only")]
    UnixOnly(&'static str),
    /// No route has this path.
    #[error("no route {0:?}")]
    NoRoute(String),
    /// The route has no such method.
    #[error("method {0} is not allowed here")]
    Method(String),
    /// No model has this name.
    #[error("model '{0}' not found")]
    ModelNotFound(String),
    /// An error of the store.
    #[error(transparent)]
    Store(Arc<registry::Error>),
    /// A template that does not parse, or fails to render.
    #[error("{whose} cannot be rendered: {source}")]
    Template {
        /// Name of the template.
        whose: &'static str,
        /// Its error.
        source: template::Error,
    },
    /// The prompt does not fit the context, and must not be cut.
    #[error("{message}")]
    ContextOverflow {
        /// The message of the runner.
        message: String,
        /// Tokens of the prompt, if they were counted.
        prompt_tokens: Option<u32>,
        /// Cells of the context, if they are known.
        context: Option<u32>,
    },
    /// The queue for loads is full.
    #[error("the server is busy: {waiting} requests wait for models to load")]
    Busy {
        /// Requests in the queue.
        waiting: usize,
    },
    /// The budget for request bodies is used up.
    #[error(
        "the server is busy: the bodies of other requests take all the memory there is for them"
    )]
    Full,
    /// The circuit breaker of the model is open.
    #[error("model '{model}' crashed {times} times; try again in {} s", .rest.as_secs().max(1))]
    CrashLoop {
        /// The model.
        model: String,
        /// Its crashes.
        times: usize,
        /// How long the breaker stays open.
        rest: Duration,
    },
    /// Pinned models hold the room that it needs.
    #[error(
        "model '{model}' cannot be loaded: pinned models hold the room that it needs ({pinned})"
    )]
    AllPinned {
        /// The model.
        model: String,
        /// The pinned models.
        pinned: String,
    },
    /// The model needs more memory than all models together may have.
    #[error(
        "model '{model}' cannot be loaded: it needs {needed} of {} memory, and {limit} {}",
        if device.is_empty() { "CPU" } else { device.as_str() },
        if *is_taken { "are left by other programs" } else { "are the budget" }
    )]
    NoRoom {
        /// The model.
        model: String,
        /// The device; empty for the host.
        device: String,
        /// What it needs.
        needed: Bytes,
        /// What all models together may have.
        limit: Bytes,
        /// Whether other programs hold the rest.
        is_taken: bool,
    },
    /// An error of the runner.
    #[error("model '{model}': {source}")]
    Runner {
        /// The model.
        model: String,
        /// The error.
        source: runner_side::Error,
    },
    /// The load on an accelerator that slm chose failed.
    #[error("the load with {backend} failed: {source}")]
    Accelerator {
        /// The backend.
        backend: String,
        /// The error of the load.
        source: Box<Self>,
    },
    /// A load on the CPU failed too, or had no room.
    #[error("{source}; before that, {reason}")]
    AfterAccelerator {
        /// How the load on an accelerator failed.
        reason: String,
        /// Why the model is not loaded on the CPU.
        source: Box<Self>,
    },
    /// The program of the runner does not exist.
    #[error("the runner program {0} is missing")]
    NoRunner(String),
    /// The configuration names a backend that cannot be used.
    #[error("the backend {backend} cannot be used: {reason}")]
    Backend {
        /// Its name.
        backend: &'static str,
        /// The fault of its module.
        reason: String,
    },
    /// The configuration names a device that no usable backend has.
    #[error("there is no device {device}; the usable ones are {there}")]
    Device {
        /// Its name.
        device: String,
        /// The names of the usable devices.
        there: String,
    },
    /// Devices that no model uses together.
    #[error("{one} and {other} are devices of different backends, and a model uses one backend")]
    SeveralBackends {
        /// A device.
        one: String,
        /// One of another backend.
        other: String,
    },
    /// The configuration requires a full sandbox, which this machine does not support.
    #[error(
        "runners are confined to the level {level:?} only, and sandbox: require is set: {lacks}"
    )]
    NotConfined {
        /// The sandbox level of the runner.
        level: &'static str,
        /// What keeps it from a higher level.
        lacks: String,
    },
    /// The name belonged to another model when the load began.
    #[error("model '{0}' was replaced while it was being loaded")]
    Replaced(String),
    /// The model requires a later version of Ollama than [`api::OLLAMA`].
    #[error(
        "the model requires Ollama {required}, and this version of slm does what Ollama {} does",
        api::OLLAMA
    )]
    TooOld {
        /// The required version.
        required: String,
    },
    /// The model has no template, only a renderer or parser of Ollama.
    #[error("the model has no template, and its {what} {id:?} is not known")]
    NoTemplate {
        /// `renderer` or `parser`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The answer does not parse in the format of the model.
    #[error("{0}")]
    Unreadable(String),
    /// No saved response has this id.
    #[error("response '{0}' not found")]
    ResponseNotFound(String),
    /// A response that the request continues is not saved, or not any more.
    #[error("previous response with id '{0}' not found")]
    PreviousResponse(String),
    /// No conversation has this id.
    #[error("conversation with id '{0}' not found")]
    ConversationNotFound(String),
    /// No item of the conversation has this id.
    #[error("item with id '{0}' not found")]
    ItemNotFound(String),
    /// No job has this id.
    #[error("there is no job {0}")]
    NoJob(u64),
    /// The state of the job does not allow the change.
    #[error("job {id} is {state} and cannot be {participle}")]
    JobState {
        /// The job.
        id: u64,
        /// Its state.
        state: api::JobState,
        /// The change, as a past participle.
        participle: &'static str,
    },
    /// The job that the client listened to was cancelled.
    #[error("job {0} was cancelled")]
    JobCancelled(u64),
    /// Too many jobs are open.
    #[error("the server is busy: {most} jobs are running or waiting")]
    TooManyJobs {
        /// Most open jobs.
        most: usize,
    },
    /// A route about the user's account at ollama.com.
    #[error("unauthorized: slm has no account at ollama.com")]
    NoAccount,
    /// A service of ollama.com.
    #[error("{0} is a service of ollama.com, and slm sends nothing there")]
    NoCloud(&'static str),
    /// The daemon is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The daemon stopped during the answer.
    #[error("the daemon was stopped before the answer was complete")]
    Ended,
    /// A bug: a task of the daemon ended without a result.
    #[error("an internal task ended early")]
    Internal,
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::NotFound { name } => Self::ModelNotFound(name.to_string()),
            other => Self::Store(Arc::new(other)),
        }
    }
}

impl From<registry::name::NameError> for Error {
    fn from(error: registry::name::NameError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Most characters of a client's id in a message.
const MAX_ID: usize = 80;

/// Status and code of an error.
type StatusAndCode = (StatusCode, &'static str);

/// SIGKILL. The supervisor reports its own kills as other errors, so during a load it comes from the OOM killer.
const KILLED: i32 = 9;

impl Error {
    /// The error of a runner, with the name of its model.
    pub fn runner(model: &impl ToString, source: runner_side::Error) -> Self {
        match source {
            runner_side::Error::Failed(failure) if failure.kind == FailureKind::ContextOverflow => {
                Self::ContextOverflow {
                    message: failure.message,
                    prompt_tokens: failure.length.and_then(|length| length.tokens),
                    context: failure.length.map(|length| length.context),
                }
            }
            // Only a stopping daemon ends a runner under a lease.
            runner_side::Error::Stopped => Self::Ended,
            source => Self::Runner {
                model: model.to_string(),
                source,
            },
        }
    }

    /// Whether a load failed because memory was too short.
    pub fn lacks_memory(&self) -> bool {
        use supervisor::Error as E;
        match self {
            Self::Runner { source, .. } => match source {
                E::Failed(failure) => failure.kind == FailureKind::OutOfMemory,
                E::Exited(exit) => exit.signal() == Some(KILLED),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the runner crashed, instead of answering with an error.
    pub fn is_runner_crash(&self) -> bool {
        use runner_side::Error as E;
        let Self::Runner { source, .. } = self else {
            return false;
        };
        matches!(
            source,
            E::Exited(_) | E::Protocol { .. } | E::Stalled { .. } | E::Hello { .. }
        )
    }

    /// A wrong value of a field; `reason` says what would be right.
    pub fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field {
            name: name.into(),
            reason: reason.into(),
        }
    }

    /// No saved response has this id; a long one is cut.
    pub fn response_not_found(id: &str) -> Self {
        Self::ResponseNotFound(id.chars().take(MAX_ID).collect())
    }

    /// No conversation has this id; a long one is cut.
    pub fn conversation_not_found(id: &str) -> Self {
        Self::ConversationNotFound(id.chars().take(MAX_ID).collect())
    }

    /// No item of the conversation has this id; a long one is cut.
    pub fn item_not_found(id: &str) -> Self {
        Self::ItemNotFound(id.chars().take(MAX_ID).collect())
    }

    /// The field of the request that is wrong, if it is one field.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Field { name, .. } => Some(name),
            Self::PreviousResponse(_) => Some("previous_response_id"),
            _ => None,
        }
    }

    fn status_and_code(&self) -> StatusAndCode {
        match self {
            Self::Invalid(_) | Self::Field { .. } => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Unsupported(_) => (StatusCode::BAD_REQUEST, "unsupported"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::SlowBody(_) => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "body_incomplete"),
            Self::Encoding(_) | Self::ContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::ForbiddenHost(_) => (StatusCode::FORBIDDEN, "host_not_allowed"),
            Self::ForbiddenOrigin(_) => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::UnixOnly(_) => (StatusCode::FORBIDDEN, "unix_socket_only"),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, "no_route"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::ModelNotFound(_) => (StatusCode::NOT_FOUND, "model_not_found"),
            Self::Store(error) => of_store(error),
            Self::Template { .. } => (StatusCode::BAD_REQUEST, "template_error"),
            Self::ContextOverflow { .. } => (StatusCode::BAD_REQUEST, "context_overflow"),
            Self::Busy { .. } | Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::CrashLoop { .. } => (StatusCode::SERVICE_UNAVAILABLE, "crash_loop"),
            Self::AllPinned { .. } => (StatusCode::SERVICE_UNAVAILABLE, "all_pinned"),
            Self::NoRoom { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "out_of_memory"),
            Self::Runner { source, .. } => of_runner(source),
            Self::Accelerator { source, .. } | Self::AfterAccelerator { source, .. } => {
                source.status_and_code()
            }
            Self::NoRunner(_) => (StatusCode::INTERNAL_SERVER_ERROR, "runner_missing"),
            Self::Backend { .. } | Self::Device { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "backend_unavailable")
            }
            Self::SeveralBackends { .. } => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::NotConfined { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "sandbox_incomplete"),
            Self::Replaced(_) => (StatusCode::CONFLICT, "model_replaced"),
            Self::TooOld { .. } => (StatusCode::BAD_REQUEST, "version_too_old"),
            Self::NoTemplate { .. } => (StatusCode::BAD_REQUEST, "unsupported"),
            Self::Unreadable(_) => (StatusCode::BAD_GATEWAY, "unreadable_answer"),
            Self::ResponseNotFound(_) => (StatusCode::NOT_FOUND, "response_not_found"),
            Self::PreviousResponse(_) => (StatusCode::BAD_REQUEST, "previous_response_not_found"),
            Self::ConversationNotFound(_) => (StatusCode::NOT_FOUND, "conversation_not_found"),
            Self::ItemNotFound(_) => (StatusCode::NOT_FOUND, "item_not_found"),
            Self::NoJob(_) => (StatusCode::NOT_FOUND, "job_not_found"),
            Self::JobState { .. } => (StatusCode::CONFLICT, "job_state"),
            Self::JobCancelled(_) => (StatusCode::CONFLICT, "job_cancelled"),
            Self::TooManyJobs { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::NoAccount => (StatusCode::UNAUTHORIZED, "no_account"),
            Self::NoCloud(_) => (StatusCode::FORBIDDEN, "cloud_disabled"),
            Self::Stopping | Self::Ended => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// The status of its response.
    pub fn status(&self) -> StatusCode {
        self.status_and_code().0
    }

    /// Its code, a stable name for programs.
    pub fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::ModelNotFound(name) if can_be_pulled(name) => {
                return Some(format!("`slm pull {}` fetches it", short(name)));
            }
            Self::ModelNotFound(_) => "`slm list` shows the models that are here",
            Self::Store(error) => store_hint(error)?,
            Self::AllPinned { .. } => {
                "`slm unpin` one of them, or raise memory_budget or max_loaded_models in config.yaml"
            }
            Self::NoRoom { is_taken: true, .. } => {
                "use a smaller num_ctx or a smaller model, end other programs, or lower memory_reserve in config.yaml"
            }
            Self::NoRoom { .. } => {
                "use a smaller num_ctx or a smaller model, or raise memory_budget in config.yaml"
            }
            Self::ForbiddenHost(_) => {
                "use localhost or 127.0.0.1, or add the name to allowed_hosts in config.yaml"
            }
            Self::ForbiddenOrigin(_) => "add the origin to allowed_origins in config.yaml",
            Self::Encoding(_) => "send the body in zstd, gzip or deflate, or uncompressed",
            Self::ContentType => "set the header Content-Type: application/json",
            Self::ContextOverflow { .. } => {
                "raise num_ctx, shorten the prompt, or leave out truncate:false to have it cut"
            }
            Self::Busy { .. } | Self::Full | Self::Stopping | Self::Ended | Self::Replaced(_) => {
                "try again in a moment"
            }
            Self::CrashLoop { .. } => {
                "`slm verify` checks its files; the daemon's log has the last lines of the runner's log"
            }
            Self::Runner { source, .. } => runner_hint(source)?,
            Self::Accelerator { source, .. } | Self::AfterAccelerator { source, .. } => {
                return source.hint();
            }
            Self::TooOld { .. } => {
                "update slm, or make the model again without REQUIRES if it is known to run"
            }
            Self::NoTemplate { .. } => {
                "make a model from it with a TEMPLATE, or pull weights of it that bring a chat template: `slm search NAME`"
            }
            Self::NoRunner(_) => "install slm-runner next to slmd, or set runner in config.yaml",
            Self::Device { .. } | Self::SeveralBackends { .. } => {
                "`slm devices` shows what can be used"
            }
            Self::Backend { .. } => {
                "set backend: auto in config.yaml to use the CPU meanwhile; `slm devices` shows what can be used"
            }
            Self::NotConfined { .. } => {
                "use a Linux kernel with Landlock and seccomp, or set sandbox: auto in config.yaml to run with less"
            }
            Self::PreviousResponse(_) => {
                "send the items of the conversation again; `responses_lifetime` and `responses` in config.yaml limit what is kept"
            }
            Self::NoAccount => {
                "pulling needs no account; `slm login HOST` stores a login for a registry"
            }
            Self::NoJob(_) | Self::JobState { .. } => "`slm jobs --all` shows the jobs",
            Self::JobCancelled(_) => {
                "the fetched bytes are kept, unless the job was cancelled with `--remove`"
            }
            Self::TooManyJobs { .. } => "`slm jobs` shows them, and `slm jobs cancel` ends one",
            Self::Template { .. } => {
                "correct the template; docs/modelfile.md says what it can hold"
            }
            Self::Invalid(_)
            | Self::Field { .. }
            | Self::Unsupported(_)
            | Self::TooLarge { .. }
            | Self::SlowBody(_)
            | Self::BrokenBody
            | Self::UnixOnly(_)
            | Self::NoRoute(_)
            | Self::NoCloud(_)
            | Self::Method(_)
            | Self::ResponseNotFound(_)
            | Self::ConversationNotFound(_)
            | Self::ItemNotFound(_)
            | Self::Unreadable(_)
            | Self::Internal => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether the same request can succeed later without any change.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// The message, with causes of the store and the last line of a runner's log.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Store(error) => chain(error.as_ref()),
            Self::Runner { source, .. } => {
                let mut text = self.to_string();
                for cause in causes(source) {
                    text.push_str(": ");
                    text.push_str(&cause);
                }
                if let Some(last) = source.stderr().last() {
                    text.push_str("; last line of its log: ");
                    text.push_str(last);
                }
                text
            }
            Self::Accelerator { backend, source } => {
                format!("the load with {backend} failed: {}", source.message())
            }
            Self::AfterAccelerator { reason, source } => {
                format!("{}; before that, {reason}", source.message())
            }
            other => other.to_string(),
        }
    }

    /// Seconds after which another try can succeed.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy { .. } | Self::Full | Self::Stopping | Self::Ended => Some(1),
            Self::CrashLoop { rest, .. } => Some(rest.as_secs().max(1)),
            Self::AfterAccelerator { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}

/// The name without `:latest`.
fn short(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

fn of_store(error: &registry::Error) -> StatusAndCode {
    use registry::Error as E;
    match error {
        E::Name(_) | E::Reference(_) | E::RelPath(_) => (StatusCode::BAD_REQUEST, "invalid_name"),
        E::Digest(_) => (StatusCode::BAD_REQUEST, "invalid_digest"),
        E::NotFound { .. } => (StatusCode::NOT_FOUND, "model_not_found"),
        E::BlobNotFound { .. } => (StatusCode::NOT_FOUND, "blob_not_found"),
        E::DigestMismatch { .. } | E::SizeMismatch { .. } => {
            (StatusCode::BAD_REQUEST, "digest_mismatch")
        }
        E::Body { .. } => (StatusCode::BAD_REQUEST, "body_incomplete"),
        E::Damaged { .. } | E::DamagedManifest { .. } | E::BadLayer { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "model_damaged")
        }
        E::Translate { .. } => (StatusCode::BAD_REQUEST, "model_unsupported"),
        E::Convert(_) => (StatusCode::BAD_REQUEST, "not_convertible"),
        E::BaseMismatch { .. } => (StatusCode::CONFLICT, "base_mismatch"),
        E::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_request"),
        E::Pull(error) => of_pull(error),
        E::Push(error) => of_push(error),
        E::Credentials(error) => of_login(error),
        E::Source(_) | E::Http(_) | E::Remote(_) | E::Transfer(_) => {
            (StatusCode::BAD_GATEWAY, "source_failed")
        }
        E::NoSpace { .. } => (StatusCode::INSUFFICIENT_STORAGE, "no_space"),
        E::Locked { .. } => (StatusCode::CONFLICT, "store_locked"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
    }
}

/// Whether the builtin catalog has the name, or the name has a host.
fn can_be_pulled(name: &str) -> bool {
    let name = registry::ModelName::parse(name);
    name.is_ok_and(|name| {
        let catalog = registry::catalog::Catalog::builtin();
        catalog.resolve(&name).is_some() || name.host() != registry::name::DEFAULT_HOST
    })
}

fn store_hint(error: &registry::Error) -> Option<&str> {
    use registry::Error as E;
    match error {
        E::Damaged { .. } | E::DamagedManifest { .. } => Some(
            "`slm verify --quarantine` sets damaged files aside; then pull the model or create it again",
        ),
        other => other.hint(),
    }
}

fn of_pull(error: &registry::pull::Error) -> StatusAndCode {
    use registry::pull::Error as E;
    match error {
        E::NoVariant { .. } => (StatusCode::NOT_FOUND, "variant_not_found"),
        E::Unknown { .. } => (StatusCode::NOT_FOUND, "model_not_in_catalog"),
        E::Insecure { .. } => (StatusCode::BAD_REQUEST, "insecure"),
        E::Setting { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "bad_setting"),
        E::Failed { .. } | E::NotTheCatalogs { .. } => (StatusCode::BAD_GATEWAY, "source_failed"),
    }
}

fn of_push(error: &registry::push::Error) -> StatusAndCode {
    use registry::push::Error as E;
    match error {
        E::Destination { .. } => (StatusCode::BAD_REQUEST, "invalid_name"),
        E::Insecure { .. } => (StatusCode::BAD_REQUEST, "insecure"),
        E::Forbidden { .. } => (StatusCode::FORBIDDEN, "push_forbidden"),
        _ => (StatusCode::BAD_GATEWAY, "push_failed"),
    }
}

fn of_login(error: &registry::credentials::Error) -> StatusAndCode {
    use registry::credentials::Error as E;
    match error {
        E::Refused { .. } => (StatusCode::FORBIDDEN, "login_refused"),
        E::Host { .. } | E::Kind { .. } => (StatusCode::BAD_REQUEST, "invalid_login"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "logins_unreadable"),
    }
}

fn of_runner(error: &runner_side::Error) -> StatusAndCode {
    use runner_side::Error as E;
    match error {
        E::Failed(failure) => match failure.kind {
            FailureKind::Invalid => (StatusCode::BAD_REQUEST, "invalid_request"),
            FailureKind::ContextOverflow => (StatusCode::BAD_REQUEST, "context_overflow"),
            FailureKind::Unsupported => (StatusCode::BAD_REQUEST, "model_unsupported"),
            FailureKind::OutOfMemory => (StatusCode::INTERNAL_SERVER_ERROR, "out_of_memory"),
            FailureKind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            FailureKind::Unreadable => (StatusCode::BAD_GATEWAY, "unreadable_answer"),
            FailureKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "runner_failed"),
        },
        E::Spawn { .. } | E::Hello { .. } | E::Version { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "runner_unusable")
        }
        E::Exited(_) | E::Protocol { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "runner_crashed"),
        E::Stalled { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "runner_stalled"),
        E::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, "slow_reader"),
        E::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    }
}

fn runner_hint(error: &runner_side::Error) -> Option<&'static str> {
    use runner_side::Error as E;
    match error {
        E::Failed(failure) if failure.kind == FailureKind::OutOfMemory => {
            Some("use a smaller num_ctx or a smaller model, or stop another one with `slm stop`")
        }
        E::Exited(_) | E::Protocol { .. } | E::Stalled { .. } => {
            Some("the next request starts a fresh runner")
        }
        E::Spawn { .. } | E::Hello { .. } | E::Version { .. } => {
            Some("install slmd and slm-runner from one release")
        }
        E::Failed(_) | E::Slow { .. } | E::Stopped => None,
    }
}

fn causes(error: &dyn std::error::Error) -> impl Iterator<Item = String> {
    std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string)
}

/// The message with all causes, except a cause that the text ends with already.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A response with status and headers, an empty body, and the error for `rendered`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        if status.is_server_error() {
            tracing::warn!(code, "request failed: {}", self.message());
        }
        let mut response = status.into_response();
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The error format of a dialect: status and body of an error.
pub(crate) type ErrorFormat = fn(&Error) -> (StatusCode, Value);

/// Writes the body of a response with an [`Error`]; any other response does not change.
pub(crate) fn rendered(
    mut response: Response,
    format: impl FnOnce(&Error) -> (StatusCode, Value),
) -> Response {
    let Some(error) = response.extensions_mut().remove::<Error>() else {
        return response;
    };
    let (status, body) = format(&error);
    let (mut parts, _) = response.into_parts();
    parts.status = status;
    let json = HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, json);
    Response::from_parts(parts, Body::from(body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use runner_protocol::Failure;

    fn check(error: Error, status: u16, code: &str) {
        assert_eq!(error.status().as_u16(), status, "{error:?}");
        assert_eq!(error.code(), code, "{error:?}");
        assert!(!error.message().is_empty());
    }

    fn failed(kind: FailureKind) -> Error {
        Error::runner(
            &"m:latest",
            runner_side::Error::Failed(Failure::new(kind, "because")),
        )
    }

    #[test]
    fn each_error_has_its_status_and_code() {
        check(Error::Invalid("x".into()), 400, "invalid_request");
        check(Error::Unsupported("format".into()), 400, "unsupported");
        check(
            Error::TooOld {
                required: "9.0.0".into(),
            },
            400,
            "version_too_old",
        );
        check(Error::TooLarge { limit: 3 }, 413, "body_too_large");
        check(Error::SlowBody(Duration::from_secs(3)), 408, "body_timeout");
        check(Error::Encoding("br".into()), 415, "unsupported_media_type");
        check(Error::ContentType, 415, "unsupported_media_type");
        check(Error::ForbiddenHost("x".into()), 403, "host_not_allowed");
        check(
            Error::ForbiddenOrigin("x".into()),
            403,
            "origin_not_allowed",
        );
        check(Error::UnixOnly("x"), 403, "unix_socket_only");
        check(Error::NoRoute("/x".into()), 404, "no_route");
        check(Error::Method("PUT".into()), 405, "method_not_allowed");
        let partly = Error::NotConfined {
            level: "partial",
            lacks: "files: no Landlock".into(),
        };
        check(partly, 500, "sandbox_incomplete");
        let unusable = Error::Backend {
            backend: "cuda",
            reason: "libcuda.so.1 is missing".into(),
        };
        check(unusable, 500, "backend_unavailable");
        check(Error::Stopping, 503, "stopping");
        check(Error::Busy { waiting: 3 }, 503, "busy");
        check(failed(FailureKind::Invalid), 400, "invalid_request");
        check(
            failed(FailureKind::ContextOverflow),
            400,
            "context_overflow",
        );
        check(failed(FailureKind::Unsupported), 400, "model_unsupported");
        check(failed(FailureKind::OutOfMemory), 500, "out_of_memory");
        check(failed(FailureKind::Busy), 503, "busy");
        check(failed(FailureKind::Unreadable), 502, "unreadable_answer");
        check(failed(FailureKind::Internal), 500, "runner_failed");
        check(
            Error::runner(&"m", runner_side::Error::Stopped),
            503,
            "stopping",
        );
        let untranslated = registry::Error::Translate {
            what: "m".into(),
            source: registry::translate::Error::MissingTensor { tensor: "t".into() },
        };
        check(untranslated.into(), 400, "model_unsupported");
        let invalid = registry::Error::Invalid {
            reason: "no".into(),
        };
        check(invalid.into(), 400, "invalid_request");
    }

    #[test]
    fn a_missing_model_has_a_hint_to_pull_it() {
        let name = registry::ModelName::parse("smollm2").unwrap();
        let error = Error::from(registry::Error::NotFound { name });
        check(error.clone(), 404, "model_not_found");
        assert_eq!(error.message(), "model 'smollm2:latest' not found");
        assert_eq!(
            error.hint().as_deref(),
            Some("`slm pull smollm2` fetches it")
        );
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        let error = Error::from(registry::Error::NoSpace {
            path: "/x/blob".into(),
            needed: 10,
            available: 3,
        });
        check(error.clone(), 507, "no_space");
        assert!(error.hint().unwrap().contains("free some space"));
    }

    #[test]
    fn a_temporary_error_has_a_time_to_retry() {
        let response = Error::CrashLoop {
            model: "m".into(),
            times: 3,
            rest: Duration::from_secs(42),
        }
        .into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "42");
    }

    #[test]
    fn the_reference_lists_every_code() {
        let reference = include_str!("../../docs/api.md");
        let source = include_str!("error.rs");
        let code = source.split("mod tests").next().unwrap();
        let words = code.split('"').skip(1).step_by(2);
        let codes: Vec<&str> = words
            .filter(|word| code.contains(&format!(", \"{word}\")")))
            .collect();
        assert!(codes.len() > 30, "{codes:?}");
        for code in codes {
            assert!(
                reference.contains(&format!("`{code}`")),
                "docs/api.md lacks {code}"
            );
        }
    }
}

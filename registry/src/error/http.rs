//! Errors of HTTP requests.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::StatusCode;

/// Why a request failed. Each message names the host, and the proxy if there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of this machine cannot be used.
    #[error("{what} cannot be used: {reason}")]
    Settings {
        /// Which setting.
        what: String,
        /// Why.
        reason: String,
    },
    /// This machine has no network.
    #[error("this machine is offline")]
    Offline,
    /// A name does not resolve.
    #[error("the name {host} cannot be resolved: {reason}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// An address of this machine or of a private network, for a host that the user did not name.
    #[error(
        "{host} leads to {address}, an address of this machine or of a private network, which is only used for a host that you name yourself"
    )]
    Private {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// The connection failed.
    #[error("cannot connect to {host}{}: {reason}", through(.via))]
    Connect {
        /// The host.
        host: String,
        /// Why.
        reason: String,
        /// The proxy.
        via: Option<String>,
    },
    /// The proxy refuses the connection without a login, or with the given one.
    #[error("the proxy {proxy} demands a login before it connects to {host}")]
    ProxyLogin {
        /// The host.
        host: String,
        /// The proxy.
        proxy: String,
    },
    /// The certificate of the host is not trusted.
    #[error("the certificate of {host}{} is not trusted: {reason}", through(.via))]
    Certificate {
        /// The host.
        host: String,
        /// What is wrong with it.
        reason: String,
        /// The proxy.
        via: Option<String>,
    },
    /// The host did not respond in time.
    #[error("{host}{} did not answer within {seconds} s", through(.via))]
    Silent {
        /// The host.
        host: String,
        /// How long it was waited for.
        seconds: u64,
        /// The proxy.
        via: Option<String>,
    },
    /// The connection broke.
    #[error("the connection to {host}{} broke: {reason}", through(.via))]
    Broken {
        /// The host.
        host: String,
        /// Why.
        reason: String,
        /// The proxy.
        via: Option<String>,
    },
    /// Too many redirects.
    #[error("{host} redirects too often")]
    Redirects {
        /// Where it began.
        host: String,
    },
    /// A redirect without a usable address.
    #[error("{host} redirects without saying where to")]
    Location {
        /// The host.
        host: String,
    },
    /// A redirect from `https` to `http`.
    #[error("{host} redirects to {to}, which is not secure")]
    Downgrade {
        /// The address with `https`.
        host: String,
        /// The address with `http`.
        to: String,
    },
    /// A login would go to a host that it is not for.
    #[error(
        "{host} asks for the login at {realm}, which is another host, so it was not sent there; without it, {refusal}"
    )]
    Realm {
        /// The registry.
        host: String,
        /// Where it wants the login.
        realm: String,
        /// The error of a request without it.
        refusal: String,
    },
    /// The login would be sent without TLS.
    #[error("the login for {host} would be sent to {to} without TLS")]
    PlainLogin {
        /// The host that it is for.
        host: String,
        /// Where it would go.
        to: String,
    },
    /// A login that a request sends would go to another host.
    #[error("{host} redirects a login to {to}, which is another host, so it was not sent there")]
    LoginRedirect {
        /// Where the login was sent.
        host: String,
        /// Where it would go.
        to: String,
    },
    /// The file that is sent cannot be read.
    #[error("the file to send cannot be read: {reason}")]
    File {
        /// Why.
        reason: String,
    },
    /// A status other than success.
    #[error("{host} answers {}{}", words(.status), quoted(.said))]
    Status {
        /// The status.
        status: StatusCode,
        /// The host and path.
        host: String,
        /// The error code of the hub.
        code: Option<String>,
        /// The message in the body, if it is short.
        said: String,
        /// The time for which the server wants no further request.
        retry_after: Option<Duration>,
        /// Whether the status came after a redirect, for example to a signed address.
        redirected: bool,
    },
    /// A document is too long.
    #[error("{host} sends more than {most} bytes where a small document is expected")]
    TooLong {
        /// The host and path.
        host: String,
        /// The bound.
        most: u64,
    },
    /// A document is invalid.
    #[error("{host} sends no {wanted}: {reason}")]
    Document {
        /// The host and path.
        host: String,
        /// What was asked for.
        wanted: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::Resolve { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
            _ => false,
        }
    }

    /// Whether the request is to be repeated at once: the server is there, and the error is temporary.
    pub(crate) fn is_worth_repeating(&self) -> bool {
        let soon = |wait: &Option<Duration>| wait.is_none_or(|wait| wait.as_secs() <= 1);
        match self {
            Self::Broken { .. } => true,
            Self::Status {
                status,
                retry_after,
                ..
            } => {
                let is_busy = *status == StatusCode::TOO_MANY_REQUESTS;
                (status.is_server_error() || is_busy) && soon(retry_after)
            }
            _ => false,
        }
    }

    /// The remedy, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Offline => Some("models that are here work without a network: `slm list`"),
            Self::Resolve { .. } => Some(
                "check the connection; behind a proxy, the daemon itself needs HTTPS_PROXY, not only this shell",
            ),
            Self::Connect { via: Some(_), .. } | Self::Silent { via: Some(_), .. } => {
                Some("check that the proxy runs, and HTTPS_PROXY and NO_PROXY of the daemon")
            }
            Self::Connect { .. } | Self::Silent { .. } => Some(
                "check the connection; behind a proxy, the daemon itself needs HTTPS_PROXY, not only this shell",
            ),
            Self::Certificate { .. } => Some(
                "where a company inspects TLS, its certificate must be in the system's store, or in a file that `ca_file` of the configuration names",
            ),
            Self::ProxyLogin { .. } => refusal(StatusCode::PROXY_AUTHENTICATION_REQUIRED, None),
            Self::Realm { .. } => Some(
                "where that host belongs to the registry, `slm login HOST --realm-host REALM` lets it have the login",
            ),
            Self::PlainLogin { .. } => {
                Some("use an address with https; a login is sent without TLS to this machine only")
            }
            Self::Status { status, code, .. } => refusal(*status, code.as_deref()),
            _ => None,
        }
    }
}

fn refusal(status: StatusCode, code: Option<&str>) -> Option<&'static str> {
    match (status, code) {
        (StatusCode::FORBIDDEN, Some("GatedRepo")) => Some(
            "its terms are not accepted yet by the account of this token; accept them on the model's page",
        ),
        (_, Some("GatedRepo")) => Some(
            "the model is gated: accept its terms on its page, then log in with a token of that account: `slm login hf.co`",
        ),
        (_, Some("RepoNotFound")) => Some(
            "there is no such repository, or it is private and the daemon has no token for it: `slm login hf.co`",
        ),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Some(
            "`slm login HOST` with the host of the model's name gives slm a login; `slm login --list` shows those that it has",
        ),
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, _) => {
            Some("the proxy wants a login: HTTPS_PROXY=http://user:password@proxy:port")
        }
        (StatusCode::TOO_MANY_REQUESTS, _) => {
            Some("the server limits how often it is asked; a token of an account raises the limit")
        }
        _ => None,
    }
}

fn through(via: &Option<String>) -> String {
    via.as_ref()
        .map(|proxy| format!(" through the proxy {proxy}"))
        .unwrap_or_default()
}

fn words(status: &StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} ({reason})", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// A server's text as the end of a message; empty without a text.
pub(crate) fn quoted(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said:?}")
    }
}

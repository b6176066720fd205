//! Admits TCP requests of programs on this machine, and refuses requests of web pages in a browser.
//!
//! It checks these headers before any route:
//! - **Host**: a page that points its name to this machine (DNS rebinding) still sends its name, so only names of this machine pass.
//! - **Origin** and **Sec-Fetch-Site**: a browser names the page of a request, so a page passes only if the configuration allows its
//!   origin, or if the origin is this daemon. Programs send neither header.
//!
//! Requests on the Unix socket pass, because no browser can open it.

mod cors;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;

use crate::config::Config;
use crate::error::Error;
use crate::listen::Peer;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts and origins that pass.
#[derive(Debug, Clone, Default)]
pub struct OriginCheck {
    /// Allowed names of this machine besides those of loopback, in lower case.
    pub hosts: Arc<[String]>,
    /// Allowed origins of web pages, in lower case.
    pub origins: Arc<[String]>,
}

/// The hosts and origins that pass now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LiveCheck(watch::Receiver<OriginCheck>);

impl LiveCheck {
    /// A check of these hosts and origins, and the sender that replaces them.
    pub fn new(check: OriginCheck) -> (watch::Sender<OriginCheck>, Self) {
        let (sender, receiver) = watch::channel(check);
        (sender, Self(receiver))
    }
}

/// Hosts and origins that stay.
impl From<OriginCheck> for LiveCheck {
    fn from(check: OriginCheck) -> Self {
        Self::new(check).1
    }
}

/// The check as a layer around the whole router.
pub async fn check(State(check): State<LiveCheck>, request: Request, next: Next) -> Response {
    let check = check.0.borrow().clone();
    if request.extensions().get::<Peer>() == Some(&Peer::Unix) {
        return next.run(request).await;
    }
    let origin = match check.admit(&request) {
        Err(error) => return error.into_response(),
        Ok(origin) => origin,
    };
    let mut response = if request.method() == Method::OPTIONS {
        cors::preflight(request.headers())
    } else if origin.is_some() && cors::is_simple(&request) {
        Error::ContentType.into_response()
    } else {
        next.run(request).await
    };
    if let Some(origin) = origin {
        cors::expose(&mut response, origin);
    }
    response
}

impl OriginCheck {
    /// The hosts and origins of the configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            hosts: config.allowed_hosts.clone().into(),
            origins: config.allowed_origins.clone().into(),
        }
    }

    /// Checks one request. Returns the origin of its page, for the headers of the response.
    fn admit(&self, request: &Request) -> Result<Option<HeaderValue>, Error> {
        let headers = request.headers();
        let host = single(headers, &header::HOST)
            .map_err(|()| Error::ForbiddenHost("given twice".into()))?
            .ok_or_else(|| Error::ForbiddenHost("missing".into()))?;
        // The host of an absolute request target overrides the header, so both must pass.
        let target = request.uri().authority().map(http::uri::Authority::as_str);
        for name in std::iter::once(host).chain(target) {
            if !self.is_ours(name) {
                return Err(Error::ForbiddenHost(name.to_owned()));
            }
        }
        self.admit_page(headers, host)
    }

    fn admit_page(&self, headers: &HeaderMap, host: &str) -> Result<Option<HeaderValue>, Error> {
        let origin = single(headers, &header::ORIGIN)
            .map_err(|()| Error::ForbiddenOrigin("given twice".into()))?;
        if let Some(origin) = origin {
            let lower = origin.to_ascii_lowercase();
            let own = lower.strip_prefix("http://") == Some(&host.to_ascii_lowercase());
            if !own && !self.origins.iter().any(|allowed| covers(allowed, &lower)) {
                return Err(Error::ForbiddenOrigin(origin.to_owned()));
            }
            return Ok(headers.get(header::ORIGIN).cloned());
        }
        match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => Ok(None),
            // An image or script element of a page sends this without an Origin.
            Some(_) => Err(Error::ForbiddenOrigin("another site".into())),
        }
    }

    /// Whether a `Host` value names this machine. Only exact forms pass, because attacks use other spellings of loopback.
    fn is_ours(&self, host: &str) -> bool {
        let Some(name) = name_of(host) else {
            return false;
        };
        let name = name.to_ascii_lowercase();
        if name == "localhost" || self.hosts.contains(&name) {
            return true;
        }
        let address = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&name);
        address
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() && ip.is_ipv6() == name.starts_with('['))
    }
}

/// Whether an allowed origin is this one, or a pattern such as `vscode-webview://*` for it.
fn covers(allowed: &str, origin: &str) -> bool {
    match allowed.strip_suffix('*') {
        None => allowed == origin,
        Some(scheme) => origin
            .strip_prefix(scheme)
            .is_some_and(|host| !host.is_empty() && !host.contains('/')),
    }
}

/// The name in `name`, `name:port` or `[address]:port`; `None` for an invalid port.
fn name_of(host: &str) -> Option<&str> {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        });
    valid.then_some(name)
}

/// The only value of a header; an error for several values, and for one that is not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(());
    }
    first
        .map(|value| value.to_str().map_err(|_| ()))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn check() -> OriginCheck {
        OriginCheck {
            hosts: ["box.example".to_owned()].into(),
            origins: [
                "http://localhost:3000".to_owned(),
                "app://obsidian.md".to_owned(),
                "vscode-webview://*".to_owned(),
            ]
            .into(),
        }
    }

    fn admit(uri: &str, headers: &[(&str, &str)]) -> Result<Option<HeaderValue>, Error> {
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check().admit(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn names_of_this_machine_pass() {
        for host in [
            "localhost",
            "LocalHost",
            "localhost:11435",
            "localhost:1",
            "127.0.0.1",
            "127.0.0.1:11435",
            "127.0.0.2",
            "[::1]",
            "[::1]:11435",
            "box.example",
            "Box.Example:80",
        ] {
            assert!(admit("/", &[("host", host)]).is_ok(), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "localhost.",
            "localhost..",
            "127.1",
            "127.0.0.1.",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "127.0.0.1.nip.example",
            "user@localhost",
            "localhost@example.com",
            "localhost:11435@example.com",
            "localhost:",
            "localhost:http",
            "localhost:99999",
            "localhost:+80",
            "localhost:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "[::]",
            "192.168.0.1",
            "169.254.169.254",
            "box.example.com",
            "localhost/",
            " localhost",
        ] {
            assert!(admit("/", &[("host", host)]).is_err(), "{host:?}");
        }
    }

    #[test]
    fn exactly_one_host_is_required() {
        assert!(admit("/", &[]).is_err());
        assert!(admit("/", &[("host", "localhost"), ("host", "localhost")]).is_err());
        assert!(admit("/", &[("host", "localhost"), ("host", "example.com")]).is_err());
    }

    #[test]
    fn an_absolute_target_must_pass_too() {
        assert!(admit("http://localhost/", &[("host", "localhost")]).is_ok());
        assert!(admit("http://example.com/", &[("host", "localhost")]).is_err());
        assert!(admit("http://localhost/", &[("host", "example.com")]).is_err());
    }

    #[test]
    fn a_page_passes_only_with_an_allowed_origin() {
        let with = |origin| admit("/", &[("host", "localhost:11435"), ("origin", origin)]);
        for origin in [
            "http://localhost:3000",
            "HTTP://LOCALHOST:3000",
            "http://localhost:11435",
            "app://obsidian.md",
            "vscode-webview://abc",
        ] {
            assert!(with(origin).unwrap().is_some(), "{origin}");
        }
        for origin in [
            "null",
            "",
            "file://",
            "http://example.com",
            "https://localhost:11435",
            "http://localhost",
            "http://localhost:3001",
            "http://localhost:3000.example.com",
            "http://localhost:3000/",
            "chrome-extension://abc",
            "app://obsidian.md.example",
            "vscode-webview://",
            "vscode-webview://a/b",
        ] {
            assert!(with(origin).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_request_of_a_page_without_an_origin_is_known_by_sec_fetch_site() {
        let with = |site| admit("/", &[("host", "localhost"), ("sec-fetch-site", site)]);
        assert!(with("same-origin").is_ok());
        assert!(with("none").is_ok());
        assert!(with("cross-site").is_err());
        assert!(with("same-site").is_err());
        assert!(with("anything").is_err());
    }
}

//! Errors of the HTTP library, and messages in error responses.

use reqwest::Url;

use super::{CONNECT, Error};

impl Error {
    /// Converts an error of the library.
    pub(super) fn of(error: &reqwest::Error, url: &Url, via: Option<&str>) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut tls = None;
        while let Some(one) = cause {
            // An error of our own resolver.
            if let Some(ours) = one.downcast_ref::<Self>() {
                return ours.clone();
            }
            if let Some(refused) = one.downcast_ref::<rustls::Error>() {
                tls = Some(refused.to_string());
            }
            // `source` of an I/O error skips the error inside.
            cause = match one.downcast_ref::<std::io::Error>() {
                Some(io) => io.get_ref().map(|inner| inner as &dyn std::error::Error),
                None => one.source(),
            };
        }
        let host = shown(url);
        let via = via.map(str::to_owned);
        if let Some(reason) = tls {
            return Self::Certificate { host, reason, via };
        }
        let reason = deepest(error);
        if error.is_timeout() && error.is_connect() {
            let seconds = CONNECT.as_secs();
            return Self::Silent { host, seconds, via };
        }
        // The library has no public type for this error, only its message.
        if let (Some(proxy), true) = (&via, reason.contains("proxy authorization required")) {
            let proxy = proxy.clone();
            return Self::ProxyLogin { host, proxy };
        }
        if error.is_connect() {
            return Self::Connect { host, reason, via };
        }
        Self::Broken { host, reason, via }
    }
}

/// A URL for messages and logs, without user, password and query, which may be secret.
pub(crate) fn shown(url: &Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let path = if url.path() == "/" { "" } else { url.path() };
    let text = format!("{}{port}{path}", url.host_str().unwrap_or_default());
    text.chars().take(200).collect()
}

/// The message in the body of an error response: that of a JSON error, or the title of a page.
pub(super) fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|json| {
            let first = json["errors"][0]["message"].as_str();
            let found = first
                .or_else(|| json["error"].as_str())
                .or_else(|| json["message"].as_str());
            found.map(str::to_owned)
        });
    let found = message.or_else(|| {
        let lower = text.to_ascii_lowercase();
        match (lower.find("<title>"), lower.find("</title>")) {
            (Some(start), Some(end)) if start + 7 <= end => {
                text.get(start + 7..end).map(str::to_owned)
            }
            _ if text.trim_start().starts_with(['<', '{']) => None,
            _ => Some(text.lines().next().unwrap_or_default().to_owned()),
        }
    });
    let found = found.unwrap_or_default();
    let plain = found
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200);
    plain.collect::<String>().trim().to_owned()
}

/// The last of an error's causes, which is the most specific.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

//! The path of a request in its usual spelling.
//!
//! A client with a slightly wrong base URL asks for `//v1/models`, `/v1/models/`, `/v1/v1/models` or `/models`, and means
//! `/v1/models`.

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// First segments of routes under `/v1`, which clients also ask for without `/v1`.
const UNDER_V1: &[&str] = &[
    "audio",
    "chat",
    "completions",
    "conversations",
    "embeddings",
    "files",
    "images",
    "messages",
    "models",
    "moderations",
    "rerank",
    "responses",
];

/// The request with its path in the usual spelling.
pub(crate) fn tidy(mut request: Request) -> Request {
    if let Some(path) = usual(request.uri().path())
        && let Some(uri) = with_path(request.uri(), &path)
    {
        *request.uri_mut() = uri;
    }
    request
}

/// The usual spelling of a path; `None` if it has that already.
fn usual(path: &str) -> Option<String> {
    let is_tidy = path == "/" || !(path.contains("//") || path.ends_with('/'));
    let first = path.split('/').find(|segment| !segment.is_empty());
    let is_short = first.is_some_and(|first| UNDER_V1.contains(&first));
    if is_tidy && !is_short && !path.starts_with("/v1/v1") {
        return None;
    }
    let mut segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    while segments.starts_with(&["v1", "v1"]) {
        segments.remove(0);
    }
    if is_short {
        segments.insert(0, "v1");
    }
    let usual = format!("/{}", segments.join("/"));
    (usual != path).then_some(usual)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (given, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/v1/models", "/v1/models"),
            ("//v1//models", "/v1/models"),
            ("/v1/models/", "/v1/models"),
            ("/v1/v1/models", "/v1/models"),
            ("/v1/v1/v1//models/", "/v1/models"),
            ("/models", "/v1/models"),
            ("//models", "/v1/models"),
            ("/models/library/m", "/v1/models/library/m"),
            ("/chat/completions", "/v1/chat/completions"),
            ("/v1/v1models", "/v1/v1models"),
            ("/api/tags/", "/api/tags"),
            ("//api//tags", "/api/tags"),
            ("/api/models", "/api/models"),
            ("/%2Fmodels", "/%2Fmodels"),
        ] {
            let usual = usual(given).unwrap_or_else(|| given.to_owned());
            assert_eq!(usual, expected, "{given}");
        }
    }

    #[test]
    fn only_the_path_changes() {
        let tidied = |uri: &str| {
            let request = Request::get(uri).body(axum::body::Body::empty()).unwrap();
            tidy(request).uri().to_string()
        };
        assert_eq!(tidied("/models/?limit=1//2"), "/v1/models?limit=1//2");
        assert_eq!(
            tidied("http://localhost:1//api/tags"),
            "http://localhost:1/api/tags"
        );
    }
}

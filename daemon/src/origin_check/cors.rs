//! The headers by which a browser gives an allowed page the daemon's responses (CORS).

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::body::Body as _;

const ASKS_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE");

/// How many seconds a browser may keep the response to a preflight request.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Longest list of headers that a preflight request may ask for, in bytes.
const LONGEST_LIST: usize = 4096;

/// Content types of bodies that a browser sends for a page without a preflight request.
const SIMPLE_TYPES: [&str; 3] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];

/// The response to `OPTIONS`. It allows the headers that the request asks for: client libraries send headers of their own, such as
/// `x-stainless-os`, and no header makes a request of an allowed page more dangerous.
pub(super) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let list = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(list) = list.filter(|list| list.len() <= LONGEST_LIST) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, list.clone());
    }
    if asked.get(ASKS_PRIVATE).is_some_and(|it| it == "true") {
        headers.insert(ALLOWS_PRIVATE, HeaderValue::from_static("true"));
    }
    response
}

/// Lets pages of this origin read the response and its headers, also of an error.
pub(super) fn expose(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("*"),
    );
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// Whether a browser sends this body without a preflight request.
pub(super) fn is_simple(request: &Request) -> bool {
    if request.body().is_end_stream() {
        return false;
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let kind = content_type.and_then(|text| text.split(';').next());
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    // A body without a type is sent without a preflight request too.
    kind.is_empty() || SIMPLE_TYPES.contains(&kind.as_str())
}

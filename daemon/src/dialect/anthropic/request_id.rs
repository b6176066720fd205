//! The id of a request, `req_…`: in the header `request-id` of every response, and in the body of an error.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::error;
use crate::error::rendered;
use crate::random;

const HEADER: HeaderName = HeaderName::from_static("request-id");

/// The id of a request.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

impl RequestId {
    pub(super) fn new() -> Self {
        Self(new_id("req_"))
    }
}

/// A prefix and 24 random digits.
pub(super) fn new_id(prefix: &str) -> String {
    let digits = format!("{:016x}{:016x}", random::bits(), random::bits());
    format!("{prefix}{}", &digits[..24])
}

/// Gives a request its id, and its response the header.
pub(super) async fn label(mut request: Request, next: Next) -> Response {
    let id = RequestId::new();
    request.extensions_mut().insert(id.clone());
    let mut response = rendered(next.run(request).await, |error| error::with_id(error, &id));
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

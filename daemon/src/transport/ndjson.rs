//! NDJSON: one JSON object and a newline for each event.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{self, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use super::until_error;
use crate::error::Error;

/// Media type of a stream.
const TYPE: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A response that streams events as lines, and ends after the first error, which `failed` writes.
pub fn stream<T, S>(events: S, failed: fn(&Error) -> Value) -> Response
where
    T: Serialize,
    S: Stream<Item = Result<T, Error>> + Send + 'static,
{
    let lines = events.map(|event| event.map(|event| line(&event)));
    let lines = until_error(lines, move |error| line(&failed(error)));
    let mut response = Body::from_stream(lines.map(Ok::<Bytes, Infallible>)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, TYPE);
    response
}

fn line(event: &impl Serialize) -> Bytes {
    let mut line =
        serde_json::to_vec(event).expect("events and errors are plain data with text keys");
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use serde_json::json;

    async fn check(events: Vec<Result<u32, Error>>, expected: &str) {
        let response = super::stream(
            stream::iter(events),
            |error| json!({"error": error.to_string()}),
        );
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/x-ndjson"
        );
        let bytes = axum::body::to_bytes(response.into_body(), 1000)
            .await
            .unwrap();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }

    #[tokio::test]
    async fn each_event_is_a_line() {
        check(vec![Ok(1), Ok(2)], "1\n2\n").await;
        check(vec![], "").await;
    }

    #[tokio::test]
    async fn an_error_is_the_last_line() {
        check(
            vec![Ok(1), Err(Error::Unsupported("magic".into())), Ok(2)],
            "1\n{\"error\":\"magic is not supported yet\"}\n",
        )
        .await;
    }
}

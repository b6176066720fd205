//! Streams of events: one JSON object and a newline each.
//!
//! A failure after the first event cannot change the status any more; it becomes the last line, in the shape of every error.
//! The deadline for a reader that stalls is kept by the connection ([`crate::pace`]); a stream that is dropped gives up
//! whatever it holds, so a client that leaves ends its answer.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{self, HeaderValue};
use serde::Serialize;

use crate::error::Error;

/// Media type of a stream.
const TYPE: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// An answer that streams events, and ends after the first error.
pub fn stream<T, S>(events: S) -> Response
where
    T: Serialize,
    S: Stream<Item = Result<T, Error>> + Send + 'static,
{
    let lines = events
        .scan(false, |failed, event| {
            // The error is the last line, whatever the source would still give.
            let line = (!*failed).then(|| {
                *failed = event.is_err();
                line(event)
            });
            std::future::ready(line)
        })
        .map(Ok::<Bytes, Infallible>)
        // Some layers poll a body again after its end.
        .fuse();
    let mut response = Body::from_stream(lines).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, TYPE);
    response
}

fn line<T: Serialize>(event: Result<T, Error>) -> Bytes {
    let made = match event {
        Ok(event) => serde_json::to_vec(&event),
        Err(error) => {
            tracing::debug!("a stream failed: {}", crate::error::chain(&error));
            serde_json::to_vec(&error.to_body())
        }
    };
    let mut line = made.expect("events and errors are plain data with text keys");
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    async fn check(events: Vec<Result<u32, Error>>, expected: &str) {
        let response = super::stream(stream::iter(events));
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
            "1\n{\"error\":\"magic is not supported yet\",\"code\":\"unsupported\"}\n",
        )
        .await;
    }
}

//! Server-sent events.
//!
//! Format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, by [`axum::response::sse`].
//! As in [`ndjson`](super::ndjson), an error in the stream is the last frame.

use std::convert::Infallible;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};

use super::until_error;
use crate::error::Error;

/// A response that streams events, and ends after the first error, which `failed` writes.
pub fn stream<S>(frames: S, failed: fn(&Error) -> Event) -> Response
where
    S: Stream<Item = Result<Event, Error>> + Send + 'static,
{
    let frames = until_error(frames, failed).map(Ok::<Event, Infallible>);
    Sse::new(frames).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    #[tokio::test]
    async fn an_error_is_the_last_frame() {
        let frames = vec![
            Ok(Event::default().data("1")),
            Err(Error::Unsupported("magic".into())),
            Ok(Event::default().data("2")),
        ];
        let failed = |error: &Error| Event::default().event("error").data(error.to_string());
        let response = super::stream(stream::iter(frames), failed);
        assert_eq!(
            response.headers()[http::header::CONTENT_TYPE],
            "text/event-stream"
        );
        let body = response.into_body();
        let bytes = axum::body::to_bytes(body, 1000).await.unwrap();
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            "data: 1\n\nevent: error\ndata: magic is not supported yet\n\n"
        );
    }
}

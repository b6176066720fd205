//! Server-sent events.
//!
//! Format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, by [`axum::response::sse`].
//! As in [`ndjson`](super::ndjson), an error in the stream is the last frame.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::future::Either;
use futures::{Stream, StreamExt, TryFutureExt};
use http::header::HeaderValue;

use super::until_error;
use crate::budget::Share;
use crate::error::Error;

/// How long a response waits for its first frame. Clients and proxies give up on a server that sends nothing for long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The longest silence in a stream.
const SILENCE: Duration = Duration::from_secs(15);

/// Comments in the pauses of a stream, which clients skip.
pub fn comments() -> KeepAlive {
    KeepAlive::new().interval(SILENCE)
}

/// `ping` in the pauses of a stream.
pub fn pings(ping: Event) -> KeepAlive {
    comments().event(ping)
}

/// A response that streams the frames of `begin`, which waits until the first output is there.
///
/// An error that comes within [`PATIENCE`] is the error of the response. After that the response begins, and an error is the last
/// frame, written by `failed`. The request keeps its share of memory until `begin` has ended.
///
/// # Errors
/// The error of `begin`.
pub async fn respond<S>(
    share: Share,
    begin: impl Future<Output = Result<S, Error>> + Send + 'static,
    keep_alive: KeepAlive,
    failed: impl Fn(&Error) -> Event + Send + 'static,
) -> Result<Response, Error>
where
    S: Stream<Item = Result<Event, Error>> + Send + 'static,
{
    let mut begin = Box::pin(async move {
        let begun = begin.await;
        drop(share);
        begun
    });
    let frames = match tokio::time::timeout(PATIENCE, &mut begin).await {
        Ok(frames) => Either::Left(frames?),
        Err(_) => Either::Right(begin.try_flatten_stream()),
    };
    Ok(stream(frames, keep_alive, failed))
}

/// A response that streams frames, and ends after the first error, which `failed` writes.
pub fn stream<S>(
    frames: S,
    keep_alive: KeepAlive,
    failed: impl Fn(&Error) -> Event + Send + 'static,
) -> Response
where
    S: Stream<Item = Result<Event, Error>> + Send + 'static,
{
    let frames = until_error(frames, failed).map(Ok::<Event, Infallible>);
    events(frames, keep_alive)
}

/// A response that streams events, none of which is an error.
pub fn events<S>(frames: S, keep_alive: KeepAlive) -> Response
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let mut response = Sse::new(frames).keep_alive(keep_alive).into_response();
    // Proxies that collect a response before they pass it on let this header be.
    let unbuffered = HeaderValue::from_static("no");
    response
        .headers_mut()
        .insert("x-accel-buffering", unbuffered);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, UNCOUNTED};
    use futures::stream;
    use http::header;

    fn data(text: &str) -> Event {
        Event::default().data(text)
    }

    fn failed(error: &Error) -> Event {
        Event::default().event("error").data(error.to_string())
    }

    async fn text(response: Response) -> String {
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        let bytes = axum::body::to_bytes(response.into_body(), 1000).await;
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn an_error_is_the_last_frame() {
        let frames = vec![
            Ok(data("1")),
            Err(Error::Unsupported("magic".into())),
            Ok(data("2")),
        ];
        let response = super::stream(stream::iter(frames), comments(), failed);
        assert_eq!(
            text(response).await,
            "data: 1\n\nevent: error\ndata: magic is not supported yet\n\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_error_is_the_error_of_the_response_and_a_late_one_a_frame() {
        let begin = |wait: u64| async move {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            match wait {
                50 => Ok(stream::iter([Ok(data("1"))])),
                _ => Err(Error::Internal),
            }
        };
        let respond = |wait, keep_alive| {
            super::respond(Budget::of(0).share(), begin(wait), keep_alive, failed)
        };
        let early = respond(9, comments()).await;
        assert!(matches!(early, Err(Error::Internal)));
        let late = respond(20, comments()).await.unwrap();
        let late = text(late).await;
        assert!(late.ends_with("event: error\ndata: an internal task ended early\n\n"));
        let slow = respond(50, comments()).await.unwrap();
        let slow = text(slow).await;
        assert_eq!(slow, ":\n\n:\n\ndata: 1\n\n");
        let slow = respond(50, pings(data("ping"))).await;
        let slow = text(slow.unwrap()).await;
        assert_eq!(slow, "data: ping\n\ndata: ping\n\ndata: 1\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_begins_early_keeps_its_share_until_the_answer_begins() {
        let budget = Budget::of(10);
        let take = |bytes| {
            let share = budget.share();
            share.grow(0, UNCOUNTED + bytes).map(|()| share)
        };
        let begin = async {
            tokio::time::sleep(2 * PATIENCE).await;
            Ok(stream::iter([Ok(data("1"))]).chain(stream::pending()))
        };
        let response = respond(take(10).unwrap(), begin, comments(), failed);
        let mut frames = response.await.unwrap().into_body().into_data_stream();
        assert!(matches!(take(1), Err(Error::Full)));
        while frames.next().await.unwrap().unwrap() != "data: 1\n\n" {
            assert!(matches!(take(1), Err(Error::Full)));
        }
        take(10).unwrap();
    }
}

//! Reads a stream of events, each one JSON object and a newline.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use api::{ChatEvent, ErrorBody, GenerateEvent, Progress};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;

use super::Error;

/// The longest line, in bytes. The event of a token has a few hundred; the report of a damaged store is the longest one.
const MAX_LINE: usize = 8 << 20;

/// An event of a stream, which tells whether it is the last one.
pub(crate) trait Event: DeserializeOwned {
    /// Whether this is the terminal event. A stream that ends without it was cut.
    fn is_last(&self) -> bool;
}

impl Event for ChatEvent {
    fn is_last(&self) -> bool {
        self.done
    }
}

impl Event for GenerateEvent {
    fn is_last(&self) -> bool {
        self.done
    }
}

impl Event for Progress {
    fn is_last(&self) -> bool {
        self.status == "success"
    }
}

/// The events of one answer. Dropping it closes the connection, which cancels the request.
pub(crate) struct Events<T> {
    lines: BoxStream<'static, Result<String, LinesCodecError>>,
    over: bool,
    kind: PhantomData<T>,
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl<T: Event> Events<T> {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let bytes = StreamReader::new(body.into_data_stream().map_err(io::Error::other).boxed());
        let codec = LinesCodec::new_with_max_length(MAX_LINE);
        Self {
            lines: FramedRead::new(bytes, codec).boxed(),
            over: false,
            kind: PhantomData,
        }
    }

    /// The next event; `None` after the last one.
    ///
    /// # Errors
    /// The daemon's error, or that the answer was cut, broke or is not JSON.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Error> {
        if self.over {
            return Ok(None);
        }
        let event = self.read().await;
        self.over = event.as_ref().map_or(true, Event::is_last);
        event.map(Some)
    }

    async fn read(&mut self) -> Result<T, Error> {
        loop {
            match self.lines.next().await {
                Some(Ok(line)) if line.trim_ascii().is_empty() => {}
                Some(Ok(line)) => return parse(&line),
                Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                    return Err(Error::Garbled(format!(
                        "a line is longer than {MAX_LINE} bytes"
                    )));
                }
                Some(Err(LinesCodecError::Io(error))) => {
                    // The error of the body itself tells whether the daemon is gone.
                    return Err(error
                        .downcast::<hyper::Error>()
                        .map_or_else(Error::broken, Error::broken));
                }
                None => return Err(Error::Cut),
            }
        }
    }
}

fn parse<T: Event>(line: &str) -> Result<T, Error> {
    let garbled = |error: serde_json::Error| Error::Garbled(error.to_string());
    let value: serde_json::Value = serde_json::from_str(line).map_err(garbled)?;
    if value.get("error").is_some() {
        let body: ErrorBody = serde_json::from_value(value).map_err(garbled)?;
        return Err(Error::Refused { status: None, body });
    }
    serde_json::from_value(value).map_err(garbled)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    /// Feeds `pieces` as the frames of a body, and compares the events.
    async fn check(pieces: &[&str], expected: &[&str]) {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece.as_bytes()))))
            .collect();
        let mut events = Events::<Progress>::new(StreamBody::new(futures::stream::iter(frames)));
        let mut seen = Vec::new();
        loop {
            match events.next().await {
                Ok(Some(event)) => seen.push(event.status),
                Ok(None) => break,
                Err(error) => seen.push(format!("error: {error}")),
            }
        }
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn events_are_whole_for_any_cut_into_frames() {
        let whole = ["{\"status\":\"one\"}\n{\"status\":\"success\"}\n"];
        check(&whole, &["one", "success"]).await;
        let pieces = [
            "{\"sta",
            "tus\":\"o",
            "ne\"}",
            "\n\r\n{\"status\":",
            "\"success\"}",
        ];
        check(&pieces, &["one", "success"]).await;
    }

    #[tokio::test]
    async fn a_stream_without_its_last_event_was_cut() {
        let cut = "error: the daemon's answer was cut off before its end";
        check(&[], &[cut]).await;
        check(&["{\"status\":\"one\"}\n"], &["one", cut]).await;
    }

    #[tokio::test]
    async fn an_error_ends_the_stream() {
        let pieces = ["{\"status\":\"one\"}\n{\"error\":\"disk full\",\"code\":\"no_space\"}\n"];
        check(&pieces, &["one", "error: disk full"]).await;
    }

    #[tokio::test]
    async fn data_after_the_last_event_is_not_read() {
        check(
            &["{\"status\":\"success\"}\n{\"status\":\"more\"}\n"],
            &["success"],
        )
        .await;
    }

    #[tokio::test]
    async fn garbage_is_named_and_ends_the_stream() {
        check(
            &["<html>\n{\"status\":\"success\"}\n"],
            &["error: the daemon's answer cannot be read: expected value at line 1 column 1"],
        )
        .await;
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let piece = "x".repeat(1 << 20);
        let pieces = vec![piece.as_str(); 9];
        check(
            &pieces,
            &["error: the daemon's answer cannot be read: a line is longer than 8388608 bytes"],
        )
        .await;
    }
}

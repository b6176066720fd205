//! Streams of events on the wire. A dialect writes the events, and an error in the middle of a stream.
//!
//! The status of the response cannot change after the first event, so a later error becomes the last event.
//! [`crate::watchdog`] checks the deadline of a stalled reader. When a client disconnects, its stream is dropped, which cancels the
//! answer.

pub mod ndjson;
pub mod sse;

use futures::{Stream, StreamExt};

use crate::error::{self, Error};

/// The items of a stream up to its first error, which `failed` turns into the last item.
fn until_error<T>(
    events: impl Stream<Item = Result<T, Error>>,
    failed: impl Fn(&Error) -> T,
) -> impl Stream<Item = T> {
    events
        .scan(false, move |over, event| {
            let item = (!*over).then(|| {
                event.unwrap_or_else(|error| {
                    *over = true;
                    tracing::debug!("a stream failed: {}", error::chain(&error));
                    failed(&error)
                })
            });
            std::future::ready(item)
        })
        // Some layers poll a body after its end.
        .fuse()
}

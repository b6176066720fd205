//! Streams of events on the wire. A dialect decides what an event looks like, and how an error in the middle of a stream does.
//!
//! A failure after the first event cannot change the status any more, so it becomes the last event.
//! The deadline for a reader that stalls is kept by the connection ([`crate::watchdog`]). A stream that is dropped drops what it
//! holds, so a client that leaves ends its answer.

pub mod ndjson;
pub mod sse;

use futures::{Stream, StreamExt};

use crate::error::{self, Error};

/// The items of a stream up to its first error, which `failed` writes as the last item.
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
        // Some layers poll a body again after its end.
        .fuse()
}

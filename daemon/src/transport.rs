//! Streams of events on the wire. A dialect writes the events, and an error in the middle of a stream.
//!
//! The status of the response cannot change after the first event, so a later error becomes the last event.
//! [`crate::watchdog`] checks the deadline of a stalled reader. When a client disconnects, its stream is dropped, which cancels the
//! answer.

pub mod ndjson;
pub mod sse;

use futures::{Stream, StreamExt};

use crate::error::{self, Error};

/// The items of a stream up to its first error, which `failed` turns into the last item. The stream is dropped with its error,
/// so the answer behind it is cancelled before that item is written.
fn until_error<T>(
    events: impl Stream<Item = Result<T, Error>>,
    failed: impl Fn(&Error) -> T,
) -> impl Stream<Item = T> {
    futures::stream::unfold(Some((Box::pin(events), failed)), async |state| {
        let (mut events, failed) = state?;
        match events.next().await? {
            Ok(item) => Some((item, Some((events, failed)))),
            Err(error) => {
                tracing::debug!("a stream failed: {}", error::chain(&error));
                Some((failed(&error), None))
            }
        }
    })
    // Some layers poll a body after its end.
    .fuse()
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_with_its_error_though_its_source_goes_on() {
        let source = stream::iter([Ok(1), Err(Error::Internal)]).chain(stream::pending());
        let items: Vec<u32> = until_error(source, |_| 0).collect().await;
        assert_eq!(items, [1, 0]);
    }
}

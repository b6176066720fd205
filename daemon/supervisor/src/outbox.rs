//! Frames on their way to the runner.

use std::{collections::VecDeque, io};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::OwnedSemaphorePermit,
};

/// Most frames that wait; with more, no new requests are taken.
const ROOM: usize = 64;

/// Frames in order. The first may be partly sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    /// The first frame is partly sent.
    begun: bool,
    /// The runner reads no more.
    closed: bool,
}

/// One frame, with its share of the bytes that may wait for the runner.
#[derive(Debug)]
struct Frame {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Outbox {
    /// Whether another request may be taken. Cancels are always taken, because each open request has at most one.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < ROOM
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds a small frame of the supervisor itself.
    pub(super) fn push(&mut self, frame: impl Into<Bytes>) {
        self.add(frame.into(), None);
    }

    /// Adds a request. Its permit is released when it is sent or cleared.
    pub(super) fn push_request(&mut self, frame: Bytes, room: OwnedSemaphorePermit) {
        self.add(frame, Some(room));
    }

    fn add(&mut self, bytes: Bytes, room: Option<OwnedSemaphorePermit>) {
        if !self.closed {
            let frame = Frame { bytes, _room: room };
            self.frames.push_back(frame);
        }
    }

    /// Drops all frames that are not partly sent, so that the next frame goes out soon.
    pub(super) fn clear(&mut self) {
        self.frames.truncate(usize::from(self.begun));
    }

    /// Writes a part of the first frame. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the runner reads no more. From then on the outbox stays empty.
    pub(super) async fn write(&mut self, out: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let Some(first) = self.frames.front_mut() else {
            return Ok(());
        };
        match out.write_buf(&mut first.bytes).await {
            Ok(1..) => {
                self.begun = first.bytes.has_remaining();
                if !self.begun {
                    self.frames.pop_front();
                }
                Ok(())
            }
            end => {
                self.closed = true;
                self.frames.clear();
                Err(end.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{io::AsyncReadExt as _, sync::Semaphore};

    use super::*;

    #[tokio::test]
    async fn clearing_leaves_the_frame_that_is_half_sent() {
        let (mut ours, mut theirs) = tokio::io::duplex(3);
        let mut outbox = Outbox::default();
        outbox.push(&b"first"[..]);
        outbox.push(&b"second"[..]);
        outbox.write(&mut ours).await.unwrap();
        outbox.clear();
        outbox.push(&b"last"[..]);
        let written = async {
            while !outbox.is_empty() {
                outbox.write(&mut ours).await.unwrap();
            }
            drop(ours);
        };
        let mut text = String::new();
        let (_, read) = tokio::join!(written, theirs.read_to_string(&mut text));
        read.unwrap();
        assert_eq!(text, "firstlast");
    }

    #[tokio::test]
    async fn clearing_leaves_nothing_when_nothing_is_half_sent() {
        let mut outbox = Outbox::default();
        outbox.push(&b"first"[..]);
        outbox.clear();
        assert!(outbox.is_empty());
    }

    #[tokio::test]
    async fn frames_for_a_closed_socket_are_dropped() {
        let (mut ours, theirs) = tokio::io::duplex(3);
        drop(theirs);
        let mut outbox = Outbox::default();
        outbox.push(&b"first"[..]);
        outbox.write(&mut ours).await.unwrap_err();
        outbox.push(&b"second"[..]);
        assert!(outbox.is_empty());
    }

    #[tokio::test]
    async fn a_permit_is_released_when_its_request_is_sent_or_cleared() {
        let room = Arc::new(Semaphore::new(11));
        let take = |bytes| Arc::clone(&room).try_acquire_many_owned(bytes).unwrap();
        let (mut ours, _theirs) = tokio::io::duplex(64);
        let mut outbox = Outbox::default();
        outbox.push_request(Bytes::from_static(b"first"), take(5));
        outbox.push_request(Bytes::from_static(b"second"), take(6));
        outbox.write(&mut ours).await.unwrap();
        assert_eq!(room.available_permits(), 5);
        outbox.clear();
        assert_eq!(room.available_permits(), 11);
    }

    #[test]
    fn the_number_of_waiting_frames_is_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..ROOM {
            assert!(outbox.has_room());
            outbox.push(&b"frame"[..]);
        }
        assert!(!outbox.has_room());
    }
}

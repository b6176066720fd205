//! Frames on their way to the runner.

use std::{collections::VecDeque, io};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Frames that may wait before no new requests are taken.
const ROOM: usize = 64;

/// Whole frames in order, of which the first may be half sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Bytes>,
    /// The first frame lacks bytes that are sent already.
    begun: bool,
    /// The runner reads no more.
    closed: bool,
}

impl Outbox {
    /// Whether more requests may be taken. Cancels always may: there is one at most per open request.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < ROOM
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn push(&mut self, frame: impl Into<Bytes>) {
        if !self.closed {
            self.frames.push_back(frame.into());
        }
    }

    /// Forgets what was not begun, so that the next frame goes out as soon as may be.
    pub(super) fn clear(&mut self) {
        self.frames.truncate(usize::from(self.begun));
    }

    /// Writes a part of the first frame. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the runner reads no more; then the outbox stays empty for ever.
    pub(super) async fn write(&mut self, out: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let Some(first) = self.frames.front_mut() else {
            return Ok(());
        };
        match out.write_buf(first).await {
            Ok(1..) => {
                self.begun = first.has_remaining();
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
    use tokio::io::AsyncReadExt as _;

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
    async fn nothing_is_kept_for_somebody_who_reads_no_more() {
        let (mut ours, theirs) = tokio::io::duplex(3);
        drop(theirs);
        let mut outbox = Outbox::default();
        outbox.push(&b"first"[..]);
        outbox.write(&mut ours).await.unwrap_err();
        outbox.push(&b"second"[..]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn it_has_room_for_so_many_requests() {
        let mut outbox = Outbox::default();
        for _ in 0..ROOM {
            assert!(outbox.has_room());
            outbox.push(&b"frame"[..]);
        }
        assert!(!outbox.has_room());
    }
}

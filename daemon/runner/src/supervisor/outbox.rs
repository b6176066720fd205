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

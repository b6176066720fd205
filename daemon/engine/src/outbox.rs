//! Replies on their way from the engine to the daemon.

use std::{
    io::Write,
    sync::mpsc::{self, Receiver, SyncSender},
    time::Duration,
};

use runner_protocol::{Event, Failure, FailureKind, Reply, frame};

/// Most replies that wait for the socket. If the daemon does not read, senders wait, and memory does not grow.
const MAX_REPLIES: usize = 1024;

/// Frames that are ready together leave in one write, up to about so many bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// Sends replies; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(SyncSender<Reply>);

impl Outbox {
    /// Sends one event of the answer to a request; waits while the queue is full.
    pub(crate) fn send(&self, id: u64, event: Event) {
        // Fails only when the writer is gone, which means that the daemon is, and then this process is about to end.
        let _ = self.0.send(Reply { id, event });
    }

    /// Ends a request with a failure.
    pub(crate) fn fail(&self, id: u64, failure: impl Into<Failure>) {
        self.send(id, Event::Failed(failure.into()));
    }
}

/// A new outbox, and the work of the thread that empties it into `socket`.
pub(crate) fn new(socket: impl Write) -> (Outbox, impl FnOnce()) {
    let (sender, replies) = mpsc::sync_channel(MAX_REPLIES);
    (Outbox(sender), move || write_all(&replies, socket))
}

fn write_all(replies: &Receiver<Reply>, mut socket: impl Write) {
    let mut buffer = Vec::new();
    while let Ok(reply) = replies.recv() {
        append(&mut buffer, reply);
        while buffer.len() < WRITE_BYTES
            && let Ok(reply) = replies.try_recv()
        {
            append(&mut buffer, reply);
        }
        if let Err(error) = socket.write_all(&buffer) {
            tracing::debug!(%error, "the daemon reads no more");
            return;
        }
        buffer.clear();
    }
}

fn append(buffer: &mut Vec<u8>, reply: Reply) {
    let before = buffer.len();
    if let Err(error) = frame::write(buffer, &reply) {
        buffer.truncate(before);
        let failure = Failure::new(
            FailureKind::Invalid,
            format!("the answer cannot be sent: {error}"),
        );
        frame::write(
            buffer,
            &Reply {
                id: reply.id,
                event: Event::Failed(failure),
            },
        )
        .expect("a short text fits a frame");
    }
}

/// Tokens for the wire; a context has at most 2^20 of them.
pub(crate) fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Time for the wire.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_arrive_in_order() {
        let mut wire = Vec::new();
        let (outbox, write) = new(&mut wire);
        outbox.send(1, Event::Text("a".into()));
        outbox.send(2, Event::Text("b".into()));
        drop(outbox);
        write();
        let mut wire = wire.as_slice();
        for (id, text) in [(1, "a"), (2, "b")] {
            assert_eq!(
                frame::read::<Reply>(&mut wire).unwrap(),
                Reply {
                    id,
                    event: Event::Text(text.into())
                }
            );
        }
        assert!(wire.is_empty());
    }

    #[test]
    fn an_answer_too_large_for_a_frame_fails_instead() {
        let mut wire = Vec::new();
        let (outbox, write) = new(&mut wire);
        outbox.send(1, Event::Prompt("x".repeat(frame::MAX_FRAME).into()));
        drop(outbox);
        write();
        let reply: Reply = frame::read(&mut wire.as_slice()).unwrap();
        assert!(matches!(
            reply.event,
            Event::Failed(Failure {
                kind: FailureKind::Invalid,
                ..
            })
        ));
    }
}

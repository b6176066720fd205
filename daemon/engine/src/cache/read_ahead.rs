//! Saved states that a thread reads while the engine goes on with others.
//!
//! States are read one after the other, so that no two are in memory at once. Dropping a [`ReadAhead`] cancels its read: the thread
//! skips it, or throws the bytes away if it has begun.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use runner_protocol::state::{Damage, Saved};

use crate::system::worker::{MAX_JOBS, Ticket, Worker};

/// The bytes of a saved state, or why they cannot be used.
type Read = Result<Vec<u8>, Damage>;

/// The engine's side.
#[derive(Debug)]
pub(crate) struct Reader(Worker<Job>);

#[derive(Debug)]
struct Job {
    saved: Arc<Saved>,
    /// Takes the bytes, unless the read is cancelled.
    ahead: Weak<Mutex<Option<Read>>>,
}

/// The bytes of a saved state, as soon as they are read.
#[derive(Clone, Default)]
pub(crate) struct ReadAhead(Arc<Mutex<Option<Read>>>);

impl Reader {
    /// The engine's side, and the work of the thread. `done` is called after each read that was not cancelled.
    pub(crate) fn new(done: impl Fn() + Send) -> (Self, impl FnOnce() + Send) {
        let (worker, run) = Worker::new(MAX_JOBS, move || {
            move |Job { saved, ahead }: Job, _: &Ticket| {
                if ahead.strong_count() == 0 {
                    return;
                }
                let read = saved.read();
                if let Some(ahead) = ahead.upgrade() {
                    ReadAhead(ahead).finish(read);
                    done();
                }
            }
        });
        (Self(worker), run)
    }

    /// Begins to read and check a state.
    pub(crate) fn read(&self, saved: Arc<Saved>) -> ReadAhead {
        let ahead = ReadAhead::default();
        let job = Job {
            saved: Arc::clone(&saved),
            ahead: Arc::downgrade(&ahead.0),
        };
        if let Err(error) = self.0.queue(job, 0) {
            tracing::warn!(%error, "a saved state is read by the engine itself");
            ahead.finish(saved.read());
        }
        ahead
    }
}

impl ReadAhead {
    /// These are the bytes, or what is wrong with them.
    pub(super) fn finish(&self, read: Read) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
    }

    /// Whether it is read.
    pub(crate) fn is_ready(&self) -> bool {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.is_some()
    }

    /// Takes the bytes out; `None` before they are read.
    pub(crate) fn take(&self) -> Option<Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether there is another handle to it.
    #[cfg(test)]
    pub(super) fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead")
            .field("is_ready", &self.is_ready())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use runner_protocol::state::{Head, Writer};

    use super::*;

    #[test]
    fn a_cancelled_read_is_skipped() {
        let head = Head {
            model: "a".into(),
            build: "b".into(),
            adapters: Vec::new(),
            tokens: vec![1],
            bytes: 3,
        };
        let (mut writer, mut text) = Writer::begin(&head);
        assert!(writer.part(b"abc"));
        text.extend(b"abc");
        text.extend(writer.end());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        let saved = Arc::new(Saved::open(file).unwrap());

        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let (reader, run) = Reader::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        drop(reader.read(Arc::clone(&saved)));
        let wanted = reader.read(saved);
        assert!(!wanted.is_ready());
        drop(reader);
        run();
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert_eq!(wanted.take().unwrap().unwrap(), b"abc");
    }
}

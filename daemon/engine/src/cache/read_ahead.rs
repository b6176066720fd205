//! Saved states that are read by a thread, while the engine goes on with others.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use runner_protocol::state::{Damage, Saved};

use crate::system::threads;

/// The bytes of a saved state, or why they cannot be used.
type Read = Result<Vec<u8>, Damage>;

/// The bytes of a saved state, as soon as they are read.
#[derive(Clone, Default)]
pub(crate) struct ReadAhead(Arc<Mutex<Option<Read>>>);

impl ReadAhead {
    /// Begins to read and check a state. `done` is called when it is ready.
    pub(crate) fn start(saved: Arc<Saved>, done: impl FnOnce() + Send + 'static) -> Self {
        let ahead = Self::default();
        let reader = {
            let (ahead, saved) = (ahead.clone(), Arc::clone(&saved));
            move || {
                ahead.finish(saved.read());
                done();
            }
        };
        if let Err(error) = threads::detach("reader", reader) {
            tracing::warn!(%error, "no thread can be started to read a saved state");
            ahead.finish(saved.read());
        }
        ahead
    }

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
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead")
            .field("is_ready", &self.is_ready())
            .finish()
    }
}

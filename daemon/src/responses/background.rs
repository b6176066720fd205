//! The responses that are generated in the background.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Most responses in the background at a time.
const MAX: usize = 64;

/// The responses in the background, by their ids. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Background(Arc<Mutex<HashMap<String, Signals>>>);

/// The signals between a response and its clients.
#[derive(Debug, Clone, Default)]
struct Signals {
    cancel: CancellationToken,
    over: CancellationToken,
}

/// The place of a response in the background. The response is over when it is dropped.
#[derive(Debug)]
pub struct Place {
    background: Background,
    id: String,
    signals: Signals,
}

impl Place {
    /// Fires when a client cancels or removes the response.
    pub fn cancel(&self) -> &CancellationToken {
        &self.signals.cancel
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.background.lock().remove(&self.id);
        self.signals.over.cancel();
    }
}

impl Background {
    /// Reserves a place for the response of this id.
    pub(super) fn reserve(&self, id: &str) -> Result<Place, Error> {
        let signals = Signals::default();
        let mut running = self.lock();
        if running.len() >= MAX {
            return Err(Error::Busy {
                waiting: running.len(),
            });
        }
        running.insert(id.to_owned(), signals.clone());
        drop(running);
        Ok(Place {
            background: self.clone(),
            id: id.to_owned(),
            signals,
        })
    }

    /// Whether the response of this id has a place.
    pub(super) fn has(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// The ids of all responses that have a place.
    pub(super) fn ids(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Cancels the response of this id. Returns the token that fires when it is over.
    pub(super) fn cancel(&self, id: &str) -> Option<CancellationToken> {
        let signals = self.lock().get(id).cloned()?;
        signals.cancel.cancel();
        Some(signals.over)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Signals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_place_is_free_again() {
        let background = Background::default();
        let mut places: Vec<Place> = (0..MAX)
            .map(|id| background.reserve(&id.to_string()).unwrap())
            .collect();
        let full = background.reserve("more");
        assert!(matches!(full, Err(Error::Busy { waiting: MAX })));
        let over = background.cancel("7").unwrap();
        assert!(places[7].cancel().is_cancelled() && !over.is_cancelled());
        places.remove(7);
        assert!(over.is_cancelled() && !background.has("7"));
        assert!(background.cancel("7").is_none());
        assert_eq!(background.ids().len(), MAX - 1);
        background.reserve("more").unwrap();
    }
}

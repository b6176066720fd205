//! The queue between the task that owns a runner and one reader of one answer.
//!
//! The writing side never waits, because it serves all readers of the runner.
//! So the queue bounds itself:
//! - of progress ([`Event::Prefill`], [`Event::Loading`]) only the latest is kept;
//! - above [`CAPACITY`] deltas a new one is joined to the last, which loses no text;
//! - since when it is full, and how much text it holds, is there for the owner to see, who cancels the answer of a reader that sleeps.
//!
//! It always ends: a writing side that is dropped leaves [`Error::Stopped`] behind.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use tokio::{sync::Notify, time::Instant};

use super::error::Error;
use crate::protocol::{Delta, Event};

/// Deltas that wait for the reader before they are joined.
const CAPACITY: usize = 64;

/// Bytes of text that may wait for the reader at all; more than any context holds.
const MAX_UNREAD: usize = 4 * 1024 * 1024;

/// A queue; `departed` is notified when the reader cancels or leaves.
pub(super) fn channel(departed: Arc<Notify>) -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::default()),
        departed,
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

#[derive(Debug)]
struct Shared {
    /// Guards the few words between writer and reader; never held while anything else happens.
    state: Mutex<State>,
    departed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    progress: Option<Event>,
    deltas: VecDeque<Delta>,
    unread: usize,
    full_since: Option<Instant>,
    end: End,
    wants_cancel: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
enum End {
    /// More may come.
    #[default]
    Open,
    /// Nothing more comes, and the reader has not seen the end.
    Ended(Box<Result<Event, Error>>),
    /// The reader saw the end, or left.
    Over,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

/// A queue that its reader does not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Behind {
    /// Since when it is full.
    pub(super) since: Instant,
    /// Bytes of text that wait.
    pub(super) unread: usize,
}

impl Behind {
    /// Whether it holds more text than any queue may.
    pub(super) fn is_beyond_measure(self) -> bool {
        self.unread > MAX_UNREAD
    }
}

/// The writing side.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

impl Sender {
    /// Adds an event that is not the last.
    pub(super) fn push(&self, event: Event, now: Instant) {
        let mut state = self.0.state();
        if !matches!(state.end, End::Open) {
            return;
        }
        match event {
            Event::Delta(delta) => {
                state.unread += delta.text.len();
                if state.deltas.len() < CAPACITY {
                    state.deltas.push_back(delta);
                } else {
                    let last = state
                        .deltas
                        .back_mut()
                        .expect("a full queue has a last element");
                    last.text.push_str(&delta.text);
                    last.tokens = delta.tokens;
                    state.full_since.get_or_insert(now);
                }
            }
            progress => state.progress = Some(progress),
        }
        wake(state);
    }

    /// Ends the answer; only the first end counts.
    pub(super) fn end(&self, end: Result<Event, Error>) {
        let mut state = self.0.state();
        if matches!(state.end, End::Open) {
            state.end = End::Ended(Box::new(end));
            wake(state);
        }
    }

    /// Whether the reader wants no more of it.
    pub(super) fn wants_cancel(&self) -> bool {
        self.0.state().wants_cancel
    }

    /// Whether the reader is behind.
    pub(super) fn behind(&self) -> Option<Behind> {
        let state = self.0.state();
        matches!(state.end, End::Open).then_some(())?;
        Some(Behind {
            since: state.full_since?,
            unread: state.unread,
        })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end(Err(Error::Stopped));
    }
}

/// Wakes the reader, after the lock is free.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The reading side. Dropping it cancels the answer.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

impl Receiver {
    /// The next event; the last one is terminal or an error, and after it there is `None`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut state = self.0.state();
        if let Some(progress) = state.progress.take() {
            return Poll::Ready(Some(Ok(progress)));
        }
        if let Some(delta) = state.deltas.pop_front() {
            state.unread -= delta.text.len();
            state.full_since = None;
            return Poll::Ready(Some(Ok(Event::Delta(delta))));
        }
        match std::mem::replace(&mut state.end, End::Over) {
            End::Open => {
                state.end = End::Open;
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            End::Ended(end) => Poll::Ready(Some(*end)),
            End::Over => Poll::Ready(None),
        }
    }

    /// The next event, for a reader that stops at the last.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        std::future::poll_fn(|cx| self.poll(cx))
            .await
            .unwrap_or(Err(Error::Stopped))
    }

    /// Asks for the end of the answer, and stays.
    pub(super) fn cancel(&self) {
        let mut state = self.0.state();
        if matches!(state.end, End::Open) && !state.wants_cancel {
            state.wants_cancel = true;
            drop(state);
            self.0.departed.notify_one();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.cancel();
        let mut state = self.0.state();
        state.progress = None;
        state.deltas = VecDeque::new();
        state.end = End::Over;
    }
}

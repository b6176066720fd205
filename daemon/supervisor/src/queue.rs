//! The queue between the task of a runner and the reader of one answer.
//!
//! The sender never waits, because it serves all readers of the runner. So the queue bounds itself:
//! - It keeps [`Event::Started`] until it is read, and only the latest progress ([`Event::Prefill`], [`Event::Loading`]).
//! - A delta beyond [`CAPACITY`] is joined to the last one, which loses no text.
//! - It reports since when it is full and how much text it holds, so that the task can cancel the answer of a slow reader.
//!
//! It always has an end: a dropped sender leaves [`Error::Stopped`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use runner_protocol::{Delta, Event, Likelihood};
use tokio::{sync::Notify, time::Instant};

use super::error::Error;

/// Most deltas that wait for the reader.
const CAPACITY: usize = 64;

/// Most bytes of text that wait for the reader; more than a context holds.
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
    /// Held only to read and change the state.
    state: Mutex<State>,
    departed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    started: Option<Event>,
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

/// A full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Behind {
    /// Since when it is full.
    pub(super) since: Instant,
    /// Unread bytes.
    pub(super) unread: usize,
}

impl Behind {
    /// Whether it holds more text than a queue may.
    pub(super) fn is_over_limit(self) -> bool {
        self.unread > MAX_UNREAD
    }
}

/// The sender.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

impl Sender {
    /// Adds an event that is not terminal.
    pub(super) fn push(&self, event: Event, now: Instant) {
        let mut state = self.0.state();
        if !matches!(state.end, End::Open) {
            return;
        }
        match event {
            // The answer is about to be cancelled for this.
            Event::Delta(_) if state.unread > MAX_UNREAD => return,
            Event::Delta(delta) => {
                state.unread += size(&delta);
                if state.unread > MAX_UNREAD {
                    state.full_since.get_or_insert(now);
                }
                if state.deltas.len() < CAPACITY {
                    state.deltas.push_back(delta);
                } else {
                    let last = state
                        .deltas
                        .back_mut()
                        .expect("a full queue has a last element");
                    last.join(delta);
                    state.full_since.get_or_insert(now);
                }
            }
            started @ Event::Started { .. } => state.started = Some(started),
            progress => state.progress = Some(progress),
        }
        wake(state);
    }

    /// Ends the answer. Later ends are ignored.
    pub(super) fn end(&self, end: Result<Event, Error>) {
        let mut state = self.0.state();
        if matches!(state.end, End::Open) {
            state.end = End::Ended(Box::new(end));
            wake(state);
        }
    }

    /// Whether the reader cancelled or left.
    pub(super) fn wants_cancel(&self) -> bool {
        self.0.state().wants_cancel
    }

    /// How far the reader is behind, if the queue is full.
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

/// Releases the lock, then wakes the reader.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The receiver. Dropping it cancels the answer.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

impl Receiver {
    /// The next event. The last one is terminal or an error; after it comes `None`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut state = self.0.state();
        if let Some(first) = state.started.take().or_else(|| state.progress.take()) {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(delta) = state.deltas.pop_front() {
            state.unread -= size(&delta);
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

    /// The next event, for a reader that stops at the last one.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        std::future::poll_fn(|cx| self.poll(cx))
            .await
            .unwrap_or(Err(Error::Stopped))
    }

    /// Cancels the answer; its end still arrives.
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
        state.started = None;
        state.progress = None;
        state.deltas = VecDeque::new();
        state.end = End::Over;
    }
}

/// Approximate size of a delta in bytes: its text and its logprobs.
fn size(delta: &Delta) -> usize {
    let bytes = |likelihood: &Likelihood| size_of::<Likelihood>() + likelihood.bytes.len();
    let logprobs = delta.logprobs.iter();
    let all = logprobs.flat_map(|logprob| std::iter::once(&logprob.chosen).chain(&logprob.top));
    delta.bytes() + all.map(bytes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use runner_protocol::{Failure, FailureKind, Logprob};

    fn delta(text: &str, tokens: u32) -> Event {
        Event::Delta(Delta {
            text: text.to_owned(),
            tokens,
            ..Delta::default()
        })
    }

    fn failure() -> Error {
        Error::Failed(Failure::new(FailureKind::Internal, "it failed".to_owned()))
    }

    /// All that can be read now.
    fn drain(receiver: &mut Receiver) -> Vec<Result<Event, Error>> {
        let next = |receiver: &mut Receiver| {
            std::future::poll_fn(|cx| receiver.poll(cx))
                .now_or_never()
                .flatten()
        };
        std::iter::from_fn(|| next(receiver)).collect()
    }

    #[test]
    fn events_come_in_order_and_end_once() {
        let (sender, mut receiver) = channel(Arc::default());
        let now = Instant::now();
        sender.push(Event::Prefill { done: 1, total: 2 }, now);
        sender.push(Event::Prefill { done: 2, total: 2 }, now);
        sender.push(delta("a", 1), now);
        sender.end(Err(failure()));
        sender.end(Ok(Event::Text("a second end".to_owned())));
        sender.push(delta("after the end", 2), now);
        drop(sender);
        let events = drain(&mut receiver);
        assert!(
            matches!(
                &events[..],
                [
                    Ok(Event::Prefill { done: 2, .. }),
                    Ok(Event::Delta(_)),
                    Err(Error::Failed(_))
                ]
            ),
            "{events:?}"
        );
        assert!(matches!(
            receiver.poll(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(None)
        ));
    }

    #[test]
    fn a_dropped_sender_ends_the_queue() {
        let (sender, mut receiver) = channel(Arc::default());
        drop(sender);
        assert!(matches!(drain(&mut receiver)[..], [Err(Error::Stopped)]));
    }

    #[test]
    fn a_slow_reader_loses_no_text_and_the_queue_reports_since_when_it_is_full() {
        let (sender, mut receiver) = channel(Arc::default());
        let start = Instant::now();
        let capacity = u32::try_from(CAPACITY).unwrap();
        for tokens in 1..=capacity {
            sender.push(delta("x", tokens), start);
        }
        assert_eq!(sender.behind(), None, "full is not behind");
        let later = start + std::time::Duration::from_secs(1);
        sender.push(delta("y", capacity + 1), later);
        sender.push(
            delta("z", capacity + 2),
            later + std::time::Duration::from_secs(1),
        );
        assert_eq!(
            sender.behind(),
            Some(Behind {
                since: later,
                unread: CAPACITY + 2
            })
        );

        let mut events = drain(&mut receiver);
        assert_eq!(events.len(), CAPACITY);
        assert_eq!(sender.behind(), None, "it has caught up");
        let last = events.pop().unwrap().unwrap();
        assert_eq!(last, delta("xyz", capacity + 2));
    }

    #[test]
    fn logprobs_are_joined_and_counted() {
        let (sender, mut receiver) = channel(Arc::default());
        let now = Instant::now();
        let event = |token| {
            let chosen = Likelihood {
                token,
                bytes: b"word".to_vec(),
                logprob: -1.0,
            };
            Event::Delta(Delta {
                text: "x".to_owned(),
                tokens: 1,
                logprobs: vec![Logprob {
                    top: vec![chosen.clone()],
                    chosen,
                }],
                ..Delta::default()
            })
        };
        let count = i32::try_from(CAPACITY).unwrap() + 5;
        (0..count).for_each(|token| sender.push(event(token), now));
        let each = 1 + 2 * (4 + size_of::<Likelihood>());
        assert_eq!(sender.behind().unwrap().unread, (CAPACITY + 5) * each);

        let tokens: Vec<i32> = drain(&mut receiver)
            .into_iter()
            .flat_map(|event| match event {
                Ok(Event::Delta(delta)) => delta.logprobs,
                other => panic!("{other:?}"),
            })
            .map(|logprob| logprob.chosen.token)
            .collect();
        assert_eq!(tokens, (0..count).collect::<Vec<_>>());
        assert_eq!(sender.behind(), None);
    }

    #[test]
    fn text_beyond_the_limit_is_dropped() {
        let (sender, mut receiver) = channel(Arc::default());
        let now = Instant::now();
        for tokens in 1..=3 {
            sender.push(delta(&"x".repeat(MAX_UNREAD), tokens), now);
        }
        let behind = sender.behind().unwrap();
        assert!(behind.is_over_limit());
        assert_eq!(behind.unread, 2 * MAX_UNREAD);
        assert_eq!(drain(&mut receiver).len(), 2);
    }

    #[test]
    fn a_reader_that_leaves_or_cancels_notifies_the_owner() {
        let departed = Arc::new(Notify::new());
        let (sender, receiver) = channel(Arc::clone(&departed));
        assert!(departed.notified().now_or_never().is_none());
        receiver.cancel();
        assert!(sender.wants_cancel());
        assert!(departed.notified().now_or_never().is_some());
        drop(receiver);
        assert!(
            departed.notified().now_or_never().is_none(),
            "the owner is notified once"
        );
        sender.push(delta("to nobody", 1), Instant::now());
        assert_eq!(sender.0.state().unread, 0);

        let (sender, receiver) = channel(Arc::clone(&departed));
        sender.end(Err(failure()));
        drop(receiver);
        assert!(
            departed.notified().now_or_never().is_none(),
            "an answer that is over is not cancelled"
        );
    }
}

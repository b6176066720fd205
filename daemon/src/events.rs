//! The events of the daemon: what it loads, unloads and refuses, with the reason, and the states of jobs.
//!
//! The last [`KEPT`] events stay in memory, for `GET /slm/v1/why` and for clients that connect again. Each event also goes to the
//! clients of `GET /slm/v1/events`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Event, EventFacts, EventKind};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Events that stay in memory.
const KEPT: usize = 512;

/// Events that a slow client may be behind before it misses some.
const BEHIND: usize = 256;

/// The events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    recent: Mutex<Recent>,
    sender: broadcast::Sender<Event>,
    /// Cancelled when the streams are to end.
    end: CancellationToken,
}

/// The last events, the oldest first.
#[derive(Debug, Default)]
struct Recent {
    last: u64,
    events: VecDeque<Event>,
}

impl Events {
    /// No events. The streams end when `end` is cancelled.
    pub fn new(end: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            recent: Mutex::default(),
            sender: broadcast::channel(BEHIND).0,
            end,
        }))
    }

    /// Records an event now. A refusal that follows a refusal of the same model is left out, as clients try again many times.
    pub fn record(
        &self,
        model: &impl ToString,
        kind: EventKind,
        text: impl Into<String>,
        facts: EventFacts,
    ) {
        let model = model.to_string();
        let mut recent = self.recent();
        let mut others = recent.events.iter().rev();
        let before = others.find(|event| event.model == model && event.kind != EventKind::Job);
        let repeats = before.is_some_and(|event| event.kind == EventKind::Refused);
        if kind == EventKind::Refused && repeats {
            return;
        }
        recent.last += 1;
        let event = Event {
            id: recent.last,
            at: Timestamp::now(),
            kind,
            model,
            text: text.into(),
            facts,
        };
        if recent.events.len() == KEPT {
            recent.events.pop_front();
        }
        recent.events.push_back(event.clone());
        // Within the lock, so that `listen` gets each event once. Without clients it fails.
        let _ = self.0.sender.send(event);
    }

    /// The kept events of the models whose names `is_meant` accepts, without jobs.
    pub fn decisions(&self, is_meant: impl Fn(&str) -> bool) -> Vec<Event> {
        let recent = self.recent();
        let events = recent.events.iter();
        events
            .filter(|event| event.kind != EventKind::Job && is_meant(&event.model))
            .cloned()
            .collect()
    }

    /// The events from now on, or the kept events after the one with the id `after` and then those from now on.
    pub fn listen(&self, after: Option<u64>) -> impl Stream<Item = Event> + Send + use<> {
        let recent = self.recent();
        let news = self.0.sender.subscribe();
        let kept = after.map_or_else(Vec::new, |after| recent.after(after));
        drop(recent);
        let news = stream::unfold(news, |mut news| async move {
            let event = match news.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(count)) => missed(count),
                Err(RecvError::Closed) => return None,
            };
            Some((event, news))
        });
        let end = self.0.end.clone().cancelled_owned();
        stream::iter(kept).chain(news).take_until(end)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    /// The kept events after this id. An id that is not given yet is one of an earlier daemon, and all are new.
    fn after(&self, id: u64) -> Vec<Event> {
        let id = if id > self.last { 0 } else { id };
        let oldest = self.events.front().map_or(1, |event| event.id);
        let lost = oldest.saturating_sub(id + 1);
        let kept = self.events.iter().filter(|event| event.id > id).cloned();
        (lost > 0)
            .then(|| missed(lost))
            .into_iter()
            .chain(kept)
            .collect()
    }
}

/// Says that this many events were left out. It has no id.
fn missed(count: u64) -> Event {
    Event {
        id: 0,
        at: Timestamp::now(),
        kind: EventKind::Missed,
        model: String::new(),
        text: format!("{count} events were left out"),
        facts: EventFacts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Events {
        Events::new(CancellationToken::new())
    }

    fn record(events: &Events, model: &str, kind: EventKind) {
        events.record(&model, kind, "", EventFacts::default());
    }

    async fn ids(stream: impl Stream<Item = Event>, count: usize) -> Vec<u64> {
        stream.take(count).map(|event| event.id).collect().await
    }

    #[tokio::test]
    async fn a_client_gets_each_event_once() {
        let events = events();
        record(&events, "a", EventKind::Loading);
        let (new, all) = (events.listen(None), events.listen(Some(0)));
        record(&events, "b", EventKind::Loading);
        assert_eq!(ids(new, 1).await, [2]);
        assert_eq!(ids(all, 2).await, [1, 2]);
        assert_eq!(ids(events.listen(Some(1)), 1).await, [2]);
        // The id comes from a daemon that ran longer.
        assert_eq!(ids(events.listen(Some(9)), 2).await, [1, 2]);
    }

    #[tokio::test]
    async fn a_client_that_misses_events_is_told() {
        let events = events();
        let slow = events.listen(None);
        for _ in 0..KEPT + 1 {
            record(&events, "a", EventKind::Loading);
        }
        let mut slow = Box::pin(slow);
        let first = slow.next().await.unwrap();
        assert_eq!(first.kind, EventKind::Missed);
        assert_eq!(first.text, "257 events were left out");
        assert_eq!(slow.next().await.unwrap().id, 258);
        let late = events.listen(Some(0));
        assert_eq!(ids(late, 2).await, [0, 2]);
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_daemon() {
        let end = CancellationToken::new();
        let events = Events::new(end.clone());
        let stream = events.listen(None);
        end.cancel();
        assert_eq!(stream.count().await, 0);
    }

    #[test]
    fn repeated_refusals_are_one_event() {
        let events = events();
        for kind in [
            EventKind::Refused,
            EventKind::Job,
            EventKind::Refused,
            EventKind::Loading,
            EventKind::Refused,
        ] {
            record(&events, "a", kind);
            record(&events, "b", kind);
        }
        let kinds = events
            .decisions(|model| model == "a")
            .into_iter()
            .map(|event| event.kind);
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [EventKind::Refused, EventKind::Loading, EventKind::Refused]
        );
        assert_eq!(events.decisions(|_| true).len(), 6);
    }
}

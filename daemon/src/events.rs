//! The events of the daemon: what it loads, unloads and refuses, with the reason, and the states of jobs.
//!
//! The last events stay in memory, for `GET /slm/v1/why` and for clients that connect again. Each event also goes to the clients of
//! `GET /slm/v1/events`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Event, EventFacts, EventKind};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Events of models that stay in memory, and as many of jobs.
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

/// The last events, the oldest first. Jobs and changed settings are apart, so that many of them do not push out the decisions about models.
#[derive(Debug)]
struct Recent {
    /// The id of the last event.
    last: u64,
    /// The highest id of an event that is not kept.
    dropped: u64,
    models: VecDeque<Event>,
    jobs: VecDeque<Event>,
}

impl Events {
    /// No events. The streams end when `end` is cancelled.
    ///
    /// Ids begin with the time in milliseconds, so that they grow over restarts: a client tells them to a later daemon.
    pub fn new(end: CancellationToken) -> Self {
        let now = Timestamp::now().as_millisecond();
        Self::after(end, u64::try_from(now).unwrap_or(0))
    }

    fn after(end: CancellationToken, last: u64) -> Self {
        let recent = Recent {
            last,
            dropped: last,
            models: VecDeque::new(),
            jobs: VecDeque::new(),
        };
        Self(Arc::new(Inner {
            recent: Mutex::new(recent),
            sender: broadcast::channel(BEHIND).0,
            end,
        }))
    }

    /// Records an event now. A refusal that follows one of the same model with the same code is left out, as clients try again many
    /// times.
    pub fn record(
        &self,
        model: &impl ToString,
        kind: EventKind,
        text: impl Into<String>,
        facts: EventFacts,
    ) {
        let model = model.to_string();
        let mut recent = self.recent();
        let mut before = recent.models.iter().rev();
        let before = before.find(|event| event.model == model);
        let repeats = |event: &Event| event.kind == kind && event.facts.code == facts.code;
        if kind == EventKind::Refused && before.is_some_and(repeats) {
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
        recent.keep(event.clone());
        // Within the lock, so that `listen` gets each event once. Without clients it fails.
        let _ = self.0.sender.send(event);
    }

    /// The kept events of the models whose names `is_meant` accepts, without jobs.
    pub fn decisions(&self, is_meant: impl Fn(&str) -> bool) -> Vec<Event> {
        let recent = self.recent();
        let events = recent.models.iter();
        events
            .filter(|event| is_meant(&event.model))
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
                Err(RecvError::Lagged(_)) => missed(),
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
    fn keep(&mut self, event: Event) {
        let events = match event.kind {
            EventKind::Job | EventKind::Configured | EventKind::ConfigRefused => &mut self.jobs,
            _ => &mut self.models,
        };
        if events.len() == KEPT
            && let Some(oldest) = events.pop_front()
        {
            self.dropped = self.dropped.max(oldest.id);
        }
        events.push_back(event);
    }

    /// The kept events after this id. After an id that no event has yet, all are new: the clock was set back.
    fn after(&self, id: u64) -> Vec<Event> {
        let id = if id > self.last { 0 } else { id };
        let kept = self.models.iter().chain(&self.jobs);
        let mut events: Vec<Event> = kept.filter(|event| event.id > id).cloned().collect();
        events.sort_by_key(|event| event.id);
        if id < self.dropped {
            events.insert(0, missed());
        }
        events
    }
}

/// Says that events were left out. It has no id.
fn missed() -> Event {
    Event {
        id: 0,
        at: Timestamp::now(),
        kind: EventKind::Missed,
        model: String::new(),
        text: "events were left out".to_owned(),
        facts: EventFacts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Events {
        Events::after(CancellationToken::new(), 100)
    }

    fn record(events: &Events, model: &str, kind: EventKind) {
        events.record(&model, kind, "", EventFacts::default());
    }

    fn refuse(events: &Events, model: &str, code: &str) {
        let facts = EventFacts {
            code: Some(code.to_owned()),
            ..EventFacts::default()
        };
        events.record(&model, EventKind::Refused, "", facts);
    }

    async fn ids(stream: impl Stream<Item = Event>, count: usize) -> Vec<u64> {
        stream.take(count).map(|event| event.id).collect().await
    }

    #[tokio::test]
    async fn a_client_gets_each_event_once() {
        let events = events();
        record(&events, "a", EventKind::Loading);
        let (new, all) = (events.listen(None), events.listen(Some(100)));
        record(&events, "b", EventKind::Job);
        record(&events, "b", EventKind::Loading);
        assert_eq!(ids(new, 2).await, [102, 103]);
        assert_eq!(ids(all, 3).await, [101, 102, 103]);
        assert_eq!(ids(events.listen(Some(101)), 2).await, [102, 103]);
    }

    #[tokio::test]
    async fn a_client_of_an_earlier_daemon_is_told_that_it_missed_events() {
        let events = events();
        record(&events, "a", EventKind::Loading);
        assert_eq!(ids(events.listen(Some(50)), 2).await, [0, 101]);
        // The clock was set back.
        assert_eq!(ids(events.listen(Some(500)), 2).await, [0, 101]);
    }

    #[tokio::test]
    async fn a_client_that_misses_events_is_told() {
        let events = events();
        let slow = events.listen(None);
        for _ in 0..=KEPT {
            record(&events, "a", EventKind::Loading);
        }
        assert_eq!(ids(slow, 2).await, [0, 101 + 257]);
        assert_eq!(ids(events.listen(Some(100)), 2).await, [0, 102]);
        assert_eq!(ids(events.listen(Some(101)), 1).await, [102]);
    }

    #[test]
    fn jobs_push_out_no_decision() {
        let events = events();
        record(&events, "a", EventKind::Loading);
        for _ in 0..=KEPT {
            record(&events, "a", EventKind::Job);
        }
        assert_eq!(events.decisions(|_| true).len(), 1);
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
        for code in ["busy", "busy", "all_pinned"] {
            refuse(&events, "a", code);
            refuse(&events, "b", code);
            record(&events, "a", EventKind::Job);
        }
        record(&events, "a", EventKind::Loading);
        refuse(&events, "a", "all_pinned");
        let seen = events.decisions(|model| model == "a").into_iter();
        let codes: Vec<_> = seen.map(|event| event.facts.code).collect();
        let code = |text: &str| Some(text.to_owned());
        assert_eq!(
            codes,
            [code("busy"), code("all_pinned"), None, code("all_pinned")]
        );
    }
}

//! The open requests of one runner, and whether it makes progress on them.

use std::{collections::HashMap, time::Duration};

use runner_protocol::{Call, Event, FailureKind, MAX_STATES, Reply, StateOutcome};
use tokio::{sync::watch, time::Instant};

use super::{
    error::{Error, Violation},
    program::Options,
    queue::Sender,
};

/// Most open requests of one runner, far above what the scheduler sends.
const MAX_OPEN: usize = 1024;

/// Kinds of calls with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Load,
    Generate,
    Tokenize,
    Detokenize,
    Template,
    Embed,
    Rerank,
    Stats,
    HostCacheSetup,
    ExportState,
    StatePart,
}

/// What a runner did with its saved states. Bit n stands for the n-th state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateOutcomes {
    /// States that a sequence continued from.
    pub used: u64,
    /// States that were refused.
    pub refused: u64,
}

// One bit for each state.
const _: () = assert!(MAX_STATES <= u64::BITS as usize);

impl Kind {
    /// The kind of this call.
    ///
    /// # Panics
    /// For a call without an answer, which no handle sends.
    pub(super) fn of(call: &Call) -> Self {
        match call {
            Call::Load(_) => Self::Load,
            Call::Generate(_) => Self::Generate,
            Call::Tokenize(_) => Self::Tokenize,
            Call::Detokenize(_) => Self::Detokenize,
            Call::Template(_) => Self::Template,
            Call::Embed(_) => Self::Embed,
            Call::Rerank(_) => Self::Rerank,
            Call::Stats => Self::Stats,
            Call::HostCacheSetup(_) => Self::HostCacheSetup,
            Call::ExportState(_) => Self::ExportState,
            Call::StatePart { .. } => Self::StatePart,
            Call::Cancel { .. } | Call::Shutdown => {
                unreachable!("no handle waits for the answer to {call:?}")
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Generate => "generate",
            Self::Tokenize => "tokenize",
            Self::Detokenize => "detokenize",
            Self::Template => "template",
            Self::Embed => "embed",
            Self::Rerank => "rerank",
            Self::Stats => "stats",
            Self::HostCacheSetup => "host-cache-setup",
            Self::ExportState => "export-state",
            Self::StatePart => "state-part",
        }
    }

    /// Whether the answer to such a call may have this event.
    fn allows(self, event: &Event) -> bool {
        match event {
            Event::Loading { .. } | Event::Loaded(_) => self == Self::Load,
            Event::Prefill { .. } => self.is_work(),
            Event::Started { .. }
            | Event::EncodingImages { .. }
            | Event::Delta(_)
            | Event::Done(_) => self == Self::Generate,
            Event::Tokens(_) => self == Self::Tokenize,
            Event::Text(_) => self == Self::Detokenize,
            Event::Prompt(_) => self == Self::Template,
            Event::Embeddings(_) => self == Self::Embed,
            Event::Scores(_) => self == Self::Rerank,
            Event::Stats(_) => self == Self::Stats,
            Event::HostCacheReady { .. } => self == Self::HostCacheSetup,
            Event::State(_) => self == Self::ExportState,
            Event::StatePart(_) => self == Self::StatePart,
            Event::StateOutcome { .. } => false,
            Event::Failed(_) => true,
        }
    }

    /// Whether it takes long, reports progress, and can be cancelled.
    fn is_work(self) -> bool {
        matches!(self, Self::Generate | Self::Embed | Self::Rerank)
    }

    /// The clock that its events reset.
    fn work(self) -> Work {
        match self {
            Self::Load => Work::Load,
            Self::Generate | Self::Embed | Self::Rerank => Work::Generate,
            Self::Tokenize | Self::Detokenize | Self::Template | Self::Stats => Work::Short,
            Self::HostCacheSetup | Self::ExportState | Self::StatePart => Work::Short,
        }
    }
}

/// Kinds of work, each with its own clock.
///
/// A runner whose engine hangs may still answer short calls, so only progress of an answer proves that answers are computed.
#[derive(Debug, Clone, Copy)]
enum Work {
    Load,
    Generate,
    Short,
}

/// The number of such requests, and the time of their last progress.
#[derive(Debug, Clone, Copy)]
struct Clock {
    open: usize,
    since: Instant,
}

#[derive(Debug)]
struct Pending {
    kind: Kind,
    queue: Sender,
    cancelled: bool,
    /// Its progress, as last reported.
    mark: Option<Mark>,
}

/// The progress of an answer. Only an event that changes it is a sign of life: an engine in an endless loop reports the same
/// progress again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The bits of the share.
    Loading(u32),
    Prefill(u32),
    EncodingImages(u64),
    Tokens(u32),
}

impl Mark {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Loading { fraction } => Some(Self::Loading(fraction.to_bits())),
            Event::Started { cached_tokens, .. } => Some(Self::Prefill(*cached_tokens)),
            Event::Prefill { done, .. } => Some(Self::Prefill(*done)),
            Event::EncodingImages { steps } => Some(Self::EncodingImages(*steps)),
            Event::Delta(delta) => Some(Self::Tokens(delta.tokens)),
            _ => None,
        }
    }
}

/// All open requests of one runner.
#[derive(Debug)]
pub(super) struct Table {
    options: Options,
    open: HashMap<u64, Pending>,
    clocks: [Clock; 3],
    outcomes: watch::Sender<StateOutcomes>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(options: Options, now: Instant) -> Self {
        Self {
            options,
            open: HashMap::new(),
            clocks: [Clock {
                open: 0,
                since: now,
            }; 3],
            outcomes: watch::Sender::default(),
        }
    }

    /// What the runner does with its saved states.
    pub(super) fn state_outcomes(&self) -> watch::Receiver<StateOutcomes> {
        self.outcomes.subscribe()
    }

    /// Adds a request, unless its reader has left or the table is full. True when the request is to be sent.
    pub(super) fn admit(&mut self, id: u64, kind: Kind, queue: Sender, now: Instant) -> bool {
        if queue.wants_cancel() {
            return false;
        }
        if self.open.len() >= MAX_OPEN {
            let message = format!("this model has {MAX_OPEN} open requests; try again later");
            queue.end(Err(Error::refused(FailureKind::Busy, message)));
            return false;
        }
        let clock = &mut self.clocks[kind.work() as usize];
        if clock.open == 0 {
            clock.since = now;
        }
        clock.open += 1;
        self.open.insert(
            id,
            Pending {
                kind,
                queue,
                cancelled: false,
                mark: None,
            },
        );
        true
    }

    /// Passes an event to its reader.
    pub(super) fn reply(
        &mut self,
        Reply { id, event }: Reply,
        now: Instant,
    ) -> Result<(), Violation> {
        if let (0, Event::StateOutcome { state, outcome }) = (id, &event) {
            return self.outcome(*state, *outcome);
        }
        let pending = self.open.get_mut(&id).ok_or(Violation::NotOpen(id))?;
        let kind = pending.kind;
        if !kind.allows(&event) {
            return Err(Violation::OutOfPlace {
                event: name(&event),
                call: kind.name(),
            });
        }
        let mark = Mark::of(&event);
        if mark.is_none() || mark != pending.mark {
            pending.mark = mark;
            self.clocks[kind.work() as usize].since = now;
        }
        if matches!(event, Event::EncodingImages { .. }) {
            // A sign of life, but no part of the answer.
            return Ok(());
        }
        if !event.is_terminal() {
            pending.queue.push(event, now);
            return Ok(());
        }
        pending.queue.end(match event {
            Event::Failed(failure) => Err(Error::Failed(failure)),
            event => Ok(event),
        });
        self.open.remove(&id);
        self.clocks[kind.work() as usize].open -= 1;
        if kind == Kind::Load {
            // Requests that waited for the load start their clocks now.
            self.clocks.iter_mut().for_each(|clock| clock.since = now);
        }
        Ok(())
    }

    fn outcome(&mut self, state: u32, outcome: StateOutcome) -> Result<(), Violation> {
        if state as usize >= MAX_STATES {
            return Err(Violation::NoState(state));
        }
        self.outcomes.send_if_modified(|outcomes| {
            let before = *outcomes;
            match outcome {
                StateOutcome::Used => outcomes.used |= 1 << state,
                StateOutcome::Refused => outcomes.refused |= 1 << state,
            }
            *outcomes != before
        });
        Ok(())
    }

    /// Answers to cancel in the runner, because their readers cancelled, left or are too slow. Each is returned once.
    ///
    /// Only work is cancelled: other calls are short, or useful to the next caller.
    pub(super) fn cancels(&mut self, now: Instant) -> Vec<u64> {
        let patience = self.options.patience;
        let mut ids = Vec::new();
        for (&id, pending) in self
            .open
            .iter_mut()
            .filter(|(_, pending)| pending.kind.is_work() && !pending.cancelled)
        {
            if let Some(behind) = pending.queue.behind()
                && (behind.is_over_limit() || now >= after(behind.since, patience))
            {
                let seconds = (now - behind.since).as_secs();
                pending.queue.end(Err(Error::Slow {
                    seconds,
                    unread: behind.unread,
                }));
            } else if !pending.queue.wants_cancel() {
                continue;
            }
            pending.cancelled = true;
            ids.push(id);
        }
        ids
    }

    /// When [`Table::cancels`] or [`Table::stalled`] is due next, if no event arrives before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let sleepers = self
            .open
            .values()
            .filter(|pending| !pending.cancelled)
            .filter_map(|pending| {
                let behind = pending.queue.behind()?;
                Some(if behind.is_over_limit() {
                    behind.since
                } else {
                    after(behind.since, self.options.patience)
                })
            });
        sleepers
            .chain(self.silences().map(|(since, limit)| after(since, limit)))
            .min()
    }

    /// How long the runner has shown no progress, if that is too long.
    pub(super) fn stalled(&self, now: Instant) -> Option<Duration> {
        self.silences()
            .find(|&(since, limit)| now >= after(since, limit))
            .map(|(since, _)| now - since)
    }

    /// Ends all open requests with this error.
    pub(super) fn fail_all(&mut self, error: &Error) {
        for (_, pending) in self.open.drain() {
            pending.queue.end(Err(error.clone()));
        }
        self.clocks.iter_mut().for_each(|clock| clock.open = 0);
    }

    /// The clocks of open work, each with its limit. While a model loads, only the clock of the load counts.
    fn silences(&self) -> impl Iterator<Item = (Instant, Duration)> {
        let [load, generate, short] = self.clocks;
        let loading = load.open > 0;
        let running = [
            (load, self.options.load_silence, true),
            (generate, self.options.silence, !loading),
            (short, self.options.silence, !loading),
        ];
        running
            .into_iter()
            .filter(|(clock, _, counts)| *counts && clock.open > 0)
            .map(|(clock, limit, _)| (clock.since, limit))
    }
}

/// `start` plus `time`, at most thirty years, because an `Instant` overflows with a timeout that means "never".
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    start + time.min(LONG)
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Loading { .. } => "loading",
        Event::Started { .. } => "started",
        Event::Prefill { .. } => "prefill",
        Event::EncodingImages { .. } => "encoding-images",
        Event::Delta(_) => "delta",
        Event::Loaded(_) => "loaded",
        Event::Done(_) => "done",
        Event::Tokens(_) => "tokens",
        Event::Text(_) => "text",
        Event::Prompt(_) => "prompt",
        Event::Embeddings(_) => "embeddings",
        Event::Scores(_) => "scores",
        Event::Stats(_) => "stats",
        Event::HostCacheReady { .. } => "host-cache-ready",
        Event::State(_) => "state",
        Event::StatePart(_) => "state-part",
        Event::StateOutcome { .. } => "state-outcome",
        Event::Failed(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::{self, Receiver};
    use runner_protocol::Stats;

    const SECOND: Duration = Duration::from_secs(1);

    struct Fixture {
        table: Table,
        now: Instant,
        readers: Vec<Receiver>,
    }

    impl Fixture {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                table: Table::new(Options::default(), now),
                now,
                readers: Vec::new(),
            }
        }

        fn open(&mut self, id: u64, kind: Kind) {
            let (sender, receiver) = queue::channel(Arc::default());
            assert!(self.table.admit(id, kind, sender, self.now));
            self.readers.push(receiver);
        }

        fn reply(&mut self, id: u64, event: Event) -> Result<(), Violation> {
            self.table.reply(Reply { id, event }, self.now)
        }

        fn silent_for(&mut self, time: Duration) -> Option<u64> {
            self.now += time;
            self.table
                .stalled(self.now)
                .map(|silence| silence.as_secs())
        }
    }

    fn stats() -> Event {
        Event::Stats(Stats {
            active: 0,
            waiting: 0,
            cells_used: 0,
            resident_bytes: 0,
        })
    }

    #[test]
    fn a_reply_must_belong_to_an_open_request_of_its_kind() {
        let mut fixture = Fixture::new();
        assert!(matches!(
            fixture.reply(1, stats()),
            Err(Violation::NotOpen(1))
        ));
        fixture.open(1, Kind::Stats);
        assert!(matches!(
            fixture.reply(1, Event::Tokens(Vec::new())),
            Err(Violation::OutOfPlace {
                event: "tokens",
                call: "stats"
            })
        ));
        fixture.reply(1, stats()).unwrap();
        assert!(
            matches!(fixture.reply(1, stats()), Err(Violation::NotOpen(1))),
            "it ends once"
        );
    }

    #[test]
    fn reports_on_saved_states_belong_to_no_request() {
        let mut fixture = Fixture::new();
        let outcome = |state, outcome| Event::StateOutcome { state, outcome };
        let mut outcomes = fixture.table.state_outcomes();
        fixture.reply(0, outcome(3, StateOutcome::Used)).unwrap();
        fixture
            .reply(0, outcome(63, StateOutcome::Refused))
            .unwrap();
        let expected = StateOutcomes {
            used: 1 << 3,
            refused: 1 << 63,
        };
        assert_eq!(*outcomes.borrow_and_update(), expected);
        fixture.reply(0, outcome(3, StateOutcome::Used)).unwrap();
        assert!(
            !outcomes.has_changed().unwrap(),
            "a repeated report changes nothing"
        );
        for state in [64, u32::MAX] {
            assert!(matches!(
                fixture.reply(0, outcome(state, StateOutcome::Used)),
                Err(Violation::NoState(_))
            ));
        }
        assert!(matches!(
            fixture.reply(1, outcome(3, StateOutcome::Used)),
            Err(Violation::NotOpen(1))
        ));
        fixture.open(1, Kind::Generate);
        assert!(matches!(
            fixture.reply(1, outcome(3, StateOutcome::Used)),
            Err(Violation::OutOfPlace {
                event: "state-outcome",
                ..
            })
        ));
    }

    #[test]
    fn each_kind_of_work_has_its_own_clock() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.silent_for(1000 * SECOND), None);
        assert_eq!(fixture.table.deadline(), None);
        fixture.open(1, Kind::Generate);
        assert_eq!(fixture.table.deadline(), Some(fixture.now + 60 * SECOND));
        assert_eq!(fixture.silent_for(59 * SECOND), None);
        fixture
            .reply(1, Event::Prefill { done: 1, total: 2 })
            .unwrap();
        assert_eq!(fixture.silent_for(30 * SECOND), None);
        fixture.open(2, Kind::Stats);
        fixture.reply(2, stats()).unwrap();
        assert_eq!(
            fixture.silent_for(30 * SECOND),
            Some(60),
            "a short answer is no token"
        );
    }

    #[test]
    fn encoding_images_counts_as_progress() {
        let mut fixture = Fixture::new();
        fixture.open(1, Kind::Generate);
        for steps in 1..4 {
            fixture.reply(1, Event::EncodingImages { steps }).unwrap();
            assert_eq!(fixture.silent_for(59 * SECOND), None);
        }
        fixture
            .reply(1, Event::EncodingImages { steps: 3 })
            .unwrap();
        assert_eq!(
            fixture.silent_for(SECOND),
            Some(60),
            "repeated progress is none"
        );
        fixture.open(2, Kind::Stats);
        assert!(
            fixture
                .reply(2, Event::EncodingImages { steps: 1 })
                .is_err()
        );
    }

    #[test]
    fn repeated_progress_is_no_progress() {
        let mut fixture = Fixture::new();
        fixture.open(1, Kind::Generate);
        let word = |tokens| {
            Event::Delta(runner_protocol::Delta {
                text: "a".to_owned(),
                tokens,
                ..runner_protocol::Delta::default()
            })
        };
        let stuck = Event::Prefill { done: 5, total: 9 };
        for event in [stuck.clone(), stuck.clone(), stuck] {
            fixture.reply(1, event).unwrap();
            assert!(
                fixture
                    .silent_for(20 * SECOND)
                    .is_none_or(|silence| silence == 60)
            );
        }
        assert_eq!(fixture.silent_for(Duration::ZERO), Some(60));
        for event in [word(1), word(2), word(3)] {
            fixture.reply(1, event).unwrap();
            assert_eq!(fixture.silent_for(59 * SECOND), None);
        }
    }

    #[test]
    fn while_a_model_loads_only_the_load_has_a_deadline() {
        let mut fixture = Fixture::new();
        fixture.open(1, Kind::Load);
        fixture.open(2, Kind::Stats);
        assert_eq!(fixture.silent_for(119 * SECOND), None);
        fixture.reply(1, Event::Loading { fraction: 0.5 }).unwrap();
        assert_eq!(fixture.silent_for(119 * SECOND), None);
        let failure = runner_protocol::Failure::new(FailureKind::Unsupported, String::new());
        fixture.reply(1, Event::Failed(failure)).unwrap();
        assert_eq!(
            fixture.silent_for(59 * SECOND),
            None,
            "its clock starts after the load"
        );
        assert_eq!(fixture.silent_for(SECOND), Some(60));
    }

    #[test]
    fn only_long_calls_are_cancelled_and_once() {
        let mut fixture = Fixture::new();
        fixture.open(1, Kind::Generate);
        fixture.open(2, Kind::Tokenize);
        fixture.open(3, Kind::Embed);
        fixture.readers.clear();
        let mut cancels = fixture.table.cancels(fixture.now);
        cancels.sort_unstable();
        assert_eq!(cancels, [1, 3]);
        assert!(fixture.table.cancels(fixture.now).is_empty());
    }

    #[test]
    fn the_number_of_open_requests_is_bounded() {
        let mut fixture = Fixture::new();
        for id in 0..MAX_OPEN as u64 {
            fixture.open(id, Kind::Stats);
        }
        let (sender, mut receiver) = queue::channel(Arc::default());
        assert!(
            !fixture
                .table
                .admit(u64::MAX, Kind::Stats, sender, fixture.now)
        );
        let refused = futures::executor::block_on(receiver.next());
        assert!(
            matches!(refused, Err(Error::Failed(failure)) if failure.kind == FailureKind::Busy)
        );
    }

    #[test]
    fn a_request_without_a_reader_is_not_sent() {
        let mut fixture = Fixture::new();
        let (sender, receiver) = queue::channel(Arc::default());
        drop(receiver);
        assert!(!fixture.table.admit(1, Kind::Generate, sender, fixture.now));
    }
}

//! Which bytes of a blob are requested next, over how many connections, and when the transfer fails: a state machine without a network.
//!
//! A *run* is the range of one connection, as far as it is still missing. Runs are given out front to back, so that the hash, which
//! needs the bytes in order, follows closely. The bytes of a connection that ends are kept, and the rest of its run is requested
//! again. When nothing is left to request, the longest run is halved, so that the last bytes do not wait for one connection.
//!
//! - A connection without a byte for [`STALL`] is replaced, and so is a connection that is ten times slower than the best.
//! - After a failure comes a pause, which doubles with each failure in a row; new bytes reset the count.
//! - After [`MOST_FAILURES`] failures in a row, or [`PATIENCE`] without enough progress, the transfer fails. The received bytes stay.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use rangemap::RangeSet;

/// How long a connection may stall.
pub(super) const STALL: Duration = Duration::from_secs(10);
/// How long a transfer may go without progress, not counting waits that the server asked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that count as progress within that time.
const PROGRESS: u64 = 16 << 10;
/// Most failures in a row.
pub(super) const MOST_FAILURES: u32 = 6;
/// The longest `Retry-After` that the transfer waits for.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Bytes of the first runs, of the shortest run, and of the longest.
const FIRST_RUN: u64 = 8 << 20;
const SHORTEST_RUN: u64 = 1 << 20;
const LONGEST_RUN: u64 = 64 << 20;
/// The missing bytes are cut into at least so many runs, unless these would be shorter than [`SHARED_RUN`].
const MANY_RUNS: u64 = 32;
const SHARED_RUN: u64 = 4 << 20;
/// How long a run should take.
const RUN_TIME: Duration = Duration::from_secs(3);
/// A run that still takes longer than this is halved, and another connection gets its second half.
const LONG: Duration = Duration::from_secs(2);
/// The rate of a connection is known after this time; the connection is slow when its rate is [`SLOW`] times lower than the best.
const RATE_KNOWN: Duration = Duration::from_secs(3);
const SLOW: f64 = 10.0;
/// For this time after the rate cap has held a connection back, no connection counts as slow.
const CAPPED: Duration = Duration::from_secs(10);

/// Identifies an open connection.
pub(super) type Id = u64;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Request these bytes over a new connection.
    Open {
        /// The connection.
        id: Id,
        /// The requested range; its end is `u64::MAX` while the size is not known.
        range: Range<u64>,
    },
    /// Open no connection before this time.
    At(Instant),
    /// Another connection would not help.
    Wait,
    /// Every byte is there.
    Done,
}

/// Where received bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Their offset.
    pub(super) at: u64,
    /// How many of them are kept; the rest belongs to another run.
    pub(super) keep: u64,
    /// Whether the run is complete, so that the connection can be dropped.
    pub(super) over: bool,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its run is complete, or its failure does not count.
    Well,
    /// It failed, or ended too early.
    Badly,
    /// The server asks for a wait of this length.
    Later(Duration),
}

/// Why a transfer fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Too many failures in a row; the last one says why.
    Failures,
    /// No progress for [`PATIENCE`].
    Stalled,
    /// The server asks for a wait that is longer than [`LONGEST_WAIT`].
    TooLong(Duration),
}

#[derive(Debug)]
struct Run {
    at: u64,
    /// `u64::MAX` where the size is not known.
    end: u64,
    since: Instant,
    last: Instant,
    bytes: u64,
    /// Whether the head of the response has come; until then, the timeout of the HTTP client holds instead of [`STALL`].
    opened: bool,
}

impl Run {
    /// Bytes per second; `None` before [`RATE_KNOWN`].
    fn rate(&self, now: Instant) -> Option<f64> {
        let age = now.saturating_duration_since(self.since);
        (age >= RATE_KNOWN).then(|| self.bytes as f64 / age.as_secs_f64())
    }
}

/// The state of one blob's transfer.
#[derive(Debug)]
pub(super) struct Plan {
    size: Option<u64>,
    done: RangeSet<u64>,
    runs: BTreeMap<Id, Run>,
    next: Id,
    /// Whether the server sends parts of a file.
    ranges: bool,
    failures: u32,
    pauses: ExponentialBackoff,
    not_before: Option<Instant>,
    /// When [`PROGRESS`] was last reached, and the bytes since then.
    still_since: Instant,
    still_bytes: u64,
    /// New bytes since the count of failures was last reset.
    new_bytes: u64,
    last_failure: Option<Instant>,
    /// The best rate of one connection, in bytes per second.
    best: f64,
    /// When the rate cap last held a connection back.
    held_at: Option<Instant>,
}

impl Plan {
    /// A transfer that has the bytes `done` already.
    pub(super) fn new(size: Option<u64>, done: RangeSet<u64>, now: Instant) -> Self {
        Self {
            size,
            done,
            runs: BTreeMap::new(),
            next: 0,
            ranges: true,
            failures: 0,
            pauses: pauses(),
            not_before: None,
            still_since: now,
            still_bytes: 0,
            new_bytes: 0,
            last_failure: None,
            best: 0.0,
            held_at: None,
        }
    }

    /// What another connection could do now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.is_whole() {
            return Next::Done;
        }
        if let Some(time) = self.not_before.filter(|time| *time > now) {
            return Next::At(time);
        }
        let Some(range) = self.range(now) else {
            return Next::Wait;
        };
        let id = self.next;
        self.next += 1;
        self.runs.insert(
            id,
            Run {
                at: range.start,
                end: range.end,
                since: now,
                last: now,
                bytes: 0,
                opened: false,
            },
        );
        Next::Open { id, range }
    }

    /// The range of the next connection.
    fn range(&mut self, now: Instant) -> Option<Range<u64>> {
        let Some(size) = self.size else {
            // Without a size there is one connection, which goes to the end.
            return self.runs.is_empty().then(|| self.front()..u64::MAX);
        };
        if !self.ranges {
            return self.runs.is_empty().then_some(0..size);
        }
        let mut taken = self.done.clone();
        for run in self.runs.values().filter(|run| run.at < run.end) {
            taken.insert(run.at..run.end);
        }
        let gap = taken.gaps(&(0..size)).next();
        if let Some(gap) = gap {
            let end = gap.end.min(gap.start + self.length(size));
            // A rest of the gap that is too short for a separate run is added to this one.
            let end = if gap.end - end < SHORTEST_RUN {
                gap.end
            } else {
                end
            };
            return Some(gap.start..end);
        }
        self.halve(now)
    }

    /// Takes the second half of the longest run, if that run takes long. Bytes of that half that are in flight are lost.
    fn halve(&mut self, now: Instant) -> Option<Range<u64>> {
        let longest = self.runs.values_mut().max_by_key(|run| run.end - run.at)?;
        let left = longest.end - longest.at;
        let rate = longest.rate(now)?;
        if left < 2 * SHORTEST_RUN || rate * LONG.as_secs_f64() > left as f64 {
            return None;
        }
        let middle = longest.at + left / 2;
        let half = middle..longest.end;
        longest.end = middle;
        Some(half)
    }

    /// The length of runs now: short enough that every allowed connection gets one.
    fn length(&self, size: u64) -> u64 {
        if size <= FIRST_RUN {
            return FIRST_RUN;
        }
        let missing = size - super::total(&self.done);
        let share = (missing / MANY_RUNS).max(SHARED_RUN);
        if self.best == 0.0 {
            return FIRST_RUN.min(share);
        }
        let wanted = self.best * RUN_TIME.as_secs_f64();
        // A float that is too large becomes the largest number.
        (wanted as u64).clamp(SHORTEST_RUN, LONGEST_RUN).min(share)
    }

    /// The first byte that is missing.
    fn front(&self) -> u64 {
        self.done.get(&0).map_or(0, |range| range.end)
    }

    /// The server sends whole files only. The connection `id` starts at the first byte, whatever was requested; all others are dropped.
    pub(super) fn whole_only(&mut self, id: Id) {
        self.ranges = false;
        let end = self.size.unwrap_or(u64::MAX);
        self.runs.retain(|other, _| *other == id);
        if let Some(run) = self.runs.get_mut(&id) {
            (run.at, run.end) = (0, end);
        }
    }

    /// Sets the size of the file, once it is known.
    pub(super) fn sized(&mut self, size: u64) {
        self.size = Some(size);
        for run in self.runs.values_mut() {
            run.end = run.end.min(size);
        }
    }

    /// A connection received `count` bytes.
    pub(super) fn took(&mut self, id: Id, count: u64, now: Instant) -> Accepted {
        let Some(run) = self.runs.get_mut(&id) else {
            return Accepted {
                at: 0,
                keep: 0,
                over: true,
            };
        };
        let at = run.at;
        let keep = count.min(run.end - run.at);
        run.at += keep;
        run.bytes += count;
        run.last = now;
        let over = run.at == run.end;
        if let Some(rate) = run.rate(now) {
            self.best = self.best.max(rate);
        }
        let before = super::total(&self.done);
        if keep > 0 {
            self.done.insert(at..at + keep);
        }
        let new = super::total(&self.done) - before;
        self.new_bytes += new;
        // Bytes that a server without ranges sends again are no stall, and do not reset the count of failures.
        self.still_bytes += if self.ranges { new } else { keep };
        if self.still_bytes >= PROGRESS {
            self.still_bytes = 0;
            self.still_since = now;
        }
        if self.new_bytes >= PROGRESS {
            self.new_bytes = 0;
            self.failures = 0;
            self.pauses = pauses();
        }
        Accepted { at, keep, over }
    }

    /// The offset of a connection without a known end, which is the size of the file when its body ends.
    pub(super) fn open_end(&self, id: Id) -> Option<u64> {
        let run = self.runs.get(&id)?;
        self.size.is_none().then_some(run.at)
    }

    /// The head of a response came.
    pub(super) fn opened(&mut self, id: Id, now: Instant) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.opened = true;
            run.last = now;
        }
    }

    /// A connection ended. An error means that the transfer is over.
    pub(super) fn ended(&mut self, id: Id, how: Ended, now: Instant) -> Result<(), GivenUp> {
        let run = self.runs.remove(&id);
        let since = run.as_ref().map(|run| run.since);
        if let Some(run) = run {
            let age = now.saturating_duration_since(run.since).as_secs_f64();
            if run.bytes >= SHORTEST_RUN && age > 0.0 {
                self.best = self.best.max(run.bytes as f64 / age);
            }
        }
        match how {
            Ended::Well => return Ok(()),
            Ended::Later(wait) if wait > LONGEST_WAIT => return Err(GivenUp::TooLong(wait)),
            Ended::Later(wait) => {
                let wait = wait.max(self.pauses.next().unwrap_or_default());
                self.leave_alone(now + wait);
            }
            Ended::Badly => {}
        }
        self.fail(since, now)?;
        if let Ended::Badly = how
            && let Some(pause) = self.pauses.next()
        {
            self.pause(now + pause);
        }
        Ok(())
    }

    /// Counts a failure of a connection that was opened at `since`. Connections that fail together count as one failure.
    fn fail(&mut self, since: Option<Instant>, now: Instant) -> Result<(), GivenUp> {
        let is_another = match (since, self.last_failure) {
            (Some(since), Some(last)) => since >= last,
            _ => true,
        };
        if is_another {
            self.failures += 1;
            self.last_failure = Some(now);
        }
        if self.failures >= MOST_FAILURES {
            return Err(GivenUp::Failures);
        }
        Ok(())
    }

    fn pause(&mut self, until: Instant) {
        self.not_before = Some(self.not_before.map_or(until, |time| time.max(until)));
    }

    /// The transfer waited for the disk for this time, which does not count against connections.
    pub(super) fn waited(&mut self, time: Duration) {
        self.still_since += time;
        for run in self.runs.values_mut() {
            run.last += time;
            run.since += time;
        }
    }

    /// The host asked for a wait until this time, which is not a stall.
    pub(super) fn leave_alone(&mut self, until: Instant) {
        self.pause(until);
        self.still_since = self.still_since.max(until);
    }

    /// The rate cap has held these connections back for `time`, so they have not stalled, and their rates are unknown.
    pub(super) fn held(&mut self, ids: impl IntoIterator<Item = Id>, time: Duration, now: Instant) {
        let mut any = false;
        for id in ids {
            any = true;
            if let Some(run) = self.runs.get_mut(&id) {
                run.last = now;
            }
        }
        if any {
            self.still_since += time;
            self.held_at = Some(now);
        }
    }

    /// Connections to replace: stalled and slow ones. Their bytes stay.
    pub(super) fn tick(&mut self, now: Instant) -> Result<Vec<Id>, GivenUp> {
        if now.saturating_duration_since(self.still_since) >= PATIENCE {
            return Err(GivenUp::Stalled);
        }
        let best = self.best;
        let is_capped = self
            .held_at
            .is_some_and(|held| now.saturating_duration_since(held) < CAPPED);
        let bad = self.runs.iter().filter(|(_, run)| {
            let still = now.saturating_duration_since(run.last);
            let stalled = run.opened && still >= STALL;
            let slow = run.rate(now).is_some_and(|rate| rate * SLOW < best);
            stalled || (slow && self.ranges && !is_capped)
        });
        let bad: Vec<Id> = bad.map(|(id, _)| *id).collect();
        let mut since = None;
        for id in &bad {
            let run = self.runs.remove(id);
            let stalled = run.filter(|run| now.saturating_duration_since(run.last) >= STALL);
            since = stalled.map(|run| run.since).or(since);
        }
        if since.is_some() {
            self.fail(since, now)?;
        }
        if !bad.is_empty() {
            // The best rate counts for less after each replacement, so that connections are not replaced for ever when the network
            // has become slow.
            self.best /= 4.0;
        }
        Ok(bad)
    }

    /// Bytes that are there.
    pub(super) fn bytes(&self) -> u64 {
        super::total(&self.done)
    }

    /// The size of the file, if it is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether every byte is there.
    pub(super) fn is_whole(&self) -> bool {
        self.size.is_some_and(|size| {
            size == 0 || self.done.get(&0).is_some_and(|range| range.end >= size)
        })
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(8))
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    struct World {
        plan: Plan,
        now: Instant,
    }

    impl World {
        fn new(size: Option<u64>) -> Self {
            Self::with(size, &[])
        }

        fn with(size: Option<u64>, done: &[Range<u64>]) -> Self {
            let now = Instant::now();
            let done = done.iter().cloned().collect();
            Self {
                plan: Plan::new(size, done, now),
                now,
            }
        }

        fn open(&mut self) -> (Id, Range<u64>) {
            loop {
                match self.plan.next(self.now) {
                    Next::Open { id, range } => return (id, range),
                    Next::At(time) => self.now = time,
                    other => panic!("{other:?}"),
                }
            }
        }

        fn after(&mut self, seconds: f64) {
            self.now += Duration::from_secs_f64(seconds);
        }

        fn take(&mut self, id: Id, count: u64) -> Accepted {
            self.plan.took(id, count, self.now)
        }

        fn ended(&mut self, id: Id, how: Ended) -> Result<(), GivenUp> {
            self.plan.ended(id, how, self.now)
        }
    }

    #[test]
    fn a_connection_that_the_cap_holds_back_is_neither_stalled_nor_slow() {
        let mut world = World::new(Some(400 * MIB));
        let (fast, _) = world.open();
        let (slow, _) = world.open();
        world.plan.opened(fast, world.now);
        world.plan.opened(slow, world.now);
        for second in 0..120 {
            world.after(1.0);
            world.take(fast, 50 << 10);
            if second % 20 == 0 {
                world.take(slow, 1 << 10);
            }
            let held = [fast, slow];
            world.plan.held(held, Duration::from_secs(1), world.now);
            assert_eq!(world.plan.tick(world.now), Ok(vec![]), "second {second}");
        }
        // Without the cap, this is a stall.
        world.after(STALL.as_secs_f64() + CAPPED.as_secs_f64());
        assert_eq!(world.plan.tick(world.now), Ok(vec![fast, slow]));
    }

    #[test]
    fn runs_go_front_to_back_and_leave_out_what_is_there() {
        let mut world = World::with(Some(400 * MIB), &[0..3 * MIB, 10 * MIB..12 * MIB]);
        assert_eq!(world.open().1, 3 * MIB..10 * MIB);
        assert_eq!(world.open().1, 12 * MIB..20 * MIB);
        assert_eq!(world.open().1, 20 * MIB..28 * MIB);
        assert_eq!(world.open().1, 28 * MIB..36 * MIB);
    }

    #[test]
    fn a_small_file_is_one_run_and_others_have_enough_of_them_for_every_connection() {
        let mut world = World::new(Some(8 * MIB));
        assert_eq!(world.open().1, 0..8 * MIB);
        assert_eq!(world.plan.next(world.now), Next::Wait);
        let mut world = World::new(Some(64 * MIB));
        let runs = (0..16).map(|_| world.open().1);
        assert!(runs.eq((0..16).map(|run| 4 * run * MIB..4 * (run + 1) * MIB)));
        assert_eq!(world.plan.next(world.now), Next::Wait);
    }

    #[test]
    fn a_run_that_takes_long_is_halved_and_what_its_connection_brings_beyond_is_not_kept() {
        let mut world = World::new(Some(8 * MIB));
        let (first, range) = world.open();
        assert_eq!(range, 0..8 * MIB);
        world.take(first, 2 * MIB);
        assert_eq!(
            world.plan.next(world.now),
            Next::Wait,
            "how long it takes is not known"
        );
        world.after(4.0);
        let (_, half) = world.open();
        assert_eq!(half, 5 * MIB..8 * MIB);
        let taken = world.take(first, 4 * MIB);
        assert_eq!((taken.at, taken.keep, taken.over), (2 * MIB, 3 * MIB, true));
    }

    #[test]
    fn what_a_broken_connection_brought_stays() {
        let mut world = World::new(Some(2 * MIB));
        let (id, _) = world.open();
        world.take(id, MIB);
        world.ended(id, Ended::Badly).expect("one failure");
        let Next::At(time) = world.plan.next(world.now) else {
            panic!("there is a pause");
        };
        world.now = time;
        assert_eq!(world.open().1, MIB..2 * MIB);
    }

    #[test]
    fn failures_in_a_row_are_bounded_and_progress_makes_them_forgotten() {
        let mut world = World::new(Some(100 * MIB));
        for round in 0..40 {
            world.after(20.0);
            let (id, _) = world.open();
            world.take(id, 512 << 10);
            world
                .ended(id, Ended::Badly)
                .unwrap_or_else(|error| panic!("{round}: {error:?}"));
        }
        let given_up = (0..MOST_FAILURES).find_map(|_| {
            let (id, _) = world.open();
            world.ended(id, Ended::Badly).err()
        });
        assert_eq!(given_up, Some(GivenUp::Failures));
    }

    #[test]
    fn a_stalled_connection_is_replaced_and_a_transfer_without_progress_given_up() {
        let mut world = World::new(Some(8 * MIB));
        let (id, _) = world.open();
        world.plan.opened(id, world.now);
        world.take(id, MIB);
        world.after(9.9);
        assert_eq!(world.plan.tick(world.now), Ok(vec![]));
        world.after(0.2);
        assert_eq!(world.plan.tick(world.now), Ok(vec![id]));
        assert_eq!(world.open().1, MIB..8 * MIB);
        world.after(20.0);
        assert_eq!(world.plan.tick(world.now), Err(GivenUp::Stalled));
    }

    #[test]
    fn a_byte_a_second_is_no_progress() {
        let mut world = World::new(Some(8 * MIB));
        let (mut id, _) = world.open();
        world.plan.opened(id, world.now);
        let over = (0..40).find_map(|_| {
            world.after(1.0);
            world.take(id, 1);
            match world.plan.tick(world.now) {
                Err(error) => Some(error),
                Ok(dropped) => {
                    if !dropped.is_empty() {
                        id = world.open().0;
                    }
                    None
                }
            }
        });
        assert_eq!(over, Some(GivenUp::Stalled));
    }

    #[test]
    fn a_connection_far_slower_than_the_best_is_replaced_and_a_slow_line_is_not_torn() {
        let mut world = World::new(Some(100 * MIB));
        let (fast, _) = world.open();
        let (slow, _) = world.open();
        for _ in 0..4 {
            world.after(1.0);
            world.take(fast, MIB);
            world.take(slow, 50 << 10);
        }
        assert_eq!(world.plan.tick(world.now), Ok(vec![slow]));
        // All became slow: each is replaced once or twice at most.
        let mut id = world.open().0;
        let mut torn = 0;
        for _ in 0..60 {
            world.after(1.0);
            if world.take(id, 50 << 10).over {
                world.ended(id, Ended::Well).expect("it is whole");
                id = world.open().0;
            }
            if world
                .plan
                .tick(world.now)
                .expect("there is progress")
                .contains(&id)
            {
                torn += 1;
                id = world.open().0;
            }
        }
        assert!(torn <= 2, "{torn}");
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept_and_one_that_is_too_long_is_told() {
        let mut world = World::new(Some(8 * MIB));
        let (id, _) = world.open();
        world
            .ended(id, Ended::Later(Duration::from_secs(50)))
            .expect("a wait");
        assert_eq!(
            world.plan.next(world.now),
            Next::At(world.now + Duration::from_secs(50))
        );
        world.after(49.0);
        assert_eq!(world.plan.tick(world.now), Ok(vec![]));
        world.after(2.0);
        let (id, _) = world.open();
        let long = Duration::from_secs(86_400);
        assert_eq!(
            world.ended(id, Ended::Later(long)),
            Err(GivenUp::TooLong(long))
        );
    }

    #[test]
    fn a_server_without_ranges_has_one_connection_and_what_is_there_is_no_progress() {
        let mut world = World::with(Some(4 * MIB), std::slice::from_ref(&(0..MIB)));
        let (id, range) = world.open();
        assert_eq!(range, MIB..4 * MIB);
        world.plan.whole_only(id);
        assert_eq!(world.plan.next(world.now), Next::Wait);
        assert_eq!(world.take(id, MIB).at, 0);
        assert_eq!(world.plan.bytes(), MIB);
        let last = world.take(id, 3 * MIB);
        assert_eq!((last.at, last.over), (MIB, true));
        world.ended(id, Ended::Well).expect("it is whole");
        assert_eq!(world.plan.next(world.now), Next::Done);
    }

    #[test]
    fn a_file_of_unknown_size_is_one_run_to_its_end() {
        let mut world = World::new(None);
        let (id, range) = world.open();
        assert_eq!(range, 0..u64::MAX);
        assert_eq!(world.plan.next(world.now), Next::Wait);
        world.take(id, 5 * MIB);
        let end = world.plan.open_end(id).expect("its end is not known");
        world.plan.sized(end);
        world.ended(id, Ended::Well).expect("it is whole");
        assert_eq!(world.plan.next(world.now), Next::Done);
    }

    #[test]
    fn a_slow_disk_is_not_taken_for_a_stalled_connection() {
        let mut world = World::new(Some(8 * MIB));
        let (id, _) = world.open();
        world.plan.opened(id, world.now);
        world.take(id, MIB);
        world.after(60.0);
        world.plan.waited(Duration::from_secs(60));
        assert_eq!(world.plan.tick(world.now), Ok(vec![]));
    }

    #[test]
    fn runs_grow_with_the_rate() {
        let mut world = World::new(Some(1000 * MIB));
        let (id, range) = world.open();
        assert_eq!(range, 0..8 * MIB);
        world.after(1.0);
        world.take(id, 8 * MIB);
        world.ended(id, Ended::Well).expect("it is whole");
        assert_eq!(world.open().1, 8 * MIB..32 * MIB);
    }

    proptest::proptest! {
        /// Whatever connections receive and however they end, each byte is kept once, at its offset, and the transfer completes.
        #[test]
        fn every_byte_comes_to_its_place(size in 0_u64..(40 * MIB), seed: u64) {
            let mut world = World::new(Some(size));
            let mut state = seed | 1;
            let mut random = move |most: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % most
            };
            let mut open: Vec<(Id, u64)> = Vec::new();
            let mut kept = 0;
            for _ in 0..100_000 {
                match world.plan.next(world.now) {
                    Next::Done => break,
                    Next::Open { id, range } => open.push((id, range.start)),
                    Next::At(time) => world.now = time,
                    Next::Wait => {}
                }
                if open.is_empty() {
                    continue;
                }
                let index = random(open.len() as u64) as usize;
                let (id, at) = open[index];
                world.after(0.05);
                let taken = world.take(id, 1 + random(3 * MIB));
                proptest::prop_assert_eq!(taken.at, at);
                kept += taken.keep;
                open[index].1 += taken.keep;
                if taken.over || random(8) == 0 {
                    let how = if taken.over { Ended::Well } else { Ended::Badly };
                    let _ = world.ended(id, how);
                    open.remove(index);
                }
            }
            proptest::prop_assert_eq!(world.plan.next(world.now), Next::Done);
            proptest::prop_assert_eq!(kept, size);
        }
    }
}

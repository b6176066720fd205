//! The number of connections of all transfers together.
//!
//! It starts at [`FIRST`], which is few enough for any router. While all are busy, connections are added as long as the total rate
//! rises; a refusal halves their number. So a server that limits each connection gets many, and a network
//! that is saturated gets few. A transfer without a connection goes first.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cap::Cap;

/// Connections at the start, and at most.
const FIRST: usize = 4;
const MOST: usize = 16;
/// How long a number of connections is tried.
const TRIAL: Duration = Duration::from_millis(500);
/// The gain in rate that more connections must bring.
const BETTER: f64 = 1.12;
/// Pause after a refusal before more are tried.
const CAUTION: Duration = Duration::from_secs(30);
/// The same after a trial without gain.
const CONTENT: Duration = Duration::from_secs(15);

/// The connections of all transfers. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    state: Arc<Mutex<State>>,
    cap: Cap,
}

#[derive(Debug)]
struct State {
    limit: usize,
    open: usize,
    /// Transfers that were refused their first connection.
    waiting: usize,
    trial: Trial,
    /// The rate before the number of connections was last raised, and that number.
    before: Option<(f64, usize)>,
    /// No more are tried before this.
    not_before: Option<Instant>,
    /// Hosts that asked for a wait, and until when.
    quiet: BTreeMap<String, Instant>,
}

#[derive(Debug)]
struct Trial {
    since: Instant,
    bytes: u64,
    /// Whether the limit was always used.
    full: bool,
}

/// The connections of one transfer.
#[derive(Debug)]
pub(super) struct TransferConnections {
    connections: Connections,
    is_waiting: bool,
}

impl TransferConnections {
    /// A permit for one more connection, if the limit allows it. `has_none`: the transfer has no connection yet.
    pub(super) fn permit(&mut self, has_none: bool) -> Option<ConnectionPermit> {
        let mut state = self.connections.lock();
        let is_free = state.open < state.limit;
        let others = state.waiting - usize::from(self.is_waiting);
        let given = is_free && (has_none || others == 0);
        let waiting = has_none && !given;
        match (self.is_waiting, waiting) {
            (false, true) => state.waiting += 1,
            (true, false) => state.waiting -= 1,
            _ => {}
        }
        self.is_waiting = waiting;
        given.then(|| {
            state.open += 1;
            ConnectionPermit(self.connections.clone())
        })
    }
}

impl Drop for TransferConnections {
    fn drop(&mut self) {
        if self.is_waiting {
            self.connections.lock().waiting -= 1;
        }
    }
}

/// Permits one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit(Connections);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open -= 1;
    }
}

#[cfg(test)]
impl Default for Connections {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Connections {
    /// Transfers that take at most so many bytes per second together.
    pub(crate) fn capped(rate: Option<NonZeroU64>) -> Self {
        Self {
            cap: Cap::new(rate),
            ..Self::new(Instant::now())
        }
    }

    /// Changes the bytes per second, also of running transfers.
    pub(crate) fn cap_at(&self, rate: Option<NonZeroU64>) {
        self.cap.set(rate);
    }

    fn new(now: Instant) -> Self {
        let state = State {
            limit: FIRST,
            open: 0,
            waiting: 0,
            trial: Trial {
                since: now,
                bytes: 0,
                full: false,
            },
            before: None,
            not_before: None,
            quiet: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            cap: Cap::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is taken: each change is one call, so a panic leaves the state consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the bytes that a connection has read are within the rate cap. `held` is set meanwhile.
    pub(super) async fn pay(&self, bytes: usize, held: &AtomicBool) {
        self.cap.pay(bytes, held).await;
    }

    /// Registers a transfer.
    pub(super) fn transfer(&self) -> TransferConnections {
        TransferConnections {
            connections: self.clone(),
            is_waiting: false,
        }
    }

    /// Counts received bytes.
    pub(super) fn took(&self, bytes: u64) {
        self.lock().trial.bytes += bytes;
    }

    /// A connection was refused or cut by the other side.
    pub(super) fn refused(&self, now: Instant) {
        let mut state = self.lock();
        state.limit = (state.limit / 2).max(1);
        state.before = None;
        state.not_before = Some(now + CAUTION);
        state.begin(now);
    }

    /// A host asked for a wait, which holds for all transfers from it.
    pub(super) fn leave_alone(&self, host: &str, until: Instant) {
        let mut state = self.lock();
        let quiet = state.quiet.entry(host.to_owned()).or_insert(until);
        *quiet = until.max(*quiet);
    }

    /// Until when a host asked for a wait.
    pub(super) fn quiet_until(&self, host: &str, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        state.quiet.retain(|_, until| *until > now);
        state.quiet.get(host).copied()
    }

    /// Adjusts the limit; called at every tick.
    pub(super) fn tick(&self, now: Instant) {
        self.lock().tick(now);
    }
}

impl State {
    fn begin(&mut self, now: Instant) {
        self.trial = Trial {
            since: now,
            bytes: 0,
            full: self.open >= self.limit,
        };
    }

    fn tick(&mut self, now: Instant) {
        self.trial.full &= self.open >= self.limit;
        let time = now.saturating_duration_since(self.trial.since);
        if time < TRIAL {
            return;
        }
        let rate = self.trial.bytes as f64 / time.as_secs_f64();
        let full = self.trial.full;
        self.begin(now);
        if !full || rate == 0.0 {
            return;
        }
        match self.before.take() {
            // More connections without a gain: back to the number before.
            Some((before, limit)) if rate < before * BETTER => {
                self.limit = limit;
                self.not_before = Some(now + CONTENT);
            }
            _ if self.limit < MOST && self.not_before.is_none_or(|time| time <= now) => {
                self.before = Some((rate, self.limit));
                self.limit = (2 * self.limit).min(MOST);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets time pass in which all connections together receive `rate(number)` bytes per second.
    fn pass(
        connections: &Connections,
        permits: &mut Vec<ConnectionPermit>,
        now: &mut Instant,
        seconds: u32,
        rate: impl Fn(usize) -> f64,
    ) {
        for _ in 0..seconds * 4 {
            while let Some(permit) = connections.transfer().permit(permits.is_empty()) {
                permits.push(permit);
            }
            let limit = connections.lock().limit;
            permits.truncate(limit);
            *now += Duration::from_millis(250);
            connections.took((rate(permits.len()) / 4.0) as u64);
            connections.tick(*now);
        }
    }

    #[test]
    fn connections_are_added_while_that_makes_the_whole_faster() {
        let (mut now, mut permits) = (Instant::now(), Vec::new());
        let connections = Connections::new(now);
        pass(&connections, &mut permits, &mut now, 10, |count| {
            count as f64 * 1e7
        });
        assert_eq!(connections.lock().limit, MOST);
    }

    #[test]
    fn a_line_that_is_full_is_left_with_a_few() {
        let (mut now, mut permits) = (Instant::now(), Vec::new());
        let connections = Connections::new(now);
        pass(&connections, &mut permits, &mut now, 10, |_| 1e7);
        assert_eq!(connections.lock().limit, FIRST);
    }

    #[test]
    fn refusals_halve_them_down_to_one() {
        let mut now = Instant::now();
        let connections = Connections::new(now);
        for expected in [2, 1, 1] {
            connections.refused(now);
            assert_eq!(connections.lock().limit, expected);
        }
        let mut permits = Vec::new();
        pass(&connections, &mut permits, &mut now, 20, |count| {
            count as f64 * 1e7
        });
        assert_eq!(connections.lock().limit, 1, "for a while no more are tried");
    }

    #[test]
    fn a_host_that_asks_for_a_wait_gets_it_from_all_transfers() {
        let now = Instant::now();
        let connections = Connections::new(now);
        let after = |seconds| now + Duration::from_secs(seconds);
        connections.clone().leave_alone("a", after(5));
        connections.leave_alone("a", after(2));
        assert_eq!(connections.quiet_until("a", now), Some(after(5)));
        assert_eq!(connections.quiet_until("b", now), None);
        assert_eq!(connections.quiet_until("a", after(5)), None);
        assert!(connections.lock().quiet.is_empty());
    }

    #[test]
    fn a_seat_is_given_back() {
        let connections = Connections::default();
        let mut transfer = connections.transfer();
        let permits: Vec<ConnectionPermit> =
            std::iter::from_fn(|| transfer.permit(false)).collect();
        assert_eq!(permits.len(), FIRST);
        drop(permits);
        assert!(transfer.permit(true).is_some());
    }

    #[test]
    fn a_transfer_without_a_connection_goes_before_those_that_have_one() {
        let connections = Connections::default();
        let (mut first, mut second) = (connections.transfer(), connections.transfer());
        let mut permits: Vec<ConnectionPermit> =
            std::iter::from_fn(|| first.permit(false)).collect();
        assert!(second.permit(true).is_none());
        permits.pop();
        assert!(first.permit(false).is_none(), "the other one has none");
        assert!(second.permit(true).is_some());
        assert!(first.permit(false).is_some());
        // A transfer that stops waiting does not hold the others back.
        let mut third = connections.transfer();
        permits.extend(std::iter::from_fn(|| first.permit(false)));
        assert!(third.permit(true).is_none());
        drop(third);
        permits.pop();
        assert!(first.permit(false).is_some());
    }
}

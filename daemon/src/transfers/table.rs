//! The table of jobs: a state machine without a network, a clock or a task.
//!
//! ```text
//!            ┌────────── waiting ◄──────┐  outside of the window, metered, or after a failure
//!            ▼                          │
//! asked ─► queued ─────► running ───────┼─► done, failed
//!            ▲              │           │
//!            └── resume ── paused ◄─────┴─► cancelled
//! ```
//!
//! Each change leaves [`Action`]s, which `task` performs.

use std::collections::BTreeMap;

use api::{JobKind, JobState, Priority, Progress, PushFormat};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::error::Error;

/// Most open jobs.
const MAX_OPEN: usize = 1000;
/// How long a job is kept after its end.
const KEEP_TIME: SignedDuration = SignedDuration::from_hours(24);
/// Most jobs that are kept after their end.
const MAX_KEPT: usize = 100;
/// The first pause after a failure.
const MIN_PAUSE: std::time::Duration = std::time::Duration::from_secs(60);
/// The longest pause after a failure.
const MAX_PAUSE: std::time::Duration = std::time::Duration::from_secs(30 * 60);
/// How long a job without progress is tried again.
const RETRY_TIME: SignedDuration = SignedDuration::from_hours(24);

/// The id of a job.
pub(super) type Id = u64;

/// The work of a job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Pull a model.
    Pull {
        /// The reference of the request. It can be an address with a secret in its query, so it is never shown.
        model: String,
        /// Whether a connection without TLS to another machine is allowed.
        insecure: bool,
        /// The variant of the request.
        #[serde(default)]
        variant: Option<String>,
    },
    /// Push a model.
    Push {
        /// The model in the store.
        model: String,
        /// The name in the registry, with its host.
        destination: String,
        /// The format of the manifest.
        format: PushFormat,
        /// Whether a connection without TLS to another machine is allowed.
        insecure: bool,
    },
}

impl std::fmt::Debug for Work {
    /// Leaves out the reference of a pull, which can have a secret in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pull { insecure, .. } => f
                .debug_struct("Pull")
                .field("insecure", insecure)
                .finish_non_exhaustive(),
            Self::Push { destination, .. } => f
                .debug_struct("Push")
                .field("destination", destination)
                .finish_non_exhaustive(),
        }
    }
}

impl Work {
    fn kind(&self) -> JobKind {
        match self {
            Self::Pull { .. } => JobKind::Pull,
            Self::Push { .. } => JobKind::Push,
        }
    }
}

/// A request for a transfer.
#[derive(Debug, Clone)]
pub struct TransferRequest {
    /// The work.
    pub work: Work,
    /// Equal for requests of the same work; without secrets.
    pub key: String,
    /// The name of the model in the store.
    pub model: String,
    /// Whether the job continues without listeners.
    pub background: bool,
    /// The priority in the queue; `None` keeps the priority of an existing job.
    pub priority: Option<Priority>,
    /// Whether the job runs outside of the window and on a metered network too.
    pub now: bool,
}

/// Options of all jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most jobs that run at a time.
    pub max_running: usize,
    /// The time of day in which jobs run; `None` for any time.
    pub window: Option<Window>,
    /// Whether the network is metered. Then only jobs with [`TransferRequest::now`] run.
    pub metered: bool,
}

/// A job. The index keeps all but the last three fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) work: Work,
    pub(super) key: String,
    pub(super) model: String,
    pub(super) priority: Priority,
    pub(super) background: bool,
    pub(super) now: bool,
    pub(super) state: State,
    pub(super) failures: usize,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) changed_at: Timestamp,
    /// Completed bytes when the state last changed.
    pub(super) completed: u64,
    pub(super) total: u64,
    /// The number of listeners.
    #[serde(skip)]
    pub(super) listeners: usize,
    /// Whether a stopped run has not ended yet.
    #[serde(skip)]
    stopping: bool,
    /// The last line about its state.
    #[serde(skip)]
    last_status: Option<String>,
}

/// The state of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Queued,
    Running,
    Paused,
    Waiting(Wait),
    Done,
    Failed(String),
    Cancelled,
}

/// The reason to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wait {
    Window { opens: Timestamp },
    Metered,
    Retry { at: Timestamp, error: String },
}

impl Wait {
    /// When the wait ends; `None` if no time ends it.
    pub(super) fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Window { opens: at } | Self::Retry { at, .. } => Some(*at),
            Self::Metered => None,
        }
    }
}

impl Entry {
    /// The state in the API.
    pub(super) fn api_state(&self) -> JobState {
        match self.state {
            State::Queued => JobState::Queued,
            State::Running => JobState::Running,
            State::Paused => JobState::Paused,
            State::Waiting(_) => JobState::Waiting,
            State::Done => JobState::Done,
            State::Failed(_) => JobState::Failed,
            State::Cancelled => JobState::Cancelled,
        }
    }

    fn is_over(&self) -> bool {
        self.api_state().is_over()
    }

    /// Pull or push.
    pub(super) fn kind(&self) -> JobKind {
        self.work.kind()
    }

    /// The reason why it waits or failed.
    pub(super) fn reason(&self, now: &Zoned) -> Option<String> {
        let clock = |at: &Timestamp| {
            let at = at.to_zoned(now.time_zone().clone());
            at.strftime("%H:%M").to_string()
        };
        match &self.state {
            State::Waiting(Wait::Window { opens }) => {
                Some(format!("until {} (`pull_window`)", clock(opens)))
            }
            State::Waiting(Wait::Metered) => {
                Some("while the network is metered (`metered`)".to_owned())
            }
            State::Waiting(Wait::Retry { at, error }) => {
                Some(format!("until {} to try again: {error}", clock(at)))
            }
            State::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// The progress line for a job that is queued, paused or waiting; a running job reports its own progress.
    fn status_text(&self, id: Id, now: &Zoned) -> Option<String> {
        match &self.state {
            State::Queued => Some("queued behind other transfers".to_owned()),
            State::Paused => Some(format!("paused; `slm jobs resume {id}` goes on with it")),
            State::Waiting(_) => self.reason(now).map(|reason| format!("waits {reason}")),
            _ => None,
        }
    }
}

/// An action that follows a change of the table.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Start the work of a job.
    Start(Id),
    /// Stop the work of a job; [`Table::over`] follows.
    Stop(Id),
    /// Save a job.
    Save(Id),
    /// Delete a saved job.
    Forget(Id),
    /// Send the listeners of a job this line about its state.
    Tell(Id, String),
    /// Send the listeners of a job its end.
    End(Id, Box<Result<Progress, Error>>),
}

/// A change of a job by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Stop the job and keep its bytes.
    Pause,
    /// Continue the job, or try it again.
    Resume {
        /// Run it outside of the window and on a metered network too.
        now: bool,
    },
    /// Cancel it.
    Cancel,
    /// Change its priority.
    Priority(Priority),
}

impl Change {
    /// The change as a past participle, for the message `job 1 is done and cannot be …`.
    fn participle(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume { .. } => "resumed",
            Self::Cancel => "cancelled",
            Self::Priority(_) => "put before or behind others",
        }
    }
}

/// All jobs.
#[derive(Debug)]
pub(super) struct Table {
    entries: BTreeMap<Id, Entry>,
    last: Id,
    options: Options,
    actions: Vec<Action>,
}

impl Table {
    /// A table with the saved jobs of an earlier daemon. Background jobs continue; foreground jobs are cancelled.
    pub(super) fn new(options: Options, last: Id, saved: Vec<(Id, Entry)>, now: &Zoned) -> Self {
        let last = saved.iter().map(|(id, _)| *id).fold(last, Id::max);
        let mut table = Self {
            entries: saved.into_iter().collect(),
            last,
            options,
            actions: Vec::new(),
        };
        let ids: Vec<Id> = table.entries.keys().copied().collect();
        for id in ids {
            let entry = &table.entries[&id];
            if entry.is_over() {
                continue;
            }
            if !entry.background {
                table.set(id, State::Cancelled, now);
            } else if entry.state == State::Running {
                table.set(id, State::Queued, now);
            }
        }
        table
    }

    /// Takes the actions of the changes so far, in order.
    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The job with this id.
    pub(super) fn get(&self, id: Id) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The same, to set its bytes.
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    /// All jobs by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// The open pulls of a model.
    pub(super) fn open_pulls(&self, model: &str) -> Vec<Id> {
        let of_model = |(id, entry): (&Id, &Entry)| {
            let is_pull = !entry.is_over() && entry.kind() == JobKind::Pull;
            let is_it = is_pull && entry.model.eq_ignore_ascii_case(model);
            is_it.then_some(*id)
        };
        self.entries.iter().filter_map(of_model).collect()
    }

    /// Joins the open job with this key, or creates one. The client counts as a listener.
    pub(super) fn ask(&mut self, asked: TransferRequest, now: &Zoned) -> Result<Id, Error> {
        let same = |(id, entry): (&Id, &Entry)| {
            (!entry.is_over() && entry.key == asked.key).then_some(*id)
        };
        let there = self.entries.iter().find_map(same);
        if let Some(id) = there {
            self.join(id, &asked, now);
            return Ok(id);
        }
        let open = self.entries.values().filter(|entry| !entry.is_over());
        if open.count() >= MAX_OPEN {
            return Err(Error::TooManyJobs { most: MAX_OPEN });
        }
        self.last += 1;
        let at = now.timestamp();
        let entry = Entry {
            work: asked.work,
            key: asked.key,
            model: asked.model,
            priority: asked.priority.unwrap_or_default(),
            background: asked.background,
            now: asked.now,
            state: State::Queued,
            failures: 0,
            failing_since: None,
            created_at: at,
            changed_at: at,
            completed: 0,
            total: 0,
            listeners: 1,
            stopping: false,
            last_status: None,
        };
        self.entries.insert(self.last, entry);
        self.actions.push(Action::Save(self.last));
        Ok(self.last)
    }

    /// Changes the options; the next [`schedule`](Self::schedule) follows them.
    pub(super) fn configure(&mut self, options: Options) {
        self.options = options;
    }

    /// Adds a listener to a job. Its priority and options can only rise, and a paused job continues.
    fn join(&mut self, id: Id, asked: &TransferRequest, now: &Zoned) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.listeners += 1;
        entry.background |= asked.background;
        entry.now |= asked.now;
        entry.priority = asked.priority.unwrap_or(entry.priority).max(entry.priority);
        if matches!(
            entry.state,
            State::Paused | State::Waiting(Wait::Retry { .. })
        ) {
            self.set(id, State::Queued, now);
        } else {
            self.actions.push(Action::Save(id));
        }
    }

    /// Adds a listener to an open job.
    pub(super) fn watch(&mut self, id: Id) -> Result<(), Error> {
        let entry = self.open(id, "watched")?;
        entry.listeners += 1;
        Ok(())
    }

    /// Removes a listener. A foreground job without listeners is cancelled.
    pub(super) fn leave(&mut self, id: Id, now: &Zoned) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.listeners = entry.listeners.saturating_sub(1);
        if entry.listeners == 0 && !entry.background && !entry.is_over() {
            self.cancel(id, now);
        }
    }

    /// Changes a job.
    pub(super) fn change(&mut self, id: Id, change: Change, now: &Zoned) -> Result<(), Error> {
        match change {
            Change::Pause => {
                self.open(id, change.participle())?;
                if self.entries[&id].state != State::Paused {
                    self.halt(id);
                    self.set(id, State::Paused, now);
                }
            }
            Change::Cancel => {
                self.open(id, change.participle())?;
                self.cancel(id, now);
            }
            Change::Priority(priority) => {
                self.open(id, change.participle())?.priority = priority;
                self.actions.push(Action::Save(id));
            }
            Change::Resume { now: at_once } => self.resume(id, at_once, now)?,
        }
        Ok(())
    }

    fn resume(&mut self, id: Id, at_once: bool, now: &Zoned) -> Result<(), Error> {
        let entry = self.entry(id)?;
        if matches!(entry.state, State::Done | State::Cancelled) {
            return Err(refused(id, entry, "resumed"));
        }
        let key = entry.key.clone();
        let is_failed = matches!(entry.state, State::Failed(_));
        let same =
            |(other, entry): (&Id, &Entry)| *other != id && !entry.is_over() && entry.key == key;
        if is_failed && self.entries.iter().any(same) {
            return Err(Error::Invalid(format!(
                "job {id} failed, and another one does the same by now; `slm jobs` shows it"
            )));
        }
        let entry = self.entry(id)?;
        entry.now |= at_once;
        // A resumed job has no listener, so it becomes a background job.
        entry.background = true;
        (entry.failures, entry.failing_since) = (0, None);
        if entry.state == State::Running {
            self.actions.push(Action::Save(id));
        } else {
            self.set(id, State::Queued, now);
        }
        Ok(())
    }

    /// Notes the end of a run, whose result is `None` if the run was stopped. `moved`: the run moved bytes.
    pub(super) fn over(
        &mut self,
        id: Id,
        result: Option<Result<Progress, Error>>,
        moved: bool,
        now: &Zoned,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.stopping = false;
        if moved {
            (entry.failures, entry.failing_since) = (0, None);
        }
        if entry.is_over() {
            return;
        }
        match result {
            // Also if the run was stopped at the same moment.
            Some(Ok(last)) => {
                self.set(id, State::Done, now);
                self.actions.push(Action::End(id, Box::new(Ok(last))));
            }
            Some(Err(error)) if entry.state == State::Running => self.fail(id, error, now),
            _ => {}
        }
    }

    fn fail(&mut self, id: Id, error: Error, now: &Zoned) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let at = now.timestamp();
        let since = *entry.failing_since.get_or_insert(at);
        let is_alone = entry.background && entry.listeners == 0;
        if is_alone && error.is_transient() && at.duration_since(since) < RETRY_TIME {
            let pause = pause(entry.failures);
            entry.failures += 1;
            let error = error.message();
            let wait = Wait::Retry {
                at: at.checked_add(pause).unwrap_or(at),
                error,
            };
            self.set(id, State::Waiting(wait), now);
            return;
        }
        self.set(id, State::Failed(error.message()), now);
        self.actions.push(Action::End(id, Box::new(Err(error))));
    }

    fn cancel(&mut self, id: Id, now: &Zoned) {
        self.halt(id);
        self.set(id, State::Cancelled, now);
        let cancelled = Err(Error::JobCancelled(id));
        self.actions.push(Action::End(id, Box::new(cancelled)));
    }

    /// Stops the run of a job, if it runs.
    fn halt(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.state == State::Running
        {
            entry.stopping = true;
            self.actions.push(Action::Stop(id));
        }
    }

    fn set(&mut self, id: Id, state: State, now: &Zoned) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = state;
            entry.changed_at = now.timestamp();
            self.actions.push(Action::Save(id));
        }
    }

    fn entry(&mut self, id: Id) -> Result<&mut Entry, Error> {
        self.entries.get_mut(&id).ok_or(Error::NoJob(id))
    }

    /// An open job, or the error that its state does not allow this change.
    fn open(&mut self, id: Id, participle: &'static str) -> Result<&mut Entry, Error> {
        let entry = self.entry(id)?;
        if entry.is_over() {
            return Err(refused(id, entry, participle));
        }
        Ok(entry)
    }

    /// Starts, stops and forgets jobs by the options and the time. Called after every change.
    pub(super) fn schedule(&mut self, now: &Zoned) {
        self.forget(now);
        self.hold(now);
        self.start(now);
        self.tell(now);
    }

    /// When [`Table::schedule`] is due again without a change.
    pub(super) fn wake(&self, now: &Zoned) -> Option<Timestamp> {
        let waits = self
            .entries
            .values()
            .filter_map(|entry| match &entry.state {
                State::Waiting(wait) => wait.until(),
                // The window can close.
                State::Running if self.options.window.is_some() => {
                    Some(now.timestamp() + SignedDuration::from_secs(30))
                }
                _ => None,
            });
        waits.min()
    }

    fn forget(&mut self, now: &Zoned) {
        let mut over: Vec<(Timestamp, Id)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_over() && !entry.stopping)
            .map(|(id, entry)| (entry.changed_at, *id))
            .collect();
        over.sort_unstable();
        let many = over.len().saturating_sub(MAX_KEPT);
        for (index, (at, id)) in over.into_iter().enumerate() {
            if index < many || now.timestamp().duration_since(at) > KEEP_TIME {
                self.entries.remove(&id);
                self.actions.push(Action::Forget(id));
            }
        }
    }

    /// Moves jobs outside of the window, or on a metered network, to `Waiting`, and queues them again when they may run.
    fn hold(&mut self, now: &Zoned) {
        let ids: Vec<Id> = self.entries.keys().copied().collect();
        for id in ids {
            let entry = &self.entries[&id];
            let due = match &entry.state {
                State::Queued
                | State::Running
                | State::Waiting(Wait::Window { .. } | Wait::Metered) => true,
                State::Waiting(Wait::Retry { at, .. }) => *at <= now.timestamp(),
                _ => false,
            };
            if !due {
                continue;
            }
            match self.options.hold(entry.now, now) {
                Some(wait) if entry.state != State::Waiting(wait.clone()) => {
                    self.halt(id);
                    self.set(id, State::Waiting(wait), now);
                }
                None if matches!(entry.state, State::Waiting(_)) => {
                    self.set(id, State::Queued, now)
                }
                _ => {}
            }
        }
    }

    /// Starts queued jobs, by priority and then by age.
    fn start(&mut self, now: &Zoned) {
        let mut queued: Vec<(std::cmp::Reverse<Priority>, Id)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.state == State::Queued && !entry.stopping)
            .map(|(id, entry)| (std::cmp::Reverse(entry.priority), *id))
            .collect();
        queued.sort_unstable();
        for (std::cmp::Reverse(priority), id) in queued {
            let is_running = |entry: &&Entry| entry.state == State::Running;
            if self.entries.values().filter(is_running).count() >= self.options.max_running {
                if priority != Priority::High {
                    break;
                }
                // The youngest job of low priority makes room.
                let low = self.entries.iter().rev().find(|(_, entry)| {
                    entry.state == State::Running && entry.priority == Priority::Low
                });
                let Some(low) = low.map(|(id, _)| *id) else {
                    break;
                };
                self.halt(low);
                self.set(low, State::Queued, now);
            }
            self.set(id, State::Running, now);
            self.actions.push(Action::Start(id));
        }
    }

    fn tell(&mut self, now: &Zoned) {
        for (id, entry) in &mut self.entries {
            let status_text = entry.status_text(*id, now);
            if status_text != entry.last_status {
                entry.last_status.clone_from(&status_text);
                if let Some(status_text) = status_text {
                    self.actions.push(Action::Tell(*id, status_text));
                }
            }
        }
    }
}

impl Options {
    /// The reason why a job must wait now, if any.
    fn hold(&self, at_once: bool, now: &Zoned) -> Option<Wait> {
        if at_once {
            return None;
        }
        if self.metered {
            return Some(Wait::Metered);
        }
        let opens = self.window.and_then(|window| window.opens(now));
        opens.map(|opens| Wait::Window { opens })
    }
}

fn refused(id: Id, entry: &Entry, participle: &'static str) -> Error {
    Error::JobState {
        id,
        state: entry.api_state(),
        participle,
    }
}

/// The pause after this many failures in a row.
fn pause(failures: usize) -> std::time::Duration {
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(MIN_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .without_max_times()
        .build();
    pauses.nth(failures.min(16)).unwrap_or(MAX_PAUSE)
}

#[cfg(test)]
mod tests;

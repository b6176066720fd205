//! The task that owns the table of jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{EventFacts, EventKind, Job, JobState, Progress};
use futures::StreamExt as _;
use registry::{Registry, Reporter, SavedJob, SavedJobs};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::meter::Meter;
use super::table::{Action, Entry, Id, Options, Table};
use super::work::Worker;
use super::{Change, Clock, LeaveGuard, Message, Subscription, TransferRequest};
use crate::error::Error;
use crate::events::Events;
use crate::lines::Lines;
use crate::progress::line;
use crate::shutdown::Shutdown;

/// Longest time between two looks at the clock, which can be set, and stops while the machine sleeps.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// A change of the saved jobs.
#[derive(Debug)]
pub(super) enum SavedChange {
    Save(SavedJob),
    Forget(Id),
}

/// Starts the task that saves changes in order, so that no client waits for the disk. It ends when the sender is dropped and all
/// changes are saved.
pub(super) fn start_saver(
    registry: Registry,
    shutdown: &Shutdown,
) -> mpsc::UnboundedSender<SavedChange> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    shutdown.tasks.spawn(async move {
        while let Some(kept) = receiver.recv().await {
            let saved = match kept {
                SavedChange::Save(job) => registry.save_job(&job).await,
                SavedChange::Forget(id) => registry.forget_job(id).await,
            };
            if let Err(error) = saved {
                tracing::warn!(
                    "a job is not saved, and is lost if the daemon ends: {}",
                    crate::error::chain(&error)
                );
            }
        }
    });
    sender
}

/// The lines and the meter of an open job.
#[derive(Debug)]
struct LiveJob {
    lines: Arc<Lines>,
    meter: Arc<Meter>,
}

impl Drop for LiveJob {
    /// Ends the lines when the task is dropped, unless they have ended before.
    fn drop(&mut self) {
        self.lines.end(Err(Error::Stopping));
    }
}

/// A reply that waits for the end of these runs, after which a cancelled job publishes nothing more.
struct DeferredReply {
    runs: BTreeSet<Id>,
    reply: Reply,
}

enum Reply {
    Count(oneshot::Sender<usize>, usize),
    Job(oneshot::Sender<Result<Job, Error>>, Box<Job>),
}

impl DeferredReply {
    fn send(self) {
        match self.reply {
            Reply::Count(reply, count) => drop(reply.send(count)),
            Reply::Job(reply, job) => drop(reply.send(Ok(*job))),
        }
    }
}

/// The task.
pub(super) struct Task {
    table: Table,
    live: BTreeMap<Id, LiveJob>,
    runs: BTreeMap<Id, CancellationToken>,
    /// Replies that wait for the end of runs.
    deferred: Vec<DeferredReply>,
    worker: Arc<dyn Worker>,
    clock: Clock,
    outlets: Outlets,
    /// The states of open jobs in the events.
    recorded: BTreeMap<Id, JobState>,
    sender: mpsc::UnboundedSender<Message>,
    shutdown: Shutdown,
}

/// Where changes of jobs go, beside the clients that listen to one.
#[derive(Debug)]
pub(super) struct Outlets {
    /// Saves them in the index.
    pub(super) store: mpsc::UnboundedSender<SavedChange>,
    /// Tells them to the clients of `GET /slm/v1/events`.
    pub(super) events: Events,
}

impl Task {
    pub(super) fn new(
        saved: SavedJobs,
        worker: Arc<dyn Worker>,
        options: Options,
        clock: Clock,
        outlets: Outlets,
        sender: mpsc::UnboundedSender<Message>,
        shutdown: &Shutdown,
    ) -> Self {
        let entries = saved.jobs.into_iter().filter_map(|job| {
            let entry = serde_json::from_str::<Entry>(&job.record);
            let entry = entry.inspect_err(|error| {
                tracing::warn!(job = job.id, %error, "a saved job cannot be read, and is left out");
            });
            Some((job.id, entry.ok()?))
        });
        let table = Table::new(options, saved.last, entries.collect(), &clock());
        Self {
            table,
            live: BTreeMap::new(),
            runs: BTreeMap::new(),
            deferred: Vec::new(),
            worker,
            clock,
            outlets,
            recorded: BTreeMap::new(),
            sender,
            shutdown: shutdown.clone(),
        }
    }

    /// Runs until the daemon stops. Jobs that run then stay saved as running, and the next daemon continues them.
    pub(super) async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Message>) {
        let graceful = self.shutdown.graceful.clone();
        loop {
            let sleep = self.settle();
            tokio::select! {
                biased;
                () = graceful.cancelled() => return,
                message = receiver.recv() => match message {
                    Some(message) => self.handle(message),
                    None => return,
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Schedules jobs and performs the actions. Returns the time until the next call.
    fn settle(&mut self) -> Duration {
        let now = (self.clock)();
        self.table.schedule(&now);
        for action in self.table.take_actions() {
            self.perform(action);
        }
        let wake = self.table.wake(&now);
        let sleep =
            wake.and_then(|wake| Duration::try_from(wake.duration_since(now.timestamp())).ok());
        // A moment longer, so that the time has passed then.
        let moment = Duration::from_millis(10);
        match (wake, sleep) {
            (Some(_), sleep) => (sleep.unwrap_or_default() + moment).min(MAX_SLEEP),
            (None, _) => MAX_SLEEP,
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start(id) => self.begin(id),
            Action::Stop(id) => {
                if let Some(run) = self.runs.get(&id) {
                    run.cancel();
                }
            }
            Action::Save(id) => {
                self.save(id);
                self.record(id);
            }
            Action::Forget(id) => {
                let _ = self.outlets.store.send(SavedChange::Forget(id));
            }
            Action::Tell(id, status) => {
                let state = self.table.get(id).map(Entry::api_state);
                let lines = self.live(id).lines.clone();
                // A later client gets only the line about the current state.
                lines.forget_states();
                lines.add(Progress {
                    status,
                    job: Some(id),
                    state,
                    ..Progress::default()
                });
            }
            Action::End(id, end) => {
                let end = (*end).map(|last| Progress {
                    job: Some(id),
                    ..last
                });
                if let Some(live) = self.live.remove(&id) {
                    live.lines.end(end);
                }
            }
        }
    }

    fn live(&mut self, id: Id) -> &LiveJob {
        self.live.entry(id).or_insert_with(|| LiveJob {
            lines: Lines::new(),
            meter: Arc::default(),
        })
    }

    fn begin(&mut self, id: Id) {
        let Some(work) = self.table.get(id).map(|entry| entry.work.clone()) else {
            return;
        };
        let LiveJob { lines, meter } = self.live(id);
        let (lines, meter) = (lines.clone(), meter.clone());
        meter.begin();
        lines.forget_states();
        let reporter = Reporter::new(move |progress| {
            meter.report(&progress, Instant::now());
            lines.add(Progress {
                job: Some(id),
                ..line(progress)
            });
        });
        let work = self.worker.run(&work, reporter);
        let stop = CancellationToken::new();
        self.runs.insert(id, stop.clone());
        let mut over = RunGuard {
            id,
            result: Some(Err(Error::Internal)),
            sender: self.sender.clone(),
        };
        let graceful = self.shutdown.graceful.clone();
        self.shutdown.tasks.spawn(async move {
            over.result = tokio::select! {
                biased;
                () = graceful.cancelled() => None,
                () = stop.cancelled() => None,
                result = work => Some(result),
            };
            // The work and its connections are dropped by now.
            drop(over);
        });
    }

    fn save(&mut self, id: Id) {
        let bytes = self.live.get(&id).and_then(|live| live.meter.bytes());
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        if let Some((completed, total)) = bytes {
            (entry.completed, entry.total) = (completed, total);
        }
        let record = serde_json::to_string(entry).expect("texts and numbers");
        let _ = self
            .outlets
            .store
            .send(SavedChange::Save(SavedJob { id, record }));
    }

    /// Records a new state of a job in the events.
    fn record(&mut self, id: Id) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        let job = self.to_job(id, entry);
        let state = job.state;
        let before = match state.is_over() {
            true => self.recorded.remove(&id),
            false => self.recorded.insert(id, state),
        };
        if before == Some(state) {
            return;
        }
        let reason = job.reason.as_ref().map(|reason| format!(": {reason}"));
        let text = format!("{} {id} is {state}{}", job.kind, reason.unwrap_or_default());
        let facts = EventFacts {
            job: Some(job.clone()),
            ..EventFacts::default()
        };
        let events = &self.outlets.events;
        events.record(&job.model, EventKind::Job, text, facts);
    }

    fn handle(&mut self, message: Message) {
        let now = (self.clock)();
        match message {
            Message::Ask(asked, reply) => {
                let _ = reply.send(self.ask(asked));
            }
            Message::Watch(id, reply) => {
                let subscription = self.table.watch(id).map(|()| self.listen(id));
                let _ = reply.send(subscription);
            }
            Message::List(reply) => {
                let jobs = self.table.iter().map(|(id, entry)| self.to_job(id, entry));
                let _ = reply.send(jobs.collect());
            }
            Message::Change(id, change, reply) => match self.change(id, change) {
                Ok(job) if change == Change::Cancel => {
                    self.answer([id], Reply::Job(reply, Box::new(job)));
                }
                changed => drop(reply.send(changed)),
            },
            Message::CancelPulls(model, reply) => {
                let ids = self.table.open_pulls(&model);
                for id in &ids {
                    // The pull is open, so it can be cancelled.
                    let _ = self.table.change(*id, Change::Cancel, &now);
                }
                self.settle();
                let count = ids.len();
                self.answer(ids, Reply::Count(reply, count));
            }
            Message::Left(id) => self.table.leave(id, &now),
            Message::Configure(options) => self.table.configure(options),
            Message::Over { id, result } => {
                self.runs.remove(&id);
                for answer in &mut self.deferred {
                    answer.runs.remove(&id);
                }
                for answer in self
                    .deferred
                    .extract_if(.., |answer| answer.runs.is_empty())
                {
                    answer.send();
                }
                let moved = self
                    .live
                    .get(&id)
                    .is_some_and(|live| live.meter.moved() > 0);
                self.table.over(id, result, moved, &now);
            }
        }
    }

    /// Replies when the runs of these jobs have ended, perhaps now.
    fn answer(&mut self, ids: impl IntoIterator<Item = Id>, reply: Reply) {
        let runs = ids.into_iter().filter(|id| self.runs.contains_key(id));
        let answer = DeferredReply {
            runs: runs.collect(),
            reply,
        };
        if answer.runs.is_empty() {
            answer.send();
        } else {
            self.deferred.push(answer);
        }
    }

    fn ask(&mut self, asked: TransferRequest) -> Result<Subscription, Error> {
        let id = self.table.ask(asked, &(self.clock)())?;
        let subscription = self.listen(id);
        // Before the client reads a line, so that it gets no outdated state.
        self.settle();
        Ok(subscription)
    }

    fn change(&mut self, id: Id, change: Change) -> Result<Job, Error> {
        self.table.change(id, change, &(self.clock)())?;
        // The reply has the state after scheduling.
        self.settle();
        let entry = self.table.get(id).ok_or(Error::NoJob(id))?;
        Ok(self.to_job(id, entry))
    }

    fn listen(&mut self, id: Id) -> Subscription {
        Subscription {
            lines: self.live(id).lines.listen().boxed(),
            leave: LeaveGuard {
                id,
                sender: self.sender.clone(),
            },
        }
    }

    /// The job in the API.
    fn to_job(&self, id: Id, entry: &Entry) -> Job {
        let live = self.live.get(&id);
        let bytes = live.and_then(|live| live.meter.bytes());
        let (completed, total) = bytes.unwrap_or((entry.completed, entry.total));
        let until = match &entry.state {
            super::table::State::Waiting(wait) => wait.until(),
            _ => None,
        };
        Job {
            id,
            kind: entry.kind(),
            model: entry.model.clone(),
            state: entry.api_state(),
            reason: entry.reason(&(self.clock)()),
            until,
            priority: entry.priority,
            background: entry.background,
            completed,
            total,
            rate: match entry.api_state() {
                api::JobState::Running => live.map_or(0, |live| live.meter.rate(Instant::now())),
                _ => 0,
            },
            created_at: entry.created_at,
            changed_at: entry.changed_at,
        }
    }
}

/// A drop guard that reports the end of a run, also when its work panics.
struct RunGuard {
    id: Id,
    result: Option<Result<Progress, Error>>,
    sender: mpsc::UnboundedSender<Message>,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let _ = self.sender.send(Message::Over {
            id: self.id,
            result: self.result.take(),
        });
    }
}

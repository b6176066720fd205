//! Saves the KV states of a runner that stops, for the next runner with the same model.
//!
//! When a model is unloaded, its runner exports the most valuable states, and the store keeps them. The next runner gets their files
//! before it loads, and continues from them. States only save time: a failure here is logged, and the tokens are computed again.

use std::time::Duration;

use futures::future::join;
use registry::{Digest, ModelName, NewState, Registry, StateId};
use runner_protocol::state::Writer;
use runner_protocol::{ExportState, HostCacheSetup, MAX_STATES, State};
use supervisor::{Files, Runner, StateOutcomes};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::error::chain;

/// Most time for the export when a model is unloaded. The model that waits for its place waits as long.
pub(crate) const SAVING: Duration = Duration::from_secs(5);

/// How long a load waits while the store still writes states of the same model.
const PUBLISHING: Duration = Duration::from_secs(5);

/// Least tokens of a saved state. Fewer are computed as fast as a file is read.
const MIN_TOKENS: u32 = 128;

/// Most states that are saved of one runner.
const MOST_SAVED: usize = 16;

/// Saves and opens states within their budgets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct States {
    registry: Registry,
    /// Most bytes of all files; 0 saves none.
    disk: u64,
    tasks: TaskTracker,
}

/// Saves the states of one runner.
#[derive(Debug)]
pub struct StateSaver {
    states: States,
    /// A name of its model.
    model: ModelName,
    /// Names its states in the store.
    state_key: Digest,
    setup: HostCacheSetup,
    /// The states that the runner got, in order.
    offered: Vec<StateId>,
}

/// Why a state is not saved.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] registry::Error),
    #[error(transparent)]
    Runner(#[from] supervisor::Error),
    #[error("the runner did not export it in time")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("the runner exported an invalid state: {0}")]
    Invalid(&'static str),
}

impl States {
    /// Saves at most `disk` bytes in files. `tasks` holds the tasks that follow what runners do with their states.
    pub fn new(registry: Registry, disk: u64, tasks: TaskTracker) -> Self {
        Self {
            registry,
            disk,
            tasks,
        }
    }

    /// Opens the saved states of a model for a runner that is about to start, with a host cache of `memory` bytes, or of the size that the
    /// runner chooses. `None` when both budgets are 0.
    pub(super) async fn gather(
        &self,
        model: ModelName,
        state_key: Digest,
        memory: Option<u64>,
        files: &mut Files,
    ) -> Option<StateSaver> {
        if self.disk == 0 && memory == Some(0) {
            return None;
        }
        let most = if self.disk == 0 { 0 } else { MAX_STATES };
        let opened = timeout(PUBLISHING, self.registry.states(state_key, most)).await;
        let saved = match opened {
            Ok(Ok(saved)) => saved,
            Ok(Err(error)) => {
                tracing::warn!(%model, "cannot open saved states: {}", chain(&error));
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        let mut offered = Vec::new();
        let mut setup = HostCacheSetup {
            model: state_key.to_string(),
            memory,
            files: Vec::new(),
        };
        for state in saved {
            offered.push(state.id);
            setup.files.push(files.push(state.file));
        }
        Some(StateSaver {
            states: self.clone(),
            model,
            state_key,
            setup,
            offered,
        })
    }
}

impl StateSaver {
    /// Offers the states to a runner before its load, and follows what it does with them.
    pub(super) async fn offer(&self, runner: &Runner) {
        let count = self.offered.len();
        match runner.set_up_host_cache(self.setup.clone()).await {
            Ok(readable) => tracing::debug!(model = %self.model, count, readable, "saved states"),
            // If the runner is gone, the load reports it.
            Err(error) => {
                tracing::warn!(model = %self.model, "no state is kept: {}", chain(&error));
            }
        }
        let outcomes = runner.state_outcomes();
        let following = follow(self.states.registry.clone(), self.offered.clone(), outcomes);
        self.states.tasks.spawn(following);
    }

    /// Saves the states of a runner within [`SAVING`], then stops it.
    pub(super) async fn shutdown_gracefully(self, runner: &Runner, grace: Duration) {
        let began = Instant::now();
        let saved = if self.states.disk > 0 {
            self.collect(runner, began + SAVING).await
        } else {
            None
        };
        let stop = runner.stop(grace);
        let Some((new, count, replaced)) = saved else {
            stop.await;
            return;
        };
        // A model that waits for its place does not wait for the disk.
        let publish = async {
            match new.publish(replaced, self.states.disk).await {
                Ok(()) => {
                    tracing::info!(model = %self.model, count, took = ?began.elapsed(), "saved states");
                }
                Err(error) => {
                    tracing::warn!(model = %self.model, "cannot save states: {}", chain(&error));
                }
            }
        };
        join(stop, publish).await;
    }

    /// Writes the states that the runner exports, the most valuable first, with their number and the states that they replace.
    async fn collect(
        &self,
        runner: &Runner,
        deadline: Instant,
    ) -> Option<(NewState, usize, Vec<StateId>)> {
        let store = &self.states.registry;
        let mut new = match store.save_states(&self.model, self.state_key).await {
            Ok(new) => new,
            // The model was removed, and its states with it.
            Err(registry::Error::NotFound { .. }) => return None,
            Err(error) => {
                tracing::warn!(model = %self.model, "cannot save states: {}", chain(&error));
                return None;
            }
        };
        let (mut count, mut left, mut replaced) = (0, self.states.disk, Vec::new());
        while count < MOST_SAVED {
            match self.save_next(&mut new, runner, left, deadline).await {
                Ok(None) => break,
                Ok(Some(state)) => {
                    count += 1;
                    left = left.saturating_sub(state.head.file_size());
                    let indices = state.instead_of.iter();
                    let ids = indices.filter_map(|&index| self.offered.get(index as usize));
                    replaced.extend(ids);
                }
                Err(error) => {
                    tracing::warn!(model = %self.model, count, "a state is not saved: {}", chain(&error));
                    break;
                }
            }
        }
        (count > 0).then_some((new, count, replaced))
    }

    /// Writes the next state that the runner exports.
    async fn save_next(
        &self,
        new: &mut NewState,
        runner: &Runner,
        most: u64,
        deadline: Instant,
    ) -> Result<Option<State>, Error> {
        let wanted = ExportState {
            min_tokens: MIN_TOKENS,
            max_bytes: most,
        };
        let Some(state) = timeout_at(deadline, runner.export_state(wanted)).await?? else {
            return Ok(None);
        };
        let head = &state.head;
        if !head.is_within_bounds() || head.bytes > most || head.model != self.setup.model {
            return Err(Error::Invalid("its head does not match the request"));
        }
        new.begin(head.file_size()).await?;
        let (mut writer, start) = Writer::begin(head);
        new.write(start).await?;
        let mut offset = 0;
        let mut part = timeout_at(deadline, runner.state_part(offset)).await??;
        loop {
            if part.is_empty() || !writer.part(&part) {
                return Err(Error::Invalid("its length does not match its head"));
            }
            offset += part.len() as u64;
            if writer.left() == 0 {
                new.write(part).await?;
                break;
            }
            let (next, written) = join(
                timeout_at(deadline, runner.state_part(offset)),
                new.write(part),
            )
            .await;
            written?;
            part = next??;
        }
        new.write(writer.end().to_vec()).await?;
        new.finish(Digest::of(&head.identity()))?;
        Ok(Some(state))
    }
}

/// Removes states that a runner refuses, and marks those that it uses, until it is gone.
async fn follow(
    registry: Registry,
    offered: Vec<StateId>,
    mut outcomes: watch::Receiver<StateOutcomes>,
) {
    let mut known = StateOutcomes::default();
    loop {
        let current = *outcomes.borrow_and_update();
        for (bit, &id) in offered.iter().enumerate() {
            let is_new = |current: u64, known: u64| (current & !known) >> bit & 1 == 1;
            let done = if is_new(current.refused, known.refused) {
                tracing::warn!(state = %id.name.short(), "a saved state was refused, and is removed");
                registry.remove_state(id).await
            } else if is_new(current.used, known.used) {
                registry.touch_state(id).await
            } else {
                Ok(())
            };
            if let Err(error) = done {
                tracing::warn!("{}", chain(&error));
            }
        }
        known = current;
        if outcomes.changed().await.is_err() {
            return;
        }
    }
}

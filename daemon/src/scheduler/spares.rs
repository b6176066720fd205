//! Spare runners: processes that have loaded their libraries and wait for a model, so that a load need not start one.
//!
//! The first load starts none: an idle daemon has no spare runner. After each load one is started for the next load, and it ends when
//! no load came for a while, or when other programs need its memory. The scheduler's task decides about its end.

use std::sync::{Arc, Mutex, PoisonError};

use runner_protocol::spare::MAX_SPARE_FILES;
use supervisor::{Files, Options, Program, Runner, Spare, Spawner};
use tokio_util::task::TaskTracker;

/// Bytes that a spare runner takes, measured: its heap, and what of the libraries no other runner has mapped.
const SPARE_BYTES: u64 = 24 * 1024 * 1024;

/// The spare runners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spawner: Spawner,
    tasks: TaskTracker,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Most spare runners.
    most: usize,
    /// The waiting ones, the oldest first.
    waiting: Vec<Spare>,
    /// Grows with each refill and end, so that a refill that was overtaken stops.
    round: u64,
}

impl Spares {
    /// Keeps at most so many spare runners.
    pub fn new(spawner: Spawner, most: usize, tasks: TaskTracker) -> Self {
        let state = State {
            most,
            waiting: Vec::new(),
            round: 0,
        };
        Self(Arc::new(Inner {
            spawner,
            tasks,
            state: Mutex::new(state),
        }))
    }

    /// Keeps at most so many from now on.
    pub(super) fn keep(&self, most: usize) {
        let mut state = self.state();
        state.most = most;
        state.waiting.truncate(most);
    }

    /// A runner of this program with these files: a spare one if one waits, or a new one.
    ///
    /// # Errors
    /// As [`Spawner::spawn`].
    pub(super) async fn runner(
        &self,
        program: &Program,
        files: Files,
        options: Options,
    ) -> Result<Runner, supervisor::Error> {
        let spawner = &self.0.spawner;
        if files.count() > MAX_SPARE_FILES {
            return spawner.spawn(program, files, options).await;
        }
        match self.take(program) {
            Some(spare) => spawner.use_spare(spare, files, options).await,
            None => spawner.spawn(program, files, options).await,
        }
    }

    /// Starts spare runners of this program in the background, and ends those of another program.
    pub(super) fn refill(&self, program: &Program) {
        let spares = self.clone();
        let program = program.clone();
        // Before the task runs, so that an end after this call counts.
        let round = {
            let mut state = self.state();
            // The newest stay: a machine may swap between two programs, one for the CPU and one for an accelerator.
            let surplus = state
                .waiting
                .len()
                .saturating_sub(state.most.saturating_sub(1));
            state.waiting.drain(..surplus);
            state.round += 1;
            state.round
        };
        self.0.tasks.spawn(async move {
            while spares.is_wanted(round) {
                match spares.0.spawner.prepare(&program).await {
                    Ok(spare) => spares.put(spare, round),
                    Err(error) => {
                        tracing::warn!("no spare runner: {}", crate::error::chain(&error));
                        return;
                    }
                }
            }
        });
    }

    /// Ends all spare runners, and returns whether there were any.
    pub(super) fn end(&self) -> bool {
        let mut state = self.state();
        state.round += 1;
        let had_any = !state.waiting.is_empty();
        state.waiting.clear();
        had_any
    }

    /// Bytes that the waiting ones take.
    pub(super) fn bytes(&self) -> u64 {
        SPARE_BYTES * self.state().waiting.len() as u64
    }

    fn take(&self, program: &Program) -> Option<Spare> {
        let mut state = self.state();
        state.waiting.retain_mut(|spare| {
            let has_ended = spare.has_ended();
            if has_ended {
                tracing::warn!("a spare runner ended before a model came");
            }
            !has_ended
        });
        let found = state
            .waiting
            .iter()
            .position(|spare| spare.program() == program)?;
        Some(state.waiting.remove(found))
    }

    fn is_wanted(&self, round: u64) -> bool {
        let state = self.state();
        state.round == round && state.waiting.len() < state.most
    }

    fn put(&self, spare: Spare, round: u64) {
        let mut state = self.state();
        // An ended round takes none; dropping it ends it.
        if state.round == round {
            state.waiting.push(spare);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Passes changed settings to the parts of the daemon that keep a copy of them.
//!
//! A part that reads [`LiveConfig`] when it needs a setting is not named here: requests read their defaults, loads and transfers
//! their options.

use registry::Registry;
use tokio::sync::watch;

use crate::config::{Config, LiveConfig};
use crate::error::chain;
use crate::log::LogFilter;
use crate::origin_check::OriginCheck;
use crate::responses::{self, Responses};
use crate::run::RUNNER_GRACE;
use crate::scheduler::{self, MemoryBudget, Scheduler};
use crate::transfers::{self, Transfers};

/// The parts that keep a copy of settings.
#[derive(Debug)]
pub(crate) struct Owners {
    pub(crate) registry: Registry,
    pub(crate) scheduler: Scheduler,
    pub(crate) transfers: Transfers,
    pub(crate) responses: Responses,
    pub(crate) origin_check: watch::Sender<OriginCheck>,
    /// The filter of the log; `None` in tests.
    pub(crate) log: Option<LogFilter>,
}

impl Owners {
    /// Passes on each change, until the task is dropped.
    pub(crate) async fn follow(self, config: LiveConfig) {
        let mut changes = config.subscribe();
        let mut before = changes.borrow_and_update().clone();
        while changes.changed().await.is_ok() {
            let now = changes.borrow_and_update().clone();
            self.pass(&before, &now).await;
            before = now;
        }
    }

    async fn pass(&self, before: &Config, now: &Config) {
        self.origin_check.send_replace(OriginCheck::of(now));
        self.scheduler.configure(scheduler_options(now)).await;
        self.transfers.configure(transfer_options(now));
        if let Some(log) = self.log.as_ref().filter(|_| before.log != now.log) {
            log.set(&now.log);
        }
        if before.pull_rate != now.pull_rate {
            self.registry.set_pull_rate(now.pull_rate);
        }
        if (before.responses, before.responses_lifetime) != (now.responses, now.responses_lifetime)
            && let Err(error) = self.responses.configure(response_limits(now)).await
        {
            tracing::warn!("cannot remove old responses: {}", chain(&error));
        }
        if before.state_disk > now.state_disk
            && let Err(error) = self.registry.trim_states(now.state_disk).await
        {
            tracing::warn!("cannot remove saved states: {}", chain(&error));
        }
    }
}

/// The limits of the scheduler.
pub(crate) fn scheduler_options(config: &Config) -> scheduler::Options {
    scheduler::Options {
        max_loaded: config.max_loaded_models.unwrap_or(usize::MAX),
        budget: MemoryBudget {
            host: config.memory_budget,
            reserve: config.memory_reserve,
            devices: config.device_budget.clone(),
        },
        max_queue: config.max_queue,
        keep_alive: config.keep_alive,
        stop_grace: RUNNER_GRACE,
        shrink: config.shrink,
    }
}

/// The options of pulls and pushes.
pub(crate) fn transfer_options(config: &Config) -> transfers::Options {
    transfers::Options {
        max_running: config.max_transfers,
        window: config.pull_window,
        metered: config.metered,
    }
}

/// The limits of saved responses.
pub(crate) fn response_limits(config: &Config) -> responses::Limits {
    responses::Limits {
        budget: config.responses,
        lifetime: config.responses_lifetime,
    }
}

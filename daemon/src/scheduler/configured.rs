//! Loads models with the settings that are in force when the load starts.

use futures::future::BoxFuture;
use registry::{ModelName, Registry};
use tokio_util::task::TaskTracker;

use super::{LoadRequest, LoadedRunner, Loader, Spares, States, StoreLoader, program};
use crate::accelerators::Accelerators;
use crate::config::LiveConfig;
use crate::cpu::CpuModules;
use crate::error::Error;
use crate::needs::Needs;

/// A [`StoreLoader`] that follows the configuration.
pub struct ConfiguredLoader {
    /// The settings in force.
    pub config: LiveConfig,
    /// The store.
    pub registry: Registry,
    /// Starts runners, and keeps spare ones.
    pub spares: Spares,
    /// Chooses the CPU module of runners.
    pub cpu: CpuModules,
    /// Chooses the backend of runners.
    pub accelerators: Accelerators,
    /// Learns from what loads take.
    pub needs: Needs,
    /// Tasks in the background.
    pub tasks: TaskTracker,
}

impl Loader for ConfiguredLoader {
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedRunner, Error>> {
        self.spares.keep(self.config.current().spare_runners);
        self.loader().load(request)
    }

    fn read_ahead(&self, name: ModelName, most: u64) {
        self.loader().read_ahead(name, most);
    }

    fn spare_bytes(&self) -> u64 {
        self.spares.bytes()
    }

    fn give_back(&self) -> bool {
        self.spares.end()
    }
}

impl ConfiguredLoader {
    fn loader(&self) -> StoreLoader {
        let config = self.config.current();
        StoreLoader {
            registry: self.registry.clone(),
            spares: self.spares.clone(),
            needs: self.needs.clone(),
            tasks: self.tasks.clone(),
            program: program(config.runner.clone(), config.sandbox, config.kernels),
            cpu: Some(self.cpu.clone()),
            accelerators: self.accelerators.clone(),
            backend: config.backend.clone(),
            device_budget: config.device_budget.clone(),
            options: supervisor::Options {
                load_silence: config.load_timeout,
                silence: config.stall_timeout,
                ..supervisor::Options::default()
            },
            sequences: config.parallel,
            speculation: config.speculative,
            sandbox: config.sandbox,
            states: States::new(self.registry.clone(), config.state_disk, self.tasks.clone()),
        }
    }
}

//! Chooses the backend of a load: the module of an accelerator, or the CPU.
//!
//! `slm-runner probe backends` loads each installed module in a separate process and reports its devices or its fault. A runner loads
//! the module of its load only. Where the configuration leaves the choice, a load that fails on an accelerator is tried once more on
//! the CPU, and a model whose runner an accelerator's driver crashed stays on the CPU. Each choice has its reason in words.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runner_protocol::LoadSettings;
use serde::Deserialize;
use supervisor::{Cause, Exit, Program};
use tokio::io::AsyncReadExt as _;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::config::Backend;
use crate::error::Error;
use crate::fs;

/// The backends that are chosen without being named, best first. The others compute with less exact numbers, or need settings.
const AUTOMATIC: [&str; 7] = ["cuda", "rocm", "metal", "sycl", "vulkan", "musa", "cann"];

/// Longest time of a probe of all modules; the probe ends that of one module after 20 seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Most bytes of the report of a probe.
const MAX_REPORT: u64 = 1024 * 1024;

/// Most models that are remembered as crashed.
const MAX_CRASHED: usize = 256;

/// The installed modules, as a probe reports them.
#[derive(Debug, Clone, Deserialize)]
struct Module {
    backend: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    fault: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Device {
    name: String,
    #[serde(default)]
    description: String,
}

/// Where a load goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The backend of an accelerator; `None` for the CPU.
    pub backend: Option<String>,
    /// Why not an accelerator, or why this one, for people; may be empty for the CPU.
    pub reason: String,
    /// Whether the CPU is tried when the load fails.
    pub falls_back: bool,
}

impl Placement {
    /// The CPU, for this reason.
    fn cpu(reason: impl Into<String>) -> Self {
        Self {
            backend: None,
            reason: reason.into(),
            falls_back: false,
        }
    }

    /// The CPU in its place, because the load failed.
    #[must_use]
    pub fn fall_back(&self, error: &Error) -> Self {
        let backend = self.backend.as_deref().unwrap_or_default();
        Self::cpu(format!("the load with {backend} failed: {error}"))
    }
}

/// The choice of backends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accelerators(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: Program,
    setting: Backend,
    /// Variables that select devices, for the probe and for runners with an accelerator.
    variables: Vec<(OsString, OsString)>,
    tasks: TaskTracker,
    modules: OnceCell<Vec<Module>>,
    /// Models that crashed with a backend, by their keys, and how.
    crashed: Mutex<BTreeMap<String, String>>,
}

impl Accelerators {
    /// The modules of this program; `variables` are those of drivers that select devices.
    pub fn new(
        program: Program,
        setting: Backend,
        variables: Vec<(OsString, OsString)>,
        tasks: TaskTracker,
    ) -> Self {
        Self(Arc::new(Inner {
            program,
            setting,
            variables,
            tasks,
            modules: OnceCell::new(),
            crashed: Mutex::default(),
        }))
    }

    /// Starts a probe, so that the first load does not wait, if any module is installed.
    pub fn start_probe(&self) {
        if self.0.setting != Backend::Cpu && fs::has_backends(&self.0.program.path) {
            let accelerators = self.clone();
            self.0.tasks.spawn(async move {
                accelerators.modules().await;
            });
        }
    }

    /// Where a model with this key goes.
    ///
    /// # Errors
    /// [`Error::Backend`] when the configuration names a backend that cannot be used.
    pub async fn place(&self, key: &str, settings: &LoadSettings) -> Result<Placement, Error> {
        if settings.gpu_layers == 0 {
            return Ok(Placement::cpu(""));
        }
        match &self.0.setting {
            Backend::Cpu => Ok(Placement::cpu("")),
            Backend::Named(name) => self.named(name).await,
            Backend::Auto => Ok(self.automatic(key, settings).await),
        }
    }

    async fn named(&self, name: &'static str) -> Result<Placement, Error> {
        let modules = self.modules().await;
        let module = modules.iter().find(|module| module.backend == name);
        let reason = match module {
            Some(Module {
                fault: None,
                devices,
                ..
            }) => {
                return Ok(Placement {
                    backend: Some(name.to_owned()),
                    reason: format!("backend: {name} is set, {}", names(devices)),
                    falls_back: false,
                });
            }
            Some(Module {
                fault: Some(fault), ..
            }) => fault.clone(),
            None => format!(
                "it is not installed; `installer/install.sh --backend {name}` builds and installs it"
            ),
        };
        Err(Error::Backend {
            backend: name,
            reason,
        })
    }

    async fn automatic(&self, key: &str, settings: &LoadSettings) -> Placement {
        let modules = self.modules().await;
        let best = AUTOMATIC.iter().find_map(|name| {
            let usable = |module: &&Module| module.backend == *name && module.fault.is_none();
            modules.iter().find(usable)
        });
        let Some(module) = best else {
            let faults: Vec<String> = modules
                .iter()
                .filter_map(|it| {
                    Some(format!(
                        "{} cannot be used: {}",
                        it.backend,
                        it.fault.as_ref()?
                    ))
                })
                .collect();
            return Placement::cpu(faults.join("; "));
        };
        if let Some(crash) = self.crashed().get(key) {
            return Placement::cpu(crash);
        }
        Placement {
            backend: Some(module.backend.clone()),
            reason: format!(
                "best usable backend is {}, {}",
                module.backend,
                names(&module.devices)
            ),
            // A number of layers that a request, a Modelfile or the configuration states asks for an accelerator.
            falls_back: settings.gpu_layers < 0,
        }
    }

    /// The program of a runner for this placement.
    pub fn program(&self, placement: &Placement, mut program: Program) -> Program {
        if let Some(backend) = &placement.backend {
            program.args.push(format!("--backend={backend}").into());
            program.env.extend(self.0.variables.iter().cloned());
        }
        program
    }

    /// Keeps the model on the CPU when its runner crashes with an accelerator, if the configuration leaves the choice.
    pub fn watch(
        &self,
        key: String,
        placement: &Placement,
        exited: impl Future<Output = Exit> + Send + 'static,
    ) {
        let (Some(backend), true) = (placement.backend.clone(), placement.falls_back) else {
            return;
        };
        let accelerators = self.clone();
        self.0.tasks.spawn(async move {
            let exit = exited.await;
            if let (Cause::Itself, Some(signal)) = (&exit.cause, exit.signal()) {
                let reason = format!("signal {signal} ended its runner with {backend}");
                tracing::warn!(
                    backend,
                    signal,
                    "a runner crashed; its model stays on the CPU"
                );
                let mut crashed = accelerators.crashed();
                if crashed.len() < MAX_CRASHED {
                    crashed.insert(key, reason);
                }
            }
        });
    }

    fn crashed(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0
            .crashed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The installed modules, from a probe at the first load that asks.
    async fn modules(&self) -> &[Module] {
        let found = self.0.modules.get_or_init(|| async {
            if !fs::has_backends(&self.0.program.path) {
                return Vec::new();
            }
            match self.probe().await {
                Ok(modules) => modules,
                Err(error) => {
                    tracing::warn!(error, "backends cannot be probed; models go to the CPU");
                    Vec::new()
                }
            }
        });
        found.await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a probe is no runner: this function waits for it, and ends it when it is dropped"
    )]
    async fn probe(&self) -> Result<Vec<Module>, String> {
        let mut probe = tokio::process::Command::new(&self.0.program.path)
            .args(["probe", "backends"])
            .env_clear()
            .envs(self.0.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        let pipe = probe.stdout.take().ok_or("the probe has no output")?;
        let mut report = Vec::new();
        let mut pipe = pipe.take(MAX_REPORT);
        let whole = async {
            pipe.read_to_end(&mut report).await?;
            probe.wait().await
        };
        let status = timeout(PATIENCE, whole)
            .await
            .map_err(|_| format!("the probe took longer than {} s", PATIENCE.as_secs()))?
            .map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("the probe ended by {status}"));
        }
        let modules: Vec<Module> =
            serde_json::from_slice(&report).map_err(|error| error.to_string())?;
        for module in &modules {
            match &module.fault {
                Some(fault) => {
                    tracing::warn!(backend = module.backend, fault, "a backend cannot be used")
                }
                None => tracing::info!(
                    backend = module.backend,
                    devices = names(&module.devices),
                    "backend"
                ),
            }
        }
        Ok(modules)
    }
}

/// `Vulkan0 (NVIDIA H100), Vulkan1 (…)`.
fn names(devices: &[Device]) -> String {
    let names: Vec<String> = devices
        .iter()
        .map(|device| format!("{} ({})", device.name, device.description))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;

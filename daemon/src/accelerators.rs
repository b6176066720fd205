//! Chooses the backend of a load: the module of an accelerator, or the CPU.
//!
//! `slm-runner probe backends` loads each installed module in a separate process and reports its devices or its fault. A runner loads
//! the module of its load only. Where the configuration leaves the choice, a load that fails on an accelerator is tried once more on
//! the CPU, and a model whose runner an accelerator's driver crashed stays on the CPU. Each choice has its reason in words.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use supervisor::{Cause, Exit, Program};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::config::Backend;
use crate::error::Error;
use crate::fs;
use crate::probe;
use crate::scheduler::LoadRequest;

/// The backends that are chosen without being named, best first. The others compute with less exact numbers, or need settings.
const AUTOMATIC: [&str; 7] = ["cuda", "rocm", "metal", "sycl", "vulkan", "musa", "cann"];

/// Longest time of a probe of all modules; the probe ends that of one module after 20 seconds.
const PATIENCE: Duration = Duration::from_secs(120);

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
    #[serde(default)]
    memory_total: u64,
    #[serde(default)]
    memory_free: u64,
    /// `gpu`, or `integrated-gpu` for a device that shares the memory of the host.
    #[serde(default)]
    kind: String,
}

impl Device {
    fn is_integrated(&self) -> bool {
        self.kind == "integrated-gpu"
    }
}

/// The memory of a device, as the probe found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Its name, such as `CUDA0`.
    pub name: String,
    /// Bytes that it has.
    pub total: u64,
    /// Bytes that were free when it was probed, before any model was loaded.
    pub free: u64,
}

impl From<&Device> for DeviceMemory {
    fn from(device: &Device) -> Self {
        Self {
            name: device.name.clone(),
            total: device.memory_total,
            free: device.memory_free.min(device.memory_total),
        }
    }
}

/// What a load says of its place.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'request> {
    /// Digest of the model's manifest.
    pub key: &'request str,
    /// Layers on an accelerator; −1 for as many as fit, 0 for none.
    pub gpu_layers: i32,
    /// Whether a request, a Modelfile or the configuration states the number of layers, which asks for an accelerator.
    pub states_layers: bool,
    /// The device that the configuration has for the model.
    pub device: Option<&'request str>,
}

impl<'request> Wish<'request> {
    /// That of a request.
    pub fn of(request: &'request LoadRequest) -> Self {
        Self {
            key: &request.digest,
            gpu_layers: request.settings.gpu_layers,
            states_layers: request.states_layers,
            device: request.configured.device.as_deref(),
        }
    }
}

/// Where a load goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The backend of an accelerator; `None` for the CPU.
    pub backend: Option<String>,
    /// Its device, such as `Vulkan0`; `None` leaves the choice to llama.cpp.
    pub device: Option<String>,
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
            device: None,
            reason: reason.into(),
            falls_back: false,
        }
    }

    /// A backend that was asked for, for this reason.
    fn insisted(backend: &str, reason: String) -> Self {
        Self {
            backend: Some(backend.to_owned()),
            device: None,
            reason,
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
    /// Variables that select devices, for the probe and for runners with an accelerator.
    variables: Vec<(OsString, OsString)>,
    tasks: TaskTracker,
    modules: OnceCell<Vec<Module>>,
    /// Models that crashed with a backend, by their keys, and how.
    crashed: Mutex<BTreeMap<String, String>>,
}

impl Accelerators {
    /// The modules of this program; `variables` are those of drivers that select devices.
    pub fn new(program: Program, variables: Vec<(OsString, OsString)>, tasks: TaskTracker) -> Self {
        Self(Arc::new(Inner {
            program,
            variables,
            tasks,
            modules: OnceCell::new(),
            crashed: Mutex::default(),
        }))
    }

    /// Starts a probe, so that the first load does not wait, if any module is installed and may be used.
    pub fn start_probe(&self, setting: &Backend) {
        if *setting != Backend::Cpu && fs::has_backends(&self.0.program.path) {
            let accelerators = self.clone();
            self.0.tasks.spawn(async move {
                accelerators.modules().await;
            });
        }
    }

    /// Where a model goes, with this setting of the configuration.
    ///
    /// # Errors
    /// [`Error::Backend`] for a configured backend that cannot be used, [`Error::Device`] for a configured device that cannot be used.
    pub async fn place(&self, setting: &Backend, wish: Wish<'_>) -> Result<Placement, Error> {
        if wish.gpu_layers == 0 {
            return Ok(Placement::cpu(""));
        }
        if let Some(device) = wish.device {
            return self.on_device(device).await;
        }
        match setting {
            Backend::Cpu => Ok(Placement::cpu("")),
            Backend::Named(name) => self.named(name).await,
            Backend::Auto => Ok(self.automatic(wish).await),
        }
    }

    async fn on_device(&self, name: &str) -> Result<Placement, Error> {
        if name.eq_ignore_ascii_case("cpu") {
            return Ok(Placement::cpu(""));
        }
        let modules = self.modules().await;
        let usable = modules.iter().filter(|module| module.fault.is_none());
        let devices = usable.flat_map(|module| module.devices.iter().map(move |it| (module, it)));
        let mut there = vec!["CPU".to_owned()];
        for (module, device) in devices {
            if device.name.eq_ignore_ascii_case(name) {
                let reason = format!("device: {} is set ({})", device.name, device.description);
                return Ok(Placement {
                    device: Some(device.name.clone()),
                    ..Placement::insisted(&module.backend, reason)
                });
            }
            there.push(device.name.clone());
        }
        Err(Error::Device {
            device: name.to_owned(),
            there: there.join(", "),
        })
    }

    async fn named(&self, name: &'static str) -> Result<Placement, Error> {
        let modules = self.modules().await;
        let reason = match modules.iter().find(|module| module.backend == name) {
            Some(module) => match &module.fault {
                None => {
                    let reason = format!("backend: {name} is set, {}", names(&module.devices));
                    return Ok(Placement::insisted(name, reason));
                }
                Some(fault) => fault.clone(),
            },
            None => format!(
                "it is not installed; `installer/install.sh --backend {name}` builds and installs it"
            ),
        };
        Err(Error::Backend {
            backend: name,
            reason,
        })
    }

    async fn automatic(&self, wish: Wish<'_>) -> Placement {
        let modules = self.modules().await;
        let best = AUTOMATIC.iter().find_map(|name| {
            let usable = |module: &&Module| module.backend == *name && module.fault.is_none();
            modules.iter().find(usable)
        });
        let Some(module) = best else {
            let faults: Vec<String> = modules
                .iter()
                .filter_map(|it| {
                    let fault = it.fault.as_ref()?;
                    Some(format!("{} cannot be used: {fault}", it.backend))
                })
                .collect();
            return Placement::cpu(faults.join("; "));
        };
        if let Some(crash) = self.crashed().get(wish.key) {
            return Placement::cpu(crash);
        }
        let (backend, devices) = (&module.backend, names(&module.devices));
        let reason = format!("best usable backend is {backend}, {devices}");
        Placement {
            falls_back: !wish.states_layers,
            ..Placement::insisted(backend, reason)
        }
    }

    /// The devices that a placement gives layers to, as far as they are probed.
    pub fn devices(&self, placement: &Placement) -> Vec<DeviceMemory> {
        let modules = self.0.modules.get().into_iter().flatten();
        let of_backend =
            modules.filter(|module| Some(&module.backend) == placement.backend.as_ref());
        let is_meant = |device: &&Device| {
            let named = placement.device.as_ref();
            named.is_none_or(|name| device.name == *name)
        };
        let devices = of_backend.flat_map(|module| &module.devices);
        let devices: Vec<&Device> = devices.filter(is_meant).collect();
        // llama.cpp gives layers to integrated GPUs only where there is no other (`llama_prepare_model_devices` in `src/llama.cpp`).
        let has_other = devices.iter().any(|device| !device.is_integrated());
        let used = devices
            .into_iter()
            .filter(|device| !has_other || !device.is_integrated());
        used.map(DeviceMemory::from).collect()
    }

    /// All devices that were probed.
    pub fn probed(&self) -> Vec<DeviceMemory> {
        let modules = self.0.modules.get().into_iter().flatten();
        let devices = modules.flat_map(|module| &module.devices);
        devices.map(DeviceMemory::from).collect()
    }

    /// The program of a runner for this placement.
    pub fn program(&self, placement: &Placement, mut program: Program) -> Program {
        if let Some(backend) = &placement.backend {
            program.args.push(format!("--backend={backend}").into());
            if let Some(device) = &placement.device {
                program.args.push(format!("--device={device}").into());
            }
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

    async fn probe(&self) -> Result<Vec<Module>, String> {
        let mut program = self.0.program.clone();
        program.env.extend(self.0.variables.iter().cloned());
        let modules: Vec<Module> = probe::run(&program, ["backends"], PATIENCE).await?;
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

//! Chooses the backend of a load: the module of an accelerator, or the CPU.
//!
//! [`Devices`] probes the installed modules: each reports its devices or its fault. A runner loads the module of its load only. Where
//! the configuration leaves the choice, a load that fails on an accelerator is tried once more on the CPU, and a model whose runner an
//! accelerator's driver crashed stays on the CPU. Each choice has its reason in words.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::devices::{BACKENDS, BackendDevice, ModuleReport};
use registry::ModelName;
use supervisor::{Cause, Exit, Program};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::config::{Backend, Config, DeviceBudget};
use crate::devices::{Devices, Probed};
use crate::error::Error;
use crate::fs;
use crate::scheduler::LoadRequest;

/// Most models that are remembered as crashed.
const MAX_CRASHED: usize = 256;

/// The memory of a device, as probes found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Its name, such as `CUDA0`.
    pub name: String,
    /// Bytes that it has.
    pub total: u64,
    /// Its memory is main memory.
    pub is_integrated: bool,
    /// The most bytes that a probe of this daemon found free: a later probe counts what its own models take as taken.
    pub free: u64,
}

impl DeviceMemory {
    /// What its budget in the configuration leaves of it.
    #[must_use]
    pub(crate) fn within(mut self, budgets: &[DeviceBudget]) -> Self {
        if let Some(budget) = DeviceBudget::find(budgets, &self.name) {
            self.free = self.free.min(budget.of(self.total));
        }
        self
    }
}

fn is_integrated(device: &BackendDevice) -> bool {
    device.kind == "integrated-gpu"
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
}

/// The choice of backends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accelerators(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    devices: Devices,
    /// Variables that select devices, for runners with an accelerator.
    variables: Vec<(OsString, OsString)>,
    tasks: TaskTracker,
    /// Set when the first probe has ended, or none is needed.
    probed: OnceCell<()>,
    /// The most free bytes of each device in the probes so far.
    free: Mutex<BTreeMap<String, u64>>,
    /// Models that crashed with a backend, by their keys, and how.
    crashed: Mutex<BTreeMap<String, String>>,
}

impl Accelerators {
    /// The modules that `devices` probes; `variables` are those of drivers that select devices.
    pub fn new(devices: Devices, variables: Vec<(OsString, OsString)>, tasks: TaskTracker) -> Self {
        Self(Arc::new(Inner {
            devices,
            variables,
            tasks,
            probed: OnceCell::new(),
            free: Mutex::default(),
            crashed: Mutex::default(),
        }))
    }

    /// Starts a probe, so that the first load does not wait, if any module is installed and may be used.
    pub fn start_probe(&self, setting: &Backend) {
        if *setting != Backend::Cpu && fs::has_backends(self.0.devices.program()) {
            let accelerators = self.clone();
            self.0.tasks.spawn(async move {
                accelerators.probed().await;
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
        let probed = self.probed().await;
        let Some((module, device)) = find(modules(&probed), name)? else {
            return Ok(Placement::cpu(""));
        };
        let reason = format!("device: {} is set ({})", device.name, device.description);
        Ok(Placement {
            device: Some(device.name.clone()),
            ..Placement::insisted(&module.backend, reason)
        })
    }

    /// The devices of these names, for one model; none for the CPU alone.
    ///
    /// # Errors
    /// [`Error::Device`] for a name that no usable device has, and [`Error::SeveralBackends`] for devices that no model uses together.
    pub async fn devices_named(&self, names: &[String]) -> Result<Vec<DeviceMemory>, Error> {
        let probed = self.probed().await;
        let mut found: Vec<(&ModuleReport, &BackendDevice)> = Vec::new();
        for name in names {
            let Some((module, device)) = find(modules(&probed), name)? else {
                continue;
            };
            if let Some((other, first)) = found.first()
                && other.backend != module.backend
            {
                return Err(Error::SeveralBackends {
                    one: first.name.clone(),
                    other: device.name.clone(),
                });
            }
            if found.iter().all(|(_, known)| known.name != device.name) {
                found.push((module, device));
            }
        }
        let devices = found.into_iter().map(|(_, device)| self.memory(device));
        Ok(devices.collect())
    }

    async fn named(&self, name: &'static str) -> Result<Placement, Error> {
        let probed = self.probed().await;
        let modules = modules(&probed);
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
        let probed = self.probed().await;
        let modules = modules(&probed);
        let automatic = BACKENDS.iter().filter(|kind| kind.automatic);
        let mut automatic = automatic.filter_map(|kind| {
            let mut usable = modules.iter().filter(|module| module.fault.is_none());
            usable.find(|module| module.backend == kind.name)
        });
        let Some(module) = automatic.next() else {
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

    /// The devices that a load of this model would give layers to, where nothing but the configuration decides.
    ///
    /// # Errors
    /// As [`Accelerators::place`].
    pub async fn for_model(
        &self,
        config: &Config,
        name: Option<&ModelName>,
    ) -> Result<Vec<DeviceMemory>, Error> {
        let configured = name.map(|name| config.for_model(name));
        let wish = Wish {
            key: "",
            gpu_layers: config.gpu_layers,
            states_layers: false,
            device: configured.as_ref().and_then(|it| it.device.as_deref()),
        };
        let placement = self.place(&config.backend, wish).await?;
        Ok(self.devices(&placement))
    }

    /// The devices that a placement gives layers to, as far as they are probed.
    pub fn devices(&self, placement: &Placement) -> Vec<DeviceMemory> {
        let probed = self.0.devices.remembered();
        let of_backend = modules(&probed)
            .iter()
            .filter(|module| Some(&module.backend) == placement.backend.as_ref());
        let is_meant = |device: &&BackendDevice| {
            let named = placement.device.as_ref();
            named.is_none_or(|name| device.name == *name)
        };
        let devices = of_backend.flat_map(|module| &module.devices);
        let devices: Vec<&BackendDevice> = devices.filter(is_meant).collect();
        // llama.cpp gives layers to integrated GPUs only where there is no other (`llama_prepare_model_devices` in `src/llama.cpp`).
        let has_other = devices.iter().any(|device| !is_integrated(device));
        let used = devices
            .into_iter()
            .filter(|device| !has_other || !is_integrated(device));
        used.map(|device| self.memory(device)).collect()
    }

    /// All devices that were probed.
    pub fn all_devices(&self) -> Vec<DeviceMemory> {
        let probed = self.0.devices.remembered();
        let devices = modules(&probed).iter().flat_map(|module| &module.devices);
        devices.map(|device| self.memory(device)).collect()
    }

    /// The memory of a device.
    fn memory(&self, device: &BackendDevice) -> DeviceMemory {
        let now = device.memory_free.min(device.memory_total);
        let mut most = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = most.entry(device.name.clone()).or_default();
        *free = now.max(*free).min(device.memory_total);
        DeviceMemory {
            is_integrated: is_integrated(device),
            name: device.name.clone(),
            total: device.memory_total,
            free: *free,
        }
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

    /// What the last probe found. The first call probes if a module is installed, so that the free memory of devices is that before a
    /// load; later calls see what a refresh of the devices finds.
    async fn probed(&self) -> Option<Arc<Probed>> {
        let first = || async {
            if fs::has_backends(self.0.devices.program()) {
                self.0.devices.refresh().await;
            }
        };
        self.0.probed.get_or_init(first).await;
        self.0.devices.remembered()
    }
}

/// The installed modules; none before a probe.
fn modules(probed: &Option<Arc<Probed>>) -> &[ModuleReport] {
    probed
        .as_ref()
        .map_or(&[], |probed| &probed.report.backends)
}

/// The usable device of this name; `None` for the CPU.
fn find<'probed>(
    modules: &'probed [ModuleReport],
    name: &str,
) -> Result<Option<(&'probed ModuleReport, &'probed BackendDevice)>, Error> {
    if name.eq_ignore_ascii_case("cpu") {
        return Ok(None);
    }
    let usable = modules.iter().filter(|module| module.fault.is_none());
    let devices = usable.flat_map(|module| module.devices.iter().map(move |it| (module, it)));
    let mut there = vec!["CPU"];
    for (module, device) in devices {
        if device.name.eq_ignore_ascii_case(name) {
            return Ok(Some((module, device)));
        }
        there.push(&device.name);
    }
    Err(Error::Device {
        device: name.to_owned(),
        there: there.join(", "),
    })
}

/// `Vulkan0 (NVIDIA H100), Vulkan1 (…)`.
fn names(devices: &[BackendDevice]) -> String {
    let names: Vec<String> = devices
        .iter()
        .map(|device| format!("{} ({})", device.name, device.description))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;

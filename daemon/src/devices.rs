//! The devices of this machine, as a probe found them.
//!
//! `slm-runner probe` reads the system's files and asks the backend modules and driver libraries, each in a separate process.
//! It runs in the background; the first load waits for it where a backend module is installed (`crate::accelerators`), and no other request
//! for an answer does. `derived/devices.json` keeps the result for this build, this start of the system and these modules. Free memory changes all the time: main memory is read again for each reader, which takes
//! well under a millisecond, and memory of other devices is as old as the probe.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Lock};
use std::time::Duration;

use ::devices::{Cgroups, Inventory, Measurement, Memory, Pressure, Report, Root};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use supervisor::Program;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::cpu::CpuModules;
use crate::memory::DeviceId;
use crate::planner::Bandwidth;
use crate::{kept, machine_key, probe};

/// Longest probe. It takes about 100 milliseconds, and ends a stuck part after 20 seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes of the saved result.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The devices of this machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Devices(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: Program,
    file: PathBuf,
    tasks: TaskTracker,
    cpu: CpuModules,
    root: Root,
    cgroups: Cgroups,
    /// The last result. Held only for a copy.
    known: Lock<Option<Arc<Probed>>>,
    /// Held while a probe runs, so that there is one at a time.
    running: Mutex<()>,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// When it ran.
    pub at: Timestamp,
    /// Why it failed; then only the system's files were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What it printed.
    pub report: Report,
    /// The devices.
    #[serde(skip)]
    pub inventory: Inventory,
}

impl Probed {
    fn new(report: Report, fault: Option<String>) -> Self {
        Self {
            at: Timestamp::now(),
            fault,
            inventory: Inventory::of(&report),
            report,
        }
    }
}

impl Devices {
    /// The devices as this program finds them; `file` keeps the result. `cpu` measures the processor.
    pub fn new(program: Program, file: PathBuf, cpu: CpuModules, tasks: TaskTracker) -> Self {
        let root = Root::system();
        let cgroups = Cgroups::find(&root);
        Self(Arc::new(Inner {
            program,
            file,
            cpu,
            tasks,
            root,
            cgroups,
            known: Lock::new(None),
            running: Mutex::new(()),
        }))
    }

    /// What is known now, without waiting; starts a probe in the background if nothing is.
    pub fn known(&self) -> Option<Arc<Probed>> {
        let known = self.remembered();
        if known.is_none() {
            let devices = self.clone();
            self.0.tasks.spawn(async move { devices.get().await });
        }
        known
    }

    /// What is known, from memory, from the file, or from a probe, which this waits for.
    pub async fn get(&self) -> Arc<Probed> {
        if let Some(known) = self.remembered() {
            return known;
        }
        let _running = self.0.running.lock().await;
        if let Some(known) = self.remembered() {
            return known;
        }
        match self.kept() {
            Some(kept) => self.remember(kept),
            None => self.find().await,
        }
    }

    /// Probes anew, and waits for the result.
    pub async fn refresh(&self) -> Arc<Probed> {
        let _running = self.0.running.lock().await;
        self.find().await
    }

    /// The CPU modules.
    pub fn cpu(&self) -> &CpuModules {
        &self.0.cpu
    }

    /// The program that probes, and that runs models.
    pub fn program(&self) -> &Path {
        &self.0.program.path
    }

    /// How fast memory and products are, without waiting; `None` before they were measured.
    pub fn measured(&self) -> Option<Measurement> {
        self.0.cpu.known_choice()?.measured
    }

    /// How fast devices read their memory, with so many threads of the processor, 0 for all; without the devices that are not measured.
    pub fn bandwidth(&self, threads: u32) -> Bandwidth {
        let Some(measured) = self.measured() else {
            return Bandwidth::default();
        };
        let all = measured.bandwidth_all;
        let of_threads = match threads {
            0 => all,
            threads => all.min(measured.bandwidth_one * f64::from(threads)),
        };
        Bandwidth::default().with(DeviceId::host(), of_threads)
    }

    /// Main memory now; `None` if the system does not tell.
    pub fn memory(&self) -> Option<Memory> {
        Memory::read(&self.0.root, &self.0.cgroups)
    }

    /// How much programs wait for memory now.
    pub fn pressure(&self) -> Pressure {
        Pressure::read(&self.0.root, &self.0.cgroups)
    }

    /// What this daemon knows by now; starts nothing.
    pub(crate) fn remembered(&self) -> Option<Arc<Probed>> {
        let known = self.0.known.lock();
        known
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn remember(&self, probed: Probed) -> Arc<Probed> {
        let probed = Arc::new(probed);
        let known = self.0.known.lock();
        *known.unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::clone(&probed));
        probed
    }

    /// The saved result for this build, start of the system and modules.
    fn kept(&self) -> Option<Probed> {
        let key = machine_key::of_devices(&self.0.program)?;
        let mut probed: Probed = kept::read(&self.0.file, MAX_FILE, &key)?;
        probed.inventory = Inventory::of(&probed.report);
        Some(probed)
    }

    /// Runs the probe, and saves what it finds.
    async fn find(&self) -> Arc<Probed> {
        let switch = self.0.program.args.iter();
        let switch = switch.filter(|it| *it == runner_protocol::Kernels::OFF);
        let probed = match probe::run(&self.0.program, switch, PATIENCE).await {
            Ok(report) => {
                let probed = Probed::new(report, None);
                self.keep(&probed);
                probed
            }
            Err(fault) => {
                tracing::warn!(fault, "devices cannot be probed");
                let report = Report {
                    machine: ::devices::Machine::read(&self.0.root),
                    fault: Some(fault.clone()),
                    ..Report::default()
                };
                Probed::new(report, Some(fault))
            }
        };
        for module in &probed.report.backends {
            if let Some(fault) = &module.fault {
                tracing::warn!(backend = module.backend, fault, "a backend cannot be used");
            }
        }
        for device in probed.inventory.usable() {
            tracing::info!(
                device = device.id,
                name = device.name,
                backend = device.backend.as_deref().unwrap_or_default(),
                "device"
            );
        }
        self.remember(probed)
    }

    fn keep(&self, probed: &Probed) {
        let Some(key) = machine_key::of_devices(&self.0.program) else {
            return;
        };
        if let Err(error) = kept::write(&self.0.file, key, probed) {
            tracing::warn!(error, "the devices that were found cannot be kept");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::probe::script;

    /// A runner whose probe prints this text, and counts its calls.
    fn program(folder: &Path, output: &str) -> Program {
        script::program(folder, &format!("{}\n{output}", script::count(folder)))
    }

    /// Devices that this program probes, with their files in this folder.
    pub(crate) fn devices(folder: &Path, program: &Program) -> Devices {
        let file = |name: &str| folder.join("derived").join(name);
        let tasks = TaskTracker::new();
        let cpu = CpuModules::new(program.clone(), file("cpu.json"), tasks.clone());
        Devices::new(program.clone(), file("devices.json"), cpu, tasks)
    }

    const REPORT: &str = r#"echo '{"processor":"CPU (zen4)","threads":2,"news":1,"machine":{}}'"#;

    #[tokio::test]
    async fn the_devices_are_saved_and_probed_again_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), REPORT);
        let first = devices(folder.path(), &program);
        assert_eq!(first.remembered(), None);
        let found = first.get().await;
        assert_eq!(found.report.threads, 2);
        assert!(found.inventory.devices[0].is_usable());
        assert_eq!(first.get().await, found);
        assert_eq!(devices(folder.path(), &program).get().await, found);
        assert_eq!(script::counted(folder.path()), 1);
        let again = first.refresh().await;
        assert!(again.at > found.at);
        assert_eq!(first.known(), Some(again));
        assert_eq!(script::counted(folder.path()), 2);
        // Another build.
        let rebuilt = self::program(folder.path(), &format!("{REPORT} # newer"));
        devices(folder.path(), &rebuilt).get().await;
        assert_eq!(script::counted(folder.path()), 3);
    }

    #[tokio::test]
    async fn readers_at_the_same_time_share_one_probe() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), REPORT);
        let devices = devices(folder.path(), &program);
        assert_eq!(devices.known(), None);
        let (one, two) = tokio::join!(devices.get(), devices.get());
        assert_eq!(one, two);
        devices.0.tasks.close();
        devices.0.tasks.wait().await;
        assert_eq!(script::counted(folder.path()), 1);
    }

    #[tokio::test]
    async fn a_probe_that_fails_leaves_what_the_system_shows() {
        let folder = tempfile::tempdir().unwrap();
        for (output, expected) in [
            ("echo words >&2; exit 3", "exit status: 3: words"),
            ("kill -SEGV $$", "signal: 11"),
            ("echo nonsense", "expected"),
            // More than is read.
            ("exec yes", "signal: 13"),
        ] {
            let program = program(folder.path(), output);
            let devices = devices(folder.path(), &program);
            let found = devices.get().await;
            let fault = found.fault.clone().unwrap_or_default();
            assert!(fault.contains(expected), "{fault}");
            assert!(!found.inventory.devices[0].is_usable());
            assert!(found.report.machine.memory.is_some());
            assert!(devices.kept().is_none(), "a failure is not kept");
        }
    }

    #[tokio::test]
    async fn main_memory_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let devices = devices(folder.path(), &Program::new("/absent"));
        let memory = devices.memory().expect("Linux tells the memory");
        assert!(memory.free() <= memory.total);
        devices.pressure();
    }
}

//! Chooses the CPU module of llama.cpp that runners load.
//!
//! A module is built for a set of instructions. A processor can have them all, and the module still fails on it.
//! So `slm-runner probe cpu` tests the candidates, best first, each in a separate process that computes some of all operations, and
//! reports the first with correct results. `derived/cpu-module.json` keeps the result for this build on this machine.
//! Then `slm-runner probe measure` measures for half a second how fast memory and products are with this module, which decides how
//! products are computed, and is saved too.
//! When an illegal instruction ends a runner later, its module is excluded, and the next load uses the next module.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::devices::Measurement;
use runner_protocol::Kernels;
use serde::{Deserialize, Serialize};
use supervisor::{Exit, Program};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::kept;
use crate::machine_key;
use crate::probe;

/// Signal 4, by which the system ends a process at an instruction that the processor does not have.
const SIGILL: i32 = 4;

/// Longest time of a probe. A module takes about 50 milliseconds, and the probe ends a stuck one after 20 seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Most bytes of the saved choice.
const MAX_FILE: u64 = 64 * 1024;

/// The modules of one runner program on this machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CpuModules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: Program,
    file: PathBuf,
    tasks: TaskTracker,
    /// The choice, once it is known. Loads wait for it.
    choice: Mutex<Option<Choice>>,
}

/// The chosen module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Its name, such as `zen4`; `None` lets the runner choose.
    pub module: Option<String>,
    /// The modules that were checked, in order.
    #[serde(default)]
    tried: Vec<CheckedModule>,
    /// How fast the machine is with it, and the products that it chose; `None` leaves them to the runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measurement>,
}

/// A module that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CheckedModule {
    module: String,
    /// Its fault, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// The number of operations with correct results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operations: Option<u32>,
}

impl Choice {
    fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        let faulty = |tried: &'_ CheckedModule| tried.fault.is_some();
        self.tried
            .iter()
            .filter(move |tried| faulty(tried))
            .map(|tried| {
                let fault = tried.fault.as_deref().unwrap_or_default();
                (tried.module.as_str(), fault)
            })
    }

    /// The arguments by which a runner computes with the module and as measured.
    pub fn arguments(&self) -> Vec<OsString> {
        let module = self.module.iter().map(|name| format!("--cpu={name}"));
        let measured = self.measured.iter();
        let products = measured
            .filter(|measured| !measured.choices.is_empty())
            .map(|measured| format!("--products={}", measured.choices.join(",")));
        module.chain(products).map(OsString::from).collect()
    }

    /// The reason for the choice, for people; empty if the runner chooses.
    pub fn reason(&self) -> String {
        let Some(module) = &self.module else {
            return String::new();
        };
        let faults: Vec<String> = self
            .faults()
            .map(|(module, fault)| format!("{module} is left out: {fault}"))
            .collect();
        if !faults.is_empty() {
            return faults.join("; ");
        }
        let checked = self.tried.iter().find(|tried| tried.module == *module);
        match checked.and_then(|tried| tried.operations) {
            Some(count) => format!("best module for this processor, {count} operations checked"),
            None => "best module for this processor".to_owned(),
        }
    }
}

impl CpuModules {
    /// The modules of this program; `file` keeps the choice.
    pub fn new(program: Program, file: PathBuf, tasks: TaskTracker) -> Self {
        Self(Arc::new(Inner {
            program,
            file,
            tasks,
            choice: Mutex::new(None),
        }))
    }

    /// Starts to choose, so that the first load does not wait.
    pub fn start_check(&self) {
        let modules = self.clone();
        self.0.tasks.spawn(async move { modules.choice().await });
    }

    /// The choice, from memory, from the file, or from a probe.
    pub async fn choice(&self) -> Choice {
        let mut known = self.0.choice.lock().await;
        if let Some(choice) = &*known {
            return choice.clone();
        }
        let choice = match self.kept() {
            Some(choice) => self.measured(choice).await,
            None => self.find(Vec::new()).await,
        };
        known.insert(choice).clone()
    }

    /// The name of the chosen module, if it is known without a wait.
    pub fn known(&self) -> Option<String> {
        let known = self.0.choice.try_lock().ok()?;
        known.as_ref()?.module.clone()
    }

    /// The choice, if it is known without a wait.
    pub fn known_choice(&self) -> Option<Choice> {
        self.0.choice.try_lock().ok()?.clone()
    }

    /// Excludes the module when an illegal instruction ends a runner that uses it.
    pub fn watch(
        &self,
        module: Option<String>,
        exited: impl Future<Output = Exit> + Send + 'static,
    ) {
        let Some(module) = module else { return };
        let modules = self.clone();
        self.0.tasks.spawn(async move {
            if exited.await.signal() == Some(SIGILL) {
                modules.leave_out(&module).await;
            }
        });
    }

    async fn leave_out(&self, module: &str) {
        let mut known = self.0.choice.lock().await;
        let Some(choice) = known.as_mut() else { return };
        // Another runner may have excluded it already.
        if choice.module.as_deref() != Some(module) {
            return;
        }
        let mut tried: Vec<CheckedModule> = std::mem::take(&mut choice.tried);
        tried.retain(|tried| tried.module != module);
        tried.push(CheckedModule {
            module: module.to_owned(),
            fault: Some("a runner was ended by an illegal instruction (SIGILL)".to_owned()),
            operations: None,
        });
        tracing::warn!(
            module,
            "a runner was ended by an illegal instruction; the next load uses another CPU module"
        );
        *choice = self.find(tried).await;
    }

    /// The saved choice for this build and machine.
    fn kept(&self) -> Option<Choice> {
        let key = machine_key::of_processor(&self.0.program)?;
        kept::read(&self.0.file, MAX_FILE, &key)
    }

    /// Probes the modules that are not known to be faulty, logs the result, and saves it.
    async fn find(&self, faulty: Vec<CheckedModule>) -> Choice {
        match self.probe(&faulty).await {
            Ok(mut choice) => {
                choice.tried.splice(0..0, faulty);
                for (module, fault) in choice.faults() {
                    tracing::warn!(module, fault, "a CPU module is left out");
                }
                tracing::info!(
                    module = choice.module.as_deref().unwrap_or_default(),
                    reason = choice.reason(),
                    "CPU module"
                );
                choice.measured = self.measure(&choice).await;
                self.keep(&choice);
                choice
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "CPU modules cannot be checked; the runner chooses by itself"
                );
                Choice {
                    tried: faulty,
                    ..Choice::default()
                }
            }
        }
    }

    async fn probe(&self, faulty: &[CheckedModule]) -> Result<Choice, String> {
        let mut arguments: Vec<OsString> = vec!["cpu".into()];
        arguments.extend(self.switch().cloned());
        arguments.extend(faulty.iter().map(|tried| (&tried.module).into()));
        probe::run(&self.0.program, arguments, PATIENCE).await
    }

    /// A saved choice with its measurement, which is made again if other programs disturbed the last one.
    async fn measured(&self, mut choice: Choice) -> Choice {
        if choice.measured.is_none() {
            choice.measured = self.measure(&choice).await;
            self.keep(&choice);
        }
        choice
    }

    /// Measures with the chosen module. It is saved with the choice, so that a model is computed in the same way at each load.
    async fn measure(&self, choice: &Choice) -> Option<Measurement> {
        let mut arguments: Vec<OsString> = vec!["measure".into()];
        arguments.extend(choice.module.iter().map(Into::into));
        arguments.extend(self.switch().cloned());
        match probe::run::<Measurement>(&self.0.program, arguments, PATIENCE).await {
            Ok(measured) => {
                if !measured.quiet {
                    tracing::info!("other programs disturbed the measurement of products");
                }
                tracing::info!(
                    products = measured.choices.join(","),
                    bandwidth = measured.bandwidth_all,
                    "measured"
                );
                Some(measured)
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "products cannot be measured; the runner chooses them"
                );
                None
            }
        }
    }

    fn keep(&self, choice: &Choice) {
        let Some(key) = machine_key::of_processor(&self.0.program) else {
            return;
        };
        let mut choice = choice.clone();
        // A measurement that other programs disturbed chooses nothing. It is not kept, so the next start measures again.
        choice.measured = choice.measured.filter(|measured| measured.quiet);
        if let Err(error) = kept::write(&self.0.file, key, choice) {
            tracing::warn!(error, "the choice of a CPU module cannot be kept");
        }
    }

    /// The argument that turns slm's kernels off, if runners get it: the probe checks a module as runners use it.
    fn switch(&self) -> Option<&OsString> {
        self.0.program.args.iter().find(|it| *it == Kernels::OFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    use supervisor::Cause;

    use crate::probe::script;

    /// A program that answers a probe with the first of these modules that is not excluded, and counts its calls.
    fn program(folder: &std::path::Path, modules: &[&str]) -> Program {
        let body = format!(
            "[ \"$2\" = measure ] && echo '{MEASURED}' && exit\n{}\nshift 2\nfor m in {}; do case \" $* \" in *\" $m \"*) ;; *)\n\
             printf '{{\"module\":\"%s\",\"tried\":[{{\"module\":\"%s\",\"operations\":3}}]}}' $m $m; exit;; esac; done\nexit 1",
            script::count(folder),
            modules.join(" ")
        );
        script::program(folder, &body)
    }

    const MEASURED: &str = r#"{"threads":2,"quiet":true,"bandwidth_one":1e9,"bandwidth_all":2e9,"products":[{"weights":"Q4_0","columns":1,"way":"plain","nanoseconds":8.5}],"choices":["Q4_0=repack","Q8_0=ours/plain"]}"#;

    fn modules(folder: &std::path::Path, program: &Program) -> CpuModules {
        let file = folder.join("derived/cpu-module.json");
        CpuModules::new(program.clone(), file, TaskTracker::new())
    }

    #[tokio::test]
    async fn the_choice_is_saved_for_this_build() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), &["best", "next"]);
        for _ in 0..2 {
            let choice = modules(folder.path(), &program).choice().await;
            assert_eq!(choice.module.as_deref(), Some("best"));
            assert_eq!(
                choice.arguments(),
                ["--cpu=best", "--products=Q4_0=repack,Q8_0=ours/plain"]
            );
            assert_eq!(
                choice.reason(),
                "best module for this processor, 3 operations checked"
            );
        }
        assert_eq!(script::counted(folder.path()), 1);
        // Another build.
        let rebuilt = self::program(folder.path(), &["newer"]);
        let choice = modules(folder.path(), &rebuilt).choice().await;
        assert_eq!(choice.module.as_deref(), Some("newer"));
    }

    #[tokio::test]
    async fn modules_are_checked_again_without_kernels() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = program(folder.path(), &["best"]);
        modules(folder.path(), &program).choice().await;
        program.args.push(Kernels::OFF.into());
        for _ in 0..2 {
            let choice = modules(folder.path(), &program).choice().await;
            assert_eq!(choice.module.as_deref(), Some("best"));
        }
        assert_eq!(script::counted(folder.path()), 2);
    }

    #[tokio::test]
    async fn an_illegal_instruction_excludes_the_module() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), &["best", "next"]);
        let first = modules(folder.path(), &program);
        let used = first.choice().await.module;
        let exit = |signal| Exit {
            cause: Cause::Itself,
            status: Some(std::process::ExitStatus::from_raw(signal)),
            stderr: Vec::new(),
        };
        // Another crash does not exclude the module.
        first.watch(used.clone(), std::future::ready(exit(11)));
        first.watch(used.clone(), std::future::ready(exit(4)));
        first.watch(used, std::future::ready(exit(4)));
        first.0.tasks.close();
        first.0.tasks.wait().await;
        for modules in [first, modules(folder.path(), &program)] {
            let choice = modules.choice().await;
            assert_eq!(choice.module.as_deref(), Some("next"));
            assert_eq!(
                choice.reason(),
                "best is left out: a runner was ended by an illegal instruction (SIGILL)"
            );
        }
        assert_eq!(script::counted(folder.path()), 2);
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_probed_chooses_its_module() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::new(folder.path().join("absent"));
        let choice = modules(folder.path(), &program).choice().await;
        assert_eq!(
            (choice.module.clone(), choice.reason()),
            (None, String::new())
        );
    }
}

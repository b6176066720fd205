//! How a model gets into a runner.

use std::path::PathBuf;

use futures::future::BoxFuture;
use registry::{Ready, Registry, Reporter};
use runner_protocol::{
    Adapter, Kernels, Load, LoadSettings, Loaded, Projector, SandboxLevel, Speculation,
};
use supervisor::{Files, Program, Runner, Spawner};

use super::{LoadRequest, StateSaver, States};
use crate::config::{self, Sandbox};
use crate::cpu::{self, CpuModules};
use crate::error::Error;
use crate::fs;
use crate::requirements;

/// A runner with its model loaded.
#[derive(Debug)]
pub struct LoadedRunner {
    /// The runner.
    pub runner: Runner,
    /// What it said.
    pub loaded: Loaded,
    /// What is kept of it when it leaves, if anything is.
    pub saver: Option<StateSaver>,
    /// Why it computes with the CPU module that it has, for people; empty where nothing was checked.
    pub device_reason: String,
}

/// Something that loads models. Dropping the future must end what it started.
pub trait Loader: Send + Sync + 'static {
    /// Loads one.
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedRunner, Error>>;
}

/// Loads models from the store into runner processes.
#[derive(Clone)]
pub struct StoreLoader {
    /// Where models are.
    pub registry: Registry,
    /// Starts runners.
    pub spawner: Spawner,
    /// What a runner is.
    pub program: Program,
    /// Which CPU module runners load; `None` lets them choose.
    pub cpu: Option<CpuModules>,
    /// How long runners are waited for.
    pub options: supervisor::Options,
    /// Most requests that one model answers side by side.
    pub sequences: u32,
    /// Whether tokens are guessed before they are chosen.
    pub speculation: Speculation,
    /// How far a runner must be confined before it gets a model.
    pub sandbox: Sandbox,
    /// What is kept of a runner for the next one with the same model.
    pub states: States,
}

impl Loader for StoreLoader {
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedRunner, Error>> {
        let loader = self.clone();
        Box::pin(async move { loader.carry_out(request).await })
    }
}

impl StoreLoader {
    async fn carry_out(self, request: LoadRequest) -> Result<LoadedRunner, Error> {
        if !fs::is_file(&self.program.path) {
            return Err(Error::NoRunner(self.program.path.display().to_string()));
        }
        // Blobs are checked, and hashed if they changed, before a runner sees them.
        let ready = self
            .registry
            .ready(&request.name, &Reporter::silent())
            .await?;
        if ready.model.key() != request.key {
            return Err(Error::Replaced(request.name.to_string()));
        }
        requirements::log_unused(&ready.model);
        let (state_key, name) = (ready.model.manifest.state_key(), ready.model.name.clone());
        let (mut files, load) = self.prepare(&request, ready)?;
        let saver = self.states.gather(name, state_key, &mut files).await;
        let failed = |source| Error::runner(&request.name, source);
        let cpu = match &self.cpu {
            Some(modules) => modules.choice().await,
            None => cpu::Choice::default(),
        };
        let mut program = self.program.clone();
        if let Some(module) = &cpu.module {
            program.args.push(format!("--cpu={module}").into());
        }
        let runner = self
            .spawner
            .spawn(&program, files, self.options.clone())
            .await
            .map_err(failed)?;
        if let Some(modules) = &self.cpu {
            modules.watch(cpu.module.clone(), runner.exited());
        }
        self.check(&runner.hello().sandbox)?;
        if let Some(saver) = &saver {
            saver.hand_in(&runner).await;
        }
        let loaded = runner.load(load, |_| {}).await.map_err(failed)?;
        Ok(LoadedRunner {
            runner,
            loaded,
            saver,
            device_reason: cpu.reason(),
        })
    }

    /// Whether a runner that is confined so far may have a model.
    fn check(&self, found: &runner_protocol::Sandbox) -> Result<(), Error> {
        if self.sandbox == Sandbox::Require && found.level < SandboxLevel::Full {
            return Err(Error::NotConfined {
                level: found.level.name(),
                lacks: found.lacks.clone(),
            });
        }
        Ok(())
    }

    fn prepare(&self, request: &LoadRequest, ready: Ready) -> Result<(Files, Load), Error> {
        let mut files = Files::new();
        let weights_fd = files.push(ready.weights.file);
        let shard_fds = ready
            .shards
            .into_iter()
            .map(|shard| files.push(shard.file))
            .collect();
        let adapters = ready
            .adapters
            .into_iter()
            .map(|adapter| Adapter {
                fd: files.push(adapter.file),
                scale: 1.0,
            })
            .collect();
        let draft = ready.draft.filter(|_| self.speculation != Speculation::Off);
        let mut projectors = ready.projectors.into_iter();
        let projector = projectors.next().map(|projector| Projector {
            digest: projector.digest.hex(),
            fd: files.push(projector.file),
        });
        if projectors.next().is_some() {
            return Err(Error::Unsupported(
                "running a model with several projectors".into(),
            ));
        }
        let load = Load {
            weights_fd,
            shard_fds,
            adapters,
            sequences: self.sequences,
            settings: LoadSettings {
                // A batch must hold one token of each sequence.
                batch: request.settings.batch.max(self.sequences),
                ..request.settings
            },
            chat_template: ready.model.chat_template,
            draft_fd: draft.map(|draft| files.push(draft.file)),
            speculation: self.speculation,
            projector,
        };
        Ok((files, load))
    }
}

/// How long a runner's threads spin while they wait for each other before they give up their processor; OpenMP reads it when the program starts.
/// With OpenMP's own 300,000 rounds they starve each other on a machine that is busy with something else: answers were measured to come ten times slower there.
/// This is the number that it takes itself where it knows of more threads than processors.
const SPIN: (&str, &str) = ("GOMP_SPINCOUNT", "1000");

/// The runner's program: the configured one, or the one next to this executable.
pub(crate) fn program(
    configured: Option<PathBuf>,
    sandbox: Sandbox,
    kernels: config::Kernels,
) -> Program {
    let path = configured.unwrap_or_else(|| {
        std::env::current_exe()
            .ok()
            .and_then(|own| Some(own.parent()?.join("slm-runner")))
            .unwrap_or_else(|| PathBuf::from("/slm-runner"))
    });
    let mut program = Program::new(path);
    program.env.push((SPIN.0.into(), SPIN.1.into()));
    if sandbox == Sandbox::Off {
        program.args.push(runner_protocol::NO_SANDBOX.into());
    }
    if kernels == config::Kernels::Off {
        program.args.push(Kernels::OFF.into());
    }
    program
}

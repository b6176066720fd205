//! Loads models into runners.

use std::fs::File;
use std::path::PathBuf;

use futures::future::BoxFuture;
use registry::{Digest, Model, ModelName, Ready, Registry, Reporter};
use runner_protocol::{
    Adapter, Kernels, Load, LoadSettings, Loaded, Projector, SandboxLevel, Speculation,
};
use supervisor::{Files, Program, Runner};
use tokio_util::task::TaskTracker;

use super::{LoadAdapter, LoadRequest, Spares, StateSaver, States};
use crate::accelerators::{Accelerators, Placement, Wish};
use crate::blocking;
use crate::config::{self, Backend, DeviceBudget, Sandbox};
use crate::cpu::{self, CpuModules};
use crate::error::Error;
use crate::fs;
use crate::needs::{NeedSettings, Needs};
use crate::requirements;

/// A runner with its model loaded.
#[derive(Debug)]
pub struct LoadedRunner {
    /// The runner.
    pub runner: Runner,
    /// Its report on the loaded model.
    pub loaded: Loaded,
    /// The adapters that it was given.
    pub adapters: Vec<Digest>,
    /// Saves its KV states when it stops; `None` if they are not saved.
    pub saver: Option<StateSaver>,
    /// Why it uses its CPU module, for people; empty if none was checked.
    pub device_reason: String,
}

/// Loads models. Dropping the future must end the load.
pub trait Loader: Send + Sync + 'static {
    /// Loads a model. [`Error::Accelerator`] asks for a load on the CPU in its place.
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedRunner, Error>>;

    /// Reads the weights of a model into the page cache, in the background, unless they are larger than `most` bytes.
    fn read_ahead(&self, name: ModelName, most: u64) {
        let _ = (name, most);
    }

    /// Bytes of the host that are taken for loads to come, and can be had back by [`give_back`](Self::give_back).
    fn spare_bytes(&self) -> u64 {
        0
    }

    /// Gives up what is taken for loads to come. False when there is nothing.
    fn give_back(&self) -> bool {
        false
    }
}

/// Loads models from the store into runner processes.
#[derive(Clone)]
pub struct StoreLoader {
    /// The store.
    pub registry: Registry,
    /// Starts runners, and keeps spare ones.
    pub spares: Spares,
    /// The program of a runner.
    pub program: Program,
    /// Chooses the CPU module of runners; `None` leaves it to them.
    pub cpu: Option<CpuModules>,
    /// Chooses the backend of runners.
    pub accelerators: Accelerators,
    /// The backend that the configuration wants.
    pub backend: Backend,
    /// The memory of devices that the configuration has for models.
    pub device_budget: Vec<DeviceBudget>,
    /// Timeouts of runners.
    pub options: supervisor::Options,
    /// Most parallel sequences of one model.
    pub sequences: u32,
    /// Whether tokens are drafted.
    pub speculation: Speculation,
    /// The sandbox that a runner must have before it gets a model.
    pub sandbox: Sandbox,
    /// Saved KV states.
    pub states: States,
    /// Learns from what loads take.
    pub needs: Needs,
    /// Tasks in the background.
    pub tasks: TaskTracker,
}

impl Loader for StoreLoader {
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedRunner, Error>> {
        let loader = self.clone();
        Box::pin(async move { loader.carry_out(request).await })
    }

    fn read_ahead(&self, name: ModelName, most: u64) {
        let registry = self.registry.clone();
        self.tasks.spawn(async move {
            // A model that cannot be read now fails when it is loaded, with its error.
            let Ok(ready) = registry.ready(&name, &Reporter::silent()).await else {
                return;
            };
            let files = std::iter::once(ready.weights).chain(ready.shards);
            let files: Vec<_> = files.map(|blob| blob.file).collect();
            let _ = blocking::run(move || {
                if fs::total_size(&files) <= most {
                    files.iter().for_each(fs::read_ahead);
                }
            })
            .await;
        });
    }

    fn spare_bytes(&self) -> u64 {
        self.spares.bytes()
    }

    fn give_back(&self) -> bool {
        self.spares.end()
    }
}

impl StoreLoader {
    async fn carry_out(self, mut request: LoadRequest) -> Result<LoadedRunner, Error> {
        if !fs::is_file(&self.program.path) {
            return Err(Error::NoRunner(self.program.path.display().to_string()));
        }
        // Blobs are checked, and hashed if they changed, before a runner gets them.
        let ready = self
            .registry
            .ready(&request.name, &Reporter::silent())
            .await?;
        if ready.model.key() != request.key || !has_own(&ready.model, &request) {
            return Err(Error::Replaced(request.name.to_string()));
        }
        requirements::log_unused(&ready.model);
        let placement = self
            .accelerators
            .place(&self.backend, Wish::of(&request))
            .await?;
        let mut started = self.start(&request, ready, &placement).await;
        if let Err(error) = &started
            && (error.is_runner_crash() || error.lacks_memory())
            && request.takes_others()
        {
            tracing::warn!(
                model = %request.name,
                error = crate::error::chain(error),
                "the load failed; it is tried without the adapters of other models"
            );
            request.drop_others();
            let ready = self
                .registry
                .ready(&request.name, &Reporter::silent())
                .await?;
            started = self.start(&request, ready, &placement).await;
        }
        started.map_err(|error| match placement.backend {
            Some(backend) if placement.falls_back => Error::Accelerator {
                backend,
                source: Box::new(error),
            },
            _ => error,
        })
    }

    /// Starts a runner for this placement, and loads the model into it.
    async fn start(
        &self,
        request: &LoadRequest,
        mut ready: Ready,
        placement: &Placement,
    ) -> Result<LoadedRunner, Error> {
        let (state_key, name) = (ready.model.manifest.state_key(), ready.model.name.clone());
        let opened = self.adapters(request, &mut ready).await;
        let adapters = opened.iter().map(|(digest, _)| *digest).collect();
        let (mut files, mut load) = self.prepare(request, ready, opened)?;
        if placement.backend.is_none() {
            load.settings.gpu_layers = 0;
        }
        let cache = request.host_cache;
        let saver = self.states.gather(name, state_key, cache, &mut files).await;
        let failed = |source| Error::runner(&request.name, source);
        let cpu = match &self.cpu {
            Some(modules) => modules.choice().await,
            None => cpu::Choice::default(),
        };
        let mut program = self.accelerators.program(placement, self.program.clone());
        program.args.extend(cpu.arguments());
        let runner = self.spares.runner(&program, files, self.options.clone());
        let runner = runner.await.map_err(failed)?;
        if let Some(modules) = &self.cpu {
            modules.watch(cpu.module.clone(), runner.exited());
        }
        self.accelerators
            .watch(request.digest.clone(), placement, runner.exited());
        self.check(&runner.hello().sandbox)?;
        if let Some(saver) = &saver {
            saver.offer(&runner).await;
        }
        let loaded = runner.load(load, |_| {}).await.map_err(failed)?;
        self.spares.refill(&program);
        self.learn(request, placement, &loaded);
        Ok(LoadedRunner {
            runner,
            loaded,
            adapters,
            saver,
            device_reason: match (&placement.backend, placement.reason.is_empty()) {
                (None, true) if request.layers_reason.is_empty() => cpu.reason(),
                (None, true) => request.layers_reason.clone(),
                (Some(_), _) if !request.layers_reason.is_empty() => {
                    format!("{}; {}", placement.reason, request.layers_reason)
                }
                _ => placement.reason.clone(),
            },
        })
    }

    /// Corrects the next prediction by what this load took.
    fn learn(&self, request: &LoadRequest, placement: &Placement, loaded: &Loaded) {
        let devices = self.accelerators.devices(placement).into_iter();
        let settings = NeedSettings {
            // As they were for the prediction.
            devices: devices
                .map(|device| device.within(&self.device_budget))
                .collect(),
            load: request.settings,
            sequences: request.configured.parallel.unwrap_or(self.sequences),
            kernels: !self.program.args.iter().any(|it| *it == Kernels::OFF),
            names_context: false,
            names_kv_type: false,
            names_sequences: false,
        };
        let (needs, registry) = (self.needs.clone(), self.registry.clone());
        let (key, memory) = (request.key.clone(), loaded.memory.clone());
        // In the background: the first answer does not wait for the index.
        self.tasks
            .spawn(async move { needs.learn(&registry, &key, settings, &memory).await });
    }

    /// Refuses a runner with this sandbox, if a better one is required.
    fn check(&self, found: &runner_protocol::Sandbox) -> Result<(), Error> {
        if self.sandbox == Sandbox::Require && found.level < SandboxLevel::Full {
            return Err(Error::NotConfined {
                level: found.level.name(),
                lacks: found.lacks.clone(),
            });
        }
        Ok(())
    }

    /// The adapters of the model, and the adapters of other models that the request takes. An adapter of another model is left out if it
    /// cannot be opened.
    async fn adapters(&self, request: &LoadRequest, ready: &mut Ready) -> Vec<(Digest, File)> {
        let mut opened: Vec<(Digest, File)> = Vec::new();
        let own = ready.model.adapters().map(|layer| layer.digest);
        for (digest, blob) in own.zip(ready.adapters.drain(..)) {
            if opened.iter().all(|(known, _)| *known != digest) {
                opened.push((digest, blob.file));
            }
        }
        for LoadAdapter { digest, model, .. } in &request.adapters {
            if opened.iter().any(|(known, _)| known == digest) {
                continue;
            }
            let silent = Reporter::silent();
            match self.registry.ready_adapter(model, *digest, &silent).await {
                Ok(blob) => opened.push((*digest, blob.file)),
                Err(error) => {
                    tracing::warn!(model = %request.name, of = %model, "loads without an adapter of another model: {}", crate::error::chain(&error));
                }
            }
        }
        opened
    }

    fn prepare(
        &self,
        request: &LoadRequest,
        ready: Ready,
        adapters: Vec<(Digest, File)>,
    ) -> Result<(Files, Load), Error> {
        let mut files = Files::new();
        let weights_fd = files.push(ready.weights.file);
        let shard_fds = ready
            .shards
            .into_iter()
            .map(|shard| files.push(shard.file))
            .collect();
        let adapters = adapters
            .into_iter()
            .map(|(digest, file)| Adapter {
                fd: files.push(file),
                digest: digest.hex(),
            })
            .collect();
        let speculation = request.configured.speculative.unwrap_or(self.speculation);
        let sequences = request.configured.parallel.unwrap_or(self.sequences);
        let draft = ready.draft.filter(|_| speculation != Speculation::Off);
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
            sequences,
            settings: LoadSettings {
                // A batch must hold one token of each sequence.
                batch: request.settings.batch.max(sequences),
                ..request.settings
            },
            chat_template: ready.model.chat_template,
            draft_fd: draft.map(|draft| files.push(draft.file)),
            speculation,
            projector,
        };
        Ok((files, load))
    }
}

/// Rounds that OpenMP's threads spin at a barrier before they yield the CPU; OpenMP reads it at the start of the program.
/// With OpenMP's default of 300,000 they starve each other on a busy machine, where answers were measured to be ten times slower.
/// OpenMP takes this number itself when it knows of more threads than CPUs.
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
/// Whether a model still has the adapters that a request needs of it.
fn has_own(model: &Model, request: &LoadRequest) -> bool {
    let own = request.needed_adapters();
    let mut own = own.filter(|adapter| adapter.model == request.name);
    own.all(|adapter| model.adapters().any(|layer| layer.digest == adapter.digest))
}

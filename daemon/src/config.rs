//! Configuration: defaults < variables of Ollama < `config.yaml` < environment < flags, merged once.
//!
//! [`KEYS`] is the table of all settings, and a test compares `docs/configuration.md` with it.
//! Each origin sets texts, and each key has one rule to read its text. So a mistake has the same message for every origin, with its
//! origin. An unknown key is refused, with the nearest key as a suggestion.

mod address;
mod backend;
mod command;
mod edit;
mod environment;
mod error;
mod follow;
mod kernels;
mod key;
mod live;
mod models;
mod ollama;
mod origin;
mod pattern;
mod rate;
mod raw;
mod report;
mod sandbox;
mod secret;
mod share;
mod size;
mod value;
mod watch;
mod yaml;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry::ModelName;
use registry::credentials::LoginFiles;
use registry::http::Network;
use registry::mirrors::Mirrors;
use runner_protocol::{KvType, Speculation};

use crate::duration::KeepAlive;
use crate::env::Environment;
use crate::fs;
use crate::transfers::Window;

use environment::{driver_variables, home, logins, unknown_names};
use raw::{RawSettings, RawTexts};

pub use address::Endpoint;
pub use backend::Backend;
pub use command::{ConfigCommand, carry_out};
pub use error::Error;
pub use follow::{follow, tell};
pub use kernels::Kernels;
pub use key::{Applies, KEYS, Key};
pub use live::{FileState, LiveConfig, Refusal, Reloaded};
pub use models::{Group, MODEL_KEYS, ModelRule, ModelRules, ModelSettings};
pub use origin::SettingOrigin;
pub use report::report;
pub use sandbox::Sandbox;
pub use secret::Secret;
pub use share::{DeviceBudget, Share};
pub use watch::{Changes, FileWatch, Watch, Watching};

/// Name of the file in the home.
pub const FILE: &str = "config.yaml";

/// Most bytes of `config.yaml`.
const MAX_FILE: u64 = 1 << 20;

/// The variable with the user's token for the hub.
const HUB_TOKEN: &str = "HF_TOKEN";

/// All settings, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The home.
    pub home: PathBuf,
    /// TCP address, always loopback; port 0 takes a free port.
    pub address: SocketAddr,
    /// Further TCP addresses, also loopback.
    pub also_listen: Vec<SocketAddr>,
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// How long a model stays loaded after its last request.
    pub keep_alive: KeepAlive,
    /// Default context of a model, in tokens.
    pub context_length: u32,
    /// Most loaded models; `None` for as many as memory allows.
    pub max_loaded_models: Option<usize>,
    /// Most host memory of all loaded models together; `None` lets the scheduler choose.
    pub memory_budget: Option<Share>,
    /// Host memory that stays free for other programs; `None` lets the scheduler choose.
    pub memory_reserve: Option<Share>,
    /// Budgets of devices, each device once; a device without one has no budget of the user.
    pub device_budget: Vec<DeviceBudget>,
    /// Most runner processes that wait without a model.
    pub spare_runners: usize,
    /// Whether a model gets a smaller context and fewer slots before it is unloaded for another one.
    pub shrink: bool,
    /// The least predicted speed of a variant that a pull chooses, in tokens per second; 0 for any.
    pub min_tokens_per_second: u16,
    /// Most requests that wait for a model to load.
    pub max_queue: usize,
    /// Most parallel requests of one model.
    pub parallel: u32,
    /// CPU threads of a runner; 0 lets it choose.
    pub threads: u32,
    /// Layers on a GPU; −1 for as many as fit.
    pub gpu_layers: i32,
    /// Type of keys and values in the KV cache.
    pub kv_cache_type: KvType,
    /// Whether runners draft tokens.
    pub speculative: Speculation,
    /// Whether the same request gives the same text, unless the request sets it.
    pub deterministic: bool,
    /// The runner's executable; `None` for the one next to this executable.
    pub runner: Option<PathBuf>,
    /// The backend that runners compute with.
    pub backend: Backend,
    /// Variables of drivers that select devices, for runners with an accelerator; only from the environment.
    pub driver_variables: Vec<(OsString, OsString)>,
    /// Whether runners use slm's CPU kernels.
    pub kernels: Kernels,
    /// Which sandbox runners must have.
    pub sandbox: Sandbox,
    /// Size of a runner's host cache in bytes; `None` lets it choose.
    pub state_memory: Option<u64>,
    /// Most bytes of saved states on disk; 0 saves none.
    pub state_disk: u64,
    /// Most bytes of saved responses and conversations; 0 saves none.
    pub responses: u64,
    /// How long responses and conversations are kept after their last change.
    pub responses_lifetime: Duration,
    /// The `pip` program; `None` searches for it.
    pub pip: Option<PathBuf>,
    /// Address of the registry that replaces the Ollama library.
    pub library: Option<String>,
    /// Mirrors of registries.
    pub mirrors: Mirrors,
    /// Address of the mirror that replaces the Hugging Face hub.
    pub hub: Option<String>,
    /// The user's token for the hub; only from `HF_TOKEN`, so that no file and no list of processes shows it.
    pub hub_token: Option<Secret>,
    /// Files of other programs with logins of the user; only from the environment.
    pub logins: LoginFiles,
    /// Proxies and certificates for transfers.
    pub network: Network,
    /// Most jobs that run at a time.
    pub max_transfers: usize,
    /// Most bytes per second of all pulls together.
    pub pull_rate: Option<NonZeroU64>,
    /// The time of day in which jobs run.
    pub pull_window: Option<Window>,
    /// Whether the network is metered.
    pub metered: bool,
    /// Longest time without progress while a model is loaded.
    pub load_timeout: Duration,
    /// Longest time without progress while a runner answers.
    pub stall_timeout: Duration,
    /// How long running answers may continue when the daemon stops.
    pub grace: Duration,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Names besides `localhost` by which clients may address this machine.
    pub allowed_hosts: Vec<String>,
    /// Web origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// The log filter.
    pub log: String,
    /// Log lines as JSON objects.
    pub log_json: bool,
    /// The settings per model.
    pub models: ModelRules,
    /// The settings that are not defaults, with their origins, for the log; without secrets.
    pub origins: Vec<(&'static str, String, SettingOrigin)>,
    /// The text of each key that the settings were read from, and its origin.
    raw: RawTexts,
    /// The stamp of the file that they were read from; `None` without a file.
    file_stamp: Option<String>,
    /// A warning for each unknown variable with the prefix `SLM_`, and for each variable of Ollama with a value that its key
    /// cannot have. Other programs use these names too, so neither is an error.
    pub warnings: Vec<String>,
}

/// The options that the command line sets.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--home`.
    pub home: Option<PathBuf>,
    /// The other options, by the name of their keys.
    pub values: Vec<(&'static str, String)>,
}

impl Config {
    /// Reads all settings.
    ///
    /// # Errors
    /// The first mistake.
    pub fn load(flags: &Flags, environment: &dyn Environment) -> Result<Self, Error> {
        Self::at(&home(flags, environment)?, flags, environment)
    }

    /// Reads all settings of this home.
    fn at(home: &Path, flags: &Flags, environment: &dyn Environment) -> Result<Self, Error> {
        let path = home.join(FILE);
        // Before the file is read, so that a change in between makes the settings stale.
        let file_stamp = fs::stamp(&path);
        let text = fs::read_text(&path, MAX_FILE)?;
        let config = Self::of_text(home, text.as_deref(), flags, environment)?;
        Ok(Self {
            file_stamp,
            ..config
        })
    }

    /// Reads all settings of this home, with a text in the place of its file.
    fn of_text(
        home: &Path,
        text: Option<&str>,
        flags: &Flags,
        environment: &dyn Environment,
    ) -> Result<Self, Error> {
        let mut settings = RawSettings::defaults();
        if let Some(text) = text {
            settings.add_file(&home.join(FILE), text)?;
        }
        settings.add_environment(environment);
        settings.add_flags(flags);
        let mut warnings = unknown_names(environment);
        warnings.extend(settings.add_ollama(environment, home));
        let config = settings.read(home.to_owned())?;
        Ok(Self { warnings, ..config }.with_environment(environment))
    }

    /// Adds the settings that only the environment can hold: the hub token, logins and driver variables.
    fn with_environment(self, environment: &dyn Environment) -> Self {
        let hub_token = environment
            .get(HUB_TOKEN)
            .filter(|token| !token.trim().is_empty());
        Self {
            hub_token: hub_token.map(Secret),
            logins: logins(environment),
            driver_variables: driver_variables(environment),
            ..self
        }
    }

    /// The settings of a model that differ from those for all models.
    pub fn for_model(&self, name: &ModelName) -> ModelSettings {
        self.models.of(name)
    }

    /// Path of the file.
    pub fn file(&self) -> PathBuf {
        self.home.join(FILE)
    }

    /// The text of a key, as it was set; may hold a password.
    fn text(&self, name: &str) -> Option<&str> {
        self.raw.get(name).map(|(text, _)| text.as_str())
    }

    /// The text of a key as it may be shown, without a password.
    pub fn shown(&self, name: &str) -> String {
        let text = self.text(name).unwrap_or_default();
        raw::shown(name, text)
    }

    /// The origin of the value of a key.
    pub fn origin(&self, name: &str) -> &SettingOrigin {
        let set = self.raw.get(name);
        set.map_or(&SettingOrigin::Default, |(_, origin)| origin)
    }

    /// Whether the port is configured. A default port may be replaced by a free one.
    pub fn port_is_set(&self) -> bool {
        self.origins.iter().any(|(key, text, _)| match *key {
            "port" => !text.trim().is_empty(),
            "host" => text.parse().is_ok_and(Endpoint::has_port),
            _ => false,
        })
    }

    /// Whether a key is set, and not left at its default.
    pub fn is_set(&self, name: &str) -> bool {
        self.origins.iter().any(|(key, ..)| *key == name)
    }

    /// The variables of Ollama that were taken and their keys, for one line of the log; `None` without any.
    pub fn taken_from_ollama(&self) -> Option<String> {
        let taken = self.origins.iter().filter_map(|(key, _, origin)| {
            let SettingOrigin::Ollama(name) = origin else {
                return None;
            };
            Some(format!("{name} as {key}"))
        });
        let taken: Vec<String> = taken.collect();
        (!taken.is_empty()).then(|| taken.join(", "))
    }

    /// Reads only `text`, in place of the file of this home.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_text(home: &Path, text: &str) -> Result<Self, Error> {
        let mut settings = RawSettings::defaults();
        settings.add_file(&home.join(FILE), text)?;
        settings.read(home.to_owned())
    }
}

#[cfg(test)]
mod tests;

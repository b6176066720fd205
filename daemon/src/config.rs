//! Configuration: defaults < variables of Ollama < `config.yaml` < environment < flags, merged once.
//!
//! [`KEYS`] is the table of all settings, and a test compares `docs/configuration.md` with it.
//! Each origin sets texts, and each key has one rule to read its text. So a mistake has the same message for every origin, with its
//! origin. An unknown key is refused, with the nearest key as a suggestion.

mod address;
mod kernels;
mod key;
mod ollama;
mod rate;
mod sandbox;
mod share;
mod size;
mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry::credentials::LoginFiles;
use registry::http::Network;
use registry::mirrors::Mirrors;
use runner_protocol::{MAX_CONTEXT, MAX_SEQUENCES, MAX_THREADS, MIN_CONTEXT, Speculation};
use tracing_subscriber::filter::LevelFilter;

use crate::duration::{self, KeepAlive};
use crate::env::{self, Environment};
use crate::fs;
use crate::transfers::Window;

pub use address::Endpoint;
pub use kernels::Kernels;
pub use key::{KEYS, Key};
pub use sandbox::Sandbox;
pub use share::{DeviceBudget, Share};

/// Most bytes of `config.yaml`.
const MAX_FILE: u64 = 1 << 20;

/// Known variables that are not settings of the daemon: those of the client and the runner, which share its environment, and of
/// the build and benchmark tools.
const OTHER_VARIABLES: &[&str] = &[env::HOME, "SLM_RUNNER_LOG", "SLM_PEER"];

/// Keys that accept any text, so that a `false` in the file would become a path or a name.
const FREE_TEXT_KEYS: &[&str] = &[
    "socket",
    "runner",
    "pip",
    "library",
    "mirrors",
    "hub",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ca_file",
    "allowed_hosts",
];

/// The variable with the user's token for the hub.
const HUB_TOKEN: &str = "HF_TOKEN";

/// Prefix of the variables of tests.
const TEST_PREFIX: &str = "SLM_TEST_";

/// A mistake in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An unknown key.
    #[error("{origin}: unknown key {key:?}{}", suggestion(nearest.as_ref()))]
    Unknown {
        /// Its origin.
        origin: SettingOrigin,
        /// The text of the key.
        key: String,
        /// The nearest known key.
        nearest: Option<&'static str>,
    },
    /// An invalid value.
    #[error("{origin}: {key}: {problem}")]
    Value {
        /// Its origin.
        origin: SettingOrigin,
        /// Name of the key.
        key: &'static str,
        /// The mistake, and valid values.
        problem: String,
    },
    /// The file is not YAML, or not a mapping.
    #[error("{}{}: {problem}", path.display(), at(*line))]
    File {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1, if it is known.
        line: Option<usize>,
        /// The mistake.
        problem: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] fs::Error),
    /// The home is not configured, and the user has no home directory.
    #[error("no home directory is known; set SLM_HOME or pass --home DIR")]
    NoHome,
}

fn suggestion(nearest: Option<&&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

fn at(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}

/// The origin of a setting. A later variant overrides an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingOrigin {
    /// The default in the table of keys.
    Default,
    /// A variable of Ollama that means the same as the key.
    Ollama(&'static str),
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// An option of the command line, with the name of its key.
    Flag(&'static str),
}

impl std::fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(name) | Self::Ollama(name) => {
                write!(f, "environment variable {name}")
            }
            Self::Flag(name) => write!(f, "option --{}", name.replace('_', "-")),
        }
    }
}

/// A text that is never logged or shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

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
    /// Most requests that wait for a model to load.
    pub max_queue: usize,
    /// Most parallel requests of one model.
    pub parallel: u32,
    /// CPU threads of a runner; 0 lets it choose.
    pub threads: u32,
    /// Layers on a GPU; −1 for as many as fit.
    pub gpu_layers: i32,
    /// Whether runners draft tokens.
    pub speculative: Speculation,
    /// Whether the same request gives the same text, unless the request sets it.
    pub deterministic: bool,
    /// The runner's executable; `None` for the one next to this executable.
    pub runner: Option<PathBuf>,
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
    /// The settings that are not defaults, with their origins, for the log; without secrets.
    pub origins: Vec<(&'static str, String, SettingOrigin)>,
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
        let home = home(flags, environment)?;
        let path = home.join("config.yaml");
        let mut settings = RawSettings::defaults();
        if let Some(text) = fs::read_text(&path, MAX_FILE)? {
            settings.add_file(&path, &text)?;
        }
        settings.add_environment(environment);
        settings.add_flags(flags);
        let mut warnings = unknown_names(environment);
        warnings.extend(settings.add_ollama(environment, &home));
        let hub_token = environment
            .get(HUB_TOKEN)
            .filter(|token| !token.trim().is_empty());
        Ok(Self {
            warnings,
            hub_token: hub_token.map(Secret),
            logins: logins(environment),
            ..settings.read(home)?
        })
    }

    /// Whether the port is configured. A default port may be replaced by a free one.
    pub fn port_is_set(&self) -> bool {
        self.origins.iter().any(|(key, text, _)| match *key {
            "port" => !text.trim().is_empty(),
            "host" => text.parse().is_ok_and(Endpoint::has_port),
            _ => false,
        })
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
        settings.add_file(&home.join("config.yaml"), text)?;
        settings.read(home.to_owned())
    }
}

/// Where Docker, Podman and the Hugging Face hub's own programs keep logins.
fn logins(environment: &dyn Environment) -> LoginFiles {
    let folder = |name: &str| {
        let text = environment.get(name)?;
        Some(PathBuf::from(text)).filter(|path| path.is_absolute())
    };
    let home = folder("HOME");
    let below = |path: &str| home.as_ref().map(|home| home.join(path));
    let docker = folder("DOCKER_CONFIG").or_else(|| below(".docker"));
    let docker = docker.map(|folder| folder.join("config.json"));
    let podman = folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    let hub = folder("HF_HOME").or_else(|| below(".cache/huggingface"));
    let hub = folder("HF_TOKEN_PATH").or_else(|| hub.map(|folder| folder.join("token")));
    LoginFiles {
        docker: docker.into_iter().chain(podman).collect(),
        hub_tokens: hub.into_iter().collect(),
    }
}

/// The home: from the flag, the environment, or the user's data directory.
fn home(flags: &Flags, environment: &dyn Environment) -> Result<PathBuf, Error> {
    let given = flags.home.clone().or_else(|| {
        environment
            .get(env::HOME)
            .filter(|h| !h.is_empty())
            .map(PathBuf::from)
    });
    let home = match given {
        Some(home) => home,
        None => directories::ProjectDirs::from("", "", "slm")
            .ok_or(Error::NoHome)?
            .data_dir()
            .to_owned(),
    };
    std::path::absolute(&home).map_err(|_| Error::NoHome)
}

/// Warnings about unknown variables with the prefix `SLM_`, which may be misspelt.
fn unknown_names(environment: &dyn Environment) -> Vec<String> {
    let known = || {
        KEYS.iter()
            .map(|key| key.env)
            .chain(OTHER_VARIABLES.iter().copied())
    };
    let mut unknown: Vec<String> = environment
        .names()
        .into_iter()
        .filter(|name| name.starts_with("SLM_") && !name.starts_with(TEST_PREFIX))
        .filter(|name| !known().any(|known| known == name))
        // An empty variable counts as unset, as everywhere.
        .filter(|name| environment.get(name).is_none_or(|value| !value.is_empty()))
        .collect();
    unknown.sort();
    let sentence = |name: &String| {
        let meant = suggestion(nearest(name, known()).as_ref());
        format!("environment variable {name} is not known{meant}")
    };
    unknown.iter().map(sentence).collect()
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// The text of each key from the last origin that sets it.
struct RawSettings {
    values: BTreeMap<&'static str, (String, SettingOrigin)>,
}

impl RawSettings {
    fn defaults() -> Self {
        let values = KEYS
            .iter()
            .map(|key| (key.name, (key.default.to_owned(), SettingOrigin::Default)))
            .collect();
        Self { values }
    }

    fn add_file(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let wrong = |line, problem| Error::File {
            path: path.to_owned(),
            line,
            problem,
        };
        // Some editors begin a file with a byte order mark, which the YAML parser takes for a document.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mapping = yaml::read(text).map_err(|fault| wrong(fault.line, fault.problem))?;
        for (key, value) in mapping {
            let Some(name) = key.as_str() else {
                let key = yaml::scalar(&key).unwrap_or_default();
                let line = yaml::line_of(text, &key);
                return Err(wrong(Some(line), format!("{key:?} is no name of a key")));
            };
            let origin = SettingOrigin::File {
                path: path.to_owned(),
                line: yaml::line_of(text, name),
            };
            let Some(known) = KEYS.iter().find(|known| known.name == name) else {
                return Err(Error::Unknown {
                    origin,
                    key: name.to_owned(),
                    nearest: nearest(name, KEYS.iter().map(|known| known.name)),
                });
            };
            let text = file_text(known, &value).map_err(|problem| Error::Value {
                origin: origin.clone(),
                key: known.name,
                problem,
            })?;
            self.values.insert(known.name, (text, origin));
        }
        Ok(())
    }

    fn add_environment(&mut self, environment: &dyn Environment) {
        for key in KEYS {
            let is_proxy = key.name.ends_with("_proxy");
            let text = environment.get(key.env).filter(|text| !text.is_empty());
            // Proxy variables are also common in lower case.
            let text = text.or_else(|| environment.get(key.name).filter(|_| is_proxy));
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.values
                    .insert(key.name, (text, SettingOrigin::Environment(key.env)));
            }
        }
    }

    fn add_flags(&mut self, flags: &Flags) {
        for (name, text) in &flags.values {
            self.values
                .insert(name, (text.clone(), SettingOrigin::Flag(name)));
        }
    }

    /// Turns texts into values.
    fn read(self, home: PathBuf) -> Result<Config, Error> {
        let host: Endpoint = self.get("host", str::parse)?;
        let port: Option<u16> = self.get("port", |text| {
            optional(text, |text| within(text, 0, u16::MAX.into()))
        })?;
        let address = host.with_port(port, self.origin("port") < self.origin("host"));
        let relative = |path: &str| {
            if path.is_empty() {
                None
            } else {
                Some(home.join(path))
            }
        };
        let config = Config {
            address,
            also_listen: self.get("also_listen", address::addresses)?,
            socket: self
                .get("socket", |text| Ok(relative(text)))?
                .unwrap_or_else(|| home.join(api::layout::SOCKET)),
            keep_alive: self.get("keep_alive", str::parse)?,
            context_length: self.get("context_length", |text| {
                within(text, MIN_CONTEXT.into(), MAX_CONTEXT.into())
            })?,
            max_loaded_models: self.get("max_loaded_models", |text| match text {
                "auto" | "0" => Ok(None),
                _ => within(text, 1, 64)
                    .map(Some)
                    .map_err(|problem| format!("{problem}, or auto")),
            })?,
            memory_budget: self.get("memory_budget", Share::or_auto)?,
            memory_reserve: self.get("memory_reserve", Share::or_auto)?,
            device_budget: self.get("device_budget", share::devices)?,
            spare_runners: self.get("spare_runners", |text| within(text, 0, 8))?,
            shrink: self.get("shrink", boolean)?,
            max_queue: self.get("max_queue", |text| within(text, 1, 65_536))?,
            parallel: self.get("parallel", |text| within(text, 1, MAX_SEQUENCES.into()))?,
            threads: self.get("threads", |text| within(text, 0, MAX_THREADS.into()))?,
            gpu_layers: self.get("gpu_layers", |text| within(text, -1, 10_000))?,
            speculative: self.get("speculative", |text| match text {
                "auto" => Ok(Speculation::Auto),
                "off" => Ok(Speculation::Off),
                _ => Err(format!("{text:?} must be auto or off")),
            })?,
            deterministic: self.get("deterministic", boolean)?,
            runner: self.get("runner", |text| Ok(relative(text)))?,
            kernels: self.get("kernels", str::parse)?,
            sandbox: self.get("sandbox", str::parse)?,
            state_memory: self.get("state_memory", |text| match text {
                "auto" => Ok(None),
                _ => size::read(text)
                    .map(Some)
                    .map_err(|problem| format!("{problem}, or auto")),
            })?,
            state_disk: self.get("state_disk", size::read)?,
            responses: self.get("responses", size::read)?,
            responses_lifetime: self.get("responses_lifetime", positive)?,
            pip: self.get("pip", |text| {
                Ok((!text.is_empty()).then(|| PathBuf::from(text)))
            })?,
            library: self.get("library", server)?,
            mirrors: self.get("mirrors", Mirrors::parse)?,
            hub: self.get("hub", server)?,
            hub_token: None,
            logins: LoginFiles::default(),
            network: Network {
                http_proxy: self.get("http_proxy", non_empty)?,
                https_proxy: self.get("https_proxy", non_empty)?,
                no_proxy: self.get("no_proxy", non_empty)?,
                ca_file: self.get("ca_file", |text| Ok(relative(text)))?,
            },
            max_transfers: self.get("max_transfers", |text| within(text, 1, 64))?,
            pull_rate: self.get("pull_rate", rate::read)?,
            pull_window: self.get("pull_window", |text| optional(text, str::parse))?,
            metered: self.get("metered", boolean)?,
            load_timeout: self.get("load_timeout", positive)?,
            stall_timeout: self.get("stall_timeout", positive)?,
            grace: self.get("grace", duration::finite)?,
            max_connections: self.get("max_connections", |text| within(text, 1, 65_536))?,
            allowed_hosts: self.get("allowed_hosts", |text| Ok(list(text)))?,
            allowed_origins: self.get("allowed_origins", web_origins)?,
            log: self.get("log", filter)?,
            log_json: self.get("log_json", boolean)?,
            origins: self
                .values
                .iter()
                .filter(|(_, (_, origin))| *origin != SettingOrigin::Default)
                .map(|(name, (text, origin))| {
                    let is_proxy = name.ends_with("_proxy");
                    let shown = if is_proxy {
                        without_password(text)
                    } else {
                        text.clone()
                    };
                    (*name, shown, origin.clone())
                })
                .collect(),
            warnings: Vec::new(),
            home,
        };
        Ok(config)
    }

    fn origin(&self, name: &'static str) -> &SettingOrigin {
        &self.values[name].1
    }

    fn get<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let (text, origin) = &self.values[key];
        read(text.trim()).map_err(|problem| Error::Value {
            origin: origin.clone(),
            key,
            problem,
        })
    }
}

/// A value of the file as the text that the other origins would have.
fn file_text(key: &Key, value: &serde_yaml::Value) -> Result<String, String> {
    if value.is_bool() && FREE_TEXT_KEYS.contains(&key.name) {
        return Err("must be a text; one that reads `true` or `false` stands in quotes".into());
    }
    yaml::scalar(value)
        .ok_or_else(|| "must be one value, or a list of them where a list is meant".into())
}

/// The text; `None` if it is empty.
fn non_empty(text: &str) -> Result<Option<String>, String> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The URL of a server.
fn server(text: &str) -> Result<Option<String>, String> {
    match text.split_once("://") {
        None if text.is_empty() => Ok(None),
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(Some(text.to_owned())),
        _ => Err(format!(
            "{text:?} must be the URL of a server, such as https://mirror.example"
        )),
    }
}

/// An address without user and password.
fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} must be true or false")),
    }
}

fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text.is_empty() {
        Ok(None)
    } else {
        read(text).map(Some)
    }
}

fn within<T>(text: &str, least: i64, most: i64) -> Result<T, String>
where
    T: TryFrom<i64>,
{
    text.parse::<i64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{text:?} must be a whole number from {least} to {most}"))
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(|item| item.trim().to_ascii_lowercase())
        .filter(|item| !item.is_empty())
        .collect()
}

/// Web origins: scheme, host and port without a path, because they are compared as texts. The host of an application's own scheme
/// may be `*`, because some applications draw it anew at each start.
fn web_origins(text: &str) -> Result<Vec<String>, String> {
    let origins = list(text);
    for origin in &origins {
        let (scheme, host) = origin.split_once("://").unwrap_or_default();
        let is_pattern = host == "*" && !matches!(scheme, "http" | "https" | "file");
        let is_whole = !host.is_empty() && !host.contains(['/', '*']);
        if scheme.is_empty() || scheme.contains('*') || !(is_pattern || is_whole) {
            return Err(format!(
                "{origin:?} must be a whole origin such as http://localhost:3000, without path, or such as vscode-webview://* for an application"
            ));
        }
    }
    Ok(origins)
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration::finite(text)? {
        Duration::ZERO => Err("must be more than 0".into()),
        duration => Ok(duration),
    }
}

/// A log filter: a level, or a list of targets with levels. Checked here, because the library accepts any word as a target.
fn filter(text: &str) -> Result<String, String> {
    let is_level = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.parse::<LevelFilter>().is_ok()
    };
    let good = text.split(',').all(|item| match item.split_once('=') {
        None => is_level(item),
        Some((target, level)) => !target.is_empty() && is_level(level),
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} must be a level (off, error, warn, info, debug, trace) or a list such as warn,daemon=debug"
        ))
    }
}

#[cfg(test)]
mod tests;

//! The text of each key, and the values that the texts mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use registry::credentials::LoginFiles;
use registry::http::Network;
use registry::mirrors::Mirrors;

use super::environment::nearest;
use super::models::{MODELS, ModelRules};
use super::value::{
    boolean, filter, list, non_empty, optional, positive, server, web_origins, within,
    without_password,
};
use super::{
    Config, Endpoint, Error, Flags, KEYS, Key, SettingOrigin, Share, address, rate, share, size,
    value, yaml,
};
use crate::duration;
use crate::env::Environment;

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

/// The texts of keys, and their origins.
pub(super) type RawTexts = BTreeMap<&'static str, (String, SettingOrigin)>;

/// The text of each key from the last origin that sets it.
pub(super) struct RawSettings {
    /// By name of the key.
    pub(super) values: RawTexts,
    /// The settings per model.
    pub(super) models: ModelRules,
}

impl RawSettings {
    pub(super) fn defaults() -> Self {
        let values = KEYS
            .iter()
            .map(|key| (key.name, (key.default.to_owned(), SettingOrigin::Default)))
            .collect();
        Self {
            values,
            models: ModelRules::default(),
        }
    }

    pub(super) fn add_file(&mut self, path: &Path, text: &str) -> Result<(), Error> {
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
            let at = |line| SettingOrigin::File {
                path: path.to_owned(),
                line,
            };
            if name == MODELS {
                self.models = ModelRules::read(&value, text, at)?;
                continue;
            }
            let origin = at(yaml::line_of(text, name));
            let Some(known) = KEYS.iter().find(|known| known.name == name) else {
                return Err(Error::Unknown {
                    origin,
                    key: name.to_owned(),
                    nearest: nearest(name, KEYS.iter().map(|known| known.name).chain([MODELS])),
                });
            };
            let text = file_text(known, &value).map_err(|problem| Error::Value {
                origin: origin.clone(),
                key: known.name.to_owned(),
                problem,
            })?;
            self.values.insert(known.name, (text, origin));
        }
        Ok(())
    }

    pub(super) fn add_environment(&mut self, environment: &dyn Environment) {
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

    pub(super) fn add_flags(&mut self, flags: &Flags) {
        for (name, text) in &flags.values {
            self.values
                .insert(name, (text.clone(), SettingOrigin::Flag(name)));
        }
    }

    /// Turns texts into values.
    pub(super) fn read(self, home: PathBuf) -> Result<Config, Error> {
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
            context_length: self.get("context_length", value::context_length)?,
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
            min_tokens_per_second: self
                .get("min_tokens_per_second", |text| within(text, 0, 10_000))?,
            max_queue: self.get("max_queue", |text| within(text, 1, 65_536))?,
            parallel: self.get("parallel", value::parallel)?,
            threads: self.get("threads", value::threads)?,
            gpu_layers: self.get("gpu_layers", value::gpu_layers)?,
            kv_cache_type: self.get("kv_cache_type", value::kv_cache_type)?,
            speculative: self.get("speculative", value::speculative)?,
            deterministic: self.get("deterministic", boolean)?,
            runner: self.get("runner", |text| Ok(relative(text)))?,
            backend: self.get("backend", str::parse)?,
            driver_variables: Vec::new(),
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
                .map(|(name, (text, origin))| (*name, shown(name, text), origin.clone()))
                .collect(),
            models: self.models,
            raw: self.values,
            file_stamp: None,
            warnings: Vec::new(),
            home,
        };
        Ok(config)
    }

    pub(super) fn origin(&self, name: &'static str) -> &SettingOrigin {
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
            key: key.to_owned(),
            problem,
        })
    }
}

/// The text of a key as it may be shown.
pub(super) fn shown(name: &str, text: &str) -> String {
    if name.ends_with("_proxy") {
        without_password(text)
    } else {
        text.to_owned()
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

//! The settings of the daemon (ours): their values, where these come from, and what is wrong with the files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /slm/v1/config` and of `POST /slm/v1/config/reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigResponse {
    /// Path of `config.yaml`, whether it exists or not.
    pub file: String,
    /// Why `config.yaml` is refused as it is now, and the settings before stay in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<ConfigMistake>,
    /// How a change of the files is noticed.
    pub watching: ConfigWatching,
    /// Why the files are looked at (`polled`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watching_reason: Option<String>,
    /// The settings in force, in the order of the reference.
    pub settings: Vec<ConfigSetting>,
    /// The settings per model, the more specific names and patterns later.
    pub models: Vec<ConfigModel>,
    /// The catalogs with a mistake.
    pub catalogs: Vec<ConfigMistake>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigSetting {
    /// Name of the key.
    pub key: String,
    /// The value in force, as a text; a proxy without its password.
    pub value: String,
    /// Its default.
    pub default: String,
    /// What set the value.
    pub origin: ConfigOrigin,
    /// The name of the variable or of the option that set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The line of `config.yaml` that set it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// When a change of the key takes effect.
    pub applies: ConfigApplies,
    /// The value that waits for a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// What set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigOrigin {
    /// Nothing: it is the default.
    Default,
    /// A variable of Ollama.
    Ollama,
    /// `config.yaml`.
    File,
    /// An environment variable.
    Environment,
    /// An option of the command line of `slmd`.
    Option,
}

/// When a change of a key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigApplies {
    /// At once.
    Now,
    /// With the next load of a model.
    NextLoad,
    /// With the next start of the daemon.
    Restart,
}

/// How a change of `config.yaml` and of the catalogs is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigWatching {
    /// It is not noticed; no daemon runs.
    #[default]
    Off,
    /// The system reports it.
    Reported,
    /// The files are looked at every few seconds.
    Polled,
}

/// The settings of one name or pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigModel {
    /// The name or the pattern.
    pub model: String,
    /// Its line in `config.yaml`, from 1.
    pub line: usize,
    /// Its settings, as texts.
    pub settings: BTreeMap<String, String>,
}

/// A mistake in a file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigMistake {
    /// The file.
    pub file: String,
    /// Its line, from 1, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The mistake.
    pub reason: String,
    /// Whether an earlier version of the file is in force.
    pub earlier_in_force: bool,
}

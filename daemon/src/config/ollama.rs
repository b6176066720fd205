//! The variables of Ollama that mean the same as a key. They count only for keys that nothing of slm's sets.

use std::path::Path;

use crate::env::Environment;

use super::raw::RawSettings;
use super::{Error, SettingOrigin};

/// A variable and its key. `OLLAMA_HOST` is the address of Ollama, so it adds a listener and moves none.
const VARIABLES: &[(&str, &str)] = &[
    ("OLLAMA_HOST", "also_listen"),
    ("OLLAMA_KEEP_ALIVE", "keep_alive"),
    ("OLLAMA_CONTEXT_LENGTH", "context_length"),
    ("OLLAMA_MAX_LOADED_MODELS", "max_loaded_models"),
    ("OLLAMA_MAX_QUEUE", "max_queue"),
    ("OLLAMA_NUM_PARALLEL", "parallel"),
    ("OLLAMA_KV_CACHE_TYPE", "kv_cache_type"),
    ("OLLAMA_LOAD_TIMEOUT", "load_timeout"),
    ("OLLAMA_ORIGINS", "allowed_origins"),
];

/// Keys whose variable of Ollama is 0 for "automatic", which is the default here.
const ZERO_IS_DEFAULT: &[&str] = &["context_length", "max_loaded_models", "parallel"];

impl RawSettings {
    /// Takes Ollama's variables for keys that have their defaults; the last origin to be added. Returns a warning for each value
    /// that its key cannot have.
    pub(super) fn add_ollama(&mut self, environment: &dyn Environment, home: &Path) -> Vec<String> {
        let mut warnings = Vec::new();
        for (variable, key) in VARIABLES {
            if *self.origin(key) != SettingOrigin::Default {
                continue;
            }
            let text = environment.get(variable).unwrap_or_default();
            // Ollama strips blanks and quotes.
            let text = text.trim().trim_matches(['"', '\'']).trim();
            if text.is_empty() || (text == "0" && ZERO_IS_DEFAULT.contains(key)) {
                continue;
            }
            let set = (text.to_owned(), SettingOrigin::Ollama(variable));
            match alone(key, &set, home) {
                Ok(()) => drop(self.values.insert(key, set)),
                Err(error) => warnings.push(format!("{error}; the default is used")),
            }
        }
        warnings
    }
}

/// Whether a value is valid, by the rule of its key.
fn alone(key: &'static str, set: &(String, SettingOrigin), home: &Path) -> Result<(), Error> {
    let mut settings = RawSettings::defaults();
    settings.values.insert(key, set.clone());
    settings.read(home.to_owned()).map(drop)
}

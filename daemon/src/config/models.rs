//! The settings per model: `models` in `config.yaml`, a mapping of names and patterns to settings.
//!
//! A parameter of the request or of the Modelfile overrides them, and they override the settings for all models.

use registry::ModelName;
use runner_protocol::{KvType, Speculation};
use serde_yaml::Value;

use super::environment::nearest;
use super::pattern::NamePattern;
use super::{Error, value, yaml};
use crate::duration::KeepAlive;

/// The key of these settings.
pub(super) const MODELS: &str = "models";

/// Most names and patterns.
const MOST: usize = 1000;

/// Settings of one model; `None` leaves the Modelfile and the settings for all models in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelSettings {
    /// How long it stays loaded after its last request.
    pub keep_alive: Option<KeepAlive>,
    /// Context in tokens.
    pub context_length: Option<u32>,
    /// Most parallel requests.
    pub parallel: Option<u32>,
    /// CPU threads of its runner; 0 lets it choose.
    pub threads: Option<u32>,
    /// Layers on a GPU; −1 for as many as fit.
    pub gpu_layers: Option<i32>,
    /// Type of keys and values in its KV cache.
    pub kv_cache_type: Option<KvType>,
    /// The device for its layers, as the backends of llama.cpp name it.
    pub device: Option<String>,
    /// Whether its runner drafts tokens.
    pub speculative: Option<Speculation>,
    /// Whether the same request gives the same text, unless the request sets it.
    pub deterministic: Option<bool>,
    /// Models of a lower priority are unloaded first; 0 without one.
    pub priority: Option<i32>,
    /// Whether it is loaded when the daemon starts, and pinned.
    pub pin: Option<bool>,
    /// Its group.
    pub group: Option<Group>,
}

/// A group of models, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// Of these models, one is loaded at a time.
    OneOf(String),
    /// These models are unloaded together or not at all.
    Together(String),
}

/// One key of the settings per model.
#[derive(Debug)]
pub struct ModelKey {
    /// Name in `config.yaml`.
    pub name: &'static str,
    /// Its description in the reference.
    pub about: &'static str,
    /// Reads a value.
    set: fn(&mut ModelSettings, &str) -> Result<(), String>,
}

/// All keys of the settings per model, in the order of the reference.
pub const MODEL_KEYS: &[ModelKey] = &[
    ModelKey {
        name: "keep_alive",
        about: "As for all models.",
        set: |model, text| put(&mut model.keep_alive, text.parse()),
    },
    ModelKey {
        name: "context_length",
        about: "As for all models.",
        set: |model, text| put(&mut model.context_length, value::context_length(text)),
    },
    ModelKey {
        name: "parallel",
        about: "As for all models.",
        set: |model, text| put(&mut model.parallel, value::parallel(text)),
    },
    ModelKey {
        name: "threads",
        about: "As for all models.",
        set: |model, text| put(&mut model.threads, value::threads(text)),
    },
    ModelKey {
        name: "gpu_layers",
        about: "As for all models.",
        set: |model, text| put(&mut model.gpu_layers, value::gpu_layers(text)),
    },
    ModelKey {
        name: "kv_cache_type",
        about: "As for all models.",
        set: |model, text| put(&mut model.kv_cache_type, value::kv_cache_type(text)),
    },
    ModelKey {
        name: "device",
        about: "The device for its layers, as `slm devices` prints it.",
        set: |model, text| put(&mut model.device, value::word(text)),
    },
    ModelKey {
        name: "speculative",
        about: "As for all models.",
        set: |model, text| put(&mut model.speculative, value::speculative(text)),
    },
    ModelKey {
        name: "deterministic",
        about: "As for all models.",
        set: |model, text| put(&mut model.deterministic, value::boolean(text)),
    },
    ModelKey {
        name: "priority",
        about: "A whole number from -100 to 100, 0 by default; models of a lower priority are unloaded first, and wait behind it.",
        set: |model, text| put(&mut model.priority, value::within(text, -100, 100)),
    },
    ModelKey {
        name: "pin",
        about: "Load the model when the daemon starts, and keep it loaded; for a name, not for a pattern.",
        set: |model, text| put(&mut model.pin, value::boolean(text)),
    },
    ModelKey {
        name: "group",
        about: "`one-of:NAME`: of the models of the group, one is loaded at a time; `together:NAME`: they are unloaded together or not at all.",
        set: |model, text| put(&mut model.group, text.parse()),
    },
];

fn put<T>(place: &mut Option<T>, read: Result<T, String>) -> Result<(), String> {
    *place = Some(read?);
    Ok(())
}

impl std::str::FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or_default();
        match (kind, value::word(name)) {
            ("one-of", Ok(name)) => Ok(Self::OneOf(name)),
            ("together", Ok(name)) => Ok(Self::Together(name)),
            _ => Err(format!(
                "{text:?} must be one-of:NAME or together:NAME, such as one-of:coders"
            )),
        }
    }
}

/// The settings of one name or pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRule {
    /// The models that it applies to.
    pub pattern: NamePattern,
    /// Its line in `config.yaml`, from 1.
    pub line: usize,
    /// The texts of its keys, in the order of the file.
    pub texts: Vec<(&'static str, String)>,
    settings: ModelSettings,
}

/// The settings of all names and patterns; the more specific ones stand later.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelRules(Vec<ModelRule>);

impl ModelRules {
    /// Reads the value of `models`. `text` is the file, for the lines of mistakes, and `at` makes an origin of a line.
    ///
    /// # Errors
    /// The first mistake.
    pub(super) fn read(
        value: &Value,
        text: &str,
        at: impl Fn(usize) -> super::SettingOrigin,
    ) -> Result<Self, Error> {
        let wrong = |line, key: String, problem: String| Error::Value {
            origin: at(line),
            key,
            problem,
        };
        let entries = match value {
            Value::Null => return Ok(Self::default()),
            Value::Mapping(entries) if entries.len() <= MOST => entries,
            other => {
                let problem = match other {
                    Value::Mapping(_) => format!("must have at most {MOST} names and patterns"),
                    _ => "must be a mapping of names to settings, such as `phi4-mini: {keep_alive: 1h}`".to_owned(),
                };
                let line = yaml::line_of(text, MODELS);
                return Err(wrong(line, MODELS.to_owned(), problem));
            }
        };
        let mut rules = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let name = yaml::scalar(name).unwrap_or_default();
            let line = yaml::line_below(text, &[MODELS, &name]);
            let key = || format!("{MODELS}.{name}");
            let pattern = name
                .parse()
                .map_err(|problem| wrong(line, key(), problem))?;
            let Value::Mapping(values) = value else {
                let problem = "must be a mapping of keys to values, such as `keep_alive: 1h`";
                return Err(wrong(line, key(), problem.to_owned()));
            };
            let mut rule = ModelRule {
                pattern,
                line,
                texts: Vec::new(),
                settings: ModelSettings::default(),
            };
            for (key, value) in values {
                let key = yaml::scalar(key).unwrap_or_default();
                let line = yaml::line_below(text, &[MODELS, &name, &key]);
                rule.set(&key, value, || at(line))?;
            }
            rules.push(rule);
        }
        // Stable, so that of equally specific patterns the later one counts.
        rules.sort_by_key(|rule| rule.pattern.specificity());
        Ok(Self(rules))
    }

    /// The settings of a model: each key from the most specific pattern that has it.
    pub fn of(&self, name: &ModelName) -> ModelSettings {
        let mut settings = ModelSettings::default();
        let matching = self.0.iter().filter(|rule| rule.pattern.matches(name));
        for (key, text) in matching.flat_map(|rule| &rule.texts) {
            // They were read before, so no key is unknown and no value is wrong.
            if let Some(known) = MODEL_KEYS.iter().find(|known| known.name == *key) {
                let _ = (known.set)(&mut settings, text);
            }
        }
        settings
    }

    /// The models that are to be loaded and pinned.
    pub fn pinned(&self) -> impl Iterator<Item = &ModelName> {
        self.0
            .iter()
            .filter(|rule| rule.settings.pin == Some(true))
            .filter_map(|rule| rule.pattern.name())
    }

    /// Whether both have the same patterns with the same settings, whatever their lines.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        let texts = |rules: &Self| {
            let rules = rules.iter();
            rules
                .map(|rule| (rule.pattern.clone(), rule.texts.clone()))
                .collect::<Vec<_>>()
        };
        texts(self) == texts(other)
    }

    /// Each name and pattern with its settings.
    pub fn iter(&self) -> impl Iterator<Item = &ModelRule> {
        self.0.iter()
    }
}

impl ModelRule {
    fn set(
        &mut self,
        key: &str,
        value: &Value,
        origin: impl Fn() -> super::SettingOrigin,
    ) -> Result<(), Error> {
        let Some(known) = MODEL_KEYS.iter().find(|known| known.name == key) else {
            return Err(Error::Unknown {
                origin: origin(),
                key: format!("{MODELS}.{}.{key}", self.pattern.text()),
                nearest: nearest(key, MODEL_KEYS.iter().map(|known| known.name)),
            });
        };
        let mut read = || {
            let text = yaml::scalar(value).ok_or("must be one value")?;
            let text = text.trim().to_owned();
            (known.set)(&mut self.settings, &text)?;
            if known.name == "pin" && self.pattern.name().is_none() {
                return Err("needs the name of one model, not a pattern".to_owned());
            }
            Ok(text)
        };
        let text = read().map_err(|problem| Error::Value {
            origin: origin(),
            key: format!("{MODELS}.{}.{}", self.pattern.text(), known.name),
            problem,
        })?;
        self.texts.push((known.name, text));
        Ok(())
    }
}

#[cfg(test)]
mod tests;

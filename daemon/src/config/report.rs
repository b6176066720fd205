//! The settings in force as the API has them.

use api::{
    ConfigApplies, ConfigMistake, ConfigModel, ConfigOrigin, ConfigResponse, ConfigSetting,
    ConfigWatching,
};
use registry::catalog::Diagnostic;

use super::{Applies, Config, FileState, KEYS, Key, LiveConfig, SettingOrigin, Watching};

/// The settings in force, what waits for a restart, and what is wrong with the files.
pub fn report(config: &LiveConfig, catalogs: &[Diagnostic]) -> ConfigResponse {
    let state = config.file_state();
    let (watching, watching_reason) = match config.watching() {
        Watching::Off => (ConfigWatching::Off, None),
        Watching::Reported => (ConfigWatching::Reported, None),
        Watching::Polled(reason) => (ConfigWatching::Polled, Some(reason)),
    };
    ConfigResponse {
        watching,
        watching_reason,
        catalogs: catalogs.iter().map(mistake).collect(),
        ..settings(&config.current(), &state)
    }
}

/// The settings alone.
pub(super) fn settings(config: &Config, state: &FileState) -> ConfigResponse {
    ConfigResponse {
        file: config.file().display().to_string(),
        refused: state.refused.as_ref().map(|refusal| ConfigMistake {
            file: refusal.file.display().to_string(),
            line: refusal.line,
            reason: refusal.reason.clone(),
            earlier_in_force: true,
        }),
        settings: KEYS.iter().map(|key| setting(key, config, state)).collect(),
        models: config.models.iter().map(model).collect(),
        ..ConfigResponse::default()
    }
}

fn setting(key: &Key, config: &Config, state: &FileState) -> ConfigSetting {
    let (origin, by, line) = match config.origin(key.name) {
        SettingOrigin::Default => (ConfigOrigin::Default, None, None),
        SettingOrigin::Ollama(name) => (ConfigOrigin::Ollama, Some((*name).to_owned()), None),
        SettingOrigin::File { line, .. } => (ConfigOrigin::File, None, Some(*line)),
        SettingOrigin::Environment(name) => {
            (ConfigOrigin::Environment, Some((*name).to_owned()), None)
        }
        SettingOrigin::Flag(_) => (ConfigOrigin::Option, Some(format!("--{}", key.flag)), None),
    };
    let waiting = state.waiting.iter().find(|(name, _)| *name == key.name);
    ConfigSetting {
        key: key.name.to_owned(),
        value: config.shown(key.name),
        default: key.default.to_owned(),
        origin,
        by,
        line,
        applies: match key.applies {
            Applies::Now => ConfigApplies::Now,
            Applies::NextLoad => ConfigApplies::NextLoad,
            Applies::Restart => ConfigApplies::Restart,
        },
        waiting: waiting.map(|(_, value)| value.clone()),
    }
}

fn model(rule: &super::ModelRule) -> ConfigModel {
    let texts = rule.texts.iter();
    ConfigModel {
        model: rule.pattern.text().to_owned(),
        line: rule.line,
        settings: texts
            .map(|(key, text)| ((*key).to_owned(), text.clone()))
            .collect(),
    }
}

fn mistake(diagnostic: &Diagnostic) -> ConfigMistake {
    ConfigMistake {
        file: diagnostic.file.display().to_string(),
        line: diagnostic.place.map(|(line, _)| line),
        reason: diagnostic.message.clone(),
        earlier_in_force: diagnostic.in_force.is_some(),
    }
}

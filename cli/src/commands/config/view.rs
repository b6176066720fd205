//! How settings look.

use api::{ConfigApplies, ConfigMistake, ConfigOrigin, ConfigResponse, ConfigSetting};
use serde_json::{Value, json};

use crate::output::{Cell, Shrink, Table};

/// Characters of a value that is shortened.
const SHORT: usize = 24;

/// A setting that was asked for.
#[derive(Debug)]
pub(super) struct Found {
    /// Its value.
    pub(super) text: String,
    /// The setting for `--json`.
    pub(super) document: Value,
}

/// The setting of a key, or of `models.NAME.KEY`.
pub(super) fn value(config: &ConfigResponse, key: &str) -> Option<Found> {
    if let Some(setting) = setting(config, key) {
        return Some(Found {
            text: setting.value.clone(),
            document: json!(setting),
        });
    }
    let (name, key) = key.strip_prefix("models.")?.rsplit_once('.')?;
    let model = config.models.iter().find(|model| model.model == name)?;
    let text = model.settings.get(key)?.clone();
    let document = json!({"model": name, "key": key, "value": text, "line": model.line});
    Some(Found { text, document })
}

/// All settings.
pub(super) fn table(config: &ConfigResponse) -> Table {
    let mut table = Table::new(&["KEY", "VALUE", "FROM"], &[Shrink::Shorten("VALUE")]);
    for setting in &config.settings {
        table.row([
            setting.key.clone().into(),
            shortened(&setting.value),
            origin(setting).into(),
        ]);
    }
    for model in &config.models {
        for (key, value) in &model.settings {
            table.row([
                format!("models.{}.{key}", model.model).into(),
                shortened(value),
                format!("line {}", model.line).into(),
            ]);
        }
    }
    table
}

/// Whether a changed key is in force, in words.
pub(super) fn effect(config: &ConfigResponse, key: &str) -> String {
    let Some(setting) = setting(config, key) else {
        return "it applies to the next load of the model".to_owned();
    };
    let by = setting.by.as_deref().unwrap_or_default();
    match (setting.origin, setting.applies) {
        (ConfigOrigin::Environment, _) => format!("the variable {by} overrides the file"),
        (ConfigOrigin::Option, _) => format!("the option {by} overrides the file"),
        _ if setting.waiting.is_some() => {
            "it waits for a restart of the daemon: `slm serve --stop`, and the next command starts one".to_owned()
        }
        (_, ConfigApplies::NextLoad) => "it applies to the next load of a model".to_owned(),
        _ => "it is in force".to_owned(),
    }
}

/// A mistake with its file and line.
pub(super) fn mistake(mistake: &ConfigMistake) -> String {
    let line = mistake.line.map(|line| format!(" line {line}"));
    let line = line.unwrap_or_default();
    format!("{}{line}: {}", mistake.file, mistake.reason)
}

fn setting<'a>(config: &'a ConfigResponse, key: &str) -> Option<&'a ConfigSetting> {
    config.settings.iter().find(|setting| setting.key == key)
}

fn shortened(value: &str) -> Cell {
    let value = match value {
        "" => "-",
        value => value,
    };
    if value.chars().count() <= SHORT {
        return value.to_owned().into();
    }
    let short: String = value.chars().take(SHORT - 1).collect();
    Cell::or_short(value, short + "…")
}

fn origin(setting: &ConfigSetting) -> String {
    let from = match (setting.origin, setting.line, &setting.by) {
        (ConfigOrigin::Default, ..) => "default".to_owned(),
        (_, Some(line), _) => format!("line {line}"),
        (_, _, Some(by)) => by.clone(),
        _ => "config.yaml".to_owned(),
    };
    match &setting.waiting {
        Some(waiting) => format!("{from}, {waiting} waits for a restart"),
        None => from,
    }
}

#[cfg(test)]
mod tests {
    use api::ConfigModel;

    use super::*;
    use crate::output::{Output, OutputMode};

    fn setting(key: &str, value: &str, origin: ConfigOrigin) -> ConfigSetting {
        ConfigSetting {
            key: key.to_owned(),
            value: value.to_owned(),
            default: String::new(),
            origin,
            by: None,
            line: None,
            applies: ConfigApplies::Now,
            waiting: None,
        }
    }

    fn config() -> ConfigResponse {
        let settings = vec![
            ConfigSetting {
                waiting: Some("8080".to_owned()),
                ..setting("port", "11435", ConfigOrigin::Default)
            },
            ConfigSetting {
                line: Some(3),
                ..setting("keep_alive", "1h", ConfigOrigin::File)
            },
            ConfigSetting {
                by: Some("SLM_LOG".to_owned()),
                ..setting("log", "debug", ConfigOrigin::Environment)
            },
            ConfigSetting {
                applies: ConfigApplies::NextLoad,
                ..setting("pip", "", ConfigOrigin::Default)
            },
        ];
        let models = vec![ConfigModel {
            model: "phi4-mini".to_owned(),
            line: 5,
            settings: [("pin".to_owned(), "true".to_owned())].into(),
        }];
        ConfigResponse {
            settings,
            models,
            ..ConfigResponse::default()
        }
    }

    #[test]
    fn what_settings_look_like() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        insta::assert_snapshot!(table(&config()).render(&out), @r"
        KEY                    VALUE   FROM
        port                   11435   default, 8080 waits for a restart
        keep_alive             1h      line 3
        log                    debug   SLM_LOG
        pip                    -       default
        models.phi4-mini.pin   true    line 5
        ");
    }

    #[test]
    fn the_effect_of_a_change_is_said() {
        let config = config();
        for (key, words) in [
            ("port", "it waits for a restart of the daemon"),
            ("keep_alive", "it is in force"),
            ("log", "the variable SLM_LOG overrides the file"),
            ("pip", "it applies to the next load of a model"),
            (
                "models.phi4-mini.pin",
                "it applies to the next load of the model",
            ),
        ] {
            assert!(effect(&config, key).starts_with(words), "{key}");
        }
    }

    #[test]
    fn one_setting_is_found_by_its_key() {
        let config = config();
        assert_eq!(value(&config, "keep_alive").unwrap().text, "1h");
        let pin = value(&config, "models.phi4-mini.pin").unwrap();
        assert_eq!(pin.document["line"], 5);
        assert!(value(&config, "models.phi4-mini.group").is_none());
        assert!(value(&config, "port.x").is_none());
    }
}

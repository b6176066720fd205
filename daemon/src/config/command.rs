//! `slmd config`: shows, checks and changes `config.yaml` without a running daemon. `slm config` calls it.
//!
//! A change is checked as a whole before it is written, with the environment and the options of this call, and written by a rename.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail, ensure};

use super::environment::{home, nearest};
use super::models::MODELS;
use super::{
    Config, Error, FILE, FileState, Flags, KEYS, MAX_FILE, MODEL_KEYS, Refusal, SettingOrigin,
    edit, error::suggestion, report,
};
use crate::env::Environment;
use crate::error::chain;
use crate::fs;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigCommand {
    /// Print all settings as JSON.
    Show,
    /// Check the text on standard input.
    Check,
    /// Replace the file by the text on standard input.
    Replace,
    /// Set a key.
    Set {
        /// The key: one of the table, or `models.NAME.KEY`.
        key: String,
        /// Its value.
        value: String,
    },
    /// Remove a key from the file.
    Unset {
        /// The key, as in `Set`.
        key: String,
    },
}

/// Carries a command out, and returns what it prints.
///
/// # Errors
/// The mistake in the file or in the change; then nothing is written.
pub fn carry_out(
    command: &ConfigCommand,
    flags: &Flags,
    environment: &dyn Environment,
    input: impl Read,
) -> anyhow::Result<String> {
    let home = home(flags, environment)?;
    let file = File {
        path: home.join(FILE),
        home,
        flags,
        environment,
    };
    match command {
        ConfigCommand::Show => {
            let config = file.check(&file.text()?)?;
            let shown = report::settings(&config, &FileState::default());
            return Ok(serde_json::to_string(&shown)?);
        }
        ConfigCommand::Check => drop(file.check(&read(input)?)?),
        ConfigCommand::Replace => file.write(&read(input)?)?,
        ConfigCommand::Set { key, value } => file.set(key, value)?,
        ConfigCommand::Unset { key } => file.unset(key)?,
    }
    Ok(String::new())
}

/// The file of one home, and what overrides it.
struct File<'a> {
    home: PathBuf,
    path: PathBuf,
    flags: &'a Flags,
    environment: &'a dyn Environment,
}

impl File<'_> {
    /// Its text; empty without a file.
    fn text(&self) -> anyhow::Result<String> {
        let text = fs::read_text(&self.path, MAX_FILE);
        let text = text.map_err(|error| anyhow!(chain(&error)))?;
        Ok(text.unwrap_or_default())
    }

    /// Checks a text in the place of the file.
    fn check(&self, text: &str) -> anyhow::Result<Config> {
        Config::of_text(&self.home, Some(text), self.flags, self.environment)
            .map_err(|error| anyhow!(shown(&error, &self.path)))
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        self.check(text)?;
        fs::replace_kept(&self.path, text).map_err(|error| anyhow!(chain(&error)))
    }

    fn set(&self, key: &str, value: &str) -> anyhow::Result<()> {
        let old = self.text()?;
        // A mistake that is there already is not one of the change.
        self.check(&old)?;
        let new =
            edit::set(&old, &key_path(key)?, value).map_err(|problem| self.wrong(&problem))?;
        self.write(&new)
    }

    fn unset(&self, key: &str) -> anyhow::Result<()> {
        let old = self.text()?;
        let new = edit::unset(&old, &key_path(key)?).map_err(|problem| self.wrong(&problem))?;
        match new {
            Some(new) => self.write(&new),
            None => bail!("{} does not set {key}", self.path.display()),
        }
    }

    fn wrong(&self, problem: &str) -> anyhow::Error {
        anyhow!("{}: {problem}", self.path.display())
    }
}

/// The names of a key and of those above it: `threads`, or `models.NAME.threads`, where the name may have dots.
fn key_path(key: &str) -> anyhow::Result<Vec<&str>> {
    let (names, known, last): (Vec<&str>, Vec<&'static str>, &str) = match key
        .strip_prefix("models.")
        .and_then(|rest| rest.rsplit_once('.'))
    {
        Some((name, last)) => (
            vec![MODELS, name, last],
            MODEL_KEYS.iter().map(|known| known.name).collect(),
            last,
        ),
        None => (
            vec![key],
            KEYS.iter().map(|known| known.name).collect(),
            key,
        ),
    };
    if known.contains(&last) {
        return Ok(names);
    }
    let nearest = nearest(last, known.into_iter());
    bail!("unknown key {key:?}{}", suggestion(nearest.as_ref()))
}

/// A mistake with its file and line, if it is in the file, else with its origin.
fn shown(error: &Error, path: &Path) -> String {
    match error {
        Error::Unknown { origin, .. } | Error::Value { origin, .. }
            if !matches!(origin, SettingOrigin::File { .. }) =>
        {
            error.to_string()
        }
        _ => Refusal::of(error, path).to_string(),
    }
}

fn read(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let most = MAX_FILE + 1;
    let length = input.take(most).read_to_string(&mut text)?;
    ensure!(
        length as u64 <= MAX_FILE,
        "the text is longer than {MAX_FILE} bytes"
    );
    Ok(text)
}

#[cfg(test)]
mod tests;

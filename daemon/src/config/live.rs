//! The settings in force, which change while the daemon runs when `config.yaml` changes.
//!
//! The file is read and checked as a whole. With a mistake in it, the settings before stay in force. Environment and flags override
//! the file as at the start. A key that applies at a start only keeps its value, and is reported as waiting for a restart.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::raw::RawSettings;
use super::{Applies, Config, Error, Flags, KEYS, Key, SettingOrigin, Watching};
use crate::env::Environment;
use crate::{blocking, fs};

/// The settings in force. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct LiveConfig(Arc<Inner>);

struct Inner {
    /// The command line and the environment, which are read again with the file.
    flags: Flags,
    environment: Box<dyn Environment + Send + Sync>,
    /// The keys that apply at a start, as they were then.
    started: BTreeMap<&'static str, (String, SettingOrigin)>,
    sender: watch::Sender<Arc<Config>>,
    file: Mutex<FileState>,
    watching: Mutex<Watching>,
    /// One reload at a time, so that an earlier state of the file never replaces a later one.
    turn: tokio::sync::Mutex<()>,
}

/// What the file says beside the settings in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileState {
    /// The mistake for which the file is refused now; `None` if it is applied.
    pub refused: Option<Refusal>,
    /// Keys with a value that applies at the next start, and that value as it may be shown.
    pub waiting: Vec<(&'static str, String)>,
}

/// Why the file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub file: PathBuf,
    /// Line of the mistake, from 1, if it is known.
    pub line: Option<usize>,
    /// The mistake, without the file and the line.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What became of a file that was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// It says the same as before.
    Same,
    /// These keys changed. Those in `waiting` apply at the next start.
    Applied {
        /// Keys with a new value in force.
        changed: Vec<&'static str>,
        /// Keys whose new value waits for a restart.
        waiting: Vec<&'static str>,
    },
    /// It has a mistake, and the settings before stay in force.
    Refused(Refusal),
}

impl LiveConfig {
    /// Starts with the settings that were read from these flags and this environment.
    pub fn new(
        config: Config,
        flags: Flags,
        environment: impl Environment + Send + Sync + 'static,
    ) -> Self {
        let at_start = |key: &&Key| key.applies == Applies::Restart;
        let started = KEYS.iter().filter(at_start);
        let started = started.filter_map(|key| Some((key.name, config.raw.get(key.name)?.clone())));
        Self(Arc::new(Inner {
            flags,
            environment: Box::new(environment),
            started: started.collect(),
            sender: watch::Sender::new(Arc::new(config)),
            file: Mutex::default(),
            watching: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// The settings in force.
    pub fn current(&self) -> Arc<Config> {
        self.0.sender.borrow().clone()
    }

    /// The settings in force, and each later state of them.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.0.sender.subscribe()
    }

    /// What the file says beside the settings in force.
    pub fn file_state(&self) -> FileState {
        self.file().clone()
    }

    /// How changes of the file are noticed.
    pub fn watching(&self) -> Watching {
        self.lock_watching().clone()
    }

    /// Notes how changes of the file are noticed.
    pub(super) fn set_watching(&self, watching: Watching) {
        *self.lock_watching() = watching;
    }

    fn lock_watching(&self) -> MutexGuard<'_, Watching> {
        self.0
            .watching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the file is another one than the settings in force were read from.
    pub(super) fn is_stale(&self) -> bool {
        let config = self.current();
        fs::stamp(&config.file()) != config.file_stamp
    }

    /// Reads the file again, and applies it if it has no mistake.
    pub async fn reload(&self) -> Reloaded {
        let _turn = self.0.turn.lock().await;
        let live = self.clone();
        let read = blocking::run(move || live.read()).await;
        match read {
            Ok(Ok((config, state))) => self.apply(config, state),
            Ok(Err(error)) => self.refuse(Refusal::of(&error, &self.current().file())),
            // The runtime shuts down.
            Err(_) => Reloaded::Same,
        }
    }

    /// Reads and checks the file, the environment and the flags as at a start.
    fn read(&self) -> Result<(Config, FileState), Error> {
        let home = self.current().home.clone();
        let inner = &*self.0;
        let configured = Config::at(&home, &inner.flags, &*inner.environment)?;
        let waits = |name: &&&str| {
            configured.raw.get(**name).map(|(text, _)| text)
                != inner.started.get(**name).map(|(text, _)| text)
        };
        let waiting: Vec<(&'static str, String)> = inner
            .started
            .keys()
            .filter(waits)
            .map(|name| (*name, configured.shown(name)))
            .collect();
        let mut raw = RawSettings {
            values: configured.raw.clone(),
            models: configured.models.clone(),
        };
        raw.values
            .extend(inner.started.iter().map(|(name, set)| (*name, set.clone())));
        let in_force = Config {
            file_stamp: configured.file_stamp,
            warnings: configured.warnings,
            ..raw.read(home)?
        };
        let in_force = in_force.with_environment(&*inner.environment);
        let state = FileState {
            refused: None,
            waiting,
        };
        Ok((in_force, state))
    }

    fn apply(&self, config: Config, state: FileState) -> Reloaded {
        let before = self.current();
        let mut changed: Vec<&'static str> = KEYS
            .iter()
            .map(|key| key.name)
            .filter(|name| before.text(name) != config.text(name))
            .collect();
        if !before.models.says_as(&config.models) {
            changed.push(super::models::MODELS);
        }
        let mut file = self.file();
        let is_same = *file == state && changed.is_empty();
        let waiting = state.waiting.iter().map(|(name, _)| *name).collect();
        *file = state;
        drop(file);
        // Also when only lines moved, which the origins of settings name.
        self.0.sender.send_replace(Arc::new(config));
        if is_same {
            Reloaded::Same
        } else {
            Reloaded::Applied { changed, waiting }
        }
    }

    fn refuse(&self, refusal: Refusal) -> Reloaded {
        let refused = Some(refusal.clone());
        let mut file = self.file();
        if file.refused == refused {
            return Reloaded::Same;
        }
        file.refused = refused;
        Reloaded::Refused(refusal)
    }

    fn file(&self) -> MutexGuard<'_, FileState> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    /// The file and the line are those of the mistake, if it is in a file.
    pub fn of(error: &Error, path: &Path) -> Self {
        let (file, line, reason) = match error {
            Error::File {
                path,
                line,
                problem,
            } => (path.as_path(), *line, problem.clone()),
            Error::Unknown { origin, .. } | Error::Value { origin, .. } => match origin {
                SettingOrigin::File { path, line } => (path.as_path(), Some(*line), error.reason()),
                _ => (path, None, error.to_string()),
            },
            Error::Read(read) => (path, None, crate::error::chain(read)),
            Error::NoHome => (path, None, error.to_string()),
        };
        Self {
            file: file.to_owned(),
            line,
            reason,
        }
    }
}

impl fmt::Debug for LiveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveConfig")
            .field("file", &*self.file())
            .finish_non_exhaustive()
    }
}

/// Settings without flags and environment, as tests have them.
impl From<Config> for LiveConfig {
    fn from(config: Config) -> Self {
        let flags = Flags {
            home: Some(config.home.clone()),
            ..Flags::default()
        };
        Self::new(config, flags, BTreeMap::new())
    }
}

#[cfg(test)]
mod tests;

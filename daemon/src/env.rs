//! The environment, read in this one file.
//!
//! Everything else takes values. The names that mean something to `slmd` stand in [`crate::config::KEYS`], next to what they
//! set; `SLM_HOME` alone is not a key of the file, because it says where the file is.

use std::collections::BTreeMap;

/// Where `slmd` keeps everything, in the environment.
pub const HOME: &str = "SLM_HOME";

/// Somewhere that variables come from: the process, or a map in tests.
pub trait Environment {
    /// Value of a variable; `None` when it is unset or not text.
    fn get(&self, name: &str) -> Option<String>;

    /// Names of all variables, so that one that means nothing is found.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct Process;

impl Environment for Process {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

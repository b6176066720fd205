//! The environment. No other file of the daemon reads it.
//!
//! [`crate::config::KEYS`] has the variables of `slmd`. Only `SLM_HOME` is no key, because it locates the configuration file.

use std::collections::BTreeMap;

/// The variable with the path of the home.
pub const HOME: &str = "SLM_HOME";

/// A source of variables: the process, or a map in tests.
pub trait Environment {
    /// Value of a variable; `None` when it is unset or not text.
    fn get(&self, name: &str) -> Option<String>;

    /// Names of all variables.
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

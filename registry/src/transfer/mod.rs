//! The transfer engine: fetches a blob from an endpoint.
//!
//! - `plan` decides which bytes are requested, and when a transfer fails; it knows no network.
//! - `connections` decides how many connections all transfers together have, and `cap` how many bytes per second.
//! - `run` opens the connections, and hands bytes to the thread that writes and hashes them.
//!
//! Received bytes are kept in `ingest/` (see `store::partial`), so an interrupted transfer goes on where it was, from the same
//! source or from another source with the same digest.

mod cap;
mod connections;
mod plan;
mod run;

use std::time::Duration;

pub(crate) use self::connections::Connections;
pub(crate) use self::run::Fetch;
pub use crate::error::transfer::Error;
pub(crate) use crate::store::total;

/// Interval of the checks for stalls and slow connections.
const TICK: Duration = Duration::from_millis(250);

//! Where the daemon and its clients meet: the port, and the files of the home that both use.

/// TCP port of a daemon whose configuration names none.
pub const DEFAULT_PORT: u16 = 11435;

/// The note of the running daemon in the home: process id, addresses, version.
pub const NOTE: &str = "run/slmd.json";

/// The daemon's Unix socket in the home, unless the configuration names another path.
pub const SOCKET: &str = "run/slmd.sock";

/// The log in the home of a daemon that a client started.
pub const LOG: &str = "logs/slmd.log";

/// Longest image file of a request, in bytes.
pub const MAX_IMAGE_BYTES: usize = 20 * 1024 * 1024;

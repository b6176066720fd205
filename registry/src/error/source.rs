//! Why a source did not deliver.

/// Why a source did not deliver. Each message names the thing; [`Error::hint`] says what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no program that fetches Python packages.
    #[error("pip is not installed (tried {tried})")]
    PipMissing {
        /// The commands that were tried.
        tried: String,
    },
    /// The package index has no such package or version.
    #[error("the Python package index has no {requirement}")]
    PackageNotFound {
        /// `package==version`.
        requirement: String,
    },
    /// The package index cannot be reached.
    #[error("the Python package index cannot be reached for {requirement}: {said}")]
    Offline {
        /// `package==version`.
        requirement: String,
        /// The last message of pip.
        said: String,
    },
    /// Pip failed for another reason.
    #[error("pip could not fetch {requirement} ({status}): {said}")]
    PipFailed {
        /// `package==version`.
        requirement: String,
        /// How pip ended.
        status: String,
        /// The last that pip said.
        said: String,
    },
    /// The download stalled.
    #[error("fetching {requirement} made no progress for {seconds} s, and was stopped")]
    Stalled {
        /// `package==version`.
        requirement: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Pip reported success, and left no package.
    #[error("pip reports success, but left no wheel of {requirement}")]
    NoWheel {
        /// `package==version`.
        requirement: String,
    },
    /// The archive cannot be read.
    #[error("{archive} cannot be read as a zip archive: {reason}")]
    Archive {
        /// The archive's file name.
        archive: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive holds no such file.
    #[error("{archive} does not contain {member}")]
    MemberMissing {
        /// The archive's file name.
        archive: String,
        /// The path inside it.
        member: String,
    },
    /// The path leads to something that is not a file.
    #[error("{member} in {archive} is {found}, not a regular file")]
    MemberNotFile {
        /// The archive's file name.
        archive: String,
        /// The path inside it.
        member: String,
        /// What it is.
        found: &'static str,
    },
    /// The file has another size than the catalog says.
    #[error("{member} in {archive} has {found} bytes, but the catalog states {expected}")]
    MemberSize {
        /// The archive's file name.
        archive: String,
        /// The path inside it.
        member: String,
        /// Bytes by the catalog.
        expected: u64,
        /// Bytes by the archive.
        found: u64,
    },
    /// The file has an implausible compression ratio.
    #[error(
        "{member} in {archive} was refused: {packed} bytes would unpack to {size} bytes, an implausible ratio"
    )]
    Bomb {
        /// The archive's file name.
        archive: String,
        /// The path inside it.
        member: String,
        /// Bytes in the archive.
        packed: u64,
        /// Bytes unpacked.
        size: u64,
    },
    /// The operation was dropped.
    #[error("fetching the Python package was cancelled")]
    Cancelled,
}

impl Error {
    /// What helps, where something does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PipMissing { .. } => Some(
                "install pip, on Debian with `apt install python3-pip`, or name the program in the configuration",
            ),
            Self::PackageNotFound { .. } => {
                Some("a package index of your own must carry the package; see `pip config list`")
            }
            Self::Offline { .. } | Self::Stalled { .. } => Some(
                "check the connection, and pip's index and proxy settings with `pip config list`",
            ),
            Self::Archive { .. } => Some("the transfer or the index is damaged; try again"),
            Self::PipFailed { .. }
            | Self::NoWheel { .. }
            | Self::MemberMissing { .. }
            | Self::MemberNotFile { .. }
            | Self::MemberSize { .. }
            | Self::Bomb { .. }
            | Self::Cancelled => None,
        }
    }
}

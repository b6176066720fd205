//! The first frame of a runner: its version, its sandbox and its kernels.

use serde::{Deserialize, Serialize};

/// The version of this protocol. Daemon and runner come from one build, so both must have the same.
pub const VERSION: u32 = 5;

/// The command-line option with which a runner starts without its sandbox.
pub const NO_SANDBOX: &str = "--no-sandbox";

/// The first frame of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Equal to [`VERSION`], or the daemon kills the runner.
    pub version: u32,
    /// Engine and its build, for people: `llama.cpp 0.6.0` or `mock`.
    pub engine: String,
    /// Its sandbox. The runner sends this before it reads a byte of a model, so the model cannot forge it.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Whether slm's kernels compute on the CPU.
    #[serde(default)]
    pub kernels: Kernels,
}

/// Whether slm's kernels compute on the CPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Kernels {
    /// They do, as far as the CPU computes.
    On,
    /// They are switched off.
    #[default]
    Off,
    /// They cannot be used, for this reason.
    Unavailable(String),
}

impl Kernels {
    /// The argument of a runner's program that switches them off.
    pub const OFF: &str = "--kernels=off";

    /// The state as one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Why they cannot be used; empty where they can.
    pub fn reason(&self) -> &str {
        match self {
            Self::On | Self::Off => "",
            Self::Unavailable(reason) => reason,
        }
    }
}

/// The sandbox of a runner, as its own attempts to break out have found it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// The level that these attempts prove.
    pub level: SandboxLevel,
    /// What keeps it from the highest level that its devices permit, in one line for people; empty at that level and at `off`.
    pub lacks: String,
}

/// Levels of the sandbox. Each has everything that the level before it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum SandboxLevel {
    /// A separate process with its own environment and open files, which ends with the daemon.
    #[default]
    Off,
    /// Also limits on files and memory, and no privileges.
    Limits,
    /// Also one of the two: only the files that it was passed, or no programs, sockets and signals.
    Partial,
    /// Both of them. The highest level with an accelerator.
    Full,
    /// Also only the system calls that inference needs, and an empty network namespace.
    Strict,
}

impl SandboxLevel {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Limits => "limits",
            Self::Partial => "partial",
            Self::Full => "full",
            Self::Strict => "strict",
        }
    }
}

//! The sandbox of a runner, which the process puts on itself before it reads a byte of a model.
//!
//! A model is an untrusted file, and llama.cpp, which reads it, is native code.
//! So the process gives up everything that inference does not need, in two steps:
//!
//! 1. [`at_start`], first in `main`: it ends with the daemon, leaves no core file, and is the OOM killer's first choice.
//! 2. [`restrict`], when backends and devices are open and no other thread runs: resource limits and no privileges (`limits`),
//!    Landlock for files (`files`), and a seccomp deny list of system calls (`calls`).
//!    On the CPU alone, also an empty network namespace (`network`) and a seccomp allow list (`needed`).
//!    Then it attempts what the sandbox forbids (`attempts`), and reports the level that the attempts prove.
//!
//! The supervisor does the rest at the start of the process: an environment from an allow list, only the files that it passes, and a
//! new process group.
//!
//! A runner may use an inherited file as it was opened, for reading or writing, and may read, write, make and remove files
//! in an inherited folder.

#[cfg(target_os = "linux")]
mod attempts;
#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod fs;
mod limits;
#[cfg(target_os = "linux")]
mod needed;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod nodes;

#[cfg(target_os = "linux")]
pub use fs::memory_and_swap;

pub use limits::no_core;

use std::path::PathBuf;

use rustix::io;

use runner_protocol::{Sandbox, SandboxLevel};

/// What a runner still needs inside the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The backends of accelerators that it loaded, such as `vulkan`: their device nodes and the system calls of their drivers stay
    /// allowed.
    pub backends: Vec<String>,
    /// Folders of libraries that it may load later, besides the system's.
    pub folders: Vec<PathBuf>,
}

impl Needs {
    /// Whether drivers of accelerators run in this process.
    fn drivers(&self) -> bool {
        !self.backends.is_empty()
    }
}

/// Makes this process end with the daemon, and keeps its memory out of core files and debuggers.
///
/// - The Linux kernel kills it when the daemon's launcher thread ends.
///   If the daemon died before this call, its end of the socket is closed, and a runner exits at the end of its input.
/// - It leaves no core file, because a core file holds prompts.
/// - Other processes of the user can neither attach to it nor read its memory.
/// - Out of memory, the Linux kernel kills it before the daemon.
///
/// Call it first in `main`, before any other thread runs.
///
/// # Errors
/// The system's error when it refuses a step, although none needs a privilege.
pub fn at_start() -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::process::{DumpableBehavior, Signal};

        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // While the process is dumpable, because its files in /proc belong to root afterwards.
        #[cfg(target_os = "linux")]
        fs::raise_oom_score();
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    limits::no_core()
}

/// Gives up everything that a runner does not need, as far as this machine permits it, and returns the level that it reached.
///
/// Call it when all devices and libraries are open, and before another thread runs: before Linux 7.0, Landlock does not cover
/// threads that run already.
///
/// A step that fails does not stop the next one.
#[cfg(target_os = "linux")]
pub fn restrict(needs: &Needs) -> Sandbox {
    let inherited = fs::inherited();
    let outside = network::Network::of_this_process();
    let mut troubles = Vec::new();
    let mut step = |what, result: Result<(), String>| {
        troubles.extend(result.err().map(|error| Trouble { what, error }));
    };
    if !needs.drivers() {
        step(NETWORK, network::leave());
    }
    step("limits", limits::lower(needs, &inherited));
    step("privileges", limits::drop_privileges());
    step("files", files::restrict(needs, &inherited));
    step("system calls", calls::restrict(needs));
    judge(needs, &attempts::successes(needs, &outside), &troubles)
}

/// Limits the data of this process to this many bytes, if [`restrict`] limited it before: the memory of the loaded model, and the
/// budget for its requests.
///
/// # Errors
/// The system's error.
pub fn hold_data(bytes: u64) -> io::Result<()> {
    limits::hold_data(bytes)
}

/// A step that failed.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Trouble {
    what: &'static str,
    error: String,
}

/// The step that many machines do not permit. The other steps hold without it.
#[cfg(target_os = "linux")]
const NETWORK: &str = "network";

/// The same on a system without Landlock and seccomp.
#[cfg(not(target_os = "linux"))]
pub fn restrict(needs: &Needs) -> Sandbox {
    let mut lacks =
        "files and system calls: this system has neither Landlock nor seccomp".to_owned();
    if let Err(error) = limits::lower(needs) {
        lacks.push_str(&format!("; limits: {error}"));
    }
    Sandbox {
        level: SandboxLevel::Limits,
        lacks,
    }
}

/// The level that the successful attempts leave.
#[cfg(target_os = "linux")]
fn judge(needs: &Needs, successes: &[attempts::Success], troubles: &[Trouble]) -> Sandbox {
    use attempts::Mechanism;

    let open = |mechanism| {
        successes
            .iter()
            .any(|success| success.mechanism == mechanism)
    };
    let troubled = troubles.iter().any(|trouble| trouble.what != NETWORK);
    let level = match (open(Mechanism::Files), open(Mechanism::Calls)) {
        (true, true) => SandboxLevel::Limits,
        (false, false) if !troubled => {
            if needs.drivers() || open(Mechanism::Needed) || open(Mechanism::Network) {
                SandboxLevel::Full
            } else {
                SandboxLevel::Strict
            }
        }
        _ => SandboxLevel::Partial,
    };
    let failed = troubles
        .iter()
        .map(|Trouble { what, error }| format!("{what}: {error}"));
    let found = successes
        .iter()
        .map(|success| format!("it can still {}", success.what));
    let lacks: Vec<String> = failed.chain(found).collect();
    Sandbox {
        level,
        lacks: lacks.join("; "),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{
        attempts::{Mechanism, Success},
        *,
    };

    #[test]
    fn a_level_is_what_the_attempts_prove() {
        let success = |mechanism| Success {
            what: "do it".into(),
            mechanism,
        };
        let cases = [
            (vec![], SandboxLevel::Strict),
            (vec![Mechanism::Needed], SandboxLevel::Full),
            (vec![Mechanism::Network], SandboxLevel::Full),
            (vec![Mechanism::Files], SandboxLevel::Partial),
            (
                vec![Mechanism::Calls, Mechanism::Network],
                SandboxLevel::Partial,
            ),
            (
                vec![Mechanism::Files, Mechanism::Calls],
                SandboxLevel::Limits,
            ),
        ];
        let processors = Needs::default();
        for (mechanisms, level) in cases {
            let successes: Vec<_> = mechanisms.into_iter().map(success).collect();
            let sandbox = judge(&processors, &successes, &[]);
            assert_eq!(sandbox.level, level);
            let told = sandbox.lacks.matches("it can still do it").count();
            assert_eq!(told, successes.len(), "{}", sandbox.lacks);
        }
        let trouble = |what| Trouble {
            what,
            error: "no".to_owned(),
        };
        let troubled = judge(&processors, &[], &[trouble("limits")]);
        assert_eq!(troubled.level, SandboxLevel::Partial);
        assert_eq!(troubled.lacks, "limits: no");
        // A network namespace that it could not leave is found by the attempt.
        let inside = judge(
            &processors,
            &[success(Mechanism::Network)],
            &[trouble(NETWORK)],
        );
        assert_eq!(inside.level, SandboxLevel::Full);
        assert_eq!(inside.lacks, "network: no; it can still do it");
        // With an accelerator, `full` is the highest level.
        let devices = Needs {
            backends: vec!["vulkan".to_owned()],
            ..Needs::default()
        };
        let sandbox = judge(&devices, &[], &[]);
        assert_eq!(
            (sandbox.level, sandbox.lacks.as_str()),
            (SandboxLevel::Full, "")
        );
    }
}

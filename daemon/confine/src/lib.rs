//! What a runner process does to itself before it reads a byte of a model.
//!
//! A model is a file of somebody else, and the code that reads it is native code.
//! So the process gives up, in two steps, whatever that code has no business with:
//!
//! 1. [`at_start`], first in `main`: it ends with the daemon, leaves no core file, and is the first to go when memory ends.
//! 2. [`restrict`], when backends and devices are open and no other thread runs: limits, no privileges (`limits`),
//!    files by Landlock (`files`), system calls by seccomp (`calls`).
//!    Where it computes on processors alone, also the network (`network`), and all calls that it does not need (`needed`).
//!    Then it tries what must no longer work (`attempts`), and reports what it found, not what it asked for.
//!
//! Whoever starts the process does the rest: an environment that is empty but for an allow-list, no open files but its own,
//! a process group of its own.
//!
//! What a runner was handed it may use as it was handed: an open file is read or written as its descriptor is,
//! and the files of an open folder are read, written, made and removed.

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
pub use fs::memory_and_swap;

pub use limits::no_core;

use std::path::PathBuf;

use rustix::io;

use runner_protocol::{Sandbox, SandboxLevel};

/// What a runner goes on needing once it is confined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// It computes on accelerators: their nodes stay open to it, and what their drivers are known to do.
    pub devices: bool,
    /// Folders of libraries that it may load later, beside those of the system.
    pub folders: Vec<PathBuf>,
}

/// Binds the life of this process to the daemon's, and keeps what is in its memory out of files and debuggers.
///
/// - The kernel kills it when the daemon's spawning thread is gone.
///   A daemon that died before this call goes unseen here, but its end of the socket is closed, and a runner leaves at the end of its input.
/// - It leaves no core file, because a core holds prompts.
/// - Other processes of the same user can neither attach to it nor read its memory.
/// - When memory ends, the kernel takes it before the daemon.
///
/// Call it first in `main`, before any thread is started.
///
/// # Errors
/// What the kernel says when it refuses one of them; none needs a privilege, so this means a very strange machine.
pub fn at_start() -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::process::{DumpableBehavior, Signal};

        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // While the process is dumpable: afterwards these files of its own are root's.
        #[cfg(target_os = "linux")]
        fs::go_first_when_memory_ends();
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    limits::no_core()
}

/// Gives up what a runner does not need, as far as this machine lets it, and says how far that is.
///
/// Call it when everything is open that has to be opened without limits, and before another thread is started:
/// a thread that runs already is not held back from files by kernels before 7.0.
///
/// One step that fails is no reason to leave out the next.
#[cfg(target_os = "linux")]
pub fn restrict(needs: &Needs) -> Sandbox {
    let handed = fs::handed();
    let outside = network::Network::of_this_process();
    let mut troubles = Vec::new();
    let mut step = |what, result: Result<(), String>| {
        troubles.extend(result.err().map(|error| Trouble { what, error }));
    };
    if !needs.devices {
        step(NETWORK, network::leave());
    }
    step("limits", limits::lower(needs, &handed));
    step("privileges", limits::drop_privileges());
    step("files", files::restrict(needs, &handed));
    step("system calls", calls::restrict(needs));
    judge(needs, &attempts::successes(needs, &outside), &troubles)
}

/// Holds this process to so many bytes of data from now on, where [`restrict`] limited them: what the model took that is loaded,
/// and what was planned for it besides.
///
/// # Errors
/// What the kernel said.
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

/// The step that many machines do not permit, and without which the others hold.
#[cfg(target_os = "linux")]
const NETWORK: &str = "network";

/// The same on a system that has neither Landlock nor seccomp.
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

/// The level that stands behind what could still be done.
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
            if needs.devices || open(Mechanism::Needed) || open(Mechanism::Network) {
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
    fn a_level_is_what_was_found_and_not_what_was_asked_for() {
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
        // What it could not leave is found by the attempt.
        let inside = judge(
            &processors,
            &[success(Mechanism::Network)],
            &[trouble(NETWORK)],
        );
        assert_eq!(inside.level, SandboxLevel::Full);
        assert_eq!(inside.lacks, "network: no; it can still do it");
        // With an accelerator there is no more to be had.
        let devices = Needs {
            devices: true,
            ..Needs::default()
        };
        let sandbox = judge(&devices, &[], &[]);
        assert_eq!(
            (sandbox.level, sandbox.lacks.as_str()),
            (SandboxLevel::Full, "")
        );
    }
}

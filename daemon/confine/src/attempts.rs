//! Attempts at what the sandbox forbids.
//!
//! A mechanism that the kernel accepts need not work: a ruleset can be empty, and an emulated kernel can ignore filters.
//! So each mechanism is judged by what it lets through. An attempt that succeeds changes nothing.

use std::{path::Path, process::Command};

use rustix::{
    fs::{MemfdFlags, Mode, OFlags, inotify},
    net::{AddressFamily, SocketType},
    process,
};

use super::{Needs, fs, network::Network};

/// An attempt that succeeded and should not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Success {
    /// What it did, for people; continues the sentence "it can still".
    pub(super) what: String,
    /// The mechanism that should have prevented it.
    pub(super) mechanism: Mechanism,
}

/// The mechanisms of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// Landlock.
    Files,
    /// The deny list of seccomp.
    Calls,
    /// The allow list of seccomp.
    Needed,
    /// The network namespace.
    Network,
}

/// Files of most machines that a runner has no reason to read.
const STRANGE: &[&str] = &["/etc/passwd", "/etc/group"];

/// Folders that every user can write to on most machines.
const WRITABLE: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];

/// A program that does not exist, so that no attempt starts one.
const NO_PROGRAM: &str = "/nonexistent/slm-attempt";

/// The attempts that succeed; `network` is the namespace that this process was started in.
pub(super) fn successes(needs: &Needs, network: &Network) -> Vec<Success> {
    let found = |mechanism| move |what| Success { what, mechanism };
    let mut all: Vec<Success> = files().into_iter().map(found(Mechanism::Files)).collect();
    all.extend(calls(needs).into_iter().map(found(Mechanism::Calls)));
    if !needs.drivers() {
        all.extend(unneeded().into_iter().map(found(Mechanism::Needed)));
        let seen = (Network::of_this_process() == *network)
            .then(|| "see the network of the machine".to_owned());
        all.extend(seen.map(found(Mechanism::Network)));
    }
    all
}

fn files() -> Vec<String> {
    let mut found = Vec::new();
    if opens("/", OFlags::DIRECTORY) {
        found.push("list /".to_owned());
    }
    found.extend(
        STRANGE
            .iter()
            .find(|path| fs::can_read(path))
            .map(|path| format!("read {path}")),
    );
    // A file without a name, which is gone when its descriptor closes.
    found.extend(
        WRITABLE
            .iter()
            .find(|folder| opens(folder, OFlags::TMPFILE | OFlags::WRONLY))
            .map(|folder| format!("write to {folder}")),
    );
    found
}

fn opens(path: impl AsRef<Path>, flags: OFlags) -> bool {
    rustix::fs::open(path.as_ref(), flags | OFlags::CLOEXEC, Mode::RUSR).is_ok()
}

fn calls(needs: &Needs) -> Vec<String> {
    let mut found = Vec::new();
    let sockets = [
        (AddressFamily::INET, SocketType::STREAM, "TCP", true),
        (AddressFamily::INET, SocketType::DGRAM, "UDP", true),
        // Drivers of accelerators use such sockets among their threads.
        (
            AddressFamily::UNIX,
            SocketType::STREAM,
            "Unix",
            !needs.drivers(),
        ),
    ];
    for (family, kind, name, forbidden) in sockets {
        if forbidden && rustix::net::socket(family, kind, None).is_ok() {
            found.push(format!("open a {name} socket"));
        }
    }
    if starts_programs() {
        found.push("start programs".to_owned());
    }
    if signals_its_parent() {
        found.push("send signals to other processes".to_owned());
    }
    found
}

/// Calls that the deny list permits and inference does not need.
fn unneeded() -> Vec<String> {
    let watches = inotify::init(inotify::CreateFlags::CLOEXEC).is_ok();
    let makes = rustix::fs::memfd_create("slm-attempt", MemfdFlags::CLOEXEC).is_ok();
    [(watches, "watch files"), (makes, "make files in memory")]
        .into_iter()
        .filter(|(works, _)| *works)
        .map(|(_, what)| what.to_owned())
        .collect()
}

/// Whether the system looked for the program.
#[expect(
    clippy::disallowed_methods,
    reason = "the program does not exist, so there is no child"
)]
fn starts_programs() -> bool {
    match Command::new(NO_PROGRAM).spawn() {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Whether signal 0 reaches the parent, if it still exists.
fn signals_its_parent() -> bool {
    process::getppid().is_some_and(|parent| process::test_kill_process(parent).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attempts that fail without a sandbox would prove nothing inside one.
    #[test]
    fn a_process_that_is_not_confined_succeeds_in_everything() {
        let successes = successes(&Needs::default(), &Network::of_this_process());
        let of = |mechanism| {
            let all = successes
                .iter()
                .filter(move |success| success.mechanism == mechanism);
            all.map(|success| success.what.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(Mechanism::Files).len(), 3, "{successes:?}");
        assert_eq!(
            of(Mechanism::Calls),
            [
                "open a TCP socket",
                "open a UDP socket",
                "open a Unix socket",
                "start programs",
                "send signals to other processes"
            ]
        );
        assert_eq!(
            of(Mechanism::Needed),
            ["watch files", "make files in memory"]
        );
        assert_eq!(of(Mechanism::Network), ["see the network of the machine"]);
    }
}

//! What a confined runner must not be able to do, tried.
//!
//! Asking the kernel for a mechanism and having it are two things: rules can be empty, filters can be ignored by a kernel that is
//! none. So each mechanism is judged by what it lets through. Nothing here leaves a trace where it succeeds.

use std::{path::Path, process::Command};

use rustix::{
    fs::{MemfdFlags, Mode, OFlags, inotify},
    net::{AddressFamily, SocketType},
    process,
};

use super::{Needs, fs, network::Network};

/// Something that worked and should not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Success {
    /// What worked, for people; goes on after "it can still".
    pub(super) what: String,
    /// Whose work it would have been to prevent it.
    pub(super) mechanism: Mechanism,
}

/// What keeps a runner from something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// Landlock.
    Files,
    /// seccomp, the list of what is refused.
    Calls,
    /// seccomp, the list of what is needed.
    Needed,
    /// The namespace of networks.
    Network,
}

/// Files that are there on most machines, and that nobody may read who has no business there.
const STRANGE: &[&str] = &["/etc/passwd", "/etc/group"];

/// Folders that anybody can write to on most machines.
const WRITABLE: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];

/// A program that is nowhere, so that an attempt to start it never succeeds.
const NO_PROGRAM: &str = "/nonexistent/slm-attempt";

/// What still works; `network` is the one that this process was started in.
pub(super) fn successes(needs: &Needs, network: &Network) -> Vec<Success> {
    let found = |mechanism| move |what| Success { what, mechanism };
    let mut all: Vec<Success> = files().into_iter().map(found(Mechanism::Files)).collect();
    all.extend(calls(needs).into_iter().map(found(Mechanism::Calls)));
    if !needs.devices {
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
    // A file without a name: it is gone with its descriptor.
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
        // Drivers of accelerators have sockets of this kind among themselves.
        (
            AddressFamily::UNIX,
            SocketType::STREAM,
            "Unix",
            !needs.devices,
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

/// Calls that nothing forbids, and that an answer does not need.
fn unneeded() -> Vec<String> {
    let watches = inotify::init(inotify::CreateFlags::CLOEXEC).is_ok();
    let makes = rustix::fs::memfd_create("slm-attempt", MemfdFlags::CLOEXEC).is_ok();
    [(watches, "watch files"), (makes, "make files in memory")]
        .into_iter()
        .filter(|(works, _)| *works)
        .map(|(_, what)| what.to_owned())
        .collect()
}

/// Whether it came so far that the program was looked for.
#[expect(
    clippy::disallowed_methods,
    reason = "the program is none, so there is no child to watch"
)]
fn starts_programs() -> bool {
    match Command::new(NO_PROGRAM).spawn() {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Whether a signal that is none would arrive. A parent that is gone gets none.
fn signals_its_parent() -> bool {
    process::getppid().is_some_and(|parent| process::test_kill_process(parent).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test that found nothing here would prove nothing anywhere.
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

//! Hostile attempts on command, with which tests check the sandbox.
//!
//! Every program of the user could carry them out. An attempt that works leaves as little behind as possible.

use std::{
    fs,
    io::{self, Read as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process;

/// Most processes and most multiples of memory, so that an attempt that works does not stop the machine.
const MOST: u32 = 64;

/// An attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Open a file and read a byte of it. The word `parent` in a path stands for the number of the parent's process.
    Read(PathBuf),
    /// List a folder.
    List(PathBuf),
    /// Make a file.
    Write(PathBuf),
    /// Remove a file.
    Remove(PathBuf),
    /// Change the mode of a file, to what it is.
    Mode(PathBuf),
    /// Connect to an address.
    Tcp(SocketAddr),
    /// Send a byte to an address.
    Udp(SocketAddr),
    /// Listen on a free port.
    Listen,
    /// Connect to a Unix socket.
    Unix(PathBuf),
    /// Become another program.
    Exec(PathBuf),
    /// Start this many processes.
    Processes(u32),
    /// Reserve this many times the machine's memory, without using it.
    Memory(u32),
    /// Send signal 0 to its parent.
    Signal,
    /// Take a descriptor of its parent.
    Steal,
    /// Outlive its parent.
    Outlive,
    /// List the variables of its environment.
    Environment,
    /// List the interfaces of its network.
    Interfaces,
    /// Watch files, which the deny list permits and inference does not need.
    Watch,
}

impl Attempt {
    /// Reads the argument of the directive `try`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
        let argument = argument.trim();
        let path = || {
            let path = PathBuf::from(argument);
            path.is_absolute().then_some(path)
        };
        let count = || argument.parse().ok().filter(|count| *count <= MOST);
        Some(match word {
            "read" => Self::Read(path()?),
            "list" => Self::List(path()?),
            "write" => Self::Write(path()?),
            "remove" => Self::Remove(path()?),
            "mode" => Self::Mode(path()?),
            "tcp" => Self::Tcp(argument.parse().ok()?),
            "udp" => Self::Udp(argument.parse().ok()?),
            "unix" => Self::Unix(path()?),
            "exec" => Self::Exec(path()?),
            "processes" => Self::Processes(count()?),
            "memory" => Self::Memory(count()?),
            _ if !argument.is_empty() => return None,
            "listen" => Self::Listen,
            "signal" => Self::Signal,
            "steal" => Self::Steal,
            "outlive" => Self::Outlive,
            "environment" => Self::Environment,
            "interfaces" => Self::Interfaces,
            "watch" => Self::Watch,
            _ => return None,
        })
    }

    /// Carries it out. The result begins with `worked` or `denied`.
    pub(super) fn carry_out(&self) -> String {
        match self.attempt() {
            Ok(what) => format!("worked: {what}"),
            Err(error) => format!("denied: {error}"),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is what a sandbox is to prevent, tried by the mock on command"
    )]
    fn attempt(&self) -> io::Result<String> {
        match self {
            Self::Read(path) => fs::File::open(of_parent(path)?)
                .and_then(|mut file| file.read(&mut [0]))
                .map(|bytes| format!("{bytes} bytes")),
            Self::List(path) => {
                fs::read_dir(of_parent(path)?).map(|entries| format!("{} entries", entries.count()))
            }
            Self::Write(path) => told(fs::File::create_new(path)),
            Self::Remove(path) => told(fs::remove_file(path)),
            Self::Mode(path) => fs::metadata(path)
                .and_then(|found| told(fs::set_permissions(path, found.permissions()))),
            Self::Tcp(address) => told(TcpStream::connect(address)),
            Self::Udp(address) => UdpSocket::bind("127.0.0.1:0")
                .and_then(|socket| told(socket.send_to(&[0], address))),
            Self::Listen => told(TcpListener::bind("127.0.0.1:0")),
            Self::Unix(path) => told(UnixStream::connect(path)),
            // It only returns when it failed.
            Self::Exec(path) => Err(Command::new(path).exec()),
            Self::Processes(count) => start(*count),
            Self::Memory(times) => reserve(*times),
            Self::Signal => told(process::test_kill_process(parent()?)),
            Self::Steal => steal(),
            Self::Outlive => outlive(),
            Self::Environment => {
                let names = std::env::vars_os().map(|(name, _)| name);
                Ok(names.map(|name| format!("{} ", name.display())).collect())
            }
            Self::Interfaces => interfaces(),
            Self::Watch => watch(),
        }
    }
}

/// The result of an attempt without a text.
fn told<T, E: Into<io::Error>>(result: Result<T, E>) -> io::Result<String> {
    result.map(|_| String::new()).map_err(Into::into)
}

fn parent() -> io::Result<process::Pid> {
    process::getppid().ok_or_else(|| io::Error::other("the parent is gone"))
}

/// The path, with the number of the parent's process for the word `parent`.
fn of_parent(path: &Path) -> io::Result<PathBuf> {
    let parent = parent()?.as_raw_nonzero().to_string();
    let parts = path.iter().map(|part| match part.to_str() {
        Some("parent") => parent.as_ref(),
        _ => part,
    });
    Ok(parts.collect())
}

/// Starts processes that exit at once, and waits for each.
#[expect(
    clippy::disallowed_methods,
    reason = "its children end by themselves and are reaped here"
)]
fn start(count: u32) -> io::Result<String> {
    for _ in 0..count {
        let mut child = Command::new("/bin/sh")
            .args(["-c", ":"])
            .stdin(Stdio::null())
            .spawn()?;
        child.wait()?;
    }
    Ok(format!("{count} processes"))
}

/// Reserves memory without touching it, a quarter of the machine's at a time, because a kernel may refuse more at once.
#[cfg(target_os = "linux")]
fn reserve(times: u32) -> io::Result<String> {
    let memory =
        confine::memory_and_swap().ok_or_else(|| io::Error::other("the memory is not known"))?;
    let quarter = usize::try_from(memory / 4).map_err(io::Error::other)?;
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for _ in 0..4 * times {
        let mut block = Vec::new();
        block.try_reserve_exact(quarter).map_err(|error| {
            io::Error::other(format!("{error} after {} quarters", blocks.len()))
        })?;
        blocks.push(block);
    }
    Ok(format!("{} quarters", blocks.len()))
}

/// Copies the descriptor of its parent's standard input.
#[cfg(target_os = "linux")]
fn steal() -> io::Result<String> {
    let parent = process::pidfd_open(parent()?, process::PidfdFlags::empty())?;
    told(process::pidfd_getfd(
        &parent,
        0,
        process::PidfdGetfdFlags::empty(),
    ))
}

/// The names that stand before the colons of proc_pid_net(5), `dev`.
#[expect(
    clippy::disallowed_methods,
    reason = "a small file of the kernel, read on command"
)]
fn interfaces() -> io::Result<String> {
    let table = fs::read_to_string("/proc/self/net/dev")?;
    let names = table.lines().filter_map(|line| line.split_once(':'));
    let names: Vec<&str> = names.map(|(name, _)| name.trim()).collect();
    Ok(names.join(" "))
}

#[cfg(target_os = "linux")]
fn watch() -> io::Result<String> {
    use rustix::fs::inotify;

    told(inotify::init(inotify::CreateFlags::CLOEXEC))
}

#[cfg(target_os = "linux")]
fn outlive() -> io::Result<String> {
    told(process::set_parent_process_death_signal(None))
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: u32) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn steal() -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn watch() -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn outlive() -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_is_nothing_to_try() {
        for text in [
            "",
            "reed /etc/passwd",
            "read etc/passwd",
            "read",
            "tcp localhost",
            "processes 1000000",
            "signal 1",
        ] {
            assert_eq!(Attempt::parse(text), None, "{text}");
        }
        assert_eq!(Attempt::parse("signal"), Some(Attempt::Signal));
        let read = Attempt::Read("/etc/passwd".into());
        assert_eq!(Attempt::parse("read  /etc/passwd "), Some(read));
    }

    #[test]
    fn an_attempt_says_what_came_of_it() {
        let told = |attempt: Attempt| attempt.carry_out();
        assert!(told(Attempt::List("/".into())).starts_with("worked: "));
        assert!(told(Attempt::Read("/nonexistent".into())).starts_with("denied: No such file"));
        assert!(told(Attempt::Read("/proc/parent/stat".into())).starts_with("worked: 1 bytes"));
        assert_eq!(told(Attempt::Processes(2)), "worked: 2 processes");
    }
}

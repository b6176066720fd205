//! A hostile runner: its attempts are denied inside the sandbox, and work without it.
//!
//! The test process stands for the daemon, as the parent of the runner.

use std::{
    ffi::OsString,
    fs::{File, Permissions},
    net::{TcpListener, UdpSocket},
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt as _, net::UnixListener},
    },
    path::Path,
};

use runner_protocol::{Sandbox, SandboxLevel};
use supervisor::{Files, Options, Program, Runner};

use crate::support::{ask, load_it, processes, program, spawn, weights};

/// Whether this machine has the level `full`, which it must have in CI.
fn is_full(sandbox: &Sandbox) -> bool {
    let full = sandbox.level >= SandboxLevel::Full;
    assert!(full || std::env::var_os("CI").is_none(), "{sandbox:?}");
    if !full {
        println!("skipped: {sandbox:?}");
    }
    full
}

/// A loaded mock with these arguments.
async fn mock(args: &[&str]) -> Runner {
    let mut program = program("");
    program.args = args.iter().map(OsString::from).collect();
    let runner = processes()
        .spawn(&program, read_only("GGUF"), Options::default())
        .await
        .expect("the mock starts");
    load_it(&runner).await.expect("the mock loads");
    runner
}

/// Weights as the store passes them: open read-only, and readable by every user, so that another user can open them again.
fn read_only(text: &str) -> Files {
    let written = weights(text);
    written
        .set_permissions(Permissions::from_mode(0o644))
        .unwrap();
    let mut files = Files::new();
    files.push(File::open(format!("/proc/self/fd/{}", written.as_raw_fd())).unwrap());
    files
}

/// The result of an attempt.
async fn attempt(runner: &Runner, what: &str) -> String {
    let (text, end) = ask(runner, &format!("[[mock: try {what}]]")).await;
    end.unwrap_or_else(|error| panic!("{what}: {error}"));
    text
}

/// Files, sockets and listeners for the attempts.
struct Target {
    folder: tempfile::TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    _unix: UnixListener,
}

impl Target {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("canary"), "a secret").unwrap();
        Self {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            _unix: UnixListener::bind(folder.path().join("socket")).unwrap(),
            folder,
        }
    }

    /// Attempts that work for any process of the user. The last ones change the files of the first ones.
    fn attempts(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            format!("read {}", path("canary")),
            "read /etc/passwd".to_owned(),
            "read /proc/parent/environ".to_owned(),
            "read /proc/parent/maps".to_owned(),
            "read /proc/1/status".to_owned(),
            format!("list {}", path("")),
            "list /".to_owned(),
            "list /proc/parent/fd".to_owned(),
            format!("tcp {}", self.tcp.local_addr().unwrap()),
            format!("udp {}", self.udp.local_addr().unwrap()),
            "listen".to_owned(),
            format!("unix {}", path("socket")),
            "processes 8".to_owned(),
            "signal".to_owned(),
            "outlive".to_owned(),
            format!("mode {}", path("canary")),
            format!("write {}", path("new")),
            format!("remove {}", path("canary")),
        ]
    }
}

#[tokio::test]
async fn whatever_a_hostile_runner_tries_is_denied() {
    let runner = mock(&[]).await;
    if !is_full(&runner.hello().sandbox) {
        return;
    }
    let target = Target::new();
    for what in target.attempts() {
        let came = attempt(&runner, &what).await;
        assert!(came.starts_with("denied: "), "{what}: {came}");
        let cause = came.contains("ermission denied") || came.contains("not permitted");
        assert!(cause, "{what} fails for another reason: {came}");
    }
    let canary = std::fs::read(target.folder.path().join("canary")).unwrap();
    assert_eq!(canary, b"a secret");
    assert!(!target.folder.path().join("new").exists());
    // Attempts that end the process where they work, or that do not work for every user.
    for what in ["exec /bin/true", "steal"] {
        let came = attempt(&runner, what).await;
        assert!(came.contains("not permitted"), "{what}: {came}");
    }
    assert_eq!(ask(&runner, "none the worse").await.0, "none the worse");
}

/// Without the right to a network namespace, the report names that first.
#[tokio::test]
async fn what_an_answer_does_not_need_does_not_exist_for_it() {
    let runner = mock(&[]).await;
    let sandbox = &runner.hello().sandbox;
    if !is_full(sandbox) {
        return;
    }
    let came = attempt(&runner, "watch").await;
    assert!(came.contains("not implemented"), "{came}");
    let came = attempt(&runner, "interfaces").await;
    if sandbox.level == SandboxLevel::Strict {
        assert_eq!(came, "worked: lo");
    } else {
        assert!(sandbox.lacks.starts_with("network: "), "{sandbox:?}");
    }
}

/// Attempts that fail without a sandbox would prove nothing inside one.
#[tokio::test]
async fn all_of_it_works_without_the_sandbox() {
    let runner = mock(&[runner_protocol::NO_SANDBOX]).await;
    assert_eq!(runner.hello().sandbox, Sandbox::default());
    let target = Target::new();
    for what in target.attempts() {
        let came = attempt(&runner, &what).await;
        assert!(came.starts_with("worked: "), "{what}: {came}");
    }
    for what in ["watch", "interfaces"] {
        let came = attempt(&runner, what).await;
        assert!(came.starts_with("worked: "), "{what}: {came}");
    }
}

#[tokio::test]
async fn memory_ends_with_the_machine_s() {
    let runner = mock(&[]).await;
    let came = attempt(&runner, "memory 10").await;
    let quarters = came
        .strip_suffix(" quarters")
        .and_then(|came| came.rsplit(' ').next()?.parse::<u32>().ok());
    assert!(came.starts_with("denied: "), "{came}");
    // Its memory so far counts as well.
    assert_eq!(quarters, Some(3), "{came}");
    assert_eq!(ask(&runner, "none the worse").await.0, "none the worse");
}

#[tokio::test]
async fn its_environment_is_what_it_was_given() {
    let runner = mock(&[]).await;
    let names = attempt(&runner, "environment").await;
    assert_eq!(names.trim_end(), "worked: SLM_MOCK");
}

#[tokio::test]
async fn limits_hold_at_every_level() {
    let runner = mock(&[]).await;
    let pid = runner.pid().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, most) in [
        ("Max core file size", 0),
        ("Max file size", 0),
        ("Max open files", 1024),
    ] {
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        let found: Vec<u64> = line
            .split_whitespace()
            .take(2)
            .map(|number| number.parse().unwrap_or(u64::MAX))
            .collect();
        assert!(found.iter().all(|limit| *limit <= most), "{name}: {line}");
    }
    let rank = |process: &str| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap();
        text.trim().parse().unwrap()
    };
    assert_eq!(rank(&pid.to_string()), (rank("self") + 500).min(1000));
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let rights = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"));
    // At most CAP_DAC_READ_SEARCH, number 2.
    assert!(
        matches!(rights, Some("0000000000000000" | "0000000000000004")),
        "{rights:?}"
    );
}

/// A runner of a user without privileges must be confined and work as one of root is.
#[tokio::test]
async fn another_user_is_confined_as_well_and_reads_its_weights() {
    if !rustix::process::getuid().is_root() {
        return println!("skipped: only root can become somebody else");
    }
    let folder = tempfile::tempdir().unwrap();
    let everybody = Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).unwrap();
    let copy = folder.path().join("mock");
    std::fs::copy(program("").path, &copy).unwrap();

    let files = read_only("GGUF [[mock: answer found]]");
    let runner = processes()
        .spawn(&as_nobody(&copy), files, Options::default())
        .await
        .unwrap();
    load_it(&runner).await.unwrap();
    assert_eq!(ask(&runner, "weights?").await.0, "found");
    if is_full(&runner.hello().sandbox) {
        let came = attempt(&runner, "read /etc/passwd").await;
        assert!(came.starts_with("denied: Permission"), "{came}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", runner.pid().unwrap()));
    assert!(status.unwrap().contains("Uid:\t65534"));
}

fn as_nobody(path: &Path) -> Program {
    let mut program = Program::new("/usr/bin/setpriv");
    program.args = ["--reuid=65534", "--regid=65534", "--clear-groups"]
        .map(OsString::from)
        .into();
    program.args.push(path.into());
    program
}

/// The weights of this test are open for writing as well.
#[tokio::test]
async fn a_file_that_was_handed_for_writing_may_grow() {
    let spawner = processes();
    let runner = spawn(&spawner, "", weights("GGUF"), Options::default())
        .await
        .unwrap();
    let pid = runner.pid().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    assert!(
        limits.contains("Max file size             unlimited"),
        "{limits}"
    );
    load_it(&runner).await.unwrap();
}

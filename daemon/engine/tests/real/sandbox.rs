//! The real runner, confined: it says so, and answers as if it were not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use runner_protocol::{Sandbox, SandboxLevel};

use crate::harness::{Runner, greedy};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_slm-runner"))
}

/// A machine that builds the project has to confine fully; a network of one's own is not to be had on each.
#[track_caller]
fn check(sandbox: &Sandbox) {
    let full = sandbox.level >= SandboxLevel::Full;
    assert!(full || std::env::var_os("CI").is_none(), "{sandbox:?}");
    let strict = sandbox.level == SandboxLevel::Strict;
    assert_eq!(strict, sandbox.lacks.is_empty(), "{sandbox:?}");
    assert!(
        strict || !full || sandbox.lacks.starts_with("network: "),
        "{sandbox:?}"
    );
}

/// Also with weights that are multiplied with AMX where there is AMX: the kernel is asked for its tiles inside the sandbox, too.
#[test]
fn it_is_confined_before_it_sees_a_model_and_answers_the_same() {
    for model in [
        gguf_writer::tiny::llama(1),
        gguf_writer::tiny::llama_q8_0(1),
    ] {
        answers_the_same(&model);
    }
}

fn answers_the_same(model: &[u8]) {
    let mut confined = Runner::start(model);
    check(&confined.hello().sandbox);
    let mut command = Command::new(program());
    command.arg(runner_protocol::NO_SANDBOX);
    let mut free = Runner::start_by(command, model);
    assert_eq!(free.hello().sandbox, Sandbox::default());
    let answers = [&mut confined, &mut free].map(|runner| {
        let loaded = runner.load(|load| load.settings.threads = 2).unwrap();
        let (text, _) = runner.generate(greedy("hello the sky", 32));
        (loaded.device, loaded.resident_bytes > 0, text)
    });
    assert_eq!(answers[0], answers[1]);
}

/// The limit of data of a process, in bytes.
#[cfg(target_os = "linux")]
fn most_data(runner: &Runner) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{}/limits", runner.pid())).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max data size"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(target_os = "linux")]
#[test]
fn a_loaded_model_has_the_memory_that_it_was_planned_to_need() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    check(&runner.hello().sandbox);
    let before = most_data(&runner);
    runner.load(|load| load.settings.threads = 2).unwrap();
    let after = most_data(&runner);
    assert!(after <= before && after < 4 << 30, "{before} {after}");
    assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
}

/// The threads start before data is limited, so their stacks leave the margin of 2 GiB alone.
#[cfg(target_os = "linux")]
#[test]
fn stacks_of_threads_are_no_part_of_the_margin() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    check(&runner.hello().sandbox);
    runner.load(|load| load.settings.threads = 2).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", runner.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let taken = line.and_then(|line| line.split_whitespace().next());
    let taken: u64 = taken.unwrap().parse().unwrap();
    let left = most_data(&runner) - taken * 1024;
    assert!(left >= 2 << 30, "{left} bytes are left");
}

/// Both ways to take a file in: mapped, and read.
#[test]
fn weights_are_read_through_their_descriptor_alone() {
    for mmap in [true, false] {
        let mut runner = Runner::loaded(|load| load.settings.mmap = mmap);
        assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
    }
}

#[test]
fn every_thread_is_confined() {
    let mut runner = Runner::loaded(|load| load.settings.threads = 2);
    runner.generate(greedy("hello", 4));
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", runner.pid())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        // Mode 2 is a filter.
        assert!(status.contains("Seccomp:\t2"), "{status}");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        threads += 1;
    }
    // Reader, writer and engine at least, and those that the engine computes with.
    assert!(threads > 3, "{threads} threads");
}

/// A user without any right, as a service has one.
#[test]
fn another_user_is_confined_as_well_and_reads_its_weights() {
    if !rustix::process::getuid().is_root() {
        return println!("skipped: only root can become somebody else");
    }
    let prefix = tempfile::tempdir().unwrap();
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(prefix.path(), everybody).unwrap();
    let copy = prefix.path().join("slm-runner");
    fs::copy(program(), &copy).unwrap();
    let libraries = prefix.path().join("slm-lib");
    fs::create_dir(&libraries).unwrap();
    for library in fs::read_dir(program().with_file_name("slm-lib")).unwrap() {
        let library = library.unwrap();
        // A folder here holds backend modules, which this test does not load.
        if library.path().is_file() {
            fs::copy(library.path(), libraries.join(library.file_name())).unwrap();
        }
    }

    let mut command = Command::new("/usr/bin/setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy);
    let mut runner = Runner::start_by(command, &gguf_writer::tiny::llama(1));
    check(&runner.hello().sandbox);
    runner.load(|_| ()).unwrap();
    assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
    let status = fs::read_to_string(format!("/proc/{}/status", runner.pid())).unwrap();
    assert!(status.contains("Uid:\t65534"), "{status}");
}

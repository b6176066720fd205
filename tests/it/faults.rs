//! Runners that crash, stall and lie; a full disk. Each gives one clear error, and the next request is served.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::{Engine, Home, Outcome};

/// Sends a prompt with a fault for the mock runner, and checks the words of the error.
#[track_caller]
fn check(directives: &str, speaks_of: &[&str]) {
    let mut home = Home::new(Engine::Mock);
    // The crashes of this test must not open the circuit breaker, and a stall must be noticed soon.
    home.set("SLM_STALL_TIMEOUT", "2s");
    let _daemon = home.daemon();
    home.create_tiny("mine");
    let error = home
        .slm(&[
            "run",
            "mine",
            &format!("[[mock: {directives}]]one two three four"),
        ])
        .fails(1);
    for word in ["model 'mine': the runner "].iter().chain(speaks_of) {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
    assert_eq!(
        home.slm(&["run", "mine", "still here"]).ok().trim(),
        "still here"
    );
    home.assert_clean();
}

#[test]
fn a_runner_that_is_killed_in_prefill() {
    check(
        "say the last words; crash-in-prefill kill",
        &["signal: 9", "the last words"],
    );
}

#[test]
fn a_runner_that_is_killed_in_decode() {
    check(
        "say the last words; crash-at-token 2 kill",
        &["signal: 9", "the last words"],
    );
}

#[test]
fn a_runner_that_aborts() {
    check("crash-at-token 1 abort", &["was ended by signal: 6"]);
}

#[test]
fn a_runner_that_exits_silently() {
    check("crash-at-token 1 exit-0", &["ended with exit status: 0"]);
}

#[test]
fn a_runner_that_stalls() {
    check("stall-at-token 2", &["made no progress for 2 s"]);
}

#[test]
fn a_runner_that_is_frozen() {
    check("freeze-at-token 2", &["made no progress for 2 s"]);
}

#[test]
fn a_runner_that_sends_garbage() {
    check(
        "garbage-at-token 2",
        &["broke the protocol", "holds no message"],
    );
}

#[test]
fn a_runner_that_sends_half_a_frame() {
    check(
        "half-frame-at-token 2",
        &["broke the protocol", "unexpected end of file"],
    );
}

#[test]
fn a_runner_that_announces_a_huge_frame() {
    check(
        "huge-frame-at-token 2",
        &["broke the protocol", "above the limit"],
    );
}

#[test]
fn a_runner_that_is_killed_while_it_loads() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("good");
    // The directive is in the weights, so only this model is affected.
    home.file(
        "bad.gguf",
        gguf_writer::tiny::writer(8)
            .kv("slm.test", "[[mock: crash-in-load kill]]")
            .to_bytes(),
    );
    home.create("bad", "FROM ./bad.gguf\n").ok();
    let error = home.slm(&["run", "bad", "hello"]).fails(1);
    for word in ["model 'bad:latest': the runner ", "signal: 9"] {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
    assert_eq!(
        home.slm(&["run", "good", "still here"]).ok().trim(),
        "still here"
    );
    home.assert_clean();
}

#[test]
fn a_full_disk_fails_one_create_and_nothing_else() {
    let home = Home::new(Engine::Mock);
    let Some(_disk) = SmallDisk::over(home.home(), 2) else {
        return in_a_namespace("faults::a_full_disk_fails_one_create_and_nothing_else");
    };
    let _daemon = home.daemon();
    home.create_tiny("small");
    home.file(
        "large.gguf",
        gguf_writer::tiny::writer(9)
            .kv("slm.padding", "x".repeat(4 << 20).as_str())
            .to_bytes(),
    );
    let error = home.create("large", "FROM ./large.gguf\n").fails(1);
    assert!(error.contains("space") || error.contains("full"), "{error}");
    assert_eq!(
        home.slm(&["run", "small", "still here"]).ok().trim(),
        "still here"
    );
    home.assert_clean();
    assert!(
        fs::read_dir(home.home().join("ingest")).is_ok_and(|mut left| left.next().is_none()),
        "no partial file is left"
    );
}

/// Set for a test that already runs in a mount namespace.
const INNER: &str = "SLM_TEST_NAMESPACE";

/// Runs a test of this program again in a namespace where this user may mount.
///
/// If that is not permitted either, as in many containers, the test is skipped with a message;
/// the registry's tests of a full disk run everywhere.
fn in_a_namespace(test: &str) {
    let is_inner = std::env::var_os(INNER).is_some();
    let may_mount_there = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "tmpfs"])
        .arg(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    if is_inner || !may_mount_there {
        assert!(!is_inner, "mounting was permitted a moment ago");
        println!("skipped: mounting a small file system is not permitted here");
        return;
    }
    let program = std::env::current_exe().expect("a running program has a path");
    let output = Command::new("unshare")
        .arg("-rm")
        .arg(program)
        .args(["--exact", test])
        .env(INNER, "1")
        .stdin(Stdio::null())
        .output()
        .expect("it ran a moment ago");
    let outcome = Outcome::of(output);
    assert!(
        outcome.code == 0 && outcome.stdout.contains("1 passed"),
        "{}{}",
        outcome.stdout,
        outcome.stderr
    );
}

/// A tmpfs of a few MiB, unmounted with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it over a directory; `None` if that is not permitted.
    fn over(path: PathBuf, mebibytes: u32) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&path)
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| Outcome::of(output).code == 0);
        mounted.then(|| Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

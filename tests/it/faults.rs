//! Runners that crash, stall and lie; a disk that is full. One clear error each, and the next request is served.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::{Engine, Home, Outcome};

/// A fault of the runner, in a prompt, and what the error has to speak of.
#[track_caller]
fn check(directives: &str, speaks_of: &[&str]) {
    let mut home = Home::new(Engine::Mock);
    // A crash in each request of this test must not trip the breaker of crash loops, and a stall is found soon.
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
    for word in speaks_of {
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
        &["mine", "the last words"],
    );
}

#[test]
fn a_runner_that_is_killed_in_decode() {
    check(
        "say the last words; crash-at-token 2 kill",
        &["mine", "the last words"],
    );
}

#[test]
fn a_runner_that_aborts() {
    check("crash-at-token 1 abort", &["mine"]);
}

#[test]
fn a_runner_that_leaves_without_a_word() {
    check("crash-at-token 1 exit-0", &["mine"]);
}

#[test]
fn a_runner_that_stalls() {
    check("stall-at-token 2", &["mine"]);
}

#[test]
fn a_runner_that_is_frozen() {
    check("freeze-at-token 2", &["mine"]);
}

#[test]
fn a_runner_that_sends_garbage() {
    check("garbage-at-token 2", &["mine"]);
}

#[test]
fn a_runner_that_sends_half_a_frame() {
    check("half-frame-at-token 2", &["mine"]);
}

#[test]
fn a_runner_that_announces_a_huge_frame() {
    check("huge-frame-at-token 2", &["mine"]);
}

#[test]
fn a_runner_that_is_killed_while_it_loads() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("good");
    // The directive lies in the weights, so only this model is affected.
    home.file(
        "bad.gguf",
        gguf_writer::tiny::writer(8)
            .kv("slm.test", "[[mock: crash-in-load kill]]")
            .to_bytes(),
    );
    home.create("bad", "FROM ./bad.gguf\n").ok();
    let error = home.slm(&["run", "bad", "hello"]).fails(1);
    assert!(error.contains("bad"), "{error}");
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
        println!("skipped: mounting a small file system is not permitted here");
        return;
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
        "nothing half done is left behind"
    );
}

/// A tmpfs of a few MiB, unmounted with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it over a directory, or `None` where that is not permitted.
    fn over(path: PathBuf, mebibytes: u32) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&path)
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| Outcome::of(output).code == 0);
        mounted.then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

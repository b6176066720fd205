//! Starting a daemon if none answers.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use crate::fake::{Fake, Reply};
use crate::program::{Home, slm};

/// `slm` beside a test program with the name `slmd`.
///
/// A child process writes both files: a file that this process has open for writing, and that another
/// test's child inherits for a moment, cannot be executed meanwhile ("text file busy").
fn beside(home: &Home, slmd: Option<&str>) -> PathBuf {
    let write = r#"mkdir bin && cp "$1" bin/slm && [ -z "$2" ] || {
        printf '#!/bin/sh\n%s\n' "$2" > bin/slmd && chmod 755 bin/slmd
    }"#;
    let written = Command::new("/bin/sh")
        .args(["-c", write, "sh"])
        .arg(slm())
        .arg(slmd.unwrap_or_default())
        .current_dir(home.path())
        .status()
        .unwrap();
    assert!(written.success());
    home.path().join("bin/slm")
}

#[test]
fn it_starts_a_daemon_with_a_note() {
    let home = Home::new();
    let told = home.path().join("told");
    mknodat(CWD, &told, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let script = format!("echo awake; echo \"$@\" > {}", told.display());
    let program = beside(&home, Some(&script));
    let child = home
        .command(&program, &["list"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Reading waits until the test program has written its arguments.
    let mut arguments = String::new();
    std::fs::File::open(&told)
        .unwrap()
        .read_to_string(&mut arguments)
        .unwrap();
    assert_eq!(arguments, format!("--home {}\n", home.path().display()));
    let _fake = Fake::start(home.path(), |_| Reply::Json(200, json!({ "models": [] })));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.starts_with("no daemon answers: starting one ("),
        "{stderr}"
    );
    let log = std::fs::read_to_string(home.path().join("logs/slmd.log")).unwrap();
    assert_eq!(log, "awake\n");
}

#[test]
fn the_log_of_a_daemon_that_ends_at_once_is_quoted() {
    let home = Home::new();
    let program = beside(&home, Some("echo 'port 11435 is in use' >&2; exit 1"));
    std::fs::create_dir(home.path().join("logs")).unwrap();
    home.write("logs/slmd.log", "from long ago\n");
    let ran = home.run(&mut home.command(&program, &["list"]), "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    insta::assert_snapshot!(ran.stderr, @r"
    no daemon answers: starting one (HOME/logs/slmd.log)
    error: the daemon was started and ended (exit status: 1)
      | port 11435 is in use
    hint: its log is `HOME/logs/slmd.log`
    ");
}

#[test]
fn a_missing_program_is_named_by_its_path() {
    let home = Home::new();
    let program = beside(&home, None);
    let ran = home.run(&mut home.command(&program, &["list"]), "");
    assert_eq!(ran.code, Some(3));
    insta::assert_snapshot!(ran.stderr, @r"
    error: no daemon answers, and `HOME/bin/slmd` is not there to start one
    hint: install `slmd` next to `slm`, or name a daemon with --host
    ");
    let ran = home.run(&mut home.command(&program, &["serve"]), "");
    assert_eq!(ran.code, Some(3));
}

#[test]
fn commands_about_loaded_models_start_no_daemon() {
    let home = Home::new();
    let program = beside(&home, Some("echo must not run >&2; exit 1"));
    for (arguments, code) in [(&["ps"][..], 3), (&["stop", "m"], 3), (&["version"], 0)] {
        let ran = home.run(&mut home.command(&program, arguments), "");
        assert_eq!(ran.code, Some(code), "{arguments:?}");
    }
    assert!(!home.path().join("logs").exists());
}

#[test]
fn serve_becomes_the_daemon() {
    let home = Home::new();
    let program = beside(&home, Some("echo \"$@\"; exit 7"));
    let ran = home.run(
        &mut home.command(&program, &["serve", "--", "--port", "0"]),
        "",
    );
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(7), "--home HOME --port 0\n")
    );
}

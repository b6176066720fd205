//! Every kind of failure, with its message and exit code.

use serde_json::json;

use crate::fake::{Fake, Reply};
use crate::once::{piece, says};
use crate::program::{Home, slm};
use crate::terminal::{Pty, Terminal};

#[test]
fn without_a_daemon_and_with_no_start() {
    let home = Home::new();
    for arguments in [
        &["list", "--no-start"][..],
        &["run", "m", "hi", "--no-start"],
        &["ps"],
        &["stop", "m"],
    ] {
        let ran = home.slm(arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(3), ""),
            "{arguments:?}"
        );
        assert_eq!(
            ran.stderr,
            "error: no daemon is running for `HOME`\n\
             hint: `slm serve` starts one, and so does any command that needs one\n"
        );
    }
}

#[test]
fn a_daemon_at_a_named_address_is_not_started() {
    let home = Home::new();
    let ran = home.slm(&["list", "--host", "unix:/nowhere/slmd.sock"]);
    assert_eq!(ran.code, Some(3));
    insta::assert_snapshot!(ran.stderr, @r"
    error: no daemon answers at /nowhere/slmd.sock: No such file or directory
    hint: check the address in --host or SLM_HOST, and that `slm serve` runs there
    ");
}

#[test]
fn mistakes_in_the_command_line_exit_with_2() {
    let home = Home::new();
    for arguments in [
        &["frobnicate"][..],
        &["run"],
        &["rm"],
        &["show", "m", "--license", "--system"],
        &["run", "m", "--param", "temprature=1", "hi"],
        &["run", "m", "--param", "temperature=hot", "hi"],
        &["run", "m", "--keepalive", "5x", "hi"],
        &["run", "m", "--format", "yaml", "hi"],
        &["list", "--host", "https://machine"],
        &["list", "--host", "machine:99999"],
    ] {
        let ran = home.slm(arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(
            ran.stderr.starts_with("error: "),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    let ran = home.slm(&["rnu", "m"]);
    assert_eq!(
        ran.stderr,
        "error: there is no command `rnu`\nhint: did you mean `slm run`?\n"
    );
    let ran = home.slm(&["--json", "rm"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(2),
            "{\"error\":\"the following required arguments were not provided: <MODEL>...\",\
             \"code\":\"usage\",\"hint\":\"Usage: slm rm <MODEL>...\"}\n"
        )
    );
    let ran = home.slm(&["run", "m", "--param", "temprature=1", "hi"]);
    insta::assert_snapshot!(ran.stderr, @r"
    error: --param `temprature=1`: unknown parameter `temprature`
    hint: did you mean `temperature`?
    ");
}

#[test]
fn a_conversation_needs_a_terminal() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| says(&[]));
    let mut command = home.command(slm(), &["run", "m"]);
    // Standard input is a terminal, standard output is not.
    let terminal = Pty::open();
    let output = command
        .stdin(terminal.slave.try_clone().unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("a conversation needs a terminal"),
        "{stderr}"
    );
}

#[test]
fn an_error_of_the_daemon_is_shown_with_its_hint() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        Reply::Json(
            503,
            json!({ "error": "too many requests wait", "code": "queue_full", "hint": "try again" }),
        )
    });
    let ran = home.slm(&["run", "m", "hi"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "error: too many requests wait\nhint: try again\n"
    );
    let ran = home.slm(&["run", "m", "hi", "--json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "{\"error\":\"too many requests wait\",\"code\":\"queue_full\",\"hint\":\"try again\"}\n"
    );
}

#[test]
fn an_error_body_that_is_not_json_still_has_a_status() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| Reply::Json(502, json!("<html>")));
    let ran = home.slm(&["list"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "error: the daemon answered 502 Bad Gateway and did not say why\n"
    );
}

#[test]
fn an_answer_that_fails_midway_keeps_its_text() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        Reply::Lines(vec![
            piece("Half an "),
            json!({ "error": "the runner ended", "code": "x" }),
        ])
    });
    let ran = home.slm(&["run", "m", "hi"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (Some(1), "Half an \n", "error: the runner ended\n")
    );
}

#[test]
fn an_answer_without_an_end_was_cut() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| Reply::Lines(vec![piece("Half")]));
    let ran = home.slm(&["run", "m", "hi"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "Half\n"));
    insta::assert_snapshot!(ran.stderr, @r"
    error: the daemon's answer was cut off before its end
    hint: its log (`slm logs`) may show the reason; the request can be repeated
    ");
}

#[test]
fn a_broken_connection_is_an_error() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| Reply::Break(vec![piece("Half")]));
    let ran = home.slm(&["run", "m", "hi"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.stderr, @r"
    error: the daemon closed the connection before its answer was complete
    hint: its log (`slm logs`) may show the reason; the request can be repeated
    ");
}

#[test]
fn a_terminal_gets_wrapped_errors() {
    let home = Home::new();
    let words = "elephant ".repeat(20);
    let said = words.trim().to_owned();
    let _fake = Fake::start(home.path(), move |_| {
        Reply::Json(400, json!({ "error": said, "hint": said }))
    });
    let mut terminal = Terminal::start(home.command(slm(), &["show", "m"]));
    let error = terminal.read_until("hint: ");
    let hint = terminal.read_until(&format!("elephant\r\n  {}", "elephant ".repeat(7).trim()));
    for line in error.lines().chain(hint.lines()) {
        assert!(line.len() <= 80, "{line}");
        let all_whole = line
            .split_whitespace()
            .all(|word| ["error:", "elephant"].contains(&word));
        assert!(all_whole, "{line}");
    }
}

#[test]
fn an_answer_of_another_shape_is_an_error() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| Reply::Json(200, json!({ "models": 7 })));
    let ran = home.slm(&["list"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.stderr, @r"
    error: the daemon's answer cannot be read: invalid type: integer `7`, expected a sequence at line 1 column 11
    hint: `slm version` shows whether slm and slmd have the same version
    ");
}

#[test]
fn a_closed_output_is_no_failure() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        says(&[&"many words ".repeat(100_000), "more"])
    });
    let mut child = home
        .command(slm(), &["run", "m", "hi"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn errors_cannot_control_the_terminal() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        Reply::Json(500, json!({ "error": "bad \u{1b}[2Jthing" }))
    });
    let ran = home.slm(&["list"]);
    assert_eq!(ran.stderr, "error: bad [2Jthing\n");
}

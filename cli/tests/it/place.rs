//! The daemon of a home: its socket, status, log and end.

use std::path::Path;

use serde_json::{Value, json};

use crate::fake::{Fake, Reply};
use crate::program::{Home, Ran, slm};
use crate::terminal::Terminal;

fn daemon(home: &Path) -> Fake {
    Fake::start(home, |asked| match asked.what.as_str() {
        "GET /api/version" => Reply::Json(200, json!({ "version": "0.1.0" })),
        "GET /api/ps" => Reply::Json(200, json!({ "models": [] })),
        _ => Reply::Json(200, json!({ "models": [] })),
    })
}

/// Writes the note of a daemon with this process and this socket.
fn note(home: &Home, pid: u32, socket: &Path) {
    std::fs::create_dir_all(home.path().join("run")).unwrap();
    let note = json!({ "pid": pid, "tcp": "127.0.0.1:1", "socket": socket, "version": "0.1.0" });
    home.write("run/slmd.json", note.to_string());
}

fn with_socket(home: &Home, socket: &Path, arguments: &[&str]) -> Ran {
    home.run(home.command(slm(), arguments).env("SLM_SOCKET", socket), "")
}

#[test]
fn a_socket_outside_the_home_is_named_by_a_variable() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let fake = daemon(elsewhere.path());
    let socket = elsewhere.path().join("run/slmd.sock");
    let ran = with_socket(&home, &socket, &["list", "--no-start"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn a_socket_outside_the_home_is_found_by_the_note() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let fake = daemon(elsewhere.path());
    note(&home, 1, &elsewhere.path().join("run/slmd.sock"));
    let ran = home.slm(&["list", "--no-start"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn the_note_of_a_daemon_that_ended_hides_no_running_one() {
    let home = Home::new();
    let _fake = daemon(home.path());
    note(&home, 1, Path::new("/nowhere/slmd.sock"));
    assert_eq!(home.slm(&["list", "--no-start"]).code, Some(0));
}

#[test]
fn status_shows_the_daemon_and_its_addresses() {
    let home = Home::new();
    let ran = home.slm(&["status"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(ran.stdout, "no daemon is running for `HOME`\n");
    let ran = home.slm(&["status", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &document["running"]), (Some(3), &json!(false)));

    let _fake = daemon(home.path());
    note(&home, 7, &home.path().join("run/slmd.sock"));
    let ran = home.slm(&["status"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout, @r"
      slmd 0.1.0 is running
        address   http://127.0.0.1:1
        socket    HOME/run/slmd.sock
        home      HOME
        pid       7
        log       of the terminal or the service manager that started it
        loaded    none
    ");
    let ran = home.slm(&["status", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &document["running"]), (Some(0), &json!(true)));
    assert_eq!(
        (&document["pid"], &document["home"]),
        (&json!(7), &json!("HOME"))
    );
}

#[test]
fn the_log_is_read_without_a_daemon() {
    let home = Home::new();
    let ran = home.slm(&["logs"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.stderr, @r"
    error: there is no log at `HOME/logs/slmd.log`
    hint: it exists once `slm` has started a daemon
    ");
    std::fs::create_dir(home.path().join("logs")).unwrap();
    home.write("logs/slmd.log", "one\ntwo\nthree\n");
    assert_eq!(home.slm(&["logs"]).stdout, "one\ntwo\nthree\n");
    assert_eq!(home.slm(&["logs", "-n", "1"]).stdout, "three\n");
    assert_eq!(
        home.slm(&["logs", "-n", "1", "--json"]).stdout,
        "{\"line\":\"three\"}\n"
    );
}

#[test]
fn a_log_is_followed_until_ctrl_c() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("logs")).unwrap();
    let log = home.write("logs/slmd.log", "one\n");
    let mut terminal = Terminal::start(home.command(slm(), &["logs", "--follow"]));
    terminal.read_until("one");
    let mut file = std::fs::OpenOptions::new().append(true).open(log).unwrap();
    std::io::Write::write_all(&mut file, b"two \x1b[2Jhalf").unwrap();
    std::io::Write::write_all(&mut file, b" a line\n").unwrap();
    terminal.read_until("two [2Jhalf a line");
    terminal.interrupt();
    assert_eq!(terminal.wait().code(), Some(130));
}

#[test]
fn only_the_daemon_that_listens_is_stopped() {
    let home = Home::new();
    let ran = home.slm(&["serve", "--stop"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(0), "no daemon is running for `HOME`\n")
    );
    // This process listens, and the note names an earlier process.
    let _fake = daemon(home.path());
    note(&home, 1, &home.path().join("run/slmd.sock"));
    let ran = home.slm(&["serve", "--stop"]);
    assert_eq!(ran.code, Some(1));
    let text = format!(
        "error: process {} listens at `HOME/run/slmd.sock`, and `HOME/run/slmd.json` names process 1\n\
         hint: end it as it was started\n",
        std::process::id()
    );
    assert_eq!(ran.stderr, text);
}

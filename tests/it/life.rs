//! The life of the daemon: started on demand, one per store, stopped gracefully, without leftovers.

use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::harness::{Engine, Home, Outcome, wait_until};

#[test]
fn slm_starts_a_daemon_with_a_note_if_none_answers() {
    let home = Home::new(Engine::Mock);
    // The started daemon reads this file, so it takes a free port.
    fs::write(home.home().join("config.yaml"), "port: 0\n").expect("a fresh home");
    let outcome = home.slm(&["list"]);
    let pid = started(&home);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("start"),
        "a note: {}",
        outcome.stderr
    );
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    wait_until("the daemon to end", || (!alive(pid)).then_some(()));
}

#[test]
fn slm_shows_the_daemon_and_stops_it() {
    let home = Home::new(Engine::Mock);
    fs::write(home.home().join("config.yaml"), "port: 0\n").expect("a fresh home");
    assert_eq!(home.slm(&["status"]).code, 3);
    home.slm(&["list"]).ok();
    let pid = started(&home);
    let status: Value =
        serde_json::from_str(&home.slm(&["status", "--json"]).ok()).expect("--json is JSON");
    assert_eq!(status["pid"], pid.as_raw_nonzero().get());
    let log = home.home().join("logs/slmd.log");
    assert_eq!(status["log"], log.display().to_string());
    assert!(home.slm(&["logs"]).ok().contains("is ready on"));
    let stopped = home.slm(&["serve", "--stop"]);
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    assert!(
        stopped.stderr.contains("stopped the daemon of"),
        "{}",
        stopped.stderr
    );
    assert!(
        !alive(pid),
        "slm reports the end after the process has ended"
    );
    assert_eq!(home.slm(&["status"]).code, 3);
}

#[test]
fn client_and_daemon_agree_on_a_socket_outside_the_home() {
    let mut home = Home::new(Engine::Mock);
    fs::write(home.home().join("config.yaml"), "port: 0\n").expect("a fresh home");
    let socket = home.dir().join("x.sock").display().to_string();
    home.set("SLM_SOCKET", &socket);
    home.slm(&["list"]).ok();
    home.slm(&["list", "--host", &format!("unix:{socket}")])
        .ok();
    home.slm(&["serve", "--stop"]).ok();
}

#[test]
fn without_a_daemon_and_with_no_start_the_exit_code_is_3() {
    let home = Home::new(Engine::Mock);
    let error = home.slm(&["list", "--no-start"]).fails(3);
    assert!(error.contains("hint:"), "{error}");
}

#[test]
fn a_second_daemon_on_the_same_store_is_refused_with_the_pid_of_the_first() {
    let home = Home::new(Engine::Mock);
    let daemon = home.daemon();
    let second = Outcome::of(
        home.program("slmd")
            .args(["--port", "0"])
            .output()
            .expect("slmd starts"),
    );
    let error = second.fails(1);
    assert!(error.contains(&daemon.pid().to_string()), "{error}");
    home.slm(&["list"]).ok();
}

#[test]
fn a_graceful_stop_finishes_answers_and_leaves_no_process() {
    let home = Home::new(Engine::Mock);
    let daemon = home.daemon();
    home.create_tiny("mine");
    let child = home
        .program("slm")
        .args(["run", "mine", "[[mock: count 40; delay-ms 20]]"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slm starts");
    let runner = wait_until("a runner that answers", || runner_of(&home, "busy"));
    let ended = daemon.end(Signal::TERM);
    assert_eq!(ended.code, 0);
    let answer = Outcome::of(child.wait_with_output().expect("slm ends")).ok();
    assert_eq!(
        answer.split_whitespace().count(),
        40,
        "the answer was finished: {answer}"
    );
    assert!(!alive(runner), "the runner has ended");
}

#[test]
fn a_killed_daemon_leaves_no_runner_behind() {
    let home = Home::new(Engine::Mock);
    let daemon = home.daemon();
    home.create_tiny("mine");
    home.slm(&["run", "mine", "hello"]).ok();
    let runner = runner_of(&home, "ready").expect("a loaded model");
    assert!(alive(runner));
    daemon.end(Signal::KILL);
    wait_until("the runner to end", || (!alive(runner)).then_some(()));
    // The store opens again.
    let _daemon = home.daemon();
    home.assert_clean();
    assert_eq!(home.slm(&["run", "mine", "hello"]).ok().trim(), "hello");
}

fn started(home: &Home) -> Pid {
    let text = fs::read(home.home().join("run/slmd.json")).expect("a serving daemon has a note");
    let value: Value = serde_json::from_slice(&text).expect("JSON");
    let pid = value["pid"].as_i64().expect("a process id");
    Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id")
}

fn runner_of(home: &Home, state: &str) -> Option<Pid> {
    let ps: Value =
        serde_json::from_str(&home.slm(&["ps", "--json"]).ok()).expect("--json is JSON");
    let model = &ps["models"][0];
    (model["state"] == state).then_some(())?;
    Pid::from_raw(i32::try_from(model["pid"].as_i64()?).ok()?)
}

/// Whether a process runs; a zombie does not count.
fn alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with(['Z', 'X'])
    })
}

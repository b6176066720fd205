//! A hostile runner of a real daemon: it reaches neither the daemon's socket, nor its store, nor the daemon itself.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::{Engine, Home};

/// The one loaded model in `slm ps`.
fn loaded(home: &Home) -> Value {
    let ps: Value =
        serde_json::from_str(&home.slm(&["ps", "--json"]).ok()).expect("--json is JSON");
    ps["models"][0].clone()
}

/// The result of an attempt by the runner of the model `mine`.
fn attempt(home: &Home, what: &str) -> String {
    home.slm(&["run", "mine", &format!("[[mock: try {what}]]")])
        .ok()
}

/// Whether this machine confines runners fully. A machine that builds the project must.
fn is_full(home: &Home) -> bool {
    let loaded = loaded(home);
    let full = loaded["sandbox"] == "strict" || loaded["sandbox"] == "full";
    assert!(full || std::env::var_os("CI").is_none(), "{loaded}");
    if !full {
        println!("skipped: {loaded}");
    }
    full
}

#[test]
fn a_hostile_runner_reaches_nothing_of_the_daemon() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("mine");
    home.slm(&["run", "mine", "hello"]).ok();
    if !is_full(&home) {
        return;
    }
    let level = loaded(&home)["sandbox"].as_str().unwrap().to_owned();
    let table = home.slm(&["ps"]).ok();
    assert!(
        table.contains("SANDBOX") && table.contains(&level),
        "{table}"
    );
    let at = |place: &str| home.home().join(place).display().to_string();
    for what in [
        format!("unix {}", at("run/slmd.sock")),
        format!("read {}", at("run/slmd.json")),
        format!("list {}", at("models/blobs")),
        format!("write {}", at("models/blobs/new")),
        "read /proc/parent/environ".to_owned(),
        "read /proc/parent/mem".to_owned(),
        "signal".to_owned(),
        "steal".to_owned(),
        "exec /bin/true".to_owned(),
        "processes 8".to_owned(),
    ] {
        let came = attempt(&home, &what);
        assert!(came.starts_with("denied: "), "{what}: {came}");
    }
    assert_eq!(
        attempt(&home, "environment").trim(),
        "worked: GOMP_SPINCOUNT",
        "no variable of the daemon's environment"
    );
    assert_eq!(
        home.slm(&["run", "mine", "the daemon is unharmed"])
            .ok()
            .trim(),
        "the daemon is unharmed"
    );
    home.assert_clean();
}

#[test]
fn a_sandbox_that_is_off_is_shown_as_such() {
    let mut home = Home::new(Engine::Mock);
    home.set("SLM_SANDBOX", "off");
    let _daemon = home.daemon();
    home.create_tiny("mine");
    assert!(attempt(&home, "list /").starts_with("worked: "));
    assert_eq!(loaded(&home)["sandbox"], "off");
}

#[test]
fn a_required_sandbox_that_is_missing_is_an_error_before_a_model_is_read() {
    let mut home = Home::new(Engine::Mock);
    // A runner that confines itself less than required, as on a machine without the features.
    let runner = home.dir().join("bin/slm-runner").display().to_string();
    let script = home.file(
        "unconfined",
        format!("#!/bin/sh\nexec {runner} --no-sandbox\n"),
    );
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("ours");
    home.set("SLM_RUNNER", script.display().to_string());
    home.set("SLM_SANDBOX", "require");
    let daemon = home.daemon();
    home.create_tiny("mine");
    let error = home.slm(&["run", "mine", "hello"]).fails(1);
    for word in ["sandbox: require", "\"off\"", "hint:"] {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
    assert_eq!(loaded(&home), Value::Null);
    daemon.end(rustix::process::Signal::TERM);

    // A confined runner is accepted, if the machine can confine it.
    home.set("SLM_RUNNER", runner);
    let _daemon = home.daemon();
    if home.slm(&["run", "mine", "hello"]).code == 0 {
        assert!(is_full(&home));
    } else {
        assert!(std::env::var_os("CI").is_none(), "no full sandbox here");
    }
}

#[test]
fn the_real_runner_is_confined_too() {
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    home.create_tiny("tiny");
    home.slm(&["run", "tiny", "--param", "num_predict=4", "hello"])
        .ok();
    is_full(&home);
}

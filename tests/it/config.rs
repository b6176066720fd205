//! Configuration that changes while the daemon runs, and models that follow their Modelfiles.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Engine, Home};

/// The lines of an open stream.
type Lines = Box<dyn Iterator<Item = String>>;

/// The stream of events of the daemon, open before this returns.
fn events(home: &Home) -> Lines {
    let mut socket = UnixStream::connect(home.home().join("run/slmd.sock")).expect("it serves");
    let patience = Some(Duration::from_secs(60));
    socket.set_read_timeout(patience).expect("a socket");
    write!(
        socket,
        "GET /slm/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .expect("the daemon reads");
    let mut lines = BufReader::new(socket)
        .lines()
        .map(|line| line.expect("an event within a minute"));
    assert_eq!(lines.next().as_deref(), Some("HTTP/1.1 200 OK"));
    assert!(lines.any(|line| line.is_empty()), "a head");
    Box::new(lines)
}

/// The text of the next event of this kind.
fn next(events: &mut Lines, kind: &str) -> String {
    let name = format!("event: {kind}");
    assert!(events.any(|line| line == name), "an event {kind}");
    let data = events.find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    let event: Value = serde_json::from_str(&data.expect("data")).expect("JSON");
    event["text"].as_str().expect("a text").to_owned()
}

#[test]
fn a_changed_file_is_noticed_and_applied_or_refused_with_its_line() {
    let home = Home::new(Engine::Mock);
    let path = home.home().join("config.yaml");
    let _daemon = home.daemon();
    let mut events = events(&home);

    fs::write(&path, "keep_alive: 1h\n").expect("a writable home");
    let text = next(&mut events, "configured");
    assert_eq!(text, "config.yaml is applied: keep_alive");
    let value = home.slm(&["config", "get", "keep_alive"]).ok();
    assert_eq!(value.trim(), "1h");

    // As editors write: a new file in the place of the old one.
    let new = home.home().join("config.yaml.swp");
    fs::write(&new, "keep_alive: 2h\nthread: 1\n").expect("a writable home");
    fs::rename(&new, &path).expect("one file system");
    let text = next(&mut events, "config_refused");
    assert!(
        text.contains("config.yaml line 2: unknown key \"thread\"; did you mean \"threads\"?"),
        "{text}"
    );
    let value = home.slm(&["config", "get", "keep_alive"]).ok();
    assert_eq!(value.trim(), "1h");

    let catalogs = home.home().join("catalogs");
    fs::create_dir(&catalogs).expect("a fresh folder");
    fs::write(catalogs.join("a.yaml"), "version: 1\nmodels: [\n").expect("a writable home");
    let text = next(&mut events, "config_refused");
    assert!(text.contains("catalogs/a.yaml:"), "{text}");
}

#[test]
fn slm_config_changes_the_file_with_and_without_a_daemon() {
    let mut home = Home::new(Engine::Mock);
    let path = home.home().join("config.yaml");
    let read = || fs::read_to_string(&path).expect("a file");
    fs::write(&path, "# Mine.\nport: 0 # any\n").expect("a writable home");
    let said = home.slm(&["config", "set", "keep_alive", "1h"]);
    assert!(said.stderr.contains("no daemon runs"), "{}", said.stderr);
    assert_eq!(read(), "# Mine.\nport: 0 # any\nkeep_alive: 1h\n");
    let shown = home.slm(&["config", "path"]).ok();
    assert_eq!(shown.trim(), path.display().to_string());

    let _daemon = home.daemon();
    for (key, value, effect) in [
        ("max_queue", "7", "it is in force"),
        ("threads", "1", "it applies to the next load of a model"),
        ("max_connections", "100", "it waits for a restart"),
        ("models.m*.parallel", "2", "it applies to the next load"),
        (
            "library",
            "https://a.example",
            "the variable SLM_LIBRARY overrides the file",
        ),
    ] {
        let said = home.slm(&["config", "set", key, value]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(said.stderr.contains(effect), "{}", said.stderr);
    }
    let before = read();
    let wrong = home.slm(&["config", "set", "threads", "many"]).fails(1);
    assert!(
        wrong.contains("threads: \"many\" must be a whole number"),
        "{wrong}"
    );
    assert_eq!(read(), before);
    home.slm(&["config", "unset", "models.m*.parallel"]).ok();
    assert!(!read().contains("models"), "{}", read());
    home.slm(&["config", "check"]).ok();

    home.set("EDITOR", "sed -i s/1h/3h/");
    home.slm(&["config", "edit"]).ok();
    let value = home.slm(&["config", "get", "keep_alive", "--json"]).ok();
    let value: Value = serde_json::from_str(&value).expect("JSON");
    assert_eq!((&value["value"], &value["line"]), (&"3h".into(), &3.into()));
    home.set("EDITOR", "sed -i s/3h/soon/");
    let wrong = home.slm(&["config", "edit"]).fails(1);
    assert!(wrong.contains("config.yaml line 3: keep_alive:"), "{wrong}");
    assert!(read().contains("keep_alive: 3h"), "{}", read());
}

#[test]
fn a_watched_modelfile_makes_its_model_anew() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("base");
    let path = home.file("Modelfile", "FROM base\nSYSTEM one\n");
    let mut watch = home
        .program("slm")
        .args(["create", "mine", "--watch"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("slm starts");
    let said = watch.stderr.take().expect("a pipe");
    let mut said = BufReader::new(said).lines().map(|line| line.expect("text"));
    let mut until = |words: &str| {
        assert!(said.any(|line| line.contains(words)), "slm says {words:?}");
    };
    let system = || home.slm(&["show", "mine", "--modelfile"]).ok();
    until("watching its files");
    assert!(system().contains("SYSTEM one"), "{}", system());
    fs::write(&path, "FROM base\nSYSTEM another\n").expect("a writable directory");
    until("created `mine`");
    until("watching its files");
    assert!(system().contains("SYSTEM another"), "{}", system());
    fs::write(&path, "FORM base\nSYSTEM a third\n").expect("a writable directory");
    until("`mine` stays as it was");
    assert!(system().contains("SYSTEM another"), "{}", system());

    // A loaded model with other weights is replaced by the new one.
    fs::write(&path, "FROM base\n").expect("a writable directory");
    until("watching its files");
    until("watching its files");
    home.slm(&["load", "mine"]).ok();
    home.file("other.gguf", gguf_writer::tiny::llama(8));
    fs::write(&path, "FROM ./other.gguf\nSYSTEM new\n").expect("a writable directory");
    until("loaded the new `mine`");
    let loaded: Value = serde_json::from_str(&home.slm(&["ps", "--json"]).ok()).expect("JSON");
    assert_eq!(
        loaded["models"].as_array().map(Vec::len),
        Some(1),
        "{loaded}"
    );

    let pid = rustix::process::Pid::from_child(&watch);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our own child");
    assert_eq!(watch.wait().expect("our own child").code(), Some(130));
}

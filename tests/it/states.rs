//! Saved states with the real engine: kept over a swap and a restart, and removed with `state_disk: off`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Engine, Home, wait_until};

/// A prompt long enough for a saved state.
fn prompt() -> String {
    (0..60).map(|word| format!("word{word} ")).collect()
}

/// Cached tokens of the prompt, all its tokens, and the answer.
fn ask(home: &Home) -> (u64, u64, String) {
    let arguments = ["run", "tiny", "--json", "--param", "temperature=0"];
    let limit = ["--param", "num_predict=8"];
    let prompt = prompt();
    let events = home
        .slm(&[&arguments[..], &limit, &[&prompt]].concat())
        .ok();
    let events = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("NDJSON"));
    let mut text = String::new();
    let mut counts = (0, 0);
    for event in events {
        let piece = event["message"]["content"].as_str();
        text.push_str(piece.or(event["response"].as_str()).unwrap_or_default());
        if event["done"] == true {
            let count = |key: &str| event[key].as_u64().expect("a count");
            counts = (count("cached_tokens"), count("prompt_eval_count"));
        }
    }
    (counts.0, counts.1, text)
}

fn states(home: &Home) -> Vec<PathBuf> {
    let paths = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path())
    };
    paths(home.home().join("kv")).flat_map(paths).collect()
}

/// Unloads the model, and waits for its saved states.
fn swap_out(home: &Home) -> PathBuf {
    home.slm(&["stop", "tiny"]).ok();
    wait_until("a saved state", || states(home).pop())
}

#[test]
fn a_conversation_continues_from_its_state_after_a_swap_and_a_restart() {
    let home = Home::new(Engine::Real);
    let daemon = home.daemon();
    home.create_tiny("tiny");
    let (cached, tokens, text) = ask(&home);
    assert_eq!(cached, 0);
    assert!(tokens > 128, "{tokens}");

    let path = swap_out(&home);
    let mode = |path: &PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&home.home().join("kv")), 0o700);
    // The last token is always computed.
    assert_eq!(ask(&home), (tokens - 1, tokens, text.clone()));

    // A daemon that stops saves the states of its models.
    let before = fs::metadata(&path)
        .expect("there")
        .modified()
        .expect("known");
    daemon.end(Signal::TERM);
    let daemon = home.daemon();
    assert_eq!(ask(&home), (tokens - 1, tokens, text.clone()));
    wait_until("the use to be noted", || {
        let now = states(&home).into_iter().map(|path| {
            let metadata = fs::metadata(path).expect("there");
            metadata.modified().expect("known")
        });
        now.max().filter(|now| *now > before)
    });
    // A killed daemon leaves the states saved before.
    daemon.end(Signal::KILL);
    let daemon = home.daemon();
    assert_eq!(ask(&home), (tokens - 1, tokens, text.clone()));

    // A damaged state is removed, and the prompt is computed again.
    home.slm(&["stop", "tiny"]).ok();
    let damaged = states(&home);
    assert!(!damaged.is_empty());
    for path in &damaged {
        let mut bytes = fs::read(path).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("our own");
    }
    assert_eq!(ask(&home), (0, tokens, text));
    wait_until("the damaged states to go", || {
        damaged.iter().all(|path| !path.exists()).then_some(())
    });

    swap_out(&home);
    home.slm(&["rm", "tiny"]).ok();
    assert!(states(&home).is_empty());
    drop(daemon);
}

#[test]
fn saved_states_are_removed_when_state_disk_is_off() {
    let home = Home::new(Engine::Real);
    let daemon = home.daemon();
    home.create_tiny("tiny");
    ask(&home);
    swap_out(&home);
    daemon.end(Signal::TERM);
    fs::write(home.home().join("config.yaml"), "state_disk: off\n").expect("a home");
    let _daemon = home.daemon();
    assert!(!home.home().join("kv").exists());
    let (cached, ..) = ask(&home);
    assert_eq!(cached, 0);
    home.slm(&["stop", "tiny"]).ok();
    assert!(!home.home().join("kv").exists());
    home.assert_clean();
}

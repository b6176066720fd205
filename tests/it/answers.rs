//! Prompts and answers, end to end with the mock runner.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Engine, Home, Outcome};

#[test]
fn one_prompt_has_one_answer() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("mine");
    assert_eq!(
        home.slm(&["run", "mine", "why", "is the sky blue?"]).ok(),
        "why is the sky blue?\n"
    );
}

#[test]
fn piped_text_comes_before_the_prompt() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("mine");
    let mut child = home
        .program("slm")
        .args(["run", "mine", "summarize"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slm starts");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"a long report")
        .expect("slm reads");
    let answer = Outcome::of(child.wait_with_output().expect("slm ends")).ok();
    assert_eq!(
        answer.split_whitespace().collect::<Vec<_>>(),
        ["a", "long", "report", "summarize"]
    );
}

#[test]
fn json_events_end_with_done_and_timings() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("mine");
    let stdout = home.slm(&["run", "mine", "--json", "one two three"]).ok();
    let events: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("NDJSON"))
        .collect();
    let (last, others) = events.split_last().expect("events");
    assert_eq!(last["done"], true);
    assert_eq!(last["done_reason"], "stop");
    assert_eq!(last["eval_count"], 3);
    assert!(last["total_duration"].as_u64().expect("a duration") > 0);
    assert!(others.iter().all(|event| event["done"] == false));
}

#[test]
fn parameters_of_the_model_and_of_the_command_reach_the_runner() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.file("tiny.gguf", gguf_writer::tiny::llama(7));
    home.create("short", "FROM ./tiny.gguf\nPARAMETER num_predict 2\n")
        .ok();
    assert_eq!(home.slm(&["run", "short", "a b c d e"]).ok().trim(), "a b");
    assert_eq!(
        home.slm(&["run", "short", "--param", "num_predict=3", "a b c d e"])
            .ok()
            .trim(),
        "a b c"
    );
    let error = home
        .slm(&["run", "short", "--param", "temprature=1", "a"])
        .fails(2);
    assert!(
        error.contains("temperature"),
        "a misspelt name has a suggestion: {error}"
    );
}

#[test]
fn template_and_system_prompt_of_the_modelfile_render_the_prompt() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.file("tiny.gguf", gguf_writer::tiny::llama(7));
    home.create(
        "templated",
        "FROM ./tiny.gguf\nSYSTEM Be kind.\nTEMPLATE \"\"\"<{{ .System }}>[{{ .Prompt }}]\"\"\"\n",
    )
    .ok();
    assert_eq!(
        home.slm(&["run", "templated", "[[mock: echo-prompt]]Hi"])
            .ok()
            .trim(),
        "<Be kind.>[Hi]"
    );
}

#[test]
fn a_loaded_model_is_listed_and_can_be_stopped() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("mine");
    home.slm(&["run", "mine", "hello"]).ok();
    let ps: Value =
        serde_json::from_str(&home.slm(&["ps", "--json"]).ok()).expect("--json is JSON");
    assert_eq!(ps["models"][0]["name"], "mine:latest");
    assert_eq!(ps["models"][0]["state"], "ready");
    home.slm(&["stop", "mine"]).ok();
    let ps: Value =
        serde_json::from_str(&home.slm(&["ps", "--json"]).ok()).expect("--json is JSON");
    assert_eq!(ps["models"].as_array().expect("a list").len(), 0);
}

#[test]
fn an_unknown_model_is_an_error_with_a_remedy() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    let error = home
        .slm(&["run", "--no-pull", "nothing-like-it", "hello"])
        .fails(1);
    assert!(
        error.contains("nothing-like-it") && error.contains("hint:"),
        "{error}"
    );
}

//! One question, one answer.

use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply};
use crate::program::Home;
use crate::terminal::Terminal;

const CHAT: &str = "POST /api/chat";

/// A piece of an answer.
pub(crate) fn piece(text: &str) -> Value {
    json!({
        "model": "m", "created_at": "2026-11-20T12:00:00Z",
        "message": { "role": "assistant", "content": text }, "done": false,
    })
}

/// A piece of thinking.
pub(crate) fn thought(text: &str) -> Value {
    let mut piece = piece("");
    piece["message"]["thinking"] = json!(text);
    piece
}

/// The end of an answer.
pub(crate) fn end() -> Value {
    json!({
        "model": "m", "created_at": "2026-11-20T12:00:00Z",
        "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": "stop",
        "total_duration": 2_000_000_000, "load_duration": 0, "prompt_eval_count": 5,
        "prompt_eval_duration": 100_000_000, "eval_count": 10, "eval_duration": 1_000_000_000,
        "seed": 7,
    })
}

/// An answer in pieces.
pub(crate) fn says(pieces: &[&str]) -> Reply {
    Reply::Lines(
        pieces
            .iter()
            .map(|text| piece(text))
            .chain([end()])
            .collect(),
    )
}

fn hello(_: &Asked) -> Reply {
    says(&["Hello", ", you."])
}

#[test]
fn standard_output_gets_the_answer_and_nothing_else() {
    let home = Home::new();
    let fake = Fake::start(home.path(), hello);
    let ran = home.slm(&["run", "m", "say", "hello"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (Some(0), "Hello, you.\n", "")
    );
    assert_eq!(
        fake.last(CHAT),
        json!({ "model": "m", "messages": [{ "role": "user", "content": "say hello" }] })
    );
}

#[test]
fn piped_text_comes_first() {
    let home = Home::new();
    let fake = Fake::start(home.path(), hello);
    home.slm_with(&["run", "m", "Summarize."], "A long report.\n");
    assert_eq!(
        fake.last(CHAT)["messages"][0]["content"],
        "A long report.\n\nSummarize."
    );
    home.slm_with(&["run", "m"], "Only this.\n");
    assert_eq!(fake.last(CHAT)["messages"][0]["content"], "Only this.");
}

#[test]
fn options_reach_the_daemon() {
    let home = Home::new();
    let fake = Fake::start(home.path(), hello);
    let ran = home.slm(&[
        "run",
        "m",
        "--system",
        "Be brief.",
        "--keepalive",
        "-1",
        "--param",
        "temperature=0",
        "-p",
        "stop=END",
        "hi",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        fake.last(CHAT),
        json!({
            "model": "m",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "hi" },
            ],
            "keep_alive": -1.0,
            "options": { "stop": ["END"], "temperature": 0.0 },
        })
    );
}

#[test]
fn raw_prompts_bypass_the_template() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |_| {
        Reply::Lines(vec![json!({
            "model": "m", "created_at": "2026-11-20T12:00:00Z", "response": "on", "done": true,
        })])
    });
    let ran = home.slm(&["run", "m", "--raw", "once up"]);
    assert_eq!(ran.stdout, "on\n");
    let sent = fake.last("POST /api/generate");
    assert_eq!(
        (&sent["prompt"], &sent["raw"]),
        (&json!("once up"), &json!(true))
    );
    home.slm_with(&["run", "m", "--raw"], " 1, 2, \n");
    assert_eq!(fake.last("POST /api/generate")["prompt"], " 1, 2, \n");
}

#[test]
fn the_format_reaches_the_daemon() {
    let home = Home::new();
    let fake = Fake::start(home.path(), hello);
    home.write("s.json", r#"{ "type": "array", "minItems": 2 }"#);
    let schema = json!({ "type": "array", "minItems": 2 });
    for (form, expected) in [("json", json!("json")), ("s.json", schema)] {
        let ran = home.slm(&["run", "m", "--format", form, "hi"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(fake.last(CHAT)["format"], expected);
        home.slm(&["run", "m", "--raw", "--format", form, "hi"]);
        assert_eq!(fake.last("POST /api/generate")["format"], expected);
    }
}

#[test]
fn an_unreadable_format_is_an_error_before_any_request() {
    let home = Home::new();
    let fake = Fake::start(home.path(), hello);
    home.write("s.json", "{");
    let ran = home.slm(&["run", "m", "--format", "s.json", "hi"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "error: `s.json` is not JSON: EOF while parsing an object at line 1 column 1\n"
    );
    let ran = home.slm(&["run", "m", "--format", "jason", "hi"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(ran.stderr, @r"
    error: cannot open `jason`: No such file or directory (os error 2)
    hint: a format is `json`, or the path of a file with a JSON Schema
    ");
    assert!(fake.asked().is_empty());
}

#[test]
fn timings_go_to_standard_error() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), hello);
    let ran = home.slm(&["run", "m", "--verbose", "hi"]);
    assert_eq!(ran.stdout, "Hello, you.\n");
    insta::assert_snapshot!(ran.stderr, @r"
    total duration:       2.00s
    load duration:        0µs
    prompt eval count:    5 tokens
    prompt eval duration: 100.0ms
    prompt eval rate:     50.00 tokens/s
    eval count:           10 tokens
    eval duration:        1.00s
    eval rate:            10.00 tokens/s
    seed:                 7
    ");
}

#[test]
fn json_output_is_the_events() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), hello);
    let ran = home.slm(&["run", "m", "--json", "--verbose", "hi"]);
    assert_eq!(ran.stderr, "");
    let events: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[1]["message"]["content"], ", you.");
    assert_eq!(
        (&events[2]["done"], &events[2]["eval_count"]),
        (&json!(true), &json!(10))
    );
}

#[test]
fn a_file_gets_the_text_verbatim_and_a_terminal_does_not() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| says(&["\u{1b}[31mred\u{1b}[0m ", "wine"]));
    let ran = home.slm(&["run", "m", "hi"]);
    assert_eq!(ran.stdout, "\u{1b}[31mred\u{1b}[0m wine\n");

    let mut terminal = Terminal::start(home.command(crate::program::slm(), &["run", "m", "hi"]));
    let seen = terminal.read_until("wine");
    assert!(seen.ends_with("[31mred[0m "), "{seen:?}");
    assert!(terminal.wait().success());
}

#[test]
fn a_terminal_gets_lines_that_fit() {
    let home = Home::new();
    let word = "abcdefghi ";
    let _fake = Fake::start(home.path(), move |_| says(&[&word.repeat(9), "end"]));
    let mut terminal = Terminal::start(home.command(crate::program::slm(), &["run", "m", "hi"]));
    let seen = terminal.read_until("end");
    assert!(
        seen.ends_with(&format!("{}\r\nabcdefghi ", "abcdefghi ".repeat(8))),
        "{seen:?}"
    );
}

#[test]
fn a_terminal_gets_json_that_can_be_copied() {
    let home = Home::new();
    let long = format!("\"{}end\"", "abcdefghi ".repeat(9));
    let said = long.clone();
    let _fake = Fake::start(home.path(), move |_| says(&[&said]));
    let arguments = ["run", "m", "--format", "json", "hi"];
    let mut terminal = Terminal::start(home.command(crate::program::slm(), &arguments));
    terminal.read_until(&long);
    assert!(terminal.wait().success());
}

#[test]
fn a_missing_model_is_pulled_first() {
    let home = Home::new();
    let missing = || {
        let body = json!({ "error": "model `m` not found", "code": "model_not_found" });
        Reply::Json(404, body)
    };
    let pulled = std::sync::atomic::AtomicBool::new(false);
    let fake = Fake::start(home.path(), move |asked| match asked.what.as_str() {
        "POST /api/pull" => {
            pulled.store(true, std::sync::atomic::Ordering::SeqCst);
            Reply::Lines(vec![
                json!({ "status": "pulling manifest" }),
                json!({ "status": "pulling b179", "digest": "sha256:b179", "total": 100, "completed": 100 }),
                json!({ "status": "success" }),
            ])
        }
        _ if pulled.load(std::sync::atomic::Ordering::SeqCst) => says(&["Hello."]),
        _ => missing(),
    });
    let ran = home.slm(&["run", "m", "--no-pull", "hi"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(ran.stderr, "error: model `m` not found\n");

    let ran = home.slm(&["run", "m", "hi"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "Hello.\n"));
    insta::assert_snapshot!(ran.stderr, @r"
    `m` is not on disk: pulling it
    pulling manifest
    pulling b179: 100% (100 B of 100 B)
    ");
    assert_eq!(
        fake.last("POST /api/pull"),
        json!({ "model": "m", "background": true, "priority": "high" })
    );
}

#[test]
fn nothing_is_cut_in_silence() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        let mut last = end();
        last["done_reason"] = json!("length");
        last["truncated_tokens"] = json!(120);
        last["truncated_messages"] = json!(3);
        Reply::Lines(vec![piece("So"), last])
    });
    let ran = home.slm(&["run", "m", "hi"]);
    assert_eq!(ran.stdout, "So\n");
    insta::assert_snapshot!(ran.stderr, @r"
    warning: the oldest 3 messages did not fit into the context and were left out
    warning: 120 tokens of the prompt did not fit into the context and were left out
    (the answer reached its limit of tokens: num_predict, or the context (num_ctx) is full)
    ");
}

#[test]
fn ctrl_c_exits_with_130_and_disconnects() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |_| Reply::Silence(vec![piece("Well ")]));
    let mut terminal = Terminal::start(home.command(crate::program::slm(), &["run", "m", "hi"]));
    terminal.read_until("Well");
    terminal.interrupt();
    // The shell's next prompt starts a line.
    terminal.read_until("\n");
    assert_eq!(terminal.wait().code(), Some(130));
    fake.wait_for_departures(1);
}

#[test]
fn think_options_become_the_field_of_the_request() {
    let home = Home::new();
    let fake = Fake::start(home.path(), hello);
    for (arguments, expected) in [
        (&[][..], Value::Null),
        (&["--think"], json!(true)),
        (&["--think=low"], json!("low")),
        (&["--think=false"], json!(false)),
        (&["--no-think"], json!(false)),
    ] {
        let ran = home.slm(&[&["run", "m"], arguments, &["hi"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(fake.last(CHAT)["think"], expected, "{arguments:?}");
    }
    let ran = home.slm(&["run", "m", "--think=hard", "hi"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("possible values"), "{}", ran.stderr);
}

#[test]
fn thinking_is_shown_only_on_a_terminal() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        Reply::Lines(vec![thought("Hm."), piece("Yes."), end()])
    });
    assert_eq!(home.slm(&["run", "m", "sure?"]).stdout, "Yes.\n");
    let shows = |arguments: &[&str]| {
        let command = home.command(
            crate::program::slm(),
            &[&["run", "m"], arguments, &["sure?"]].concat(),
        );
        let mut terminal = Terminal::start(command);
        let seen = terminal.read_until("Yes.");
        assert!(terminal.wait().success());
        seen.contains("Hm.")
    };
    assert!(shows(&[]));
    assert!(!shows(&["--hide-thinking"]));
}

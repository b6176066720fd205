//! The conversation at a terminal.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply};
use crate::once::{end, piece, says, thought};
use crate::program::{Home, slm};
use crate::terminal::Terminal;

const CHAT: &str = "POST /api/chat";
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";

/// A model that repeats the last message, and stops answering on request.
fn parrot(asked: &Asked) -> Reply {
    let body = asked.json();
    match asked.what.as_str() {
        "POST /api/chat" => match body["messages"].as_array().and_then(|all| all.last()) {
            None => {
                let mut loaded = end();
                loaded["done_reason"] = json!("load");
                Reply::Json(200, loaded)
            }
            Some(last) if last["content"] == "think aloud" => {
                Reply::Lines(vec![thought("A parrot thinks."), piece("I did."), end()])
            }
            Some(last) if last["content"] == "fall silent" => {
                Reply::Silence(vec![piece("I will, ")])
            }
            Some(last) => says(&["You said: ", last["content"].as_str().unwrap()]),
        },
        "POST /api/show" => Reply::Json(
            200,
            json!({
                "system": "I am a parrot.", "parameters": "temperature    1",
                "messages": [{ "role": "user", "content": "before" }],
                "details": { "family": "bird" }, "model_info": {}, "capabilities": [],
                "modified_at": "2020-01-01T00:00:00Z",
            }),
        ),
        "POST /api/create" => Reply::Lines(vec![json!({ "status": "success" })]),
        _ => Reply::Json(500, json!({ "error": "not in the script" })),
    }
}

/// A terminal at the prompt.
fn sit_down(home: &Home, arguments: &[&str]) -> Terminal {
    let mut terminal = Terminal::start(home.command(slm(), &[&["run", "m"], arguments].concat()));
    terminal.read_until(">>> ");
    terminal
}

fn enter(terminal: &mut Terminal, text: &str, expected: &str) {
    terminal.type_in(&format!("{text}\r"));
    terminal.read_until(expected);
    terminal.read_until(">>> ");
}

fn contents(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn each_request_has_the_whole_conversation() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut terminal = sit_down(&home, &["--system", "Be a parrot."]);
    enter(&mut terminal, "one", "You said: one");
    enter(&mut terminal, "two", "You said: two");
    assert_eq!(
        contents(&fake.last(CHAT)),
        ["Be a parrot.", "one", "You said: one", "two"]
    );
    enter(&mut terminal, "/clear", "the conversation is cleared");
    enter(&mut terminal, "three", "You said: three");
    assert_eq!(contents(&fake.last(CHAT)), ["Be a parrot.", "three"]);
    terminal.type_in("/bye\r");
    assert!(terminal.wait().success());
}

#[test]
fn thinking_is_shown_kept_and_switched() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut terminal = sit_down(&home, &["--no-think"]);
    terminal.type_in("think aloud\r");
    let seen = terminal.read_until("I did.");
    assert!(seen.contains("A parrot thinks."), "{seen:?}");
    terminal.read_until(">>> ");
    assert_eq!(fake.last(CHAT)["think"], false);
    enter(&mut terminal, "/set think high", "at this level");
    enter(&mut terminal, "one", "You said: one");
    let request = fake.last(CHAT);
    assert_eq!(request["think"], "high");
    assert_eq!(request["messages"][1]["thinking"], "A parrot thinks.");
    enter(
        &mut terminal,
        "/set nothink",
        "does not think before it answers",
    );
    enter(&mut terminal, "/save mine", "saved as `mine`");
    let saved = fake.last("POST /api/create");
    assert!(
        saved["messages"]
            .as_array()
            .unwrap()
            .iter()
            .all(|message| message.get("thinking").is_none()),
        "{saved}"
    );
    terminal.type_in("/bye\r");
    assert!(terminal.wait().success());
}

#[test]
fn the_format_is_set_and_removed() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    home.write("s.json", r#"{ "type": "array" }"#);
    let mut terminal = sit_down(&home, &["--format", "json"]);
    enter(&mut terminal, "one", "You said: one");
    assert_eq!(fake.last(CHAT)["format"], "json");
    enter(&mut terminal, "/set format ~/s.json", "the schema in");
    enter(&mut terminal, "two", "You said: two");
    assert_eq!(fake.last(CHAT)["format"], json!({ "type": "array" }));
    enter(&mut terminal, "/set format nothing.json", "`nothing.json`");
    enter(&mut terminal, "three", "You said: three");
    assert_eq!(fake.last(CHAT)["format"], json!({ "type": "array" }));
    enter(&mut terminal, "/set noformat", "any form");
    enter(&mut terminal, "four", "You said: four");
    assert_eq!(fake.last(CHAT).get("format"), None);
    enter(&mut terminal, "/set format json", "answers are JSON");
    enter(&mut terminal, "five", "You said: five");
    assert_eq!(fake.last(CHAT)["format"], "json");
}

#[test]
fn ctrl_c_stops_the_answer_and_not_the_program() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut terminal = sit_down(&home, &[]);
    terminal.type_in("fall silent\r");
    terminal.read_until("I will,");
    terminal.interrupt();
    terminal.read_until("(stopped)");
    fake.wait_for_departures(1);
    terminal.read_until(">>> ");
    enter(&mut terminal, "go on", "You said: go on");
    assert_eq!(
        contents(&fake.last(CHAT)),
        ["fall silent", "I will, ", "go on"]
    );
    terminal.type_in(CTRL_C);
    terminal.read_until("(Ctrl-D or /bye leaves)");
    terminal.read_until(">>> ");
    terminal.type_in(CTRL_D);
    assert!(terminal.wait().success());
}

#[test]
fn text_typed_during_an_answer_waits_for_its_end() {
    let home = Home::new();
    let fake = Fake::start(home.path(), patient);
    let mut terminal = sit_down(&home, &[]);
    terminal.type_in("wait\r");
    terminal.read_until("Yes");
    terminal.type_in("half a ");
    terminal.interrupt();
    let shown = terminal.read_until("(stopped)");
    assert!(!shown.contains("half a"), "{shown:?}");
    terminal.read_until(">>> ");
    terminal.type_in("line\r");
    terminal.read_until("You said:");
    let said = contents(&fake.last(CHAT));
    assert_eq!(said.last().unwrap(), "half a line");
}

/// A model that never ends its answer to a prompt that asks it to wait.
fn patient(asked: &Asked) -> Reply {
    let body = asked.json();
    match body["messages"].as_array().and_then(|all| all.last()) {
        Some(last) if last["content"] == "wait" => Reply::Silence(vec![piece("Yes ")]),
        _ => parrot(asked),
    }
}

#[test]
fn lines_typed_ahead_are_sent_one_after_the_other() {
    let home = Home::new();
    let fake = Fake::start(home.path(), patient);
    let mut terminal = sit_down(&home, &[]);
    terminal.type_in("wait\r");
    terminal.read_until("Yes");
    terminal.type_in("one\rtwo\r");
    terminal.interrupt();
    terminal.read_until("You said: one");
    terminal.read_until("You said: two");
    let said = contents(&fake.last(CHAT));
    assert_eq!(said[2..], ["one", "You said: one", "two"]);
}

#[test]
fn ctrl_d_during_an_answer_leaves_after_it() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), patient);
    let mut terminal = sit_down(&home, &[]);
    terminal.type_in("wait\r");
    terminal.read_until("Yes");
    terminal.type_in(CTRL_D);
    terminal.interrupt();
    assert!(terminal.wait().success());
}

#[test]
fn ctrl_c_at_the_prompt_of_a_plain_terminal_stays() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut command = home.command(slm(), &["run", "m"]);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::start(command);
    terminal.read_until(">>> ");
    terminal.interrupt();
    terminal.read_until("(Ctrl-D or /bye leaves)");
    enter(&mut terminal, "kept", "You said: kept");
    assert_eq!(contents(&fake.last(CHAT)), ["kept"]);
    terminal.type_in(CTRL_D);
    assert!(terminal.wait().success());
}

#[test]
fn several_lines_are_one_text() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut terminal = sit_down(&home, &[]);
    terminal.type_in("\"\"\"one\r");
    terminal.type_in("two\"\"\"\r");
    terminal.read_until("You said:");
    assert_eq!(contents(&fake.last(CHAT)), ["one\ntwo"]);
    // Pasted text arrives between these marks and is one entry, too.
    terminal.read_until(">>> ");
    terminal.type_in("\u{1b}[200~three\rfour\u{1b}[201~\r");
    terminal.read_until("You said:");
    assert_eq!(contents(&fake.last(CHAT)).last().unwrap(), "three\nfour");
}

#[test]
fn settings_reach_the_daemon_and_mistakes_do_not() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut terminal = sit_down(&home, &[]);
    enter(
        &mut terminal,
        "/set parameter temperature hot",
        "error: `temperature` must be",
    );
    enter(
        &mut terminal,
        "/set parameter temperature 0.5",
        "set `temperature`",
    );
    enter(
        &mut terminal,
        "/set system Be brief.",
        "set the system prompt",
    );
    enter(&mut terminal, "/set verbose", "timings are shown");
    enter(&mut terminal, "/sett", "did you mean `/set`?");
    enter(&mut terminal, "hello", "eval rate:");
    let sent = fake.last(CHAT);
    assert_eq!(sent["options"], json!({ "temperature": 0.5 }));
    assert_eq!(contents(&sent), ["Be brief.", "hello"]);
    enter(&mut terminal, "/show system", "Be brief.");
    enter(&mut terminal, "/show parameters", "temperature         0.5");
    enter(&mut terminal, "/show", "bird");
    enter(&mut terminal, "/?", "/set parameter NAME VALUE");
    enter(&mut terminal, "/set", "/set nohistory");
    terminal.type_in("/set parameter\r");
    let table = terminal.read_until(">>> ");
    let row = |name: &str| {
        let row = table.lines().find(|line| line.starts_with(name));
        let words = row.unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("temperature"), ["temperature", "0.5", "0.8"]);
    assert_eq!(row("top_k"), ["top_k", "40", "40"]);
    enter(
        &mut terminal,
        "/set parameter seed",
        "now       the default",
    );
    enter(&mut terminal, "/set parameter sed", "did you mean `seed`?");
    enter(
        &mut terminal,
        "/set parameter xyzzy 1",
        "hint: `/set parameter` lists",
    );
}

#[test]
fn a_conversation_saved_in_its_own_model_is_not_sent_twice() {
    let home = Home::new();
    let kept = Mutex::new(json!([{ "role": "user", "content": "before" }]));
    let fake = Fake::start(home.path(), move |asked| match asked.what.as_str() {
        "POST /api/create" => {
            let asked = asked.json();
            if asked["model"] != "other" {
                *kept.lock().unwrap() = asked["messages"].clone();
            }
            Reply::Lines(vec![json!({ "status": "success" })])
        }
        "POST /api/show" => Reply::Json(
            200,
            json!({
                "messages": *kept.lock().unwrap(), "details": {}, "model_info": {},
                "capabilities": [], "modified_at": "2020-01-01T00:00:00Z",
            }),
        ),
        _ => parrot(asked),
    });
    let mut terminal = sit_down(&home, &[]);
    enter(&mut terminal, "one", "You said: one");
    enter(&mut terminal, "/save m:latest", "saved as");
    enter(&mut terminal, "two", "You said: two");
    assert_eq!(contents(&fake.last(CHAT)), ["two"]);
    enter(&mut terminal, "/save m", "saved as `m`");
    assert_eq!(
        contents(&fake.last("POST /api/create")),
        ["before", "one", "You said: one", "two", "You said: two"]
    );
    enter(&mut terminal, "three", "You said: three");
    assert_eq!(contents(&fake.last(CHAT)), ["three"]);
    enter(&mut terminal, "/save other", "saved as `other`");
    enter(&mut terminal, "four", "You said: four");
    assert_eq!(
        contents(&fake.last(CHAT)),
        ["three", "You said: three", "four"],
        "another model keeps it, so this one must still be told"
    );
}

#[test]
fn thinking_is_refused_at_once_for_a_model_without_it() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| {
        let thinks = asked.json()["model"] == "thinker";
        match asked.what.as_str() {
            "POST /api/show" => Reply::Json(
                200,
                json!({
                    "details": {}, "model_info": {}, "modified_at": "2020-01-01T00:00:00Z",
                    "capabilities": if thinks { json!(["completion", "thinking"]) } else { json!(["completion"]) },
                }),
            ),
            _ => parrot(asked),
        }
    });
    let mut terminal = sit_down(&home, &["--system", "Be brief."]);
    enter(&mut terminal, "/set think high", "error: `m` cannot think");
    enter(&mut terminal, "one", "You said: one");
    assert_eq!(fake.last(CHAT).get("think"), None);
    enter(
        &mut terminal,
        "/load thinker",
        "kept settings: the system prompt",
    );
    enter(
        &mut terminal,
        "/set think",
        "the model thinks before it answers",
    );
    enter(&mut terminal, "/load m", "`m` cannot think");
    enter(&mut terminal, "two", "You said: two");
    assert_eq!(fake.last(CHAT).get("think"), None);
    terminal.type_in("/bye\r");
    assert!(terminal.wait().success());

    let arguments = ["run", "m", "--think"];
    let mut terminal = Terminal::start(home.command(slm(), &arguments));
    terminal.read_until("error: `m` cannot think");
    assert_eq!(terminal.wait().code(), Some(1));
}

#[test]
fn a_saved_conversation_keeps_the_first_messages_of_the_model() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut terminal = sit_down(&home, &["--param", "seed=1"]);
    enter(&mut terminal, "one", "You said: one");
    enter(&mut terminal, "/save mine", "saved as `mine`");
    assert_eq!(
        fake.last("POST /api/create"),
        json!({
            "model": "mine", "from": "m", "parameters": { "seed": 1 },
            "messages": [
                { "role": "user", "content": "before" },
                { "role": "user", "content": "one" },
                { "role": "assistant", "content": "You said: one" },
            ],
        })
    );
    enter(
        &mut terminal,
        "/load other",
        "a new conversation with `other`",
    );
    enter(&mut terminal, "two", "You said: two");
    let sent = fake.last(CHAT);
    assert_eq!(
        (&sent["model"], contents(&sent)),
        (&json!("other"), vec!["two".to_owned()])
    );
}

#[test]
fn a_failure_is_shown_and_the_conversation_continues() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| {
        let body = asked.json();
        match body["messages"].as_array().and_then(|all| all.last()) {
            Some(last) if last["content"] == "fail" => {
                Reply::Json(503, json!({ "error": "too many requests wait" }))
            }
            _ => parrot(asked),
        }
    });
    let mut terminal = sit_down(&home, &[]);
    enter(&mut terminal, "fail", "error: too many requests wait");
    enter(&mut terminal, "again", "You said: again");
    assert_eq!(
        contents(&fake.last(CHAT)),
        ["again"],
        "what was not answered is not repeated"
    );
}

#[test]
fn history_is_kept_for_the_next_session_and_readable_by_its_owner_alone() {
    let home = Home::new();
    let fake = Fake::start(home.path(), parrot);
    let mut terminal = sit_down(&home, &[]);
    enter(&mut terminal, "remember me", "You said: remember me");
    enter(&mut terminal, "/set nohistory", "are not kept");
    enter(&mut terminal, "forget me", "You said: forget me");
    terminal.type_in(CTRL_D);
    assert!(terminal.wait().success());
    let history = home.path().join("history");
    let text = std::fs::read_to_string(&history).unwrap();
    assert!(
        text.contains("remember me") && !text.contains("forget me"),
        "{text}"
    );
    assert_eq!(
        std::fs::metadata(&history).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let mut terminal = sit_down(&home, &[]);
    let (up, twice) = ("\u{1b}[A", 2);
    terminal.type_in(&up.repeat(twice));
    terminal.type_in("\r");
    terminal.read_until("You said: remember me");
    assert_eq!(contents(&fake.last(CHAT)), ["remember me"]);
}

#[test]
fn a_history_that_cannot_be_kept_is_a_warning() {
    type Hinder = fn(&Path);
    let hindrances: [(&str, Hinder); 5] = [
        ("is not a file", |at| std::fs::create_dir(at).unwrap()),
        ("is not a file", |at| {
            rustix::fs::mknodat(CWD, at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }),
        ("cannot read", |at| {
            std::fs::write(at, b"#V2\n\xff\xfe\0\n").unwrap()
        }),
        ("is longer than", |at| {
            File::create(at).unwrap().set_len(1 << 30).unwrap();
        }),
        ("cannot open", |at| {
            std::os::unix::fs::symlink("/proc/self/nothing", at).unwrap();
        }),
    ];
    for (reason, hinder) in hindrances {
        let home = Home::new();
        let _fake = Fake::start(home.path(), parrot);
        hinder(&home.path().join("history"));
        let mut terminal = Terminal::start(home.command(slm(), &["run", "m"]));
        let seen = terminal.read_until(">>> ");
        assert!(seen.contains("warning: no history is kept"), "{seen}");
        assert!(seen.contains(reason), "{seen}");
        enter(&mut terminal, "hello", "You said: hello");
        enter(&mut terminal, "/set history", "error: ");
        enter(&mut terminal, "/set nohistory", "are not kept");
        terminal.type_in("/bye\r");
        assert!(terminal.wait().success());
    }
}

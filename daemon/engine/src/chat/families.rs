//! Every chat template of a folder, with conversations that use all that there is, and answers fed back byte by byte.
//!
//! `cargo xtask templates` runs this: it fetches the templates that llama.cpp ships, names their folder in `SLM_TEMPLATES`, and
//! the file for the table in `SLM_TEMPLATES_TABLE`. Without the first the test says that it skips itself.
//!
//! What a model of a family would write is taken from its own template: a conversation is rendered once up to where the assistant
//! begins, and once with what it says. The difference, without the end of the turn, is the answer. It must be read as what was said.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use runner_protocol::{Message, Template, Tool, ToolCall, ToolChoice};
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Ending, format::Applied, text::Stops},
    chat::Chat,
    constraint::{Compiler, Constraint},
    error::Error,
    sampler::tests::Letters,
};

const THOUGHT: &str = "Ünsicher, aber 20° 🦀 sind warm.";
const TEXT: &str = "Grüße! 1 < 2 & \"so on\" 🦀\n\n- a [1]\n- {b}";
const RESULT: &str = "20 °C in Åre";

/// How a family does with one part of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// As it should be.
    Passes,
    /// The template has no such thing.
    Absent,
    /// Not as it should be.
    Fails(String),
}

impl Outcome {
    fn sign(&self) -> &'static str {
        match self {
            Self::Passes => "yes",
            Self::Absent => "–",
            Self::Fails(_) => "no",
        }
    }
}

/// The parts of a conversation that are tried, in the order of the table.
const PARTS: [&str; 8] = [
    "plain",
    "system",
    "thinking",
    "call",
    "two calls",
    "constrained",
    "result",
    "no leak",
];

#[test]
fn families() {
    let Ok(folder) = std::env::var("SLM_TEMPLATES") else {
        println!(
            "skipped: SLM_TEMPLATES names no folder of chat templates; cargo xtask templates fetches some"
        );
        return;
    };
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jinja"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no template");
    let mut table = String::from("| family | format |");
    let mut line = String::from("|---|---|");
    for part in PARTS {
        write!(table, " {part} |").unwrap();
        line.push_str("---|");
    }
    writeln!(table, "\n{line}").unwrap();
    let mut notes = String::new();
    let mut leaks = Vec::new();
    let mut times = Vec::new();
    for file in &files {
        let family = Family::open(file);
        let name = file.file_stem().unwrap().to_string_lossy();
        let (reads, outcomes) = match &family {
            Ok(family) => {
                times.push(family.times());
                (family.reads(), family.outcomes())
            }
            Err(error) => {
                let failed = Outcome::Fails(error.to_string());
                ("not at all", vec![failed; PARTS.len()])
            }
        };
        write!(table, "| {name} | {reads} |").unwrap();
        for (part, outcome) in PARTS.iter().zip(&outcomes) {
            write!(table, " {} |", outcome.sign()).unwrap();
            if let Outcome::Fails(why) = outcome {
                writeln!(notes, "- {name}, {part}: {why}").unwrap();
            }
        }
        table.push('\n');
        if matches!(outcomes.last(), Some(Outcome::Fails(_))) {
            leaks.push(name.into_owned());
        }
    }
    println!("{table}\n{notes}");
    for (what, nth) in [("first", 0), ("next", 1)] {
        let mut times: Vec<Duration> = times.iter().map(|both| both[nth]).collect();
        times.sort();
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{what} prompt with these tools: median {median:?}, at most {most:?}");
    }
    if let Ok(path) = std::env::var("SLM_TEMPLATES_TABLE") {
        fs::write(path, table).unwrap();
    }
    assert!(leaks.is_empty(), "markup leaks from {leaks:?}");
}

struct Family {
    chat: Chat,
    /// What stands behind an assistant's text at the end of its turn.
    end: String,
}

impl Family {
    fn open(path: &Path) -> Result<Self, Error> {
        let source = fs::read_to_string(path).unwrap();
        let chat = Chat::parse(Some(&source), "<s>", "</s>", Default::default())?;
        let mut family = Self {
            chat,
            end: String::new(),
        };
        let said = family.turn(assistant("", "§§", &[]), &[])?;
        family.end = match said.rsplit_once("§§") {
            Some((_, end)) => end.into(),
            None => String::new(),
        };
        Ok(family)
    }

    /// By which way the form is found.
    fn reads(&self) -> &'static str {
        if self.chat.is_special() {
            "by name"
        } else {
            "by trial"
        }
    }

    /// What a conversation with tools takes, the first time and the second.
    fn times(&self) -> [Duration; 2] {
        [0, 1].map(|_| {
            let began = Instant::now();
            // A family without tools says so, which takes time too.
            let _ = self.chat.apply(&conversation(vec![user()], &tools()));
            began.elapsed()
        })
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let town = |town: &str| json!({"town": town, "days": 3});
        let one = [("weather", town("Åre \"x\" <b>"))];
        let two = [("weather", town("Åre")), ("weather_later", town("Rom"))];
        let mut leak = Outcome::Passes;
        let mut read = |thought: &str, text: &str, calls: &[(&str, Value)]| {
            let (outcome, leaked) = self.read(thought, text, calls);
            if let Some(why) = leaked {
                leak = Outcome::Fails(why);
            }
            outcome
        };
        let plain = read("", TEXT, &[]);
        let thoughts = read(THOUGHT, TEXT, &[]);
        let call = read("", "", &one);
        let calls = read("", "", &two);
        // Thoughts, text and a call in one answer are only looked at for leaks: not every family writes all three.
        read(THOUGHT, TEXT, &one);
        vec![
            plain,
            self.system(),
            thoughts,
            call,
            calls,
            self.held(&one),
            self.result(),
            leak,
        ]
    }

    fn system(&self) -> Outcome {
        let system = Message {
            role: "system".into(),
            content: "Ruhig bleiben 🦀".into(),
            ..Message::default()
        };
        let conversation = conversation(vec![system, user()], &[]);
        match self.chat.render(&conversation) {
            Ok(said) if said.prompt.contains("Ruhig bleiben 🦀") => Outcome::Passes,
            Ok(_) => Outcome::Absent,
            Err(error) => Outcome::Fails(error.to_string()),
        }
    }

    fn result(&self) -> Outcome {
        let call = [("weather", json!({"town": "Åre"}))];
        let result = Message {
            role: "tool".into(),
            content: RESULT.into(),
            tool_call_id: "call00001".into(),
            tool_name: "weather".into(),
            ..Message::default()
        };
        let messages = vec![user(), assistant("", "", &call), result];
        match self.chat.apply(&conversation(messages, &tools())) {
            Ok(applied) if applied.prompt.contains(RESULT) => Outcome::Passes,
            Ok(_) => Outcome::Absent,
            Err(error) if knows_no_tools(&error) => Outcome::Absent,
            Err(error) => Outcome::Fails(error.to_string()),
        }
    }

    /// Whether a call is held to its form, and the form lets the call through that the template writes: where a call is
    /// possible, and where it must come.
    fn held(&self, calls: &[(&str, Value)]) -> Outcome {
        let outcomes = [ToolChoice::Auto, ToolChoice::Required].map(|tool_choice| {
            let asked = Template {
                tool_choice,
                ..conversation(vec![user()], &tools())
            };
            let turn = match self.turn(assistant("", "", calls), &tools()) {
                Ok(turn) if calls.iter().all(|(name, _)| turn.contains(name)) => turn,
                Err(error) if !knows_no_tools(&error) => return Outcome::Fails(error.to_string()),
                _ => return Outcome::Absent,
            };
            let applied = match self.chat.apply(&asked) {
                Ok(applied) => applied,
                Err(error) => return Outcome::Fails(error.to_string()),
            };
            match self.constraint(&applied) {
                Ok(Some(constraint)) => {
                    let must = asked.tool_choice == ToolChoice::Required;
                    let answer = self.written(&turn, &applied);
                    match lets_through(constraint, answer.trim_end()) {
                        Outcome::Passes if must => self.must(&applied),
                        outcome => outcome,
                    }
                }
                Ok(None) => Outcome::Fails(String::from("nothing holds it")),
                Err(error) => Outcome::Fails(error.to_string()),
            }
        });
        match outcomes {
            [Outcome::Passes, must] => must,
            [Outcome::Fails(why), must] => {
                Outcome::Fails(format!("{why}; where it must come: {}", must.sign()))
            }
            [Outcome::Absent, _] => Outcome::Absent,
        }
    }

    /// Whether nothing is said before a call that must come, but thoughts.
    fn must(&self, applied: &Applied) -> Outcome {
        let thinks = applied
            .form
            .as_ref()
            .is_some_and(|form| !form.thinking.start.is_empty() || !form.thinking.ends.is_empty());
        match self.constraint(applied) {
            Ok(Some(constraint)) if !thinks => {
                match lets_through(constraint, "Sure, I can do that.") {
                    Outcome::Passes => Outcome::Fails(String::from("text comes before the call")),
                    _ => Outcome::Passes,
                }
            }
            _ => Outcome::Passes,
        }
    }

    fn constraint(&self, applied: &Applied) -> Result<Option<Constraint>, Error> {
        let Some(form) = &applied.form else {
            return Ok(None);
        };
        let Some(grammar) = &form.grammar else {
            return Ok(None);
        };
        let compiler = Compiler::new(&Letters, &[])?;
        let begun = &applied.generation_prompt;
        let thinking = applied.open_thought().is_some();
        Constraint::of_calls(&compiler, grammar, &form.thinking, begun, thinking)
    }

    /// What the model would write, and whether it is read as what it is; and what leaked, if anything did.
    fn read(
        &self,
        thought: &str,
        text: &str,
        calls: &[(&str, Value)],
    ) -> (Outcome, Option<String>) {
        let offered = if calls.is_empty() {
            Vec::new()
        } else {
            tools()
        };
        let message = assistant(thought, text, calls);
        let turn = match self.turn(message, &offered) {
            Ok(turn) => turn,
            Err(error) if knows_no_tools(&error) => return (Outcome::Absent, None),
            Err(error) => return (Outcome::Fails(error.to_string()), None),
        };
        let shows = |part: &str| part.is_empty() || turn.contains(part);
        if !shows(thought) || !calls.iter().all(|(name, _)| shows(name)) {
            return (Outcome::Absent, None);
        }
        let asked = Template {
            parallel_tool_calls: (calls.len() > 1).then_some(true),
            thinking: (!thought.is_empty()).then_some(true),
            ..conversation(vec![user()], &offered)
        };
        let applied = match self.chat.apply(&asked) {
            Ok(applied) => applied,
            Err(error) => return (Outcome::Fails(error.to_string()), None),
        };
        let answer = self.written(&turn, &applied);
        let fresh = || {
            let stops = Stops::default();
            match &applied.form {
                None => Answer::of_text(stops),
                Some(form) => {
                    let begun = applied.beginning();
                    Answer::in_form(Arc::clone(form), begun, stops, Arc::default()).unwrap()
                }
            }
        };
        let expected = ReadAnswer {
            thought: thought.into(),
            text: text.into(),
            calls: calls
                .iter()
                .map(|(name, arguments)| (String::from(*name), arguments.clone()))
                .collect(),
        };
        self.feed(fresh(), &answer, &expected)
    }

    fn feed(
        &self,
        mut reading: Answer,
        answer: &str,
        expected: &ReadAnswer,
    ) -> (Outcome, Option<String>) {
        let mut growing = Growing::default();
        let mut leaked = None;
        for byte in answer.bytes() {
            growing.add(reading.push(&[byte]).delta);
            if leaked.is_none() && !growing.begins(expected) {
                leaked = Some(format!("{growing:?} in {answer:?}"));
            }
        }
        let ended = reading.finish(Ending::Whole);
        let outcome = match ended {
            Ok(grown) => {
                growing.add(grown.delta);
                let read = growing.into_said();
                if read.is(expected) {
                    Outcome::Passes
                } else {
                    Outcome::Fails(format!("{answer:?} is read as {read:?}"))
                }
            }
            Err(error) => Outcome::Fails(format!("{answer:?}: {error}")),
        };
        (outcome, leaked)
    }

    /// What the assistant adds to the conversation: its whole turn, up to its end.
    fn turn(&self, message: Message, tools: &[Tool]) -> Result<String, Error> {
        let before = Template {
            add_generation_prompt: false,
            ..conversation(vec![user()], tools)
        };
        let mut closed = before.clone();
        closed.messages.push(message);
        let before = self.chat.apply(&before)?.prompt;
        let closed = self.chat.apply(&closed)?.prompt;
        let turn = &closed[common(&before, &closed)..];
        // Some templates say something at the very end of every conversation.
        Ok(turn[..turn.len() - common_end(&before, turn)].into())
    }

    /// The space behind the end of thoughts.
    fn gap(&self, end: &str) -> String {
        let turn = self
            .turn(assistant(THOUGHT, "§§", &[]), &[])
            .unwrap_or_default();
        let behind = turn.split_once(end).map_or("", |(_, behind)| behind);
        behind.chars().take_while(|c| c.is_whitespace()).collect()
    }

    /// What the model writes behind its prompt, so that the turn becomes this one.
    fn written(&self, turn: &str, applied: &Applied) -> String {
        let begun = &applied.generation_prompt;
        let (start, ends) = match &applied.form {
            Some(form) => (form.thinking.start.trim(), form.thinking.ends.as_slice()),
            None => ("", Default::default()),
        };
        let said = without_end(turn.strip_suffix(self.end.as_str()).unwrap_or(turn));
        // The model ends thoughts that the prompt begins, even where no thought is shown, or none that ends: there are templates
        // that begin one in the last turn, whatever that says.
        let closed = |said: &str| match applied.open_thought() {
            Some(end) if !ends.iter().any(|end| said.contains(end.trim())) => {
                format!("{end}{}{}", self.gap(end.trim()), said.trim_start())
            }
            _ => said.into(),
        };
        if let Some(said) = said.strip_prefix(begun.as_str()) {
            return closed(said);
        }
        // Where the turn begins may be a part of what both begin with.
        let overlap = (1..begun.len())
            .filter(|&at| begun.is_char_boundary(at) && begun.len() - at > 3)
            .find_map(|at| said.strip_prefix(&begun[at..]));
        if let Some(said) = overlap {
            return closed(said);
        }
        // The prompt begins thoughts, and the turn shows none, or begins them with other space, or without their first sentence.
        let at = begun.find(start).filter(|_| !start.is_empty());
        let head = &begun[..at.unwrap_or(begun.len())];
        let said = said.strip_prefix(head).unwrap_or(said).trim_start();
        match said.strip_prefix(start) {
            Some(thoughts) if at.is_some() => closed(thoughts),
            _ => closed(said),
        }
    }
}

/// Whether a constraint allows each byte of an answer, and its end.
fn lets_through(mut constraint: Constraint, answer: &str) -> Outcome {
    for (at, byte) in answer.bytes().enumerate() {
        let token = i32::from(byte);
        let allowed = constraint.allows(token).and_then(|allowed| {
            if allowed {
                constraint.accept(token, &Letters)?;
            }
            Ok(allowed)
        });
        match allowed {
            Ok(true) => {}
            Ok(false) => {
                let (written, rest) = answer.as_bytes().split_at(at);
                let [written, rest] = [written, rest].map(String::from_utf8_lossy);
                return Outcome::Fails(format!("{rest:?} is not let through behind {written:?}"));
            }
            Err(error) => return Outcome::Fails(error.to_string()),
        }
    }
    Outcome::Passes
}

/// Names of tokens that end a turn, which are no part of the text.
const ENDS: [&str; 12] = [
    "<|END_OF_TURN_TOKEN|>",
    "<SPECIAL_12>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|tool_response>",
    "<|im_end|>",
    "<|calls|>",
    "<|call|>",
    "<|return|>",
    "<｜end▁of▁sentence｜>",
    "<｜hy_eos:opensource｜>",
    "</s>",
];

/// Without such a token, and what stands behind it at the very end.
fn without_end(said: &str) -> &str {
    let at = ENDS.iter().filter_map(|end| said.rfind(end)).min();
    match at {
        Some(at) if said.len() - at < 64 => &said[..at],
        _ => said,
    }
}

/// Length of what two texts begin with.
fn common(one: &str, other: &str) -> usize {
    one.char_indices()
        .zip(other.chars())
        .find(|((_, a), b)| a != b)
        .map_or(one.len().min(other.len()), |((at, _), _)| at)
}

/// Length of what two texts end with, from the beginning of a mark or line on.
fn common_end(one: &str, other: &str) -> usize {
    let length: usize = one
        .chars()
        .rev()
        .zip(other.chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let end = &other[other.len() - length..];
    end.find(['<', '\n']).map_or(0, |at| length - at)
}

/// What was said.
#[derive(Debug, Default)]
struct ReadAnswer {
    thought: String,
    text: String,
    calls: Vec<(String, Value)>,
}

impl ReadAnswer {
    /// The same but for space around it, which templates add and take away.
    fn is(&self, other: &Self) -> bool {
        self.thought.trim() == other.thought.trim()
            && self.text.trim() == other.text.trim()
            && self.calls == other.calls
    }
}

/// What was said so far.
#[derive(Debug, Default)]
struct Growing {
    thought: String,
    text: String,
    calls: Vec<(String, String)>,
}

impl Growing {
    fn add(&mut self, delta: runner_protocol::Delta) {
        self.thought.push_str(&delta.reasoning);
        self.text.push_str(&delta.text);
        for call in delta.tool_calls {
            let index = call.index as usize;
            if index == self.calls.len() {
                self.calls.push((call.name, String::new()));
            }
            self.calls[index].1.push_str(&call.arguments);
        }
    }

    /// Whether nothing is in it but what was meant.
    fn begins(&self, said: &ReadAnswer) -> bool {
        let grows = |part: &str, whole: &str| whole.trim().starts_with(part.trim());
        grows(&self.thought, &said.thought) && grows(&self.text, &said.text)
    }

    fn into_said(self) -> ReadAnswer {
        ReadAnswer {
            thought: self.thought,
            text: self.text,
            calls: self
                .calls
                .into_iter()
                .map(|(name, arguments)| {
                    (name, serde_json::from_str(&arguments).unwrap_or_default())
                })
                .collect(),
        }
    }
}

fn knows_no_tools(error: &Error) -> bool {
    error.to_string().contains("knows no tools")
}

fn user() -> Message {
    Message {
        role: "user".into(),
        content: "Wie warm ist es in Åre? 🦀".into(),
        ..Message::default()
    }
}

fn assistant(thought: &str, text: &str, calls: &[(&str, Value)]) -> Message {
    let calls = calls
        .iter()
        .zip(1..)
        .map(|((name, arguments), number)| ToolCall {
            // The shape that the strictest family asks for.
            id: format!("call{number:05}"),
            name: (*name).into(),
            arguments: arguments.to_string(),
        });
    Message {
        role: "assistant".into(),
        content: text.into(),
        reasoning: thought.into(),
        tool_calls: calls.collect(),
        ..Message::default()
    }
}

fn tools() -> Vec<Tool> {
    let parameters = json!({
        "type": "object",
        "properties": {
            "town": {"type": "string", "description": "Name"},
            "days": {"type": "integer"},
        },
        "required": ["town"],
    });
    ["weather", "weather_later"]
        .map(|name| Tool {
            name: name.into(),
            description: "Weather of a town.".into(),
            parameters: parameters.to_string(),
        })
        .into()
}

fn conversation(messages: Vec<Message>, tools: &[Tool]) -> Template {
    Template {
        messages,
        add_generation_prompt: true,
        tools: tools.to_vec(),
        ..Template::default()
    }
}

//! The directives of the mock, which [the crate](super) documents.

use std::time::Duration;

use runner_protocol::FailureKind;

use super::attempt::Attempt;

const OPEN: &str = "[[mock:";
const CLOSE: &str = "]]";
/// Separates the directives of an answer from those of the answer after it.
const THEN: &str = "then";

/// Where a directive stands, which decides whether it is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Environment,
    Weights,
    Prompt,
}

/// The sum of all directives.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// The part between two `then` that counts; the last one also for later answers.
    pub(super) part: usize,
    pub(super) answer: Option<Answer>,
    pub(super) thought: String,
    /// Tool calls, with their arguments.
    pub(super) calls: Vec<(String, String)>,
    pub(super) delay: Duration,
    pub(super) prefill_delay: Duration,
    pub(super) load_delay: Duration,
    pub(super) say: Vec<String>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) device_bytes: u64,
    pub(super) trained_context: Option<u32>,
    pub(super) refused_adapter: Option<String>,
    pub(super) no_chat_template: bool,
    pub(super) hello_version: Option<u32>,
    faults: Vec<(FaultPoint, Fault)>,
}

/// The text of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Text(String),
    Count(u32),
    Prompt,
    Adapters,
    Attempt(Attempt),
}

/// Where a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultPoint {
    Hello,
    Load,
    Prefill,
    Token(u32),
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Crash(Death),
    Fail(FailureKind),
    Stall,
    Deaf,
    Freeze,
    HangUp,
    Garbage,
    HalfFrame,
    HugeFrame,
    WrongEvent,
    WrongId,
}

/// How a crash ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    Abort,
    Segv,
    Kill,
    Exit(u8),
}

impl Script {
    /// The fault at this point, if any.
    pub(super) fn fault(&self, place: FaultPoint) -> Option<Fault> {
        self.faults
            .iter()
            .find(|(at, _)| *at == place)
            .map(|(_, fault)| *fault)
    }

    /// Adds directives that are separated by `;`.
    ///
    /// # Errors
    /// A message that names the directive that is not understood.
    pub(super) fn add(&mut self, text: &str, origin: Origin) -> Result<(), String> {
        let directives: Vec<&str> = text
            .split(';')
            .map(str::trim)
            .filter(|directive| !directive.is_empty())
            .collect();
        let parts: Vec<&[&str]> = directives.split(|directive| *directive == THEN).collect();
        for directive in parts[self.part.min(parts.len() - 1)] {
            self.add_one(directive, origin).ok_or_else(|| {
                format!("the mock runner does not know the directive `{directive}` here")
            })?;
        }
        Ok(())
    }

    /// Adds the directives in a text, and returns the rest of the text.
    ///
    /// # Errors
    /// A message that names the directive that is not understood.
    pub(super) fn take_from(&mut self, text: &str, origin: Origin) -> Result<String, String> {
        let mut rest = String::new();
        let mut tail = text;
        while let Some((before, after)) = tail.split_once(OPEN) {
            let (directives, after) = after
                .split_once(CLOSE)
                .ok_or("a directive of the mock runner has no end")?;
            self.add(directives, origin)?;
            rest.push_str(before);
            tail = after;
        }
        rest.push_str(tail);
        Ok(rest)
    }

    fn add_one(&mut self, directive: &str, origin: Origin) -> Option<()> {
        let (word, argument) = directive
            .split_once(char::is_whitespace)
            .unwrap_or((directive, ""));
        let argument = argument.trim();
        let of_model = origin != Origin::Prompt;
        let none = argument.is_empty();
        match word {
            "answer" => self.answer = Some(Answer::Text(argument.to_owned())),
            "try" => self.answer = Some(Answer::Attempt(Attempt::parse(argument)?)),
            "count" => self.answer = Some(Answer::Count(argument.parse().ok()?)),
            "think" => self.thought = argument.to_owned(),
            "call" => {
                let (name, arguments) = argument.split_once(' ').unwrap_or((argument, "{}"));
                self.calls.push((name.to_owned(), arguments.to_owned()));
            }
            "echo-prompt" if none => self.answer = Some(Answer::Prompt),
            "echo-adapters" if none => self.answer = Some(Answer::Adapters),
            "delay-ms" => self.delay = millis(argument)?,
            "prefill-delay-ms" => self.prefill_delay = millis(argument)?,
            "say" => self.say.push(argument.to_owned()),
            "load-delay-ms" if of_model => self.load_delay = millis(argument)?,
            "resident-bytes" if of_model => self.resident_bytes = Some(argument.parse().ok()?),
            "device-bytes" if of_model => self.device_bytes = argument.parse().ok()?,
            "trained-context" if of_model => self.trained_context = Some(argument.parse().ok()?),
            "refuse-adapter" if of_model => self.refused_adapter = Some(argument.to_owned()),
            "no-chat-template" if of_model && none => self.no_chat_template = true,
            "hello-version" if origin == Origin::Environment => {
                self.hello_version = Some(argument.parse().ok()?)
            }
            _ => self.faults.push(fault(word, argument, origin)?),
        }
        Some(())
    }
}

fn millis(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

/// Reads `FAULT`, `FAULT-in-PLACE` or `FAULT-at-token N`, then the kind of crash or failure.
fn fault(word: &str, argument: &str, origin: Origin) -> Option<(FaultPoint, Fault)> {
    let (place, name, how) = if let Some(name) = word.strip_suffix("-at-token") {
        let (number, how) = argument.split_once(' ').unwrap_or((argument, ""));
        (FaultPoint::Token(number.parse().ok()?), name, how.trim())
    } else if let Some(name) = word.strip_suffix("-in-hello") {
        (FaultPoint::Hello, name, argument)
    } else if let Some(name) = word.strip_suffix("-in-load") {
        (FaultPoint::Load, name, argument)
    } else if let Some(name) = word.strip_suffix("-in-prefill") {
        (FaultPoint::Prefill, name, argument)
    } else {
        (
            if origin == Origin::Prompt {
                FaultPoint::Prefill
            } else {
                FaultPoint::Load
            },
            word,
            argument,
        )
    };
    let allowed = match place {
        FaultPoint::Hello => {
            origin == Origin::Environment && !matches!(name, "fail" | "wrong-event" | "wrong-id")
        }
        FaultPoint::Load => origin != Origin::Prompt,
        FaultPoint::Prefill | FaultPoint::Token(_) => true,
    };
    let fault = match (name, how) {
        ("crash", how) => Fault::Crash(death(how)?),
        ("fail", how) => Fault::Fail(failure(how)?),
        ("stall", "") => Fault::Stall,
        ("deaf", "") => Fault::Deaf,
        ("freeze", "") => Fault::Freeze,
        ("hang-up", "") => Fault::HangUp,
        ("garbage", "") => Fault::Garbage,
        ("half-frame", "") => Fault::HalfFrame,
        ("huge-frame", "") => Fault::HugeFrame,
        ("wrong-event", "") => Fault::WrongEvent,
        ("wrong-id", "") => Fault::WrongId,
        _ => return None,
    };
    allowed.then_some((place, fault))
}

fn death(how: &str) -> Option<Death> {
    Some(match how {
        "" | "abort" => Death::Abort,
        "segv" => Death::Segv,
        "kill" => Death::Kill,
        _ => Death::Exit(how.strip_prefix("exit-")?.parse().ok()?),
    })
}

fn failure(kind: &str) -> Option<FailureKind> {
    Some(match kind {
        "" | "internal" => FailureKind::Internal,
        "invalid" => FailureKind::Invalid,
        "context" => FailureKind::ContextOverflow,
        "unsupported" => FailureKind::Unsupported,
        "memory" => FailureKind::OutOfMemory,
        "busy" => FailureKind::Busy,
        "unreadable" => FailureKind::Unreadable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_prompt(text: &str) -> (Script, String) {
        let mut script = Script::default();
        let rest = script.take_from(text, Origin::Prompt).unwrap();
        (script, rest)
    }

    #[test]
    fn directives_are_taken_out_of_the_text() {
        let (script, rest) =
            from_prompt("say [[mock: delay-ms 5; count 3]]this[[mock:echo-prompt]]");
        assert_eq!(rest, "say this");
        assert_eq!(script.delay, Duration::from_millis(5));
        assert_eq!(script.answer, Some(Answer::Prompt), "the last one counts");
    }

    #[test]
    fn each_answer_of_a_tool_loop_has_its_part() {
        for (part, answer) in [(0, "one"), (1, "two"), (2, "three"), (3, "three")] {
            let mut script = Script {
                part,
                ..Script::default()
            };
            script
                .add(
                    "answer one; then; answer two; then; answer three",
                    Origin::Prompt,
                )
                .unwrap();
            assert_eq!(script.answer, Some(Answer::Text(answer.to_owned())));
        }
    }

    #[test]
    fn a_fault_has_a_place_and_a_way() {
        let (script, _) = from_prompt("[[mock: crash-at-token 3 segv]]");
        assert_eq!(
            script.fault(FaultPoint::Token(3)),
            Some(Fault::Crash(Death::Segv))
        );
        assert_eq!(script.fault(FaultPoint::Prefill), None);
        let (script, _) = from_prompt("[[mock: fail busy]]");
        assert_eq!(
            script.fault(FaultPoint::Prefill),
            Some(Fault::Fail(FailureKind::Busy))
        );
        let mut script = Script::default();
        script
            .add("crash exit-7; stall-in-hello", Origin::Environment)
            .unwrap();
        assert_eq!(
            script.fault(FaultPoint::Load),
            Some(Fault::Crash(Death::Exit(7)))
        );
        assert_eq!(script.fault(FaultPoint::Hello), Some(Fault::Stall));
    }

    #[test]
    fn what_is_misspelt_or_misplaced_is_refused() {
        let mut script = Script::default();
        for (directive, origin) in [
            ("crahs", Origin::Environment),
            ("crash-at-token", Origin::Prompt),
            ("crash-at-token three", Origin::Prompt),
            ("crash-in-load", Origin::Prompt),
            ("stall-in-hello", Origin::Weights),
            ("fail-in-hello", Origin::Environment),
            ("crash exit-256", Origin::Prompt),
            ("stall please", Origin::Prompt),
            ("resident-bytes 5", Origin::Prompt),
            ("delay-ms -1", Origin::Prompt),
            ("try luck", Origin::Prompt),
            ("hello-version 2", Origin::Weights),
        ] {
            let error = script.add(directive, origin).unwrap_err();
            assert!(error.contains(directive), "{error}");
        }
        assert!(script.take_from("[[mock: stall", Origin::Prompt).is_err());
    }
}

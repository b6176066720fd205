//! An answer while it grows: bytes of tokens go in, and what was thought, said and called comes out.
//!
//! ```text
//! bytes ─► characters, up to a stop text of the form ─► parser of the form ─► thoughts ──────────────► out
//!                                                                         ├─► text, up to a stop text of the request ─► out
//!                                                                         └─► calls ─────────────────► out
//! ```
//! Markup never comes out: what could be its beginning is kept back until that is settled, and dropped when the answer is cut.
//! An answer without a form is text, and only passes the first and the last but one of these stations.
//!
//! llama.cpp parses the whole answer each time something was added, which for long answers would cost more than the model.
//! Two things keep that small. A piece of text in which no markup can begin only adds to the open text and is not parsed at all.
//! For the rest, parsing waits until it takes no more than [`SHARE`] of the time.

pub(crate) mod format;
pub(crate) mod report;
pub(crate) mod text;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{Delta, ToolCallDelta};
use serde::Deserialize;

use crate::{
    answer::{
        format::{AnswerFormat, Marks},
        text::{Stops, Text},
    },
    error::Error,
    ffi::chat::{Channel, Reader},
};

/// Parsing may take one part in so many of the time. A piece that comes sooner waits for the next one.
const SHARE: u32 = 20;

/// Parsing that takes less than this at a time is never put off.
const ALWAYS: Duration = Duration::from_micros(50);

/// Most brackets that may be open at once in the answer. llama.cpp's parser goes deeper with each of them.
const MAX_NESTING: usize = 1000;

/// An answer as far as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Up to the stop texts of the form; without a form, of the request.
    text: Text,
    reading: Option<Reading>,
    /// Control tokens that are part of the markup.
    spelled: Arc<HashSet<LlamaToken>>,
    /// Nothing that comes is part of it any more.
    over: bool,
}

/// What may leave after something came in.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Grown {
    /// May be empty. Its count of tokens is for others to fill in.
    pub(crate) delta: Delta,
    /// A stop text came. Nothing after it belongs to the answer.
    pub(crate) stopped: bool,
}

impl Answer {
    /// An answer that is text, and ends at any of these.
    pub(crate) fn of_text(stops: Stops) -> Self {
        Self {
            text: Text::new(stops),
            reading: None,
            spelled: Arc::default(),
            over: false,
        }
    }

    /// An answer in a form, behind the end of its prompt. `stops` end what is said in it; `spelled` are the tokens whose names are part of the markup.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one of the format's stop strings is invalid, and [`Error::Internal`] without memory.
    pub(crate) fn in_form(
        form: Arc<AnswerFormat>,
        generation_prompt: &str,
        stops: Stops,
        spelled: Arc<HashSet<LlamaToken>>,
    ) -> Result<Self, Error> {
        Ok(Self {
            text: Text::new(Stops::new(form.stops.clone())?),
            reading: Some(Reading::new(form, generation_prompt, stops)?),
            spelled,
            over: false,
        })
    }

    /// Whether the name of a control token is part of the answer.
    pub(crate) fn spells(&self, token: LlamaToken) -> bool {
        self.spelled.contains(&token)
    }

    /// Bytes that came in and have not left yet; `None` for an answer in a form, where what comes in is not what leaves.
    pub(crate) fn held(&self) -> Option<usize> {
        self.reading.is_none().then(|| self.text.held())
    }

    /// The stop text of the request that ended the answer, if one did.
    pub(crate) fn ended_by(&self) -> Option<&str> {
        match &self.reading {
            None => self.text.ended_by(),
            Some(reading) => reading.said.ended_by(),
        }
    }

    /// Takes the bytes of one more token.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Grown {
        if self.over {
            return Grown::default();
        }
        let piece = self.text.push(bytes);
        let mut grown = match &mut self.reading {
            None => Grown::text(piece.text),
            Some(reading) => reading.push(&piece.text),
        };
        grown.stopped |= piece.stopped;
        // What the parser keeps back is still to come when it was the form that ended the answer.
        self.over = grown.stopped && (self.reading.is_none() || !piece.stopped);
        grown
    }

    /// Ends the answer. What was kept back is part of it after all when the model ended it, and is dropped when it was cut.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the model ended it and it is not in its form.
    pub(crate) fn finish(&mut self, end: Ending) -> Result<Grown, Error> {
        if std::mem::replace(&mut self.over, true) {
            return Ok(Grown::default());
        }
        let piece = self.text.finish();
        let mut grown = match &mut self.reading {
            None => Grown::text(piece.text),
            Some(reading) => reading.finish(&piece.text, end)?,
        };
        grown.stopped |= piece.stopped;
        Ok(grown)
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The model ended it, or a text did that its form has for this.
    Whole,
    /// Somebody else did.
    Cut,
}

impl Grown {
    fn text(text: String) -> Self {
        Self {
            delta: Delta {
                text,
                ..Delta::default()
            },
            stopped: false,
        }
    }
}

/// The part of an answer that knows its form.
#[derive(Debug)]
struct Reading {
    reader: Reader,
    form: Arc<AnswerFormat>,
    /// What is said, up to a stop text of the request.
    said: Text,
    /// Came, and was not parsed.
    waiting: String,
    /// Where text goes that has no markup in it, when that is certain.
    open: Option<Channel>,
    /// Arguments of each call, to see that they are whole.
    calls: Vec<String>,
    /// Brackets that are open.
    nesting: usize,
    /// More of them are open than may be: nothing is parsed any more.
    lost: bool,
    /// When parsing ended, and how long it took.
    parsed: Option<(Instant, Duration)>,
}

/// What the shim says that a piece added.
#[derive(Debug, Default, Deserialize)]
struct ParsedDelta {
    content: String,
    reasoning: String,
    calls: Vec<ToolCallDelta>,
}

impl Reading {
    fn new(form: Arc<AnswerFormat>, generation_prompt: &str, stops: Stops) -> Result<Self, Error> {
        Ok(Self {
            reader: Reader::new(&form.native, generation_prompt).map_err(Error::Internal)?,
            form,
            said: Text::new(stops),
            waiting: String::new(),
            open: None,
            calls: Vec::new(),
            nesting: 0,
            lost: false,
            parsed: None,
        })
    }

    fn push(&mut self, text: &str) -> Grown {
        self.count_brackets(text);
        if text.is_empty() || self.lost {
            return Grown::default();
        }
        if let Some(place) = self.open
            && self.waiting.is_empty()
            && self.marks().is_some_and(|marks| marks.none_in(text))
            && self.reader.skip(text, place).is_ok()
        {
            let text = String::from(text);
            return self.grown(match place {
                Channel::Content => ParsedDelta {
                    content: text,
                    ..ParsedDelta::default()
                },
                Channel::Reasoning => ParsedDelta {
                    reasoning: text,
                    ..ParsedDelta::default()
                },
            });
        }
        self.waiting.push_str(text);
        if !self.is_time() {
            return Grown::default();
        }
        // A growing answer that is not in its form may be cut before that matters, so only its end is an error.
        let said = self.read(false).unwrap_or_default();
        self.grown(said)
    }

    fn finish(&mut self, text: &str, ending: Ending) -> Result<Grown, Error> {
        self.count_brackets(text);
        self.waiting.push_str(text);
        let whole = ending == Ending::Whole;
        if self.lost {
            return if whole {
                Err(Error::Unreadable(format!(
                    "it has more than {MAX_NESTING} open brackets"
                )))
            } else {
                Ok(Grown::default())
            };
        }
        let said = self.read(whole)?;
        let mut grown = self.grown(said);
        if whole {
            self.complete(&mut grown.delta)?;
        }
        if !grown.stopped {
            let rest = self.said.finish();
            grown.delta.text.push_str(&rest.text);
            grown.stopped = rest.stopped;
        }
        Ok(grown)
    }

    /// Parses what waits, and notes whether all of it went to one place.
    fn read(&mut self, whole: bool) -> Result<ParsedDelta, Error> {
        let text = std::mem::take(&mut self.waiting);
        let began = Instant::now();
        let read = self.reader.read(&text, whole);
        let ended = Instant::now();
        self.parsed = Some((ended, ended - began));
        self.open = None;
        let said = read.map_err(|why| {
            let why = why.lines().next().unwrap_or_default();
            Error::Unreadable(why.into())
        })?;
        let said: ParsedDelta = serde_json::from_str(&said)
            .map_err(|why| Error::Internal(format!("the shim cannot be understood: {why}")))?;
        let nothing_else = said.calls.is_empty() && !text.is_empty();
        if nothing_else && said.reasoning.is_empty() && said.content == text {
            self.open = Some(Channel::Content);
        } else if nothing_else && said.content.is_empty() && said.reasoning == text {
            self.open = Some(Channel::Reasoning);
        }
        Ok(said)
    }

    fn grown(&mut self, said: ParsedDelta) -> Grown {
        for call in &said.calls {
            let index = call.index as usize;
            if self.calls.len() <= index {
                self.calls.resize(index + 1, String::new());
            }
            self.calls[index].push_str(&call.arguments);
        }
        let piece = self.said.push(said.content.as_bytes());
        Grown {
            delta: Delta {
                text: piece.text,
                tokens: 0,
                reasoning: said.reasoning,
                tool_calls: said.calls,
                logprobs: Vec::new(),
            },
            stopped: piece.stopped,
        }
    }

    /// Sees that all calls are whole. One without arguments gets none, written out.
    fn complete(&mut self, delta: &mut Delta) -> Result<(), Error> {
        for (index, arguments) in (0u32..).zip(&mut self.calls) {
            if arguments.trim().is_empty() {
                arguments.push_str("{}");
                delta.tool_calls.push(ToolCallDelta {
                    index,
                    arguments: arguments.clone(),
                    ..ToolCallDelta::default()
                });
            }
            if let Err(why) = serde_json::from_str::<serde::de::IgnoredAny>(arguments) {
                return Err(Error::Unreadable(format!(
                    "the arguments of call {index} are no JSON: {why}"
                )));
            }
        }
        Ok(())
    }

    fn marks(&self) -> Option<&Marks> {
        self.form.marks.as_ref()
    }

    /// Whether parsing again keeps within its share of the time.
    fn is_time(&self) -> bool {
        self.parsed
            .is_none_or(|(ended, took)| took < ALWAYS || ended.elapsed() >= took * SHARE)
    }

    fn count_brackets(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'{' | b'[' => self.nesting += 1,
                b'}' | b']' => self.nesting = self.nesting.saturating_sub(1),
                _ => {}
            }
            self.lost |= self.nesting > MAX_NESTING;
        }
    }
}

#[cfg(test)]
mod tests;

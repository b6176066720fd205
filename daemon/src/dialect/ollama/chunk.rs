//! The content of one line of an answer: the events of a batch, joined. Tool calls are held until they are complete.

use api::{FunctionCall, TokenLogprob, ToolCall};
use runner_protocol::{Likelihood, Logprob};
use serde_json::Value;

use crate::answer::{End, Event};
use crate::error::Error;
use crate::tools::quoted;

/// The content of one line, or of a whole answer.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) thinking: String,
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    logprobs: Vec<Logprob>,
}

impl Chunk {
    pub(super) fn is_empty(&self) -> bool {
        self.thinking.is_empty()
            && self.text.is_empty()
            && self.calls.is_empty()
            && self.logprobs.is_empty()
    }

    /// Adds the content that follows.
    pub(super) fn append(&mut self, next: Self) {
        self.thinking.push_str(&next.thinking);
        self.text.push_str(&next.text);
        self.calls.extend(next.calls);
        self.logprobs.extend(next.logprobs);
    }

    /// The thinking; `None` without any.
    pub(super) fn take_thinking(&mut self) -> Option<String> {
        let thinking = std::mem::take(&mut self.thinking);
        (!thinking.is_empty()).then_some(thinking)
    }

    /// The tool calls; `None` without any.
    pub(super) fn take_calls(&mut self) -> Option<Vec<ToolCall>> {
        let calls = std::mem::take(&mut self.calls);
        (!calls.is_empty()).then_some(calls)
    }

    /// The logprobs; `None` without any.
    pub(super) fn take_logprobs(&mut self) -> Option<Vec<api::Logprob>> {
        let one = |likelihood: Likelihood| TokenLogprob {
            token: String::from_utf8_lossy(&likelihood.bytes).into_owned(),
            logprob: likelihood.logprob,
            bytes: likelihood.bytes,
        };
        let logprobs = std::mem::take(&mut self.logprobs).into_iter();
        let all = logprobs.map(|logprob| api::Logprob {
            chosen: one(logprob.chosen),
            top_logprobs: logprob.top.into_iter().map(one).collect(),
        });
        let all: Vec<api::Logprob> = all.collect();
        (!all.is_empty()).then_some(all)
    }
}

/// Joins the events of one answer, batch by batch.
#[derive(Debug, Default)]
pub(super) struct ChunkBuilder {
    /// The call that is not complete yet.
    open: Option<OpenCall>,
}

#[derive(Debug)]
struct OpenCall {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl ChunkBuilder {
    /// The content of these events, and the end of the answer if it is among them.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a complete call whose arguments are not a JSON object.
    pub(super) fn join(
        &mut self,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<(Chunk, Option<Box<End>>), Error> {
        let mut chunk = Chunk::default();
        let mut end = None;
        for event in events {
            match event {
                Event::Started { .. } | Event::Progress { .. } => {}
                Event::Thinking(text) => chunk.thinking.push_str(&text),
                Event::Text(text) => chunk.text.push_str(&text),
                Event::CallBegin { index, id, name } => {
                    self.open = Some(OpenCall {
                        index,
                        id,
                        name,
                        arguments: String::new(),
                    });
                }
                Event::CallArguments { json, .. } => {
                    if let Some(open) = &mut self.open {
                        open.arguments.push_str(&json);
                    }
                }
                Event::CallEnd { .. } => {
                    chunk
                        .calls
                        .extend(self.open.take().map(OpenCall::close).transpose()?);
                }
                Event::Logprobs(logprobs) => chunk.logprobs.extend(logprobs),
                Event::End(it) => {
                    chunk.calls.extend(self.cut());
                    end = Some(it);
                }
            }
        }
        Ok((chunk, end))
    }

    /// The open call of an answer that was cut off, if its arguments are complete.
    fn cut(&mut self) -> Option<ToolCall> {
        let open = self.open.take()?;
        (!open.arguments.is_empty()).then(|| open.close().ok())?
    }
}

impl OpenCall {
    fn close(self) -> Result<ToolCall, Error> {
        let arguments = match self.arguments.trim() {
            "" => Value::Object(serde_json::Map::new()),
            text => match serde_json::from_str(text) {
                Ok(object @ Value::Object(_)) => object,
                _ => {
                    return Err(Error::Unreadable(format!(
                        "the model called {} with arguments that are no JSON object: {}",
                        quoted(&self.name),
                        quoted(text)
                    )));
                }
            },
        };
        Ok(ToolCall {
            id: Some(self.id),
            function: FunctionCall {
                index: Some(self.index),
                name: self.name,
                arguments,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Finish, Timings, Usage};
    use serde_json::json;

    fn begin(index: u32, name: &str) -> Event {
        Event::CallBegin {
            index,
            id: format!("call_{index}"),
            name: name.into(),
        }
    }

    fn arguments(json: &str) -> Event {
        Event::CallArguments {
            index: 0,
            json: json.into(),
        }
    }

    fn end() -> Event {
        Event::End(Box::new(End {
            finish: Finish::Length,
            usage: Usage::default(),
            timings: Timings::default(),
            seed: 0,
            tokens: Vec::new(),
        }))
    }

    #[test]
    fn a_call_is_held_until_it_is_complete() {
        let mut builder = ChunkBuilder::default();
        let (chunk, _) = builder.join([begin(0, "f"), arguments("{\"a\":")]).unwrap();
        assert!(chunk.is_empty());
        let (chunk, _) = builder
            .join([arguments(" 1}"), Event::CallEnd { index: 0 }, begin(1, "g")])
            .unwrap();
        let [first] = &chunk.calls[..] else {
            panic!("{chunk:?}");
        };
        assert_eq!(first.id.as_deref(), Some("call_0"));
        assert_eq!(first.function.name, "f");
        assert_eq!(first.function.arguments, json!({"a": 1}));
        let (chunk, _) = builder.join([Event::CallEnd { index: 1 }]).unwrap();
        assert_eq!(chunk.calls[0].function.index, Some(1));
        assert_eq!(chunk.calls[0].function.arguments, json!({}));
    }

    #[test]
    fn a_call_that_was_cut_off_is_dropped() {
        let calls = |json: &str| {
            let events = [begin(0, "f"), arguments(json), end()];
            let (chunk, end) = ChunkBuilder::default().join(events).unwrap();
            assert!(end.is_some());
            chunk.calls.len()
        };
        assert_eq!(calls("{\"a\":"), 0);
        assert_eq!(calls(""), 0);
        assert_eq!(calls("{\"a\": 1}"), 1);
    }

    #[test]
    fn a_complete_call_without_an_object_is_an_error() {
        for broken in ["{", "[1]", "1", "{} {}"] {
            let events = [
                begin(0, "f"),
                arguments(broken),
                Event::CallEnd { index: 0 },
            ];
            let error = ChunkBuilder::default().join(events).unwrap_err();
            assert!(matches!(error, Error::Unreadable(_)), "{error:?}");
            let words = error.to_string();
            assert!(
                words.contains("\"f\"") && words.contains("no JSON object"),
                "{words}"
            );
        }
    }

    #[test]
    fn a_token_with_half_a_character_keeps_its_bytes() {
        let likelihood = |bytes: &[u8]| Likelihood {
            token: 7,
            bytes: bytes.to_vec(),
            logprob: -0.5,
        };
        let logprobs = Event::Logprobs(vec![Logprob {
            chosen: likelihood(b"\xf0\x9f"),
            top: vec![likelihood(b"a")],
        }]);
        let (mut chunk, _) = ChunkBuilder::default().join([logprobs]).unwrap();
        assert_eq!(
            serde_json::to_value(chunk.take_logprobs()).unwrap(),
            json!([{
                "token": "\u{fffd}", "logprob": -0.5, "bytes": [240, 159],
                "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}],
            }])
        );
        assert_eq!(chunk.take_logprobs(), None);
    }
}

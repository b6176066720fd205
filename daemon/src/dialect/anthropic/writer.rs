//! Turns the events of an answer into those of Anthropic's streams, and into one message.

use api::anthropic::{Delta, End, Message, OutputBlock, StopReason, StreamEvent, Usage};
use serde_json::{Map, Value};

use super::request_id::new_id;
use crate::answer::{self, Event, Finish};
use crate::error::Error;
use crate::tools::quoted;

/// The signature of thinking. Clients send it back unread, and discard thinking without one; it is base64, as Anthropic's.
const SIGNATURE: &str = "c2xt";

/// What a writer knows of the request.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// The model, as the request names it.
    pub(super) model: String,
    /// Its stop texts.
    pub(super) stop_sequences: Vec<String>,
    /// Most tokens of the answer.
    pub(super) max_tokens: u32,
    /// Whether the text of the thinking is left out.
    pub(super) omits_thinking: bool,
}

/// Writes the events of one answer. One block is open at a time, and no index is used twice.
#[derive(Debug)]
pub(super) struct Writer {
    asked: Asked,
    open: Option<Open>,
    next: u32,
}

/// The open block.
#[derive(Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// A call of this tool, with its arguments so far.
    Call {
        name: String,
        json: String,
    },
}

impl Writer {
    pub(super) fn new(asked: Asked) -> Self {
        Self {
            asked,
            open: None,
            next: 0,
        }
    }

    /// The events of the stream for one event of the answer.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a complete call whose arguments are not a JSON object.
    pub(super) fn write(&mut self, event: Event) -> Result<Vec<StreamEvent>, Error> {
        let mut out = Vec::new();
        match event {
            Event::Started {
                prompt_tokens,
                cached_tokens,
            } => {
                out.push(self.start(usage(prompt_tokens, cached_tokens, 0)));
                out.push(StreamEvent::Ping);
            }
            Event::Progress { .. } | Event::Logprobs(_) => {}
            Event::Thinking(text) => {
                self.enter(Open::Thinking, thinking_block(), &mut out);
                if !self.asked.omits_thinking {
                    out.push(self.delta(Delta::ThinkingDelta { thinking: text }));
                }
            }
            Event::Text(text) => {
                self.enter(
                    Open::Text,
                    OutputBlock::Text {
                        text: String::new(),
                    },
                    &mut out,
                );
                out.push(self.delta(Delta::TextDelta { text }));
            }
            Event::CallBegin { id, name, .. } => {
                let input = Value::Object(Map::new());
                let call = Open::Call {
                    name: name.clone(),
                    json: String::new(),
                };
                self.enter(call, OutputBlock::ToolUse { id, name, input }, &mut out);
            }
            Event::CallArguments { json, .. } => {
                if let Some(Open::Call { json: all, .. }) = &mut self.open {
                    all.push_str(&json);
                    out.push(self.delta(Delta::InputJsonDelta { partial_json: json }));
                }
            }
            Event::CallEnd { .. } => self.end_call(&mut out)?,
            Event::End(end) => self.end(&end, &mut out),
        }
        Ok(out)
    }

    fn start(&self, usage: Usage) -> StreamEvent {
        StreamEvent::MessageStart {
            message: Message {
                id: new_id("msg_"),
                kind: "message",
                role: "assistant",
                model: self.asked.model.clone(),
                content: Vec::new(),
                stop_reason: None,
                stop_sequence: None,
                usage,
            },
        }
    }

    /// Opens a block, unless a block of this kind is open. Each call has its own block.
    fn enter(&mut self, open: Open, content_block: OutputBlock, out: &mut Vec<StreamEvent>) {
        if self.open.as_ref() == Some(&open) && !matches!(open, Open::Call { .. }) {
            return;
        }
        self.close(out);
        self.open = Some(open);
        self.next += 1;
        out.push(StreamEvent::ContentBlockStart {
            index: self.index(),
            content_block,
        });
    }

    /// Closes the open block, if there is one.
    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        let Some(open) = self.open.take() else {
            return;
        };
        if open == Open::Thinking {
            out.push(self.delta(Delta::SignatureDelta {
                signature: SIGNATURE.to_owned(),
            }));
        }
        out.push(StreamEvent::ContentBlockStop {
            index: self.index(),
        });
    }

    fn end_call(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), Error> {
        if let Some(Open::Call { name, json }) = &self.open {
            match json.trim() {
                // Clients parse the joined pieces, and nothing is no JSON.
                "" => out.push(self.delta(Delta::InputJsonDelta {
                    partial_json: "{}".to_owned(),
                })),
                json => drop(arguments(name, json)?),
            }
        }
        self.close(out);
        Ok(())
    }

    fn end(&mut self, end: &answer::End, out: &mut Vec<StreamEvent>) {
        self.close(out);
        let (stop_reason, stop_sequence) = self.stop(end);
        out.push(StreamEvent::MessageDelta {
            delta: End {
                stop_reason,
                stop_sequence,
            },
            usage: usage(end.usage.prompt, end.usage.cached, end.usage.generated),
        });
        out.push(StreamEvent::MessageStop);
    }

    fn stop(&self, end: &answer::End) -> (StopReason, Option<String>) {
        match &end.finish {
            Finish::StopText(text) if self.asked.stop_sequences.contains(text) => {
                (StopReason::StopSequence, Some(text.clone()))
            }
            // The recipe of a model can have stop texts too.
            Finish::Turn | Finish::StopText(_) => (StopReason::EndTurn, None),
            Finish::ToolCalls => (StopReason::ToolUse, None),
            Finish::Length if end.usage.generated < self.asked.max_tokens => {
                (StopReason::ModelContextWindowExceeded, None)
            }
            Finish::Length => (StopReason::MaxTokens, None),
        }
    }

    fn delta(&self, delta: Delta) -> StreamEvent {
        StreamEvent::ContentBlockDelta {
            index: self.index(),
            delta,
        }
    }

    fn index(&self) -> u32 {
        self.next.saturating_sub(1)
    }
}

fn thinking_block() -> OutputBlock {
    OutputBlock::Thinking {
        thinking: String::new(),
        signature: String::new(),
    }
}

fn usage(prompt: u32, cached: u32, generated: u32) -> Usage {
    Usage {
        input_tokens: prompt.saturating_sub(cached),
        cache_read_input_tokens: cached,
        output_tokens: generated,
        ..Usage::default()
    }
}

fn arguments(name: &str, json: &str) -> Result<Value, Error> {
    match serde_json::from_str(json) {
        Ok(object @ Value::Object(_)) => Ok(object),
        _ => Err(Error::Unreadable(format!(
            "the model called {} with arguments that are no JSON object: {}",
            quoted(name),
            quoted(json)
        ))),
    }
}

/// Joins the events of a stream to one message.
#[derive(Debug, Default)]
pub(super) struct Collector {
    message: Option<Message>,
    /// Arguments of the last call.
    json: String,
}

impl Collector {
    /// Adds an event.
    pub(super) fn add(&mut self, event: StreamEvent) {
        if let StreamEvent::MessageStart { message } = event {
            self.message = Some(message);
            return;
        }
        let Some(message) = &mut self.message else {
            return;
        };
        match event {
            StreamEvent::ContentBlockStart { content_block, .. } => {
                self.json.clear();
                message.content.push(content_block);
            }
            StreamEvent::ContentBlockDelta { delta, .. } => {
                if let Delta::InputJsonDelta { partial_json } = &delta {
                    self.json.push_str(partial_json);
                }
                extend(message.content.last_mut(), delta);
            }
            StreamEvent::ContentBlockStop { .. } => self.end_block(),
            StreamEvent::MessageDelta { delta, usage } => {
                message.stop_reason = Some(delta.stop_reason);
                message.stop_sequence = delta.stop_sequence;
                message.usage = usage;
            }
            StreamEvent::MessageStart { .. }
            | StreamEvent::Ping
            | StreamEvent::MessageStop
            | StreamEvent::Error { .. } => {}
        }
    }

    /// Gives a call its arguments. A call that was cut off is dropped.
    fn end_block(&mut self) {
        let Some(message) = &mut self.message else {
            return;
        };
        if let Some(OutputBlock::ToolUse { name, input, .. }) = message.content.last_mut() {
            match arguments(name, &self.json) {
                Ok(object) => *input = object,
                Err(_) => drop(message.content.pop()),
            }
        }
    }

    /// The message, once it is complete.
    pub(super) fn finish(self) -> Option<Message> {
        self.message.filter(|message| message.stop_reason.is_some())
    }
}

fn extend(block: Option<&mut OutputBlock>, delta: Delta) {
    match (block, delta) {
        (Some(OutputBlock::Text { text }), Delta::TextDelta { text: more }) => text.push_str(&more),
        (Some(OutputBlock::Thinking { thinking, .. }), Delta::ThinkingDelta { thinking: more }) => {
            thinking.push_str(&more);
        }
        (
            Some(OutputBlock::Thinking { signature, .. }),
            Delta::SignatureDelta { signature: more },
        ) => {
            signature.push_str(&more);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Timings;
    use serde_json::json;

    fn call(index: u32, arguments: &[&str]) -> Vec<Event> {
        let begin = Event::CallBegin {
            index,
            id: format!("call_{index}"),
            name: "f".into(),
        };
        let arguments = arguments.iter().map(|json| Event::CallArguments {
            index,
            json: (*json).into(),
        });
        let mut events: Vec<Event> = [begin].into_iter().chain(arguments).collect();
        events.push(Event::CallEnd { index });
        events
    }

    /// An answer of text, thinking, text, a call, thinking and a call.
    fn interleaved() -> Vec<Event> {
        let text = |text: &str| Event::Text(text.into());
        let thinking = |text: &str| Event::Thinking(text.into());
        let mut events = vec![Event::Started {
            prompt_tokens: 5,
            cached_tokens: 2,
        }];
        events.extend([
            text("I "),
            text("look."),
            thinking("is it "),
            thinking("warm"),
            text("Yes."),
        ]);
        events.extend(call(0, &["{\"a\": 1, ", "\"b\": 2, \"c\": 3}"]));
        events.push(thinking("and there"));
        events.extend(call(1, &[]));
        events.push(Event::End(Box::new(answer::End {
            finish: Finish::ToolCalls,
            usage: answer::Usage::default(),
            timings: Timings::default(),
            seed: 0,
            tokens: Vec::new(),
        })));
        events
    }

    fn written() -> Vec<StreamEvent> {
        let mut writer = Writer::new(Asked::default());
        let events = interleaved().into_iter();
        events
            .flat_map(|event| writer.write(event).unwrap())
            .collect()
    }

    #[test]
    fn blocks_of_any_order_have_one_index_each() {
        let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
        let mut is_open = false;
        for event in written() {
            let event = serde_json::to_value(event).unwrap();
            let index = event["index"].as_u64().map(|index| index as usize);
            let name = |field: &str| event[field]["type"].as_str().unwrap().to_owned();
            match event["type"].as_str().unwrap() {
                "content_block_start" => {
                    assert_eq!((is_open, index), (false, Some(blocks.len())), "{event}");
                    is_open = true;
                    blocks.push((name("content_block"), Vec::new()));
                }
                "content_block_delta" => {
                    assert_eq!((is_open, index), (true, Some(blocks.len() - 1)), "{event}");
                    blocks.last_mut().unwrap().1.push(name("delta"));
                }
                "content_block_stop" => {
                    assert_eq!((is_open, index), (true, Some(blocks.len() - 1)), "{event}");
                    is_open = false;
                }
                _ => assert!(!is_open, "{event}"),
            }
        }
        let block = |kind: &str, deltas: &[&str]| {
            let deltas = deltas.iter().map(|delta| format!("{delta}_delta"));
            (kind.to_owned(), deltas.collect::<Vec<_>>())
        };
        assert_eq!(
            blocks,
            [
                block("text", &["text", "text"]),
                block("thinking", &["thinking", "thinking", "signature"]),
                block("text", &["text"]),
                block("tool_use", &["input_json", "input_json"]),
                block("thinking", &["thinking", "signature"]),
                block("tool_use", &["input_json"]),
            ]
        );
    }

    #[test]
    fn a_whole_message_has_the_blocks_of_the_stream() {
        let mut collector = Collector::default();
        written().into_iter().for_each(|event| collector.add(event));
        let message = serde_json::to_value(collector.finish().unwrap()).unwrap();
        let thinking =
            |text: &str| json!({"type": "thinking", "thinking": text, "signature": SIGNATURE});
        let call = |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
        assert_eq!(
            message["content"],
            json!([
                {"type": "text", "text": "I look."},
                thinking("is it warm"),
                {"type": "text", "text": "Yes."},
                call("call_0", json!({"a": 1, "b": 2, "c": 3})),
                thinking("and there"),
                call("call_1", json!({})),
            ])
        );
    }
}

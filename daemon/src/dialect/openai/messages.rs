//! Messages of a chat, as turns.

use api::openai::{ChatMessage, Content, FunctionCall, Part, ToolCall};
use runner_protocol as protocol;
use serde_json::json;

use super::tools::joined;
use crate::error::Error;
use crate::images::Images;
use crate::tools::{self, quoted};
use crate::turn::{Block, Role, Turn};

/// The turns of these messages, with their images.
///
/// # Errors
/// [`Error::Field`] names the part of the message that is wrong.
pub(super) fn read(messages: Vec<ChatMessage>) -> Result<(Vec<Turn>, Images), Error> {
    let mut reader = Reader::default();
    for (index, message) in messages.into_iter().enumerate() {
        let turn = reader.turn(&format!("messages[{index}]"), message)?;
        reader.turns.push(turn);
    }
    Ok((reader.turns, reader.images))
}

/// Bytes of all images, which take time to decode.
pub(super) fn image_bytes(messages: &[ChatMessage]) -> usize {
    let parts = messages.iter().flat_map(|message| match &message.content {
        Some(Content::Parts(parts)) => parts.as_slice(),
        _ => &[],
    });
    let image = |part: &Part| match &part.image_url {
        Some(api::openai::ImageUrl::Text(url) | api::openai::ImageUrl::Object { url, .. }) => {
            url.len()
        }
        None => 0,
    };
    parts.map(image).sum()
}

#[derive(Default)]
struct Reader {
    turns: Vec<Turn>,
    images: Images,
}

impl Reader {
    fn turn(&mut self, place: &str, message: ChatMessage) -> Result<Turn, Error> {
        let field = |name: &str| format!("{place}.{name}");
        let role = self.role(place, &message)?;
        let calls = message.tool_calls.unwrap_or_default();
        if role != Role::Assistant && (!calls.is_empty() || message.function_call.is_some()) {
            return Err(Error::field(
                field("tool_calls"),
                "goes with the role assistant",
            ));
        }
        if message.audio.is_some_and(|audio| !audio.is_null()) {
            return Err(Error::field(
                field("audio"),
                "is not supported: slm has no voice",
            ));
        }
        let mut blocks = Vec::new();
        let thinking = message.reasoning_content.or(message.reasoning);
        blocks.extend(
            thinking
                .filter(|text| !text.is_empty())
                .map(Block::Thinking),
        );
        match message.content {
            None => {}
            Some(Content::Text(text)) => blocks.push(Block::Text(text)),
            Some(Content::Parts(parts)) => {
                for (index, part) in parts.into_iter().enumerate() {
                    blocks.push(self.part(&format!("{place}.content[{index}]"), part)?);
                }
            }
        }
        blocks.extend(message.refusal.map(Block::Text));
        for (index, call) in calls.into_iter().enumerate() {
            let call = called(&format!("{place}.tool_calls[{index}]"), call)?;
            blocks.push(Block::Call(call));
        }
        if let Some(call) = message.function_call {
            blocks.push(Block::Call(made(
                &field("function_call"),
                String::new(),
                call,
            )?));
        }
        Ok(Turn { role, blocks })
    }

    fn role(&self, place: &str, message: &ChatMessage) -> Result<Role, Error> {
        let name = message.name.clone().unwrap_or_default();
        match message.role.as_deref() {
            Some("system" | "developer") => Ok(Role::System),
            Some("user") => Ok(Role::User),
            Some("assistant") => Ok(Role::Assistant),
            Some("function") => Ok(Role::Tool {
                name,
                call: String::new(),
            }),
            Some("tool") => {
                let call = message.tool_call_id.clone().ok_or_else(|| {
                    let field = format!("{place}.tool_call_id");
                    Error::field(field, "is required with the role tool")
                })?;
                let name = self.name_of(&call).unwrap_or(name);
                Ok(Role::Tool { name, call })
            }
            other => Err(Error::field(
                format!("{place}.role"),
                format!(
                    "must be system, developer, user, assistant, tool or function, not {}",
                    quoted(other.unwrap_or_default())
                ),
            )),
        }
    }

    /// The function of an earlier call.
    fn name_of(&self, id: &str) -> Option<String> {
        let blocks = self.turns.iter().rev().flat_map(|turn| &turn.blocks);
        blocks.into_iter().find_map(|block| match block {
            Block::Call(call) if call.id == id => Some(call.name.clone()),
            _ => None,
        })
    }

    fn part(&mut self, place: &str, part: Part) -> Result<Block, Error> {
        let missing = |field: &str| Error::field(format!("{place}.{field}"), "is required");
        match part.kind.as_deref() {
            Some("text" | "input_text" | "output_text") => {
                part.text.map(Block::Text).ok_or_else(|| missing("text"))
            }
            Some("refusal") => part
                .refusal
                .map(Block::Text)
                .ok_or_else(|| missing("refusal")),
            Some("thinking") => part
                .thinking
                .map(Block::Thinking)
                .ok_or_else(|| missing("thinking")),
            Some("image_url" | "input_image") => {
                let url = String::from(part.image_url.ok_or_else(|| missing("image_url"))?);
                let number = self.images.add(&url);
                number
                    .map(Block::Image)
                    .map_err(|error| Error::field(place, error.to_string()))
            }
            Some(kind @ ("input_audio" | "file" | "input_file")) => Err(Error::field(
                place,
                format!("a part of type {kind} is not supported; send text and images"),
            )),
            other => Err(Error::field(
                format!("{place}.type"),
                format!(
                    "must be text, image_url or refusal, not {}",
                    quoted(other.unwrap_or_default())
                ),
            )),
        }
    }
}

fn called(place: &str, call: ToolCall) -> Result<protocol::ToolCall, Error> {
    let id = call.id.unwrap_or_default();
    let custom = call.custom.unwrap_or_default();
    if custom.is_null() && call.kind.as_deref() != Some("custom") {
        return made(&format!("{place}.function"), id, call.function);
    }
    // The input of a custom tool is a text; templates know only objects.
    let (Some(name), Some(input)) = (custom["name"].as_str(), custom["input"].as_str()) else {
        let reason = "must have the texts name and input";
        return Err(Error::field(format!("{place}.custom"), reason));
    };
    let function = FunctionCall {
        name: name.to_owned(),
        arguments: json!({"input": input}),
        namespace: None,
    };
    made(&format!("{place}.custom"), id, function)
}

fn made(place: &str, id: String, call: FunctionCall) -> Result<protocol::ToolCall, Error> {
    let name = joined(call.namespace.as_deref(), &call.name);
    let made = tools::made(id, name, call.arguments);
    made.map_err(|error| Error::field(format!("{place}.arguments"), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn turns(messages: Value) -> Result<Vec<Turn>, Error> {
        read(serde_json::from_value(messages).unwrap()).map(|(turns, _)| turns)
    }

    #[test]
    fn the_parts_of_a_content_keep_their_order() {
        for role in ["system", "developer", "user", "assistant"] {
            let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
            let turns =
                turns(json!([{"role": role, "content": parts}, {"role": "user", "content": "c"}]))
                    .unwrap();
            let text = |text: &str| Block::Text(text.into());
            assert_eq!(turns[0].blocks, [text("a"), text("b")]);
            assert_eq!(turns[1].blocks, [text("c")]);
        }
    }

    #[test]
    fn thinking_comes_back_under_either_name() {
        for message in [
            json!({"role": "assistant", "reasoning_content": "hm", "content": "a"}),
            json!({"role": "assistant", "reasoning": "hm", "content": "a"}),
            json!({"role": "assistant", "reasoning_content": "hm", "reasoning": "hm", "content": "a"}),
        ] {
            let turns = turns(json!([message])).unwrap();
            assert_eq!(
                turns[0].blocks,
                [Block::Thinking("hm".into()), Block::Text("a".into())]
            );
        }
    }

    #[test]
    fn the_result_of_a_tool_has_the_name_of_its_call() {
        let turns = turns(json!([
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "20"},
            {"role": "function", "name": "g", "content": "30"},
        ]))
        .unwrap();
        let role = |name: &str, call: &str| Role::Tool {
            name: name.into(),
            call: call.into(),
        };
        assert_eq!(
            (&turns[1].role, &turns[2].role),
            (&role("f", "c1"), &role("g", ""))
        );
    }

    #[test]
    fn a_call_of_a_custom_tool_has_its_text_as_input() {
        let turns = turns(json!([
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "+a"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ]))
        .unwrap();
        let Block::Call(call) = &turns[0].blocks[0] else {
            panic!("{turns:?}");
        };
        assert_eq!((call.id.as_str(), call.name.as_str()), ("c1", "patch"));
        assert_eq!(call.arguments, r#"{"input":"+a"}"#);
        let role = Role::Tool {
            name: "patch".into(),
            call: "c1".into(),
        };
        assert_eq!(turns[1].role, role);
    }

    #[test]
    fn an_error_names_its_part() {
        for (message, field) in [
            (json!({"content": "x"}), "messages[0].role"),
            (json!({"role": "narrator"}), "messages[0].role"),
            (
                json!({"role": "tool", "tool_call_id": null, "content": "x"}),
                "messages[0].tool_call_id",
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "video"}]}),
                "messages[0].content[1].type",
            ),
            (
                json!({"role": "user", "content": [{"type": "text"}]}),
                "messages[0].content[0].text",
            ),
            (
                json!({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}),
                "messages[0].content[0]",
            ),
            (
                json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}]}),
                "messages[0].content[0]",
            ),
            (
                json!({"role": "user", "tool_calls": [{"function": {"name": "f"}}]}),
                "messages[0].tool_calls",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{a"}}]}),
                "messages[0].tool_calls[0].function.arguments",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "patch"}}]}),
                "messages[0].tool_calls[0].custom",
            ),
        ] {
            let error = turns(json!([message.clone()])).unwrap_err();
            assert_eq!(error.param(), Some(field), "{message}");
        }
    }
}

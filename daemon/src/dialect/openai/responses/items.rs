//! Items of requests: their complete form, in which they are saved, and the turns that they mean.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::tools;
use super::ids;
use crate::error::Error;
use crate::images::Images;
use crate::tools::quoted;
use crate::turn::{Block, Role, Turn};

/// Stands for an image in the result of a tool, when the model does not see images.
const PLACEHOLDER: &str = "[an image, which this model cannot see]";

/// Begins the thinking in `encrypted_content`, to tell it from that of other servers.
const SEAL: &str = "slm\n";

/// The thinking as `encrypted_content`.
pub(super) fn sealed(thinking: &str) -> String {
    STANDARD.encode(format!("{SEAL}{thinking}"))
}

/// About how many bytes an item has, by which the work on it is sized.
pub(super) fn bytes(item: &Value) -> usize {
    match item {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(bytes).sum(),
        Value::Object(members) => members.values().map(bytes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => size_of::<Value>(),
    }
}

/// The items of `input` in their complete form, each with an id.
///
/// # Errors
/// [`Error::Field`] for an input that is neither a text nor a list of objects.
pub(super) fn complete(input: Value, field: &str) -> Result<Vec<Value>, Error> {
    match input {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![complete_one(json!({"role": "user", "content": text}))]),
        Value::Array(items) => {
            if let Some(index) = items.iter().position(|item| !item.is_object()) {
                let field = format!("{field}[{index}]");
                return Err(Error::field(field, "must be an object"));
            }
            Ok(items.into_iter().map(complete_one).collect())
        }
        _ => Err(Error::field(field, "must be a text or a list of items")),
    }
}

/// Adds what a client may leave out: type, id, status, and the parts of a text.
fn complete_one(mut item: Value) -> Value {
    if item["type"].is_null() && !item["role"].is_null() {
        item["type"] = json!("message");
    }
    let kind = item["type"].as_str().unwrap_or_default();
    let prefix = match kind {
        "message" => "msg",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "custom_tool_call" => "ctc",
        "custom_tool_call_output" => "ctco",
        "reasoning" => "rs",
        _ => return item,
    };
    if kind == "message" {
        let is_answer = item["role"] == "assistant";
        if let Value::String(text) = &item["content"] {
            item["content"] = match is_answer {
                true => json!([{"type": "output_text", "text": text, "annotations": []}]),
                false => json!([{"type": "input_text", "text": text}]),
            };
        }
    }
    if item["id"].as_str().is_none_or(str::is_empty) {
        item["id"] = json!(ids::new(prefix));
    }
    if item["status"].is_null() {
        item["status"] = json!("completed");
    }
    item
}

/// Reads items into turns.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The turns so far.
    pub(super) turns: Vec<Turn>,
    /// The images in them.
    pub(super) images: Images,
    /// Names of the called tools, by the id of the call.
    calls: HashMap<String, String>,
    /// Whether the model sees images.
    sees_images: bool,
}

impl Reader {
    /// A reader for a model that sees images, or does not.
    pub(super) fn new(sees_images: bool) -> Self {
        Self {
            sees_images,
            ..Self::default()
        }
    }

    /// Reads items in their complete form; `field` is their place in the request.
    ///
    /// # Errors
    /// [`Error::Field`] with the place of the mistake.
    pub(super) fn read(&mut self, items: &[Value], field: &str) -> Result<(), Error> {
        for (index, item) in items.iter().enumerate() {
            self.item(item, &format!("{field}[{index}]"))?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Value, field: &str) -> Result<(), Error> {
        match item["type"].as_str() {
            Some("message") => self.message(item, field),
            Some("reasoning") => {
                let thinking = thinking(item);
                if !thinking.is_empty() {
                    self.answer(Block::Thinking(thinking));
                }
                Ok(())
            }
            Some("function_call") => self.call(item, field, item["arguments"].clone()),
            Some("custom_tool_call") => {
                let input = item["input"].as_str();
                let input = input
                    .ok_or_else(|| Error::field(format!("{field}.input"), "must be a text"))?;
                // Templates know only arguments that are objects.
                self.call(item, field, json!({"input": input}))
            }
            Some("function_call_output" | "custom_tool_call_output") => self.output(item, field),
            Some(kind) => Err(Error::field(
                format!("{field}.type"),
                format!("{} is not an item that slm knows", quoted(kind)),
            )),
            None => Err(Error::field(format!("{field}.type"), "is required")),
        }
    }

    fn message(&mut self, item: &Value, field: &str) -> Result<(), Error> {
        let role = match item["role"].as_str() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("system" | "developer") => Role::System,
            _ => {
                let reason = "must be user, assistant, system or developer";
                return Err(Error::field(format!("{field}.role"), reason));
            }
        };
        let blocks = self.parts(&item["content"], &format!("{field}.content"), true)?;
        match role {
            Role::Assistant => blocks.into_iter().for_each(|block| self.answer(block)),
            role => self.turns.push(Turn { role, blocks }),
        }
        Ok(())
    }

    /// Adds a block to the turn of the assistant, which may have several items.
    fn answer(&mut self, block: Block) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == Role::Assistant => turn.blocks.push(block),
            _ => self.turns.push(Turn {
                role: Role::Assistant,
                blocks: vec![block],
            }),
        }
    }

    fn call(&mut self, item: &Value, field: &str, arguments: Value) -> Result<(), Error> {
        let text = |name: &str| {
            let text = item[name].as_str().filter(|text| !text.is_empty());
            text.ok_or_else(|| Error::field(format!("{field}.{name}"), "must be a text"))
        };
        let (id, name) = (text("call_id")?, text("name")?);
        let name = tools::joined(item["namespace"].as_str(), name);
        let call = crate::tools::made(id.to_owned(), name.clone(), arguments)
            .map_err(|error| Error::field(format!("{field}.arguments"), error.to_string()))?;
        self.calls.insert(id.to_owned(), name);
        self.answer(Block::Call(call));
        Ok(())
    }

    fn output(&mut self, item: &Value, field: &str) -> Result<(), Error> {
        let Some(call) = item["call_id"].as_str().filter(|id| !id.is_empty()) else {
            return Err(Error::field(format!("{field}.call_id"), "must be a text"));
        };
        let blocks = self.parts(
            &item["output"],
            &format!("{field}.output"),
            self.sees_images,
        )?;
        let name = self.calls.get(call).cloned().unwrap_or_default();
        let call = call.to_owned();
        self.turns.push(Turn {
            role: Role::Tool { name, call },
            blocks,
        });
        Ok(())
    }

    /// The blocks of a text or of a list of parts.
    fn parts(&mut self, content: &Value, field: &str, images: bool) -> Result<Vec<Block>, Error> {
        let parts = match content {
            Value::String(text) => return Ok(vec![Block::Text(text.clone())]),
            Value::Null => return Ok(vec![Block::Text(String::new())]),
            Value::Array(parts) => parts,
            _ => return Err(Error::field(field, "must be a text or a list of parts")),
        };
        let mut blocks = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            blocks.push(self.part(part, &format!("{field}[{index}]"), images)?);
        }
        Ok(blocks)
    }

    fn part(&mut self, part: &Value, field: &str, images: bool) -> Result<Block, Error> {
        let text = |name: &str| {
            let text = part[name].as_str().map(str::to_owned);
            text.ok_or_else(|| Error::field(format!("{field}.{name}"), "must be a text"))
        };
        match part["type"].as_str() {
            Some("input_text" | "output_text" | "text") => Ok(Block::Text(text("text")?)),
            Some("refusal") => Ok(Block::Text(text("refusal")?)),
            Some("input_image") if !images => Ok(Block::Text(PLACEHOLDER.to_owned())),
            Some("input_image") => {
                let Some(url) = part["image_url"].as_str() else {
                    let reason = "must be a data URL; slm has no stored files";
                    return Err(Error::field(format!("{field}.image_url"), reason));
                };
                let number = self.images.add(url).map_err(|error| {
                    Error::field(format!("{field}.image_url"), error.to_string())
                })?;
                Ok(Block::Image(number))
            }
            Some("input_file") => Err(Error::field(
                field,
                "is a file, and slm reads none; send its text as input_text",
            )),
            _ => Err(Error::field(
                format!("{field}.type"),
                "must be input_text, output_text, refusal or input_image",
            )),
        }
    }
}

/// The thinking of a reasoning item. Encrypted thinking of other servers cannot be read, and is left out.
fn thinking(item: &Value) -> String {
    let texts = |field: &str| -> String {
        let parts = item[field].as_array().into_iter().flatten();
        parts.filter_map(|part| part["text"].as_str()).collect()
    };
    let sealed = || {
        let bytes = STANDARD.decode(item["encrypted_content"].as_str()?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        text.strip_prefix(SEAL).map(str::to_owned)
    };
    let content = texts("content");
    match content.is_empty() {
        true => sealed().unwrap_or_else(|| texts("summary")),
        false => content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: Value) -> Result<Vec<Turn>, Error> {
        let mut reader = Reader::new(false);
        reader.read(&complete(input, "input")?, "input")?;
        Ok(reader.turns)
    }

    #[test]
    fn items_of_one_answer_are_one_turn() {
        let turns = read(json!([
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed("hm")},
            {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [
                {"type": "input_text", "text": "20"}, {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
            ]},
        ]))
        .unwrap();
        assert_eq!(turns[0], Turn::text(Role::System, "be brief"));
        assert_eq!(turns[1].blocks.len(), 2);
        assert_eq!(turns[2].blocks[0], Block::Thinking("hm".into()));
        assert_eq!(turns[2].blocks[1], Block::Text("I look.".into()));
        let Block::Call(call) = &turns[2].blocks[2] else {
            panic!("{turns:?}");
        };
        assert_eq!(call.name, "n__f");
        let role = Role::Tool {
            name: "n__f".into(),
            call: "c".into(),
        };
        let blocks = vec![Block::Text("20".into()), Block::Text(PLACEHOLDER.into())];
        assert_eq!(turns[3], Turn { role, blocks });
        assert_eq!(turns.len(), 4);
    }

    #[test]
    fn a_call_of_a_custom_tool_has_its_text_as_input() {
        let turns = read(json!([
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "+a"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ]))
        .unwrap();
        let Block::Call(call) = &turns[0].blocks[0] else {
            panic!("{turns:?}");
        };
        assert_eq!((call.id.as_str(), call.name.as_str()), ("c", "patch"));
        assert_eq!(call.arguments, r#"{"input":"+a"}"#);
        let role = Role::Tool {
            name: "patch".into(),
            call: "c".into(),
        };
        assert_eq!(turns[1], Turn::text(role, "done"));
    }

    #[test]
    fn a_mistake_has_its_place() {
        for (item, field) in [
            (json!(1), "input[0]"),
            (json!({"type": "compaction"}), "input[0].type"),
            (json!({}), "input[0].type"),
            (json!({"role": "narrator", "content": "x"}), "input[0].role"),
            (json!({"role": "user", "content": 1}), "input[0].content"),
            (
                json!({"role": "user", "content": [{"type": "sound"}]}),
                "input[0].content[0].type",
            ),
            (
                json!({"role": "user", "content": [{"type": "input_file"}]}),
                "input[0].content[0]",
            ),
            (
                json!({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}),
                "input[0].content[0].image_url",
            ),
            (
                json!({"type": "function_call", "name": "f"}),
                "input[0].call_id",
            ),
            (
                json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "x"}),
                "input[0].arguments",
            ),
            (
                json!({"type": "custom_tool_call", "call_id": "c", "name": "f"}),
                "input[0].input",
            ),
            (
                json!({"type": "function_call_output", "call_id": null, "output": ""}),
                "input[0].call_id",
            ),
        ] {
            let error = read(json!([item])).unwrap_err();
            assert_eq!(error.param(), Some(field), "{error}");
        }
    }
}

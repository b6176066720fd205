//! Turns the messages of a request into turns.
//!
//! Anthropic's tool results are blocks of a user's message; each becomes a turn of its tool.

use std::collections::HashMap;

use api::anthropic::{Block as Given, Blocks, InputMessage, Source};

use crate::error::Error;
use crate::images::Images;
use crate::tools::{self, quoted};
use crate::turn::{Block, Role, Turn};

/// Claude Code begins its system prompt with a text that changes with each request. In the prompt it would make every cached
/// prefix useless.
const BILLING: &str = "x-anthropic-billing-header:";

/// The conversation of a request.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Its turns.
    pub(super) turns: Vec<Turn>,
    /// Its images.
    pub(super) images: Images,
}

/// The bytes of all images in these messages.
pub(super) fn image_bytes(messages: &[InputMessage]) -> usize {
    messages
        .iter()
        .map(|message| bytes_of(&message.content))
        .sum()
}

fn bytes_of(blocks: &Blocks) -> usize {
    let sizes = blocks.0.iter().map(|block| {
        let data = block
            .source
            .as_ref()
            .and_then(|source| source.data.as_ref());
        data.map_or(0, String::len) + block.content.as_ref().map_or(0, bytes_of)
    });
    sizes.sum()
}

/// Reads system prompt and messages.
///
/// # Errors
/// [`Error::Field`] names the block that is wrong or not supported.
pub(super) fn read(system: Option<Blocks>, messages: Vec<InputMessage>) -> Result<History, Error> {
    let mut reader = Reader::default();
    if let Some(blocks) = system {
        reader.read("system", Role::System, blocks)?;
    }
    for (number, message) in messages.into_iter().enumerate() {
        let place = format!("messages[{number}].content");
        let role = match message.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            other => {
                return Err(Error::field(
                    format!("messages[{number}].role"),
                    format!(
                        "{} must be \"user\", \"assistant\" or \"system\"",
                        quoted(other)
                    ),
                ));
            }
        };
        reader.read(&place, role, message.content)?;
    }
    Ok(reader.history)
}

#[derive(Debug, Default)]
struct Reader {
    history: History,
    /// Names of the tools by the ids of their calls.
    tools: HashMap<String, String>,
}

impl Reader {
    /// Adds the turns of a message.
    fn read(&mut self, place: &str, role: Role, blocks: Blocks) -> Result<(), Error> {
        let mut turn = Turn {
            role: role.clone(),
            blocks: Vec::new(),
        };
        let mut has_results = false;
        for (number, block) in blocks.0.into_iter().enumerate() {
            let place = format!("{place}[{number}]");
            if block.kind == "tool_result" {
                only(&place, &block, &role, &Role::User)?;
                let blocks = std::mem::take(&mut turn.blocks);
                self.push(Turn {
                    role: role.clone(),
                    blocks,
                });
                let result = self.result(&place, block)?;
                self.history.turns.push(result);
                has_results = true;
            } else {
                let read = self.block(&place, &role, block)?;
                append(&mut turn, read);
            }
        }
        match has_results || role == Role::System {
            true => self.push(turn),
            // A message without blocks stays a turn, so that roles keep alternating.
            false => self.history.turns.push(turn),
        }
        Ok(())
    }

    fn push(&mut self, turn: Turn) {
        if !turn.blocks.is_empty() {
            self.history.turns.push(turn);
        }
    }

    fn result(&mut self, place: &str, block: Given) -> Result<Turn, Error> {
        let call = block.tool_use_id.unwrap_or_default();
        let role = Role::Tool {
            name: self.tools.get(&call).cloned().unwrap_or_default(),
            call,
        };
        let mut turn = Turn {
            role: role.clone(),
            blocks: Vec::new(),
        };
        let blocks = block.content.unwrap_or_default().0;
        for (number, block) in blocks.into_iter().enumerate() {
            let place = format!("{place}.content[{number}]");
            let read = self.block(&place, &role, block)?;
            append(&mut turn, read);
        }
        if block.is_error == Some(true) {
            mark_as_error(&mut turn);
        }
        Ok(turn)
    }

    /// The blocks that stand for one of the request.
    fn block(&mut self, place: &str, role: &Role, block: Given) -> Result<Vec<Block>, Error> {
        Ok(match block.kind.as_str() {
            "text" => {
                let text = required(place, "text", block.text)?;
                match *role == Role::System && text.starts_with(BILLING) {
                    true => Vec::new(),
                    false => vec![Block::Text(text)],
                }
            }
            "image" => vec![Block::Image(self.image(place, block.source)?)],
            "document" => self.document(place, role, block)?,
            "search_result" => self.search_result(place, role, block)?,
            "thinking" => {
                only(place, &block, role, &Role::Assistant)?;
                vec![Block::Thinking(block.thinking.unwrap_or_default())]
            }
            "tool_use" => {
                only(place, &block, role, &Role::Assistant)?;
                vec![self.call(place, block)?]
            }
            kind if is_left_out(kind) => Vec::new(),
            kind => {
                return Err(Error::field(
                    format!("{place}.type"),
                    format!("{} is not supported here", quoted(kind)),
                ));
            }
        })
    }

    fn call(&mut self, place: &str, block: Given) -> Result<Block, Error> {
        let id = required(place, "id", block.id)?;
        let name = required(place, "name", block.name)?;
        self.tools.insert(id.clone(), name.clone());
        let input = block.input.unwrap_or_default();
        Ok(Block::Call(tools::made(id, name, input)?))
    }

    fn image(&mut self, place: &str, source: Option<Source>) -> Result<u32, Error> {
        let source = required(place, "source", source)?;
        match source.kind.as_str() {
            "base64" => {
                let data = required(place, "source.data", source.data)?;
                self.history.images.add(&data)
            }
            "url" => Err(unsupported(
                place,
                "slm fetches no addresses; send the image as base64",
            )),
            "file" => Err(unsupported(
                place,
                "slm stores no files; send the image as base64",
            )),
            _ => Err(Error::field(
                format!("{place}.source.type"),
                "must be \"base64\"",
            )),
        }
    }

    /// A document as text, with its title and context before it.
    fn document(&mut self, place: &str, role: &Role, block: Given) -> Result<Vec<Block>, Error> {
        let source = required(place, "source", block.source)?;
        let content = match source.kind.as_str() {
            "text" => vec![Block::Text(required(place, "source.data", source.data)?)],
            "content" => {
                let blocks = required(place, "source.content", source.content)?;
                self.nested(&format!("{place}.source.content"), role, blocks)?
            }
            "base64" => {
                return Err(unsupported(
                    place,
                    "slm reads no PDF; send its text, with a source of type text",
                ));
            }
            "url" => {
                return Err(unsupported(
                    place,
                    "slm fetches no addresses; send the text, with a source of type text",
                ));
            }
            "file" => {
                return Err(unsupported(
                    place,
                    "slm stores no files; send the text, with a source of type text",
                ));
            }
            _ => {
                return Err(Error::field(
                    format!("{place}.source.type"),
                    "must be \"text\" or \"content\"",
                ));
            }
        };
        Ok(headed([block.title, block.context], content))
    }

    /// A search result as text, with its title and address before it.
    fn search_result(
        &mut self,
        place: &str,
        role: &Role,
        block: Given,
    ) -> Result<Vec<Block>, Error> {
        let address = block.source.and_then(|source| source.url);
        let blocks = block.content.unwrap_or_default();
        let content = self.nested(&format!("{place}.content"), role, blocks)?;
        Ok(headed([block.title, address], content))
    }

    fn nested(&mut self, place: &str, role: &Role, blocks: Blocks) -> Result<Vec<Block>, Error> {
        let mut all = Vec::new();
        for (number, block) in blocks.0.into_iter().enumerate() {
            let place = format!("{place}[{number}]");
            // A document in a document would nest without end.
            if !matches!(block.kind.as_str(), "text" | "image") {
                return Err(Error::field(
                    format!("{place}.type"),
                    "must be \"text\" or \"image\"",
                ));
            }
            all.extend(self.block(&place, role, block)?);
        }
        Ok(all)
    }
}

/// Blocks of servers that slm does not have, and thinking that only its author can read.
fn is_left_out(kind: &str) -> bool {
    matches!(
        kind,
        "redacted_thinking" | "server_tool_use" | "tool_reference" | "compaction"
    ) || kind.ends_with("_tool_result")
}

fn headed(head: [Option<String>; 2], content: Vec<Block>) -> Vec<Block> {
    let head: Vec<String> = head
        .into_iter()
        .flatten()
        .filter(|line| !line.is_empty())
        .collect();
    let head = (!head.is_empty()).then(|| Block::Text(head.join("\n")));
    head.into_iter().chain(content).collect()
}

/// Adds blocks to a turn. Texts of a person, a tool or a system prompt are paragraphs; those of the model are pieces of one text.
fn append(turn: &mut Turn, blocks: Vec<Block>) {
    for block in blocks {
        let follows_text = matches!(turn.blocks.last(), Some(Block::Text(_)));
        if follows_text && matches!(block, Block::Text(_)) && turn.role != Role::Assistant {
            turn.blocks.push(Block::Text("\n\n".to_owned()));
        }
        turn.blocks.push(block);
    }
}

/// Templates have no place for a failure, so the text says it.
fn mark_as_error(turn: &mut Turn) {
    let says_so = |text: &String| {
        text.trim_start()
            .get(..5)
            .is_some_and(|word| word.eq_ignore_ascii_case("error"))
    };
    match turn.blocks.first() {
        Some(Block::Text(text)) if says_so(text) => {}
        _ => turn.blocks.insert(0, Block::Text("Error: ".to_owned())),
    }
}

fn only(place: &str, block: &Given, role: &Role, expected: &Role) -> Result<(), Error> {
    match role == expected {
        true => Ok(()),
        false => Err(Error::field(
            format!("{place}.type"),
            format!(
                "{} belongs in a message of role {:?}",
                quoted(&block.kind),
                expected.name()
            ),
        )),
    }
}

fn required<T>(place: &str, field: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::field(format!("{place}.{field}"), "is missing"))
}

fn unsupported(place: &str, reason: &str) -> Error {
    Error::field(
        format!("{place}.source"),
        format!("is not supported: {reason}"),
    )
}

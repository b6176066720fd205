//! Turns of a conversation, in no dialect.

use runner_protocol::ToolCall;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What the turn is made of, in order.
    pub blocks: Vec<Block>,
}

impl Turn {
    /// A turn of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            blocks: vec![Block::Text(text.into())],
        }
    }

    /// The numbers of the images in it.
    pub fn images(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Image(number) => Some(*number),
            _ => None,
        })
    }
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool {
        /// Its name; may be empty.
        name: String,
        /// The id of the call that this is the result of; may be empty.
        call: String,
    },
}

impl Role {
    /// The name that templates know.
    pub fn name(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool { .. } => "tool",
        }
    }
}

/// One part of a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Text.
    Text(String),
    /// An image, by its number in [`Images`](crate::images::Images).
    Image(u32),
    /// What the model thought.
    Thinking(String),
    /// What the model called.
    Call(ToolCall),
}

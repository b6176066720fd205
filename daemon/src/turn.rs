//! Turns of a conversation, independent of the dialect.

use runner_protocol::ToolCall;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Its role.
    pub role: Role,
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
}

impl Turn {
    /// A turn with one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            blocks: vec![Block::Text(text.into())],
        }
    }

    /// The numbers of its images.
    pub fn images(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Image(number) => Some(*number),
            _ => None,
        })
    }
}

/// The role of a turn.
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
        /// Name of the tool; may be empty.
        name: String,
        /// Id of the call; may be empty.
        call: String,
    },
}

impl Role {
    /// Its name in templates.
    pub fn name(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool { .. } => "tool",
        }
    }
}

/// One block of a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Text.
    Text(String),
    /// An image, by its number in [`Images`](crate::images::Images).
    Image(u32),
    /// Thinking of the model.
    Thinking(String),
    /// A tool call of the model.
    Call(ToolCall),
}

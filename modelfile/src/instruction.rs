//! The instructions of a Modelfile, one variant per keyword.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::parameter::Parameter;

/// One instruction with its value, quotes removed.
#[derive(Debug, Clone, PartialEq)]
pub enum Instruction {
    /// `FROM`: the base, as written: a model name, `name@sha256:…`, a file or a directory.
    ///
    /// At least one is required; several name the files of one model. See [`crate::Source`].
    From(String),
    /// `DRAFT`: file or directory of a smaller model that drafts tokens for this one.
    Draft(String),
    /// `ADAPTER`: file or directory of a LoRA adapter.
    Adapter(String),
    /// `PARAMETER`: one sampling or runner parameter, checked against its type and range.
    Parameter(Parameter),
    /// `TEMPLATE`: the chat template, in Go `text/template` syntax. It is not compiled here.
    Template(String),
    /// `SYSTEM`: the system prompt; the empty text removes an inherited one.
    System(String),
    /// `MESSAGE`: one message of the example conversation.
    Message(Message),
    /// `LICENSE`: one licence text; repeatable.
    License(String),
    /// `REQUIRES`: the oldest version that can run the model.
    Requires(semver::Version),
    /// `RENDERER`: id of a built-in prompt renderer.
    Renderer(String),
    /// `PARSER`: id of a built-in output parser.
    Parser(String),
}

impl Instruction {
    /// The word that starts this instruction.
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::From(_) => Keyword::From,
            Self::Draft(_) => Keyword::Draft,
            Self::Adapter(_) => Keyword::Adapter,
            Self::Parameter(_) => Keyword::Parameter,
            Self::Template(_) => Keyword::Template,
            Self::System(_) => Keyword::System,
            Self::Message(_) => Keyword::Message,
            Self::License(_) => Keyword::License,
            Self::Requires(_) => Keyword::Requires,
            Self::Renderer(_) => Keyword::Renderer,
            Self::Parser(_) => Keyword::Parser,
        }
    }
}

/// The keywords of instructions. Case does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    /// `FROM`
    From,
    /// `DRAFT`
    Draft,
    /// `ADAPTER`
    Adapter,
    /// `PARAMETER`
    Parameter,
    /// `TEMPLATE`
    Template,
    /// `SYSTEM`
    System,
    /// `MESSAGE`
    Message,
    /// `LICENSE`
    License,
    /// `REQUIRES`
    Requires,
    /// `RENDERER`
    Renderer,
    /// `PARSER`
    Parser,
}

impl Keyword {
    /// Every keyword, in the order of the reference page.
    pub const ALL: [Self; 11] = [
        Self::From,
        Self::Draft,
        Self::Adapter,
        Self::Parameter,
        Self::Template,
        Self::System,
        Self::Message,
        Self::License,
        Self::Requires,
        Self::Renderer,
        Self::Parser,
    ];

    /// The keyword in capitals, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::From => "FROM",
            Self::Draft => "DRAFT",
            Self::Adapter => "ADAPTER",
            Self::Parameter => "PARAMETER",
            Self::Template => "TEMPLATE",
            Self::System => "SYSTEM",
            Self::Message => "MESSAGE",
            Self::License => "LICENSE",
            Self::Requires => "REQUIRES",
            Self::Renderer => "RENDERER",
            Self::Parser => "PARSER",
        }
    }

    /// The keyword `word`, in any case.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|keyword| keyword.as_str().eq_ignore_ascii_case(word))
    }

    /// Whether the value `""` is allowed and means "none".
    pub(crate) fn may_be_empty(self) -> bool {
        self.is_prose()
    }

    /// Whether the value is prose rather than a name, a path or a number.
    pub(crate) fn is_prose(self) -> bool {
        matches!(
            self,
            Self::Template | Self::System | Self::Message | Self::License
        )
    }

    /// Whether only the last instruction of this kind has an effect.
    pub(crate) fn last_wins(self) -> bool {
        matches!(
            self,
            Self::Template | Self::System | Self::Requires | Self::Renderer | Self::Parser
        )
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message of the example conversation that a model starts from.
///
/// As JSON it is an element of the messages layer: `{"role": "user", "content": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The role of the speaker.
    pub role: Role,
    /// The text.
    pub content: String,
}

/// The role of the speaker of a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Every role, in the order a conversation uses them.
    pub const ALL: [Self; 3] = [Self::System, Self::User, Self::Assistant];

    /// The role in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of `system`, `user`, `assistant`. Case matters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("role must be one of `system`, `user` or `assistant`")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(UnknownRole)
    }
}

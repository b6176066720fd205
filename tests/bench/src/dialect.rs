//! The dialects of slmd, each with a request for an answer to one prompt.

use serde_json::{Value, json};

/// The API that a request is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Ollama's `/api/chat`.
    Ollama,
    /// OpenAI's `/v1/chat/completions`.
    ChatCompletions,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
}

impl Dialect {
    /// All.
    pub(super) const ALL: [Self; 4] = [
        Self::Ollama,
        Self::ChatCompletions,
        Self::Responses,
        Self::Messages,
    ];

    /// The path of its requests, which also names it in tables.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Ollama => "/api/chat",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// The body of a request for the answer to `prompt`, whole or as a stream.
    pub(super) fn body(self, model: &str, prompt: &str, stream: bool) -> Value {
        let messages = json!([{"role": "user", "content": prompt}]);
        match self {
            Self::Ollama | Self::ChatCompletions => {
                json!({"model": model, "messages": messages, "stream": stream})
            }
            // A stored response would measure the disk.
            Self::Responses => {
                json!({"model": model, "input": prompt, "store": false, "stream": stream})
            }
            Self::Messages => {
                json!({"model": model, "messages": messages, "max_tokens": 4096, "stream": stream})
            }
        }
    }
}

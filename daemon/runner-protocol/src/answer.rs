//! The pieces of an answer, and its end.

use serde::{Deserialize, Serialize};

/// A piece of the answer: reasoning, then text, then tool calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// More text, of any number of tokens.
    pub text: String,
    /// Tokens generated so far.
    pub tokens: u32,
    /// More reasoning.
    #[serde(default)]
    pub reasoning: String,
    /// More of the tool calls.
    #[serde(default)]
    pub tool_calls: Vec<ToolCallDelta>,
    /// Logprobs of the tokens whose text begins in this piece, in order; empty unless
    /// [`Generate::logprobs`](crate::Generate::logprobs) asks for them.
    /// Those of markup and reasoning come with the next piece.
    #[serde(default)]
    pub logprobs: Vec<Logprob>,
}

impl Delta {
    /// Bytes of all its text.
    pub fn bytes(&self) -> usize {
        let calls = self.tool_calls.iter();
        self.text.len()
            + self.reasoning.len()
            + calls
                .map(|call| call.id.len() + call.name.len() + call.arguments.len())
                .sum::<usize>()
    }

    /// Whether it has nothing new.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.reasoning.is_empty()
            && self.tool_calls.is_empty()
            && self.logprobs.is_empty()
    }

    /// Appends the next piece. Only the order of reasoning and text within the two is lost.
    pub fn join(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.reasoning.push_str(&next.reasoning);
        self.tokens = next.tokens;
        self.logprobs.extend(next.logprobs);
        for call in next.tool_calls {
            match self.tool_calls.last_mut() {
                Some(last) if last.index == call.index && call.name.is_empty() => {
                    last.arguments.push_str(&call.arguments);
                }
                _ => self.tool_calls.push(call),
            }
        }
    }
}

/// More of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Number of the call in the answer, from 0. A call is complete when the next one begins, or the answer ends with
    /// [`StopReason::Stop`].
    pub index: u32,
    /// The id, in the first piece of a call whose model gives one.
    pub id: String,
    /// The tool, in the first piece of a call; else empty.
    pub name: String,
    /// More of the JSON object of its arguments.
    pub arguments: String,
}

/// The logprob of a token, with top logprobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// The chosen token.
    pub chosen: Likelihood,
    /// The most likely tokens in its place, the most likely first, with or without the chosen one.
    pub top: Vec<Likelihood>,
}

/// A token and its logprob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// The token.
    pub token: i32,
    /// Its bytes, not always whole characters; for a control token its name.
    pub bytes: Vec<u8>,
    /// Natural logarithm of the model's probability, before [`Sampling`](crate::Sampling) and [`Constraint`](crate::Constraint);
    /// −9999 to 0.
    pub logprob: f32,
}

/// How an answer ended, with its counts and times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Why it ended.
    pub reason: StopReason,
    /// Tokens of the prompt after truncation.
    pub prompt_tokens: u32,
    /// Of these, tokens from the prefix cache.
    pub cached_tokens: u32,
    /// Tokens cut from the prompt with [`Overflow::Truncate`](crate::Overflow::Truncate). A lower bound for a text far longer
    /// than the context, whose rest is
    /// not tokenized.
    pub truncated: u32,
    /// Tokens generated.
    pub tokens: u32,
    /// Time from admission to the last prompt token.
    pub prefill_ns: u64,
    /// Time from the last prompt token to the end.
    pub decode_ns: u64,
    /// Time in the queue before admission.
    pub queue_ns: u64,
    /// Drafted tokens that were verified.
    #[serde(default)]
    pub drafted: u32,
    /// Of these, tokens that were accepted.
    #[serde(default)]
    pub accepted: u32,
    /// The stop text of [`Generate::stop`](crate::Generate::stop) that ended the answer, if one did.
    #[serde(default)]
    pub stop_text: Option<String>,
    /// The seed that was used.
    pub seed: u64,
    /// Tokens of prompt and answer, for clients that continue by tokens; empty for a prompt with images.
    pub all_tokens: Vec<i32>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// An end-of-generation token or a stop text.
    Stop,
    /// `max_tokens` was reached or the context is full.
    Length,
    /// [`Call::Cancel`](crate::Call::Cancel).
    Cancelled,
}

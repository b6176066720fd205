//! One streamed answer, timed at the client, in the dialect of either server.
//!
//! Both servers are timed by the same clock at the same place, because each may mean something else by its own numbers.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// A server that answers, and how to talk to it.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// Our daemon, and the model to ask for.
    Slm {
        /// `http://` and the address.
        base: String,
        /// Name of the model.
        model: String,
    },
    /// llama.cpp's server, which has one model.
    LlamaServer {
        /// `http://` and the address.
        base: String,
    },
}

/// What is asked, the same for both; the answer is greedy, so both compute the same tokens.
#[derive(Debug)]
pub(super) struct Question {
    /// Text that goes to the model as it is.
    pub(super) prompt: String,
    /// Most tokens of the answer.
    pub(super) tokens: u32,
    /// CPU threads.
    pub(super) threads: usize,
    /// Cells of the context.
    pub(super) context: u32,
}

/// One answer as the client saw it.
#[derive(Debug)]
pub(super) struct Answer {
    /// From sending the request to the first piece of text.
    pub(super) first: Duration,
    /// From the first piece of text to the end of the stream.
    pub(super) rest: Duration,
    /// Tokens of the prompt.
    pub(super) prompt_tokens: u32,
    /// Tokens of the answer.
    pub(super) answer_tokens: u32,
    /// The answer.
    pub(super) text: String,
}

impl Answer {
    /// Tokens per second after the first one.
    pub(super) fn tokens_per_second(&self) -> f64 {
        f64::from(self.answer_tokens.saturating_sub(1)) / self.rest.as_secs_f64()
    }

    /// Prompt tokens per second, with everything that a client waits for before the first token.
    pub(super) fn prompt_tokens_per_second(&self) -> f64 {
        f64::from(self.prompt_tokens) / self.first.as_secs_f64()
    }
}

/// One event of a stream, whatever its dialect.
#[derive(Debug, Default, PartialEq)]
struct Event {
    text: String,
    /// Tokens of prompt and answer, on the last event.
    counts: Option<(u32, u32)>,
}

impl Endpoint {
    /// Asks, and reads the stream to its end.
    ///
    /// # Errors
    /// The server refused, or the stream was cut.
    pub(super) fn ask(&self, question: &Question) -> Result<Answer> {
        let (url, body) = self.request(question);
        let began = Instant::now();
        let response = ureq::post(&url)
            .header("content-type", "application/json")
            .send(body.to_string())
            .with_context(|| format!("no answer from {url}"))?;
        let mut first = None;
        let mut text = String::new();
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let event =
                self.event(&line.with_context(|| format!("the stream of {url} broke off"))?)?;
            if first.is_none() && !event.text.is_empty() {
                first = Some(began.elapsed());
            }
            text.push_str(&event.text);
            if let Some((prompt_tokens, answer_tokens)) = event.counts {
                let first = first.with_context(|| format!("{url} answered nothing"))?;
                let rest = began.elapsed() - first;
                return Ok(Answer {
                    first,
                    rest,
                    prompt_tokens,
                    answer_tokens,
                    text,
                });
            }
        }
        bail!("the stream of {url} ended without its last event")
    }

    fn request(&self, question: &Question) -> (String, Value) {
        match self {
            Self::Slm { base, model } => (
                format!("{base}/api/generate"),
                json!({
                    "model": model,
                    "prompt": question.prompt,
                    "raw": true,
                    "options": {
                        "temperature": 0,
                        "num_predict": question.tokens,
                        "num_thread": question.threads,
                        "num_ctx": question.context,
                        "repeat_penalty": 1.0,
                    },
                }),
            ),
            Self::LlamaServer { base } => (
                format!("{base}/completion"),
                json!({
                    "prompt": question.prompt,
                    "stream": true,
                    "temperature": 0,
                    "n_predict": question.tokens,
                    "repeat_penalty": 1.0,
                    "cache_prompt": false,
                }),
            ),
        }
    }

    fn event(&self, line: &str) -> Result<Event> {
        let text = match self {
            Self::Slm { .. } => line,
            // Server-sent events: empty lines and comments lie between the data.
            Self::LlamaServer { .. } => line.strip_prefix("data: ").unwrap_or_default(),
        };
        if text.is_empty() {
            return Ok(Event::default());
        }
        let value: Value =
            serde_json::from_str(text).with_context(|| format!("`{text}` is no JSON"))?;
        ensure!(
            value.get("error").is_none(),
            "the server failed: {}",
            value["error"]
        );
        let (piece, done, prompt, answer) = match self {
            Self::Slm { .. } => (
                &value["response"],
                &value["done"],
                &value["prompt_eval_count"],
                &value["eval_count"],
            ),
            Self::LlamaServer { .. } => (
                &value["content"],
                &value["stop"],
                &value["tokens_evaluated"],
                &value["tokens_predicted"],
            ),
        };
        let counts = if done == &Value::Bool(true) {
            Some((count(prompt)?, count(answer)?))
        } else {
            None
        };
        Ok(Event {
            text: piece.as_str().unwrap_or_default().to_owned(),
            counts,
        })
    }
}

fn count(value: &Value) -> Result<u32> {
    value
        .as_u64()
        .and_then(|count| u32::try_from(count).ok())
        .with_context(|| format!("the last event has `{value}` where a number of tokens belongs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_give_the_same_events() -> Result<()> {
        let ours = Endpoint::Slm {
            base: String::new(),
            model: String::new(),
        };
        let theirs = Endpoint::LlamaServer {
            base: String::new(),
        };
        let piece = Event {
            text: "blue".to_owned(),
            counts: None,
        };
        assert_eq!(ours.event(r#"{"response":"blue","done":false}"#)?, piece);
        assert_eq!(
            theirs.event(r#"data: {"content":"blue","stop":false}"#)?,
            piece
        );
        assert_eq!(theirs.event("")?, Event::default());
        let last = Event {
            text: String::new(),
            counts: Some((7, 128)),
        };
        assert_eq!(
            ours.event(r#"{"response":"","done":true,"prompt_eval_count":7,"eval_count":128}"#)?,
            last
        );
        assert_eq!(
            theirs.event(
                r#"data: {"content":"","stop":true,"tokens_evaluated":7,"tokens_predicted":128}"#
            )?,
            last
        );
        Ok(())
    }

    #[test]
    fn an_error_in_the_stream_is_an_error() {
        let ours = Endpoint::Slm {
            base: String::new(),
            model: String::new(),
        };
        let error = ours
            .event(r#"{"error":"no such model"}"#)
            .expect_err("the server failed");
        assert_eq!(error.to_string(), "the server failed: \"no such model\"");
    }

    #[test]
    fn rates_count_what_lies_between_the_tokens() {
        let answer = Answer {
            first: Duration::from_millis(500),
            rest: Duration::from_secs(1),
            prompt_tokens: 100,
            answer_tokens: 11,
            text: String::new(),
        };
        assert!((answer.tokens_per_second() - 10.0).abs() < 1e-9);
        assert!((answer.prompt_tokens_per_second() - 200.0).abs() < 1e-9);
    }
}

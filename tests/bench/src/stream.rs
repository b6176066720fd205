//! A request and its stream, timed at the client, in the dialect of either server.
//!
//! The client's clock times both servers, because their own numbers may have different meanings.

use std::io::{BufRead, BufReader, Lines};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Counts};

/// Timeout of a request, reached only if its server hangs.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server and its dialect.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    agent: ureq::Agent,
    /// `http://` and the address.
    base: String,
    dialect: Dialect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Dialect {
    /// slmd, with the name of the model.
    Slm { model: String },
    /// slmd through OpenAI's dialect, with the name of the model.
    OpenAi { model: String },
    /// llama.cpp's server; with the name of the model where it is the router of several.
    LlamaServer { model: Option<String> },
}

/// A request, the same for both; sampling is greedy, so both compute the same tokens.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The prompt, verbatim.
    pub(super) prompt: String,
    /// Maximum number of tokens of the answer.
    pub(super) tokens: u32,
    /// Whether llama-server may keep this prompt and reuse an earlier one; keeping costs it time.
    pub(super) remember: bool,
    /// Threads and context for slmd; llama-server has them on its command line.
    pub(super) settings: Option<Settings>,
}

/// Settings of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// CPU threads.
    pub(super) threads: usize,
    /// Cells of the context.
    pub(super) context: u32,
}

/// A streaming answer. Dropping it closes the connection, which cancels it.
pub(super) struct Stream {
    dialect: Dialect,
    lines: Lines<BufReader<ureq::BodyReader<'static>>>,
    asked: Instant,
}

/// One event of a stream, in either dialect.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event {
    /// The next piece of the answer.
    pub(super) text: String,
    /// On the last event.
    pub(super) counts: Option<Counts>,
}

impl Endpoint {
    /// slmd at this address, with this model.
    pub(super) fn slm(base: &str, model: &str) -> Self {
        let model = model.to_owned();
        Self::new(base, Dialect::Slm { model })
    }

    /// slmd at this address, with this model, through OpenAI's dialect.
    pub(super) fn openai(base: &str, model: &str) -> Self {
        let model = model.to_owned();
        Self::new(base, Dialect::OpenAi { model })
    }

    /// llama.cpp's server at this address.
    pub(super) fn llama_server(base: &str) -> Self {
        Self::new(base, Dialect::LlamaServer { model: None })
    }

    /// llama.cpp's server as the router of several models, with this one.
    pub(super) fn llama_router(base: &str, model: &str) -> Self {
        let model = Some(model.to_owned());
        Self::new(base, Dialect::LlamaServer { model })
    }

    fn new(base: &str, dialect: Dialect) -> Self {
        Self {
            agent: agent(),
            base: base.to_owned(),
            dialect,
        }
    }

    /// Sends a request, and reads the stream to its end.
    ///
    /// # Errors
    /// The server refused, said nothing, or the stream was cut.
    pub(super) fn ask(&self, question: &Question) -> Result<Answer> {
        let mut stream = self.open(question)?;
        let (mut pieces, mut text) = (Vec::new(), String::new());
        loop {
            let event = stream.next()?;
            if !event.text.is_empty() {
                pieces.push(Instant::now());
                text.push_str(&event.text);
            }
            if let Some(counts) = event.counts {
                ensure!(!pieces.is_empty(), "{} answered nothing", self.base);
                return Ok(Answer {
                    asked: stream.asked,
                    pieces,
                    ended: Instant::now(),
                    counts,
                    text,
                });
            }
        }
    }

    /// Sends a request, and returns the stream.
    ///
    /// # Errors
    /// The server refused.
    pub(super) fn open(&self, question: &Question) -> Result<Stream> {
        let (path, body) = self.dialect.request(question);
        let url = format!("{}{path}", self.base);
        let asked = Instant::now();
        let response = self
            .agent
            .post(&url)
            .header("content-type", "application/json")
            .send(body.to_string())
            .with_context(|| format!("no answer from {url}"))?;
        Ok(Stream {
            dialect: self.dialect.clone(),
            lines: BufReader::new(response.into_body().into_reader()).lines(),
            asked,
        })
    }
}

impl Stream {
    /// Waits for the next event with content.
    ///
    /// # Errors
    /// The stream was cut, or carries an error.
    pub(super) fn next(&mut self) -> Result<Event> {
        loop {
            let Some(line) = self.lines.next() else {
                bail!("the stream ended without its last event");
            };
            let event = self.dialect.event(&line.context("the stream broke off")?)?;
            if event != Event::default() {
                return Ok(event);
            }
        }
    }
}

/// A client with a timeout.
pub(super) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .build()
        .into()
}

impl Dialect {
    fn request(&self, question: &Question) -> (&'static str, Value) {
        match self {
            Self::Slm { model } => {
                let mut options = Map::new();
                options.insert("temperature".to_owned(), json!(0));
                options.insert("repeat_penalty".to_owned(), json!(1.0));
                options.insert("num_predict".to_owned(), json!(question.tokens));
                if let Some(settings) = question.settings {
                    options.insert("num_thread".to_owned(), json!(settings.threads));
                    options.insert("num_ctx".to_owned(), json!(settings.context));
                }
                (
                    "/api/generate",
                    json!({
                        "model": model,
                        "prompt": question.prompt,
                        "raw": true,
                        "truncate": false,
                        // The model stays loaded while the other side computes.
                        "keep_alive": "30m",
                        "options": options,
                    }),
                )
            }
            // Threads and context have no field in this dialect.
            Self::OpenAi { model } => (
                "/v1/completions",
                json!({
                    "model": model,
                    "prompt": question.prompt,
                    "stream": true,
                    "stream_options": {"include_usage": true},
                    "temperature": 0,
                    "max_tokens": question.tokens,
                    "repeat_penalty": 1.0,
                }),
            ),
            Self::LlamaServer { model } => {
                let mut body = json!({
                    "prompt": question.prompt,
                    "stream": true,
                    "temperature": 0,
                    "n_predict": question.tokens,
                    "repeat_penalty": 1.0,
                    "cache_prompt": question.remember,
                });
                if let Some(model) = model {
                    body["model"] = json!(model);
                }
                ("/completion", body)
            }
        }
    }

    fn event(&self, line: &str) -> Result<Event> {
        let text = match self {
            Self::Slm { .. } => line,
            // Server-sent events: empty lines and comments lie between the data.
            Self::OpenAi { .. } | Self::LlamaServer { .. } => {
                line.strip_prefix("data: ").unwrap_or_default()
            }
        };
        if text.is_empty() || text == "[DONE]" {
            return Ok(Event::default());
        }
        let value: Value =
            serde_json::from_str(text).with_context(|| format!("`{text}` is no JSON"))?;
        ensure!(
            value.get("error").is_none(),
            "the server failed: {}",
            value["error"]
        );
        let (piece, done) = match self {
            Self::Slm { .. } => (&value["response"], value["done"] == true),
            Self::OpenAi { .. } => (&value["choices"][0]["text"], value["usage"].is_object()),
            Self::LlamaServer { .. } => (&value["content"], value["stop"] == true),
        };
        let counts = done.then(|| self.counts(&value)).transpose()?;
        Ok(Event {
            text: piece.as_str().unwrap_or_default().to_owned(),
            counts,
        })
    }

    fn counts(&self, last: &Value) -> Result<Counts> {
        let (prompt, answer, cached) = match self {
            Self::Slm { .. } => (
                &last["prompt_eval_count"],
                &last["eval_count"],
                &last["cached_tokens"],
            ),
            Self::OpenAi { .. } => (
                &last["usage"]["prompt_tokens"],
                &last["usage"]["completion_tokens"],
                &last["usage"]["prompt_tokens_details"]["cached_tokens"],
            ),
            Self::LlamaServer { .. } => (
                &last["tokens_evaluated"],
                &last["tokens_predicted"],
                &last["timings"]["cache_n"],
            ),
        };
        Ok(Counts {
            prompt: count(prompt)?,
            answer: count(answer)?,
            // A server without a cache may omit this.
            cached: count(cached).unwrap_or(0),
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

    fn ours() -> Dialect {
        Dialect::Slm {
            model: "tiny".to_owned(),
        }
    }

    #[test]
    fn both_dialects_give_the_same_events() -> Result<()> {
        let theirs = Dialect::LlamaServer { model: None };
        let piece = Event {
            text: "blue".to_owned(),
            counts: None,
        };
        assert_eq!(ours().event(r#"{"response":"blue","done":false}"#)?, piece);
        assert_eq!(
            theirs.event(r#"data: {"content":"blue","stop":false}"#)?,
            piece
        );
        assert_eq!(theirs.event("")?, Event::default());
        let last = Event {
            text: String::new(),
            counts: Some(Counts {
                prompt: 7,
                answer: 128,
                cached: 5,
            }),
        };
        assert_eq!(
            ours().event(r#"{"response":"","done":true,"prompt_eval_count":7,"eval_count":128,"cached_tokens":5}"#)?,
            last
        );
        assert_eq!(
            theirs.event(
                r#"data: {"content":"","stop":true,"tokens_evaluated":7,"tokens_predicted":128,"timings":{"cache_n":5}}"#
            )?,
            last
        );
        Ok(())
    }

    #[test]
    fn the_counts_of_openai_come_after_the_text() -> Result<()> {
        let openai = Dialect::OpenAi {
            model: "tiny".to_owned(),
        };
        let piece = openai.event(r#"data: {"choices":[{"text":"blue"}],"usage":null}"#)?;
        assert_eq!((piece.text.as_str(), piece.counts), ("blue", None));
        let last = openai.event(
            r#"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":128,"prompt_tokens_details":{"cached_tokens":5}}}"#,
        )?;
        let counts = Counts {
            prompt: 7,
            answer: 128,
            cached: 5,
        };
        assert_eq!(last.counts, Some(counts));
        assert_eq!(openai.event("data: [DONE]")?, Event::default());
        assert_eq!(openai.event(": waiting")?, Event::default());
        Ok(())
    }

    #[test]
    fn an_error_in_the_stream_is_an_error() {
        let error = ours()
            .event(r#"{"error":"no such model"}"#)
            .expect_err("the server failed");
        assert_eq!(error.to_string(), "the server failed: \"no such model\"");
    }

    #[test]
    fn a_last_event_without_counts_is_an_error() {
        let error = ours()
            .event(r#"{"response":"","done":true}"#)
            .expect_err("it must count");
        assert!(error.to_string().contains("number of tokens"), "{error}");
    }

    #[test]
    fn nothing_is_set_unless_the_question_says_so() {
        let mut question = Question {
            prompt: "a".to_owned(),
            tokens: 8,
            remember: false,
            settings: None,
        };
        let (_, body) = ours().request(&question);
        assert!(body["options"].get("num_ctx").is_none());
        assert!(body["options"].get("num_thread").is_none());
        question.settings = Some(Settings {
            threads: 2,
            context: 2048,
        });
        let (_, body) = ours().request(&question);
        assert_eq!(body["options"]["num_ctx"], 2048);
        assert_eq!(body["options"]["num_thread"], 2);
    }
}

//! Shows the answer of a model while it comes.

use api::{ChatEvent, DoneReason, GenerateEvent, Message, Timings};

use crate::client::{Error, Event, Events};
use crate::interrupt::ctrl_c;
use crate::output::{Output, Wrap, clean};

/// Columns when the terminal does not say how many it has.
const DEFAULT_WIDTH: usize = 80;

/// An event that carries a piece of an answer.
pub(crate) trait Piece: Event + serde::Serialize {
    /// More of the answer.
    fn text(&self) -> &str;
    /// More of what the model thinks before it answers.
    fn thinking(&self) -> &str;
    /// Why it ends here, on the last event.
    fn done_reason(&self) -> Option<DoneReason>;
    /// What it took, on the last event.
    fn timings(&self) -> Option<&Timings>;
}

impl Piece for ChatEvent {
    fn text(&self) -> &str {
        &self.message.content
    }

    fn thinking(&self) -> &str {
        self.message.thinking.as_deref().unwrap_or_default()
    }

    fn done_reason(&self) -> Option<DoneReason> {
        self.done_reason
    }

    fn timings(&self) -> Option<&Timings> {
        self.timings.as_ref()
    }
}

impl Piece for GenerateEvent {
    fn text(&self) -> &str {
        &self.response
    }

    fn thinking(&self) -> &str {
        self.thinking.as_deref().unwrap_or_default()
    }

    fn done_reason(&self) -> Option<DoneReason> {
        self.done_reason
    }

    fn timings(&self) -> Option<&Timings> {
        self.timings.as_ref()
    }
}

/// One answer on its way to standard output.
///
/// On a terminal it is cleaned and wrapped; in a file or a pipe it is what the model said; with
/// `--json` it is the daemon's events.
#[derive(Debug)]
pub(crate) struct Answer {
    out: Output,
    wrap: Option<Wrap>,
    /// The answer so far, as the model said it.
    text: String,
    /// What the model thought before.
    thinking_text: String,
    shows_thinking: bool,
    /// Thoughts stand on the line.
    in_thinking: bool,
    /// What is said until the first piece comes.
    waiting: String,
}

impl Answer {
    /// Nothing yet.
    pub(crate) fn new(out: Output, word_wrap: bool) -> Self {
        let wrap = (out.is_terminal() && word_wrap)
            .then(|| Wrap::new(out.width().unwrap_or(DEFAULT_WIDTH)));
        Self {
            out,
            wrap,
            text: String::new(),
            thinking_text: String::new(),
            shows_thinking: true,
            in_thinking: false,
            waiting: String::new(),
        }
    }

    /// The same, with the model's thoughts kept from the terminal.
    pub(crate) fn hide_thinking(mut self, hide: bool) -> Self {
        self.shows_thinking = !hide;
        self
    }

    /// The same, with words for the time until the first piece comes.
    pub(crate) fn waiting(mut self, words: String) -> Self {
        self.waiting = words;
        self
    }

    /// Shows the whole answer, returns what it took.
    pub(crate) async fn receive<T: Piece>(
        &mut self,
        asked: impl Future<Output = Result<Events<T>, Error>>,
    ) -> anyhow::Result<Timings> {
        // Until the first piece comes, a model may be loading, which takes its time.
        let mut spinner = Some(self.out.spinner(&self.waiting));
        let mut events = asked.await?;
        loop {
            let event = match events.next().await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(Timings::default()),
                Err(error) => {
                    drop(spinner);
                    self.end()?;
                    return Err(error.into());
                }
            };
            if !event.text().is_empty() || !event.thinking().is_empty() || event.is_last() {
                spinner = None;
            }
            self.show(&event)?;
            if event.is_last() {
                self.end()?;
                let timings = event.timings().copied().unwrap_or_default();
                self.warn_of_limits(event.done_reason(), &timings);
                return Ok(timings);
            }
        }
    }

    /// The same, but Ctrl-C ends it: then there are no timings, and what came so far is kept.
    pub(crate) async fn receive_until_ctrl_c<T: Piece>(
        &mut self,
        asked: impl Future<Output = Result<Events<T>, Error>>,
    ) -> anyhow::Result<Option<Timings>> {
        let received = tokio::select! {
            biased;
            received = self.receive(asked) => Some(received),
            () = ctrl_c() => None,
        };
        match received {
            Some(received) => received.map(Some),
            None => {
                self.end()?;
                Ok(None)
            }
        }
    }

    /// The answer so far, as the model said it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What was said, as the assistant's part of a conversation. What it thought belongs to it.
    pub(crate) fn to_message(&self) -> Message {
        Message {
            thinking: (!self.thinking_text.is_empty()).then(|| self.thinking_text.clone()),
            ..message("assistant", &self.text)
        }
    }

    fn show<T: Piece>(&mut self, event: &T) -> anyhow::Result<()> {
        self.text.push_str(event.text());
        self.thinking_text.push_str(event.thinking());
        if self.out.json() {
            return self.out.json_line(event);
        }
        if !event.thinking().is_empty() && self.shows_thinking && self.out.is_terminal() {
            self.in_thinking = true;
            self.out.print(&self.out.aside(&clean(event.thinking())))?;
        }
        if event.text().is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.in_thinking) {
            self.out.print("\n\n")?;
        }
        if !self.out.is_terminal() {
            return self.out.print(event.text());
        }
        let text = clean(event.text());
        match &mut self.wrap {
            Some(wrap) => self.out.print(&wrap.push(&text)),
            None => self.out.print(&text),
        }
    }

    /// Ends the line of an answer that was called off, on a terminal, where a prompt comes next.
    pub(crate) fn leave(&self) -> anyhow::Result<()> {
        let is_open = self.in_thinking || !(self.text.is_empty() || self.text.ends_with('\n'));
        if is_open && self.out.is_terminal() {
            self.out.print("\n")?;
        }
        Ok(())
    }

    /// Prints what was held back, and ends the line.
    fn end(&mut self) -> anyhow::Result<()> {
        // Thoughts without an answer, as when it was cut, end their line too.
        if std::mem::take(&mut self.in_thinking) {
            return self.out.print("\n");
        }
        if self.out.json() || self.text.is_empty() {
            return Ok(());
        }
        if let Some(wrap) = &mut self.wrap {
            self.out.print(&wrap.finish())?;
        }
        if !self.text.ends_with('\n') {
            self.out.print("\n")?;
        }
        Ok(())
    }

    /// Says what is not as one might think: nothing is cut in silence.
    fn warn_of_limits(&self, reason: Option<DoneReason>, timings: &Timings) {
        if timings.truncated_messages > 0 {
            self.out.warn(&format!(
                "the oldest {} messages did not fit into the context and were left out",
                timings.truncated_messages
            ));
        }
        if timings.truncated_tokens > 0 {
            self.out.warn(&format!(
                "{} tokens of the prompt did not fit into the context and were left out",
                timings.truncated_tokens
            ));
        }
        if reason == Some(DoneReason::Length) {
            self.out.note(ENDED_AT_A_LIMIT);
        }
    }
}

/// The daemon gives one reason for both limits.
const ENDED_AT_A_LIMIT: &str =
    "(the answer ended at its limit of tokens: num_predict, or the context (num_ctx) is full)";

/// A message with a role and a text.
pub(crate) fn message(role: &str, content: &str) -> Message {
    Message {
        role: role.to_owned(),
        content: content.to_owned(),
        ..Message::default()
    }
}

//! Shows an answer while it streams.

use api::{ChatEvent, DoneReason, GenerateEvent, Message, Timings};

use crate::client::{Error, Event, Events};
use crate::interrupt::ctrl_c;
use crate::output::{Output, Wrap, clean};

/// Columns of a terminal that does not tell its width.
const DEFAULT_WIDTH: usize = 80;

/// An event that carries a piece of an answer.
pub(crate) trait Piece: Event + serde::Serialize {
    /// The next piece of the answer.
    fn text(&self) -> &str;
    /// The next piece of thinking.
    fn thinking(&self) -> &str;
    /// Why the answer ended, on the last event.
    fn done_reason(&self) -> Option<DoneReason>;
    /// Durations and counts, on the last event.
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
/// A terminal gets it cleaned and wrapped, a file or a pipe gets it verbatim, and with `--json` the
/// output is the daemon's events.
#[derive(Debug)]
pub(crate) struct Answer {
    out: Output,
    wrap: Option<Wrap>,
    /// The answer so far, verbatim.
    text: String,
    /// The thinking so far.
    thinking_text: String,
    shows_thinking: bool,
    /// Whether the current line shows thinking.
    in_thinking: bool,
    /// The spinner's text until the first piece comes.
    waiting: String,
}

impl Answer {
    /// An empty answer.
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

    /// Hides the model's thinking from the terminal.
    pub(crate) fn hide_thinking(mut self, hide: bool) -> Self {
        self.shows_thinking = !hide;
        self
    }

    /// Sets the spinner's text until the first piece comes.
    pub(crate) fn waiting(mut self, words: String) -> Self {
        self.waiting = words;
        self
    }

    /// Shows the whole answer and returns its timings.
    pub(crate) async fn receive<T: Piece>(
        &mut self,
        asked: impl Future<Output = Result<Events<T>, Error>>,
    ) -> anyhow::Result<Timings> {
        // Before the first piece the model may have to load, which takes time.
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

    /// As [`receive`](Self::receive), but Ctrl-C ends it: the result is `None`, and the text so far is kept.
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

    /// The answer so far, verbatim.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The answer as a message of the assistant, with its thinking.
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

    /// Ends the line of a cancelled answer on a terminal, where the shell's prompt follows.
    pub(crate) fn leave(&self) -> anyhow::Result<()> {
        let is_open = self.in_thinking || !(self.text.is_empty() || self.text.ends_with('\n'));
        if is_open && self.out.is_terminal() {
            self.out.print("\n")?;
        }
        Ok(())
    }

    /// Prints the text that was held back, and ends the line.
    fn end(&mut self) -> anyhow::Result<()> {
        // Thinking without an answer, as in a cut one, ends its line too.
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

    /// Reports a cut prompt and an answer that reached a limit: nothing is cut in silence.
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

/// The daemon reports one reason for both limits.
const ENDED_AT_A_LIMIT: &str =
    "(the answer reached its limit of tokens: num_predict, or the context (num_ctx) is full)";

/// A message with a role and a text.
pub(crate) fn message(role: &str, content: &str) -> Message {
    Message {
        role: role.to_owned(),
        content: content.to_owned(),
        ..Message::default()
    }
}

//! The thread that turns requests into sequences, while the engine computes others.
//!
//! It tokenizes, compiles grammars and composes prompts with images, which may take seconds for a long text or a large schema.
//! It also answers `tokenize` and `detokenize`.

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{
    Constraint as Wanted, Detokenize, Event, Generate, Overflow, Prompt, Rendered, Tokenize,
};

use super::{
    images::{self, RequestImages},
    sequence::Sequence,
};

use crate::{
    answer::{Answer, format::Applied, report::Report, text::Stops},
    constraint::{Constraint, compilers::Compilers},
    error::Error,
    images::{PlacedImages, cells::is_cell},
    inbox, load,
    model::{Model, Special, adapters::AdapterScales},
    outbox::Outbox,
    prompt::{self, length::Length, marks},
    sampler::{Chooser, Rules},
    schedule::clock::Clock,
    speculation::Drafting,
    system::worker::Worker,
};

/// Most tokens that are turned into text at once: the largest context.
const MAX_DETOKENIZED: usize = runner_protocol::MAX_CONTEXT as usize;

/// Bytes at the beginning of a text that decide whether a beginning-of-sequence token is added.
const LONGEST_BEGINNING: usize = 256;

/// The engine's side.
pub(crate) type Preparer = Worker<Job>;

/// A job for the thread.
#[derive(Debug)]
pub(crate) enum Job {
    /// The tokens of a text.
    Tokenize {
        /// Id of the request.
        id: u64,
        /// What it says.
        tokenize: Tokenize,
    },
    /// The text of tokens.
    Detokenize {
        /// Id of the request.
        id: u64,
        /// What it says.
        detokenize: Detokenize,
    },
    /// A sequence.
    Sequence(Box<Unprepared>),
}

/// A request that is to become a sequence.
#[derive(Debug)]
pub(crate) struct Unprepared {
    /// Id of the request.
    pub(crate) id: u64,
    /// What it says.
    pub(crate) generate: Box<Generate>,
    /// Its rendered conversation, if it has one.
    pub(crate) applied: Option<Applied>,
    /// Its encoded images.
    pub(crate) encoded: Option<RequestImages>,
    /// Its adapters' scales.
    pub(crate) scales: AdapterScales,
    /// When it came.
    pub(crate) clock: Clock,
}

/// The result for a request.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Id of the request.
    pub(crate) id: u64,
    /// The sequence, or what is wrong with the request.
    pub(crate) sequence: Result<Box<Sequence>, Error>,
}

impl Job {
    /// About how many bytes it takes, without encoded images: these have a bound of their own.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Tokenize { tokenize, .. } => tokenize.text.len(),
            Self::Detokenize { detokenize, .. } => size_of_val(detokenize.tokens.as_slice()),
            Self::Sequence(request) => {
                let rendered = request.applied.as_ref();
                let rendered = rendered.map_or(0, |applied| applied.prompt.len());
                rendered + inbox::generate(&request.generate)
            }
        }
    }
}

/// The thread's side.
#[derive(Debug)]
pub(crate) struct Preparation<'m, D> {
    model: &'m Model,
    /// Tokens that fit the context.
    cells: usize,
    compilers: Compilers,
    outbox: Outbox,
    /// Takes sequences.
    done: D,
}

impl<'m, D: Fn(Prepared)> Preparation<'m, D> {
    /// Prepares requests for a context of so many cells. `done` takes sequences; other answers go to `outbox`.
    pub(crate) fn new(model: &'m Model, cells: usize, outbox: Outbox, done: D) -> Self {
        Self {
            model,
            cells,
            compilers: Compilers::default(),
            outbox,
            done,
        }
    }

    /// Does one job.
    pub(crate) fn work(&mut self, job: Job) {
        let (id, answer) = match job {
            Job::Tokenize { id, tokenize } => (id, self.tokenize(&tokenize)),
            Job::Detokenize { id, detokenize } => (id, self.detokenize(&detokenize)),
            Job::Sequence(request) => {
                let id = request.id;
                let sequence = self.sequence(*request).map(Box::new);
                return (self.done)(Prepared { id, sequence });
            }
        };
        match answer {
            Ok(event) => self.outbox.send(id, event),
            Err(error) => self.outbox.fail(id, error),
        }
    }

    fn tokenize(
        &self,
        Tokenize {
            text,
            add_special,
            parse_special,
            literal,
        }: &Tokenize,
    ) -> Result<Event, Error> {
        let special = match (*parse_special, literal.is_empty()) {
            (true, false) => {
                let rendered = Rendered {
                    text: text.clone(),
                    literal: literal.clone(),
                };
                let (text, mark) = marks::marked_text(&rendered, &self.model.controls)?;
                return self.tokens(&text, Special::of(mark), *add_special);
            }
            (parse, _) => Special::parsed(parse),
        };
        self.tokens(text, special, *add_special)
    }

    fn tokens(&self, text: &str, special: Special, begin: bool) -> Result<Event, Error> {
        Length::new(self.cells, self.model.longest_piece()).check(text, self.counter(special))?;
        let tokens = self.model.tokenize(text, special, begin);
        let tokens = tokens.into_iter().map(|token| token.0).collect();
        Ok(Event::Tokens(tokens))
    }

    fn detokenize(&self, Detokenize { tokens }: &Detokenize) -> Result<Event, Error> {
        if tokens.len() > MAX_DETOKENIZED {
            return Err(Error::Invalid(format!(
                "{} tokens are more than {MAX_DETOKENIZED}",
                tokens.len()
            )));
        }
        let tokens = self.model.checked(tokens)?;
        Ok(Event::Text(self.model.detokenize(&tokens)))
    }

    /// Counts tokens of a part of a text.
    fn counter(&self, special: Special) -> impl Fn(&str) -> usize {
        move |part| self.model.tokenize(part, special, false).len()
    }

    /// Tokens that tokenizing adds before a text.
    fn begun(&self, text: &str, special: Special) -> usize {
        // None before a text that begins with that token.
        let beginning = &text[..text.floor_char_boundary(LONGEST_BEGINNING)];
        let count = |begin| self.model.tokenize(beginning, special, begin).len();
        count(true) - count(false)
    }

    /// Turns a prompt into tokens, for a context of so many cells.
    fn prompt(
        &self,
        prompt: Prompt,
        applied: Option<&mut Applied>,
        cells: usize,
        overflow: Overflow,
        encoded: Option<&RequestImages>,
    ) -> Result<Tokenized, Error> {
        let (text, special) = match prompt {
            Prompt::Tokens(_) if encoded.is_some() => {
                let error = "a prompt of tokens has no places for images";
                return Err(Error::Invalid(error.into()));
            }
            Prompt::Tokens(tokens) => {
                return Ok(Tokenized {
                    tokens: self.model.checked(&tokens)?,
                    ..Tokenized::default()
                });
            }
            Prompt::Text { text, special } => (text, Special::parsed(special)),
            Prompt::Rendered(rendered) => {
                let (text, mark) = marks::marked_text(&rendered, &self.model.controls)?;
                (text, Special::of(mark))
            }
            Prompt::Chat(_) => {
                let unwritten = || Error::Internal("a conversation was not rendered".into());
                let applied = applied.ok_or_else(unwritten)?;
                let text = std::mem::take(&mut applied.prompt);
                (text, Special::of(applied.mark))
            }
        };
        let count = self.counter(special);
        let length = Length::new(cells, self.model.longest_piece());
        let (text, cut) = match (length.check(&text, &count), overflow) {
            (Ok(()), _) => (text, 0),
            (Err(_), Overflow::Refuse) => {
                let refusal = length.refuse(&text, count);
                return Err(refusal.with_more(self.begun(&text, special)));
            }
            (Err(_), Overflow::Truncate { keep }) => {
                let cut = length.cut(&text, keep as usize, count);
                let cut = cut.map_err(|error| error.with_more(self.begun(&text, special)))?;
                (cut.text, cut.tokens)
            }
        };
        let tokenize = |text: &str, begin| self.model.tokenize(text, special, begin);
        let (tokens, placed_images) = match encoded {
            Some(encoded) => encoded.compose(&text, tokenize)?,
            None => (tokenize(&text, true), PlacedImages::default()),
        };
        Ok(Tokenized {
            tokens,
            placed_images,
            cut,
        })
    }

    /// The parser of the answer.
    fn answer(&self, applied: Option<&Applied>, stops: Stops) -> Result<Answer, Error> {
        let Some((applied, form)) =
            applied.and_then(|applied| Some((applied, applied.form.clone()?)))
        else {
            return Ok(Answer::of_text(stops));
        };
        let spelled = self.model.single_tokens(&form.preserved);
        Answer::in_form(form, applied.beginning(), stops, spelled.into())
    }

    /// Turns a request into a sequence that fits, or says what is wrong with it.
    fn sequence(
        &mut self,
        Unprepared {
            id,
            generate,
            mut applied,
            encoded,
            scales,
            clock,
        }: Unprepared,
    ) -> Result<Sequence, Error> {
        let Generate {
            prompt,
            sampling,
            max_tokens,
            context,
            deterministic,
            stop,
            overflow,
            adapters: _,
            constraint,
            logprobs,
            read_as: _,
            draft,
            images: _,
        } = *generate;
        let encoded = encoded.as_ref();
        let cells = load::held(context, self.cells)?;
        // An image cannot be cut.
        let overflow = encoded.map_or(overflow, |_| Overflow::Refuse);
        let stops = Stops::new(stop)?;
        let is_chat = matches!(prompt, Prompt::Chat(_));
        let Tokenized {
            tokens,
            placed_images,
            cut,
        } = self.prompt(prompt, applied.as_mut(), cells, overflow, encoded)?;
        if !is_chat {
            let tail = self.model.detokenize(images::tail(&tokens));
            applied = applied.map(|applied| applied.behind(&tail));
        }
        let anchored = usize::from(
            tokens
                .first()
                .is_some_and(|&first| self.model.begins(first)),
        );
        let wanted = max_tokens.map(|tokens| tokens as usize);
        let fitted = prompt::fit(tokens, cells, wanted, overflow, anchored)
            .map_err(|error| error.with_more(cut))?;
        let constraint = constraint.map(|mut constraint| {
            match applied.as_ref().and_then(Applied::open_thought) {
                // The thought goes first, and is free.
                Some(end) if constraint.after.is_none() => constraint.after = Some(end),
                Some(_) => {}
                // A constrained answer has none of the format's markup.
                None => applied = None,
            }
            constraint
        });
        let text = fitted.tokens.iter().copied();
        let text: Vec<LlamaToken> = text.filter(|token| !is_cell(*token)).collect();
        let rules = Rules {
            sampling: &sampling,
            logprobs,
            constraint: match &constraint {
                Some(wanted) => Some(self.constraint(wanted)?),
                None => self.constraint_of_calls(applied.as_ref())?,
            },
            context: cells,
            prompt: &text,
        };
        Ok(Sequence {
            id,
            prompt: fitted.tokens.len(),
            reused: 0,
            scales,
            max_tokens: wanted.unwrap_or(usize::MAX),
            cells,
            alone: deterministic,
            truncated: cut + fitted.cut,
            chooser: Chooser::new(rules, self.model)?,
            drafting: Drafting::new(if deterministic { Some(0) } else { draft }),
            answer: self.answer(applied.as_ref(), stops)?,
            report: Report::default(),
            tokens: fitted.tokens,
            placed_images,
            clock,
        })
    }

    fn constraint(&mut self, wanted: &Wanted) -> Result<Constraint, Error> {
        Constraint::new(self.compilers.plain(self.model)?, wanted)
    }

    /// The constraint of an answer that may call tools, or must.
    fn constraint_of_calls(
        &mut self,
        applied: Option<&Applied>,
    ) -> Result<Option<Constraint>, Error> {
        let Some(applied) = applied else {
            return Ok(None);
        };
        let Some((form, grammar)) = applied
            .form
            .as_ref()
            .and_then(|form| Some((form, form.grammar.as_ref()?)))
        else {
            return Ok(None);
        };
        let markup = self.model.single_tokens(&form.preserved);
        let compiler = self.compilers.of_calls(self.model, &markup)?;
        let begun = &applied.generation_prompt;
        let thinking = applied.open_thought().is_some();
        match Constraint::of_calls(compiler, grammar, &form.thinking, begun, thinking) {
            Err(error) if !grammar.triggers.is_empty() => {
                tracing::warn!(%error, "calls of these tools are read, but not held to their form");
                Ok(None)
            }
            held => held,
        }
    }
}

/// A prompt as tokens.
#[derive(Debug, Default)]
struct Tokenized {
    /// May still be too many.
    tokens: Vec<LlamaToken>,
    /// The images among them.
    placed_images: PlacedImages,
    /// How many tokens at least were cut out of a text that is far too long.
    cut: usize,
}

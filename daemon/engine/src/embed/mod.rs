//! The engine thread of a model that turns texts into vectors, or judges pairs of texts, instead of writing.
//!
//! ```text
//! loop: take in what has arrived ─► fill a batch with whole texts of all requests in turn ─► decode it ─► hand out results
//! ```
//! Such a model needs every token of a text at once, so a text is never split, and the longest one that fits a batch is the longest it reads.
//! Short texts of any number of requests share a batch; nothing is remembered from one batch to the next.

mod job;
mod texts;
mod wordpiece;

use std::{collections::VecDeque, sync::Arc};

use runner_protocol::{
    Call, Embed, Embeddings, Event, Load, MAX_INPUTS, Request, Rerank, Scores, Stats,
};

use crate::{
    error::Error,
    ffi::{
        self,
        context::{Batch, DecodeError},
        pooled::{Pooled, Pooling, Settings},
    },
    inbox::{Inbox, Mail},
    load,
    model::Model,
    outbox::{Outbox, count},
    schedule::interrupt::Interrupt,
    system::memory,
};

use self::{
    job::{Job, Task},
    texts::Texts,
};

/// Tokens of short texts that share a batch. More of them read the weights less often, and have others wait longer for their turn.
const SHARED_TOKENS: usize = 512;

/// Texts that share a batch.
const SHARED_TEXTS: u32 = 64;

/// Longest text in tokens, whatever the model says: the buffers to compute in grow with it.
const LONGEST: u32 = 8192;

/// Most numbers in a vector: with these, all vectors of one call fit a frame.
const WIDEST: usize = 16_384;

/// Most requests that wait; the inbox in front of it is bounded too.
const MAX_JOBS: usize = 1024;

/// Most tokens that wait.
const MAX_TOKENS: usize = 16 << 20;

/// A loaded model and everyone it works for.
pub(crate) struct Embedder<'m> {
    pooling: Pooling,
    context: Pooled<'m>,
    interrupt: Arc<Interrupt>,
    texts: Texts<'m>,
    /// Used again for each step.
    batch: Batch,
    /// Oldest first.
    jobs: VecDeque<Job>,
    outbox: Outbox,
}

impl<'m> Embedder<'m> {
    /// Makes the context.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what goes with writing only; [`Error::Internal`] with llama.cpp's reason.
    pub(crate) fn new(
        model: &'m Model,
        pooling: Pooling,
        load: &Load,
        interrupt: Arc<Interrupt>,
        outbox: Outbox,
    ) -> Result<Self, Error> {
        if !load.adapters.is_empty() {
            return Err(Error::Unsupported(
                "adapters of models that embed or rank are not supported".into(),
            ));
        }
        // Beyond what it was trained with, such a model has no positions at all.
        let trained = match model.trained_context() {
            0 => LONGEST,
            trained => trained,
        };
        let longest = load.settings.context.min(trained).min(LONGEST);
        let settings = Settings {
            batch: longest.max(SHARED_TOKENS as u32),
            texts: SHARED_TEXTS,
            threads: load::threads(load),
            pooling,
        };
        ffi::log::take_first_error();
        let context = Pooled::new(&model.llama, settings, interrupt.flag())
            .ok_or_else(|| Error::Internal(load::native_reason()))?;
        let width = context.width();
        if !(1..=WIDEST).contains(&width) {
            return Err(Error::Unsupported(format!(
                "its vectors have {width} numbers, and 1 to {WIDEST} are possible"
            )));
        }
        let longest = context.batch().min(longest as usize);
        Ok(Self {
            pooling,
            texts: Texts::new(model, longest)?,
            context,
            interrupt,
            batch: Batch::new(),
            jobs: VecDeque::new(),
            outbox,
        })
    }

    /// Most tokens of one text.
    pub(crate) fn longest(&self) -> usize {
        self.texts.longest()
    }

    /// Answers until there are no more requests.
    pub(crate) fn run<F>(mut self, inbox: &Inbox<F>) {
        loop {
            // Without work there is nothing to do but wait.
            if self.jobs.is_empty() {
                match inbox.wait() {
                    Some(mail) => self.open(mail),
                    None => return,
                }
            }
            while let Some(mail) = inbox.next() {
                self.open(mail);
            }
            self.step(inbox);
        }
    }

    fn open<F>(&mut self, mail: Mail<F>) {
        // No other thread works for a model that makes vectors.
        if let Mail::Request(request) = mail {
            self.accept(request);
        }
    }

    fn accept(&mut self, Request { id, call }: Request) {
        let answer = match call {
            Call::Load(_) => Err(Error::Invalid(
                "a model is loaded already; a runner loads one".into(),
            )),
            Call::Embed(embed) => match self.embed(id, embed) {
                Ok(job) => return self.enqueue(job),
                Err(error) => Err(error),
            },
            Call::Rerank(rerank) => match self.rerank(id, &rerank) {
                Ok(job) => return self.enqueue(job),
                Err(error) => Err(error),
            },
            Call::Generate(_) | Call::Template(_) => Err(Error::Invalid(
                "this model does not generate text; it is made for embedding or reranking".into(),
            )),
            Call::Tokenize(tokenize) => self.texts.tokens(&tokenize).map(Event::Tokens),
            Call::Detokenize(detokenize) => self.texts.text(&detokenize.tokens).map(Event::Text),
            Call::Stats => Ok(Event::Stats(self.stats())),
            // What was read is not kept, so there is nothing to save.
            Call::HandOut(_) => Ok(Event::State(None)),
            Call::Recall(_) | Call::StatePart { .. } => {
                Err(Error::Invalid("this model has no states".into()))
            }
            Call::Cancel { target } => return self.cancel(target),
            // The main thread ends the process itself.
            Call::Shutdown => return,
        };
        match answer {
            Ok(event) => self.outbox.send(id, event),
            Err(error) => self.outbox.fail(id, error),
        }
    }

    fn embed(&self, id: u64, embed: Embed) -> Result<Job, Error> {
        let Embed {
            inputs,
            dimensions,
            normalize,
            truncate,
            context,
        } = embed;
        if self.pooling == Pooling::Rank {
            return Err(Error::Invalid(
                "this model ranks documents and gives no vectors; ask it to rerank".into(),
            ));
        }
        few_enough("inputs", inputs.len())?;
        let most = self.context.width();
        let width = dimensions.map_or(most, |wanted| wanted as usize);
        if !(1..=most).contains(&width) {
            return Err(Error::Invalid(format!(
                "dimensions is {width}, but the model's vectors have 1 to {most}"
            )));
        }
        let longest = load::held(context, self.texts.longest())?;
        let inputs = inputs.iter().enumerate();
        let inputs = inputs.map(|(at, input)| self.texts.input(at, input, longest, truncate));
        Ok(Job::new(
            id,
            Task::Embed { width, normalize },
            inputs.collect::<Result<_, _>>()?,
        ))
    }

    fn rerank(&self, id: u64, rerank: &Rerank) -> Result<Job, Error> {
        if self.pooling != Pooling::Rank {
            return Err(Error::Invalid(
                "this model gives vectors and does not rank documents; ask it to embed".into(),
            ));
        }
        few_enough("documents", rerank.documents.len())?;
        let pairs = self
            .texts
            .pairs(rerank, load::held(rerank.context, self.texts.longest())?)?;
        Ok(Job::new(id, Task::Rerank, pairs))
    }

    fn enqueue(&mut self, job: Job) {
        let waiting: usize = self.jobs.iter().map(Job::outstanding).sum();
        if self.jobs.len() >= MAX_JOBS || waiting + job.outstanding() > MAX_TOKENS {
            let jobs = self.jobs.len();
            return self.outbox.fail(job.id, Error::Busy(jobs));
        }
        self.jobs.push_back(job);
    }

    fn cancel(&mut self, target: u64) {
        if let Some(at) = self.jobs.iter().position(|job| job.id == target) {
            self.jobs.remove(at);
            self.outbox
                .fail(target, Error::Invalid("the request was cancelled".into()));
        }
    }

    fn stats(&self) -> Stats {
        let begun = self.jobs.iter().filter(|job| job.begun()).count();
        Stats {
            active: count(begun),
            waiting: count(self.jobs.len() - begun),
            cells_used: 0,
            resident_bytes: memory::resident(),
        }
    }

    /// One batch, and what follows from it.
    fn step<F>(&mut self, inbox: &Inbox<F>) {
        let shares = job::share(&self.jobs, SHARED_TOKENS, SHARED_TEXTS as usize);
        self.batch.clear();
        let mut text = 0;
        for (job, &share) in self.jobs.iter().zip(&shares) {
            for tokens in job.next(share) {
                for (at, &token) in tokens.iter().enumerate() {
                    self.batch.push(token, at, text, true);
                }
                text += 1;
            }
        }
        if self.batch.len() == 0 {
            return;
        }
        let readers = self.jobs.iter().zip(&shares);
        let readers = readers.filter(|(_, share)| **share > 0);
        self.interrupt
            .watch(readers.map(|(job, _)| job.id).collect());
        if inbox.has_mail() {
            return;
        }
        match self.context.decode(&mut self.batch) {
            Ok(()) => self.hand_out(&shares),
            // Whose cancel it was lies in the inbox; the others' texts are read again.
            Err(DecodeError::Stopped) => {}
            Err(error) => self.fail(&shares, error),
        }
    }

    /// Gives every job its results of the last batch, and ends complete jobs.
    fn hand_out(&mut self, shares: &[usize]) {
        let mut text = 0;
        for (job, &share) in self.jobs.iter_mut().zip(shares) {
            for _ in 0..share {
                job.take(self.context.result(text));
                text += 1;
            }
            if share > 0 && !job.over() {
                let (done, total) = job.progress();
                self.outbox.send(job.id, Event::Prefill { done, total });
            }
        }
        for at in (0..self.jobs.len()).rev() {
            if !self.jobs[at].over() {
                continue;
            }
            let job = self.jobs.remove(at).expect("counted just before");
            let (id, end) = (job.id, job.end());
            match end {
                Ok(event) => self.outbox.send(id, event),
                Err(error) => self.outbox.fail(id, error),
            }
        }
    }

    /// After a decode call that failed: ends all jobs with texts in it.
    fn fail(&mut self, shares: &[usize], error: DecodeError) {
        tracing::error!(%error, "a decode call failed");
        for at in (0..shares.len()).rev().filter(|&at| shares[at] > 0) {
            if let Some(job) = self.jobs.remove(at) {
                self.outbox.fail(job.id, Error::Internal(error.to_string()));
            }
        }
    }
}

fn few_enough(what: &str, found: usize) -> Result<(), Error> {
    if !(1..=MAX_INPUTS).contains(&found) {
        return Err(Error::Invalid(format!(
            "there are {found} {what}, and there may be 1 to {MAX_INPUTS}"
        )));
    }
    Ok(())
}

impl Task {
    /// The answer with these results.
    fn event(&self, results: Vec<Vec<f32>>, prompt_tokens: u32, truncated: u32) -> Event {
        match self {
            Self::Embed { .. } => Event::Embeddings(Embeddings {
                vectors: results,
                prompt_tokens,
                truncated,
            }),
            Self::Rerank => Event::Scores(Scores {
                // Of several judgements the first is how well a document fits.
                scores: results
                    .iter()
                    .filter_map(|it| it.first().copied())
                    .collect(),
                prompt_tokens,
                truncated,
            }),
        }
    }
}

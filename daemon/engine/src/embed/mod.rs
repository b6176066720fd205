//! The engine thread of a model that turns texts into vectors, or judges pairs of texts, instead of writing.
//!
//! ```text
//! loop: take in what has arrived ─► fill a batch with whole texts of all requests in turn ─► decode it ─► hand out results
//! ```
//! Such a model needs every token of a text at once, so a text is never split, and the longest one that fits a batch is the longest it reads.
//! Short texts of any number of requests share a batch, as far as they name the same adapters with the same scales; nothing is
//! remembered from one batch to the next.

mod job;
mod preparer;
mod texts;
mod wordpiece;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use runner_protocol::{Call, Embeddings, Event, Load, MemoryPart, Request, Scores, Stats};

use crate::{
    error::Error,
    ffi::{
        self,
        context::{Batch, DecodeError},
        pooled::{Pooled, Pooling, Settings},
    },
    inbox::{self, Inbox, Mail},
    load,
    model::{Model, adapters::Adapters},
    outbox::{Outbox, count},
    schedule::{interrupt::Interrupt, turns::Turns},
    system::{
        memory,
        worker::{MAX_JOBS, Ticket, Worker},
    },
};

use self::{
    job::{Job, Task},
    preparer::Preparation,
    texts::Texts,
};

pub(crate) use self::preparer::Prepared;

/// Tokens of short texts that share a batch. More of them read the weights less often, and have others wait longer for their turn.
const SHARED_TOKENS: usize = 512;

/// Texts that share a batch.
const SHARED_TEXTS: u32 = 64;

/// Longest text in tokens, whatever the model says: the buffers to compute in grow with it.
const LONGEST: u32 = 8192;

/// Most numbers in a vector: with these, all vectors of one call fit a frame.
const WIDEST: usize = 16_384;

/// Most tokens that wait.
const MAX_TOKENS: usize = 16 << 20;

/// A loaded model and everyone it works for.
pub(crate) struct Embedder<'m> {
    context: Pooled<'m>,
    interrupt: Arc<Interrupt>,
    /// Most tokens of one text.
    longest: usize,
    /// Tokenizes texts.
    preparer: Worker<Request>,
    /// Requests whose texts are tokenized, by their ids.
    preparing: HashMap<u64, Ticket>,
    adapters: Adapters,
    /// Requests with different adapters take turns.
    turns: Turns,
    /// Used again for each step.
    batch: Batch,
    /// Oldest first.
    jobs: VecDeque<Job>,
    outbox: Outbox,
}

impl<'m> Embedder<'m> {
    /// Makes the context. Returns the embedder, and the work of the thread that tokenizes texts, which gives them to `put`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what goes with writing only; [`Error::Internal`] with llama.cpp's reason.
    pub(crate) fn new(
        model: &'m Model,
        adapters: Adapters,
        pooling: Pooling,
        load: &Load,
        interrupt: Arc<Interrupt>,
        outbox: Outbox,
        put: impl Fn(Prepared) + Send + 'm,
    ) -> Result<(Self, impl FnOnce() + Send + 'm), Error> {
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
        let preparation = Preparation {
            pooling,
            width,
            texts: Texts::new(model, longest)?,
            adapters: adapters.names().clone(),
            outbox: outbox.clone(),
        };
        let (preparer, prepare) = Worker::new(MAX_JOBS, move || {
            move |request, _: &Ticket| {
                if let Some(prepared) = preparation.work(request) {
                    put(prepared);
                }
            }
        });
        let embedder = Self {
            context,
            interrupt,
            longest,
            preparer,
            preparing: HashMap::new(),
            adapters,
            turns: Turns::default(),
            batch: Batch::new(),
            jobs: VecDeque::new(),
            outbox,
        };
        Ok((embedder, prepare))
    }

    /// The bytes of the model and its context, by device.
    pub(crate) fn memory_parts(&self) -> Vec<MemoryPart> {
        self.context.memory_parts()
    }

    /// Most tokens of one text.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Answers until there are no more requests.
    ///
    /// `taken` finds prepared requests in what other threads put into the inbox.
    pub(crate) fn run<F>(mut self, inbox: &Inbox<F>, taken: impl Fn(F) -> Option<Prepared>) {
        loop {
            // Without work there is nothing to do but wait.
            if self.jobs.is_empty() {
                match inbox.wait() {
                    Some(mail) => self.open(mail, &taken),
                    None => return,
                }
            }
            while let Some(mail) = inbox.next() {
                self.open(mail, &taken);
            }
            self.step(inbox);
        }
    }

    fn open<F>(&mut self, mail: Mail<F>, taken: impl Fn(F) -> Option<Prepared>) {
        match mail {
            Mail::Request(request) => self.accept(request),
            Mail::Finished(finished) => {
                if let Some(prepared) = taken(finished) {
                    self.prepared(prepared);
                }
            }
            Mail::Wake => {}
        }
    }

    fn accept(&mut self, Request { id, call }: Request) {
        let answer = match call {
            Call::Load(_) => Err(Error::Invalid(
                "a model is loaded already; a runner loads one".into(),
            )),
            call @ (Call::Embed(_) | Call::Rerank(_) | Call::Tokenize(_) | Call::Detokenize(_)) => {
                return self.prepare(Request { id, call });
            }
            Call::Generate(_) | Call::Template(_) => Err(Error::Invalid(
                "this model does not generate text; it is made for embedding or reranking".into(),
            )),
            Call::Stats => Ok(Event::Stats(self.stats())),
            // What was read is not kept, so there is nothing to save.
            Call::ExportState(_) => Ok(Event::State(None)),
            Call::HostCacheSetup(_) | Call::StatePart { .. } => {
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

    /// Has the texts of a request tokenized.
    fn prepare(&mut self, request: Request) {
        let id = request.id;
        let bytes = inbox::size(&request.call);
        let becomes_a_job = matches!(request.call, Call::Embed(_) | Call::Rerank(_));
        match self.preparer.queue(request, bytes) {
            Ok(ticket) if becomes_a_job => drop(self.preparing.insert(id, ticket)),
            // The preparer answers.
            Ok(_) => {}
            Err(error) => self.outbox.fail(id, error),
        }
    }

    /// Puts a request at the end of the queue.
    fn prepared(&mut self, Prepared { id, job }: Prepared) {
        // A cancelled request has its answer already.
        if self.preparing.remove(&id).is_none() {
            return;
        }
        let job = match job {
            Ok(job) => job,
            Err(error) => return self.outbox.fail(id, error),
        };
        let waiting: usize = self.jobs.iter().map(Job::outstanding).sum();
        if self.jobs.len() >= MAX_JOBS || waiting + job.outstanding() > MAX_TOKENS {
            return self.outbox.fail(id, Error::Busy(self.jobs.len()));
        }
        self.jobs.push_back(job);
    }

    fn cancel(&mut self, target: u64) {
        let job = self.jobs.iter().position(|job| job.id == target);
        let job = job.and_then(|at| self.jobs.remove(at));
        let preparing = self.preparing.remove(&target);
        if let Some(ticket) = &preparing {
            ticket.cancel();
        }
        if job.is_some() || preparing.is_some() {
            self.outbox
                .fail(target, Error::Invalid("the request was cancelled".into()));
        }
    }

    fn stats(&self) -> Stats {
        let begun = self.jobs.iter().filter(|job| job.begun()).count();
        Stats {
            active: count(begun),
            waiting: count(self.jobs.len() - begun + self.preparing.len()),
            cells_used: 0,
            resident_bytes: memory::resident(),
        }
    }

    /// One batch, and what follows from it.
    fn step<F>(&mut self, inbox: &Inbox<F>) {
        let wanted = self.jobs.iter().map(Job::scales);
        let Some(scales) = self.turns.next(wanted, Instant::now()) else {
            return;
        };
        let shares = job::share(&self.jobs, &scales, SHARED_TOKENS, SHARED_TEXTS as usize);
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
        let context = &mut self.context;
        if let Err(error) = self
            .adapters
            .set(&scales, |given| context.set_adapters(given))
        {
            return self.fail(&shares, &error);
        }
        match self.context.decode(&mut self.batch) {
            Ok(()) => self.hand_out(&shares),
            // Whose cancel it was lies in the inbox; the others' texts are read again.
            Err(DecodeError::Stopped) => {}
            Err(error) => self.fail(&shares, &error),
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

    /// After a step that failed: ends all jobs with texts in it.
    fn fail(&mut self, shares: &[usize], error: &dyn std::error::Error) {
        tracing::error!(%error, "a decode call failed");
        for at in (0..shares.len()).rev().filter(|&at| shares[at] > 0) {
            if let Some(job) = self.jobs.remove(at) {
                self.outbox.fail(job.id, Error::Internal(error.to_string()));
            }
        }
    }
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

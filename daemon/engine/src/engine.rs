//! The engine thread: owns the model and all state, and answers one request after the other and many at once.
//!
//! ```text
//! loop: take in what has arrived ─► let sequences in ─► one step: decode a batch, choose tokens, send text
//! ```
//! Nothing happens during a step, so whatever arrives, a cancel above all, takes effect after at most one.

use std::time::Instant;

use llama_cpp_2::{
    DecodeError, context::LlamaContext, llama_backend::LlamaBackend, llama_batch::LlamaBatch,
    token::LlamaToken,
};
use runner::protocol::{
    Call, Delta, Detokenize, Event, Generate, Load, Loaded, Overflow, Prompt, Request, Sampling,
    Stats, StopReason, Template, Tokenize,
};

use crate::{
    backend,
    error::Error,
    inbox::Inbox,
    length::Length,
    load, memory,
    model::Model,
    outbox::Outbox,
    pace::{self, Pace},
    prompt,
    sampler::Chooser,
    sequence::{Clock, Sequence, count, nanoseconds},
    slots::{Slot, Slots},
    step,
    text::{Stops, Text},
};

/// Most tokens that are turned into text at once: the largest context.
const MAX_DETOKENIZED: usize = runner::protocol::MAX_CONTEXT as usize;

/// Answers requests until there are no more: first the one to load, then all others.
pub(crate) fn run(inbox: &Inbox, outbox: &Outbox) {
    // Before anyone asks, so that a runner that was started ahead of time loads faster.
    let backend = backend::open();
    while let Some(Request { id, call }) = inbox.wait() {
        match (call, &backend) {
            (Call::Load(load), Ok(backend)) => {
                if let Err(error) = serve(backend, id, &load, inbox, outbox) {
                    outbox.fail(id, error);
                }
            }
            (Call::Load(_), Err(error)) => outbox.fail(id, Error::Internal(error.to_string())),
            (Call::Cancel { .. } | Call::Shutdown, _) => {}
            _ => outbox.fail(id, Error::Invalid("no model is loaded yet".into())),
        }
    }
}

/// Loads a model and answers requests to it until there are no more. Fails only while it loads.
fn serve(
    backend: &LlamaBackend,
    id: u64,
    load: &Load,
    inbox: &Inbox,
    outbox: &Outbox,
) -> Result<(), Error> {
    let began = Instant::now();
    let free_before = backend::free_device_bytes();
    load::check(load)?;
    let progress = {
        let outbox = outbox.clone();
        move |fraction| outbox.send(id, Event::Loading { fraction })
    };
    let (model, adapter) = load::weights(backend, load, progress)?.into_parts();
    let weights_took = began.elapsed();
    let context = load::context(backend, &model, adapter, load)?;
    let engine = Engine::new(&model, context, load, outbox.clone());

    let loaded = Loaded {
        context: count(engine.cells),
        trained_context: model.trained_context(),
        vocabulary: u32::try_from(model.vocabulary()).unwrap_or(0),
        has_chat_template: model.has_template(),
        resident_bytes: memory::resident(),
        device_bytes: free_before.saturating_sub(backend::free_device_bytes()),
        device: backend::device(load.gpu_layers != 0),
        load_ns: nanoseconds(began.elapsed()),
    };
    tracing::info!(device = loaded.device, context = loaded.context, took = ?began.elapsed(), weights = ?weights_took, "loaded");
    outbox.send(id, Event::Loaded(loaded));
    engine.run(inbox);
    Ok(())
}

/// A loaded model and everyone it works for.
struct Engine<'m> {
    model: &'m Model,
    context: LlamaContext<'m>,
    /// Used again for each step.
    batch: LlamaBatch<'static>,
    /// Most tokens in it.
    batch_tokens: usize,
    /// Tokens that fit the context.
    cells: usize,
    /// How long texts may be.
    length: Length,
    slots: Slots<Sequence>,
    pace: Pace,
    outbox: Outbox,
}

impl<'m> Engine<'m> {
    fn new(model: &'m Model, context: LlamaContext<'m>, load: &Load, outbox: Outbox) -> Self {
        // llama.cpp rounds both numbers: the context up, which we do not hand out, and the batch down to the context.
        let cells = load.context.min(context.n_ctx()) as usize;
        let batch_tokens = load.batch.min(context.n_batch()) as usize;
        Self {
            model,
            context,
            batch: LlamaBatch::new(batch_tokens, 1),
            batch_tokens,
            cells,
            length: Length::new(cells, model.longest_piece()),
            slots: Slots::new(cells, load.sequences),
            pace: Pace::new(batch_tokens),
            outbox,
        }
    }

    fn run(mut self, inbox: &Inbox) {
        loop {
            // Without work there is nothing to do but wait.
            if self.slots.is_empty() {
                match inbox.wait() {
                    Some(request) => self.accept(request),
                    None => return,
                }
            }
            while let Some(request) = inbox.next() {
                self.accept(request);
            }
            while let Some(slot) = self.slots.admit() {
                slot.tenant.clock.admitted();
            }
            self.step();
        }
    }

    fn accept(&mut self, Request { id, call }: Request) {
        let answer = match call {
            Call::Load(_) => Err(Error::Invalid(
                "a model is loaded already; a runner loads one".into(),
            )),
            Call::Generate(generate) => return self.generate(id, *generate),
            Call::Tokenize(tokenize) => self.tokenize(&tokenize),
            Call::Detokenize(detokenize) => self.detokenize(&detokenize),
            Call::Template(template) => self.template(&template).map(Event::Prompt),
            Call::Stats => Ok(Event::Stats(self.stats())),
            Call::Cancel { target } => return self.cancel(target),
            // The main thread ends the process itself.
            Call::Shutdown => return,
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
        }: &Tokenize,
    ) -> Result<Event, Error> {
        self.length.check(text, self.counter(*parse_special))?;
        let tokens = self.model.tokenize(text, *parse_special, *add_special);
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

    /// Renders a conversation, unless its texts alone are too long.
    fn template(&self, template: &Template) -> Result<String, Error> {
        let bytes = template.messages.iter().map(|it| it.content.len()).sum();
        if self.length.excludes(bytes) {
            return Err(self.length.refusal(bytes));
        }
        self.model.render(template)
    }

    /// Counts the tokens of a part of a text.
    fn counter(&self, special: bool) -> impl Fn(&str) -> usize {
        move |part| self.model.tokenize(part, special, false).len()
    }

    /// Tokens of a prompt, which may still be too many, and how many at least were cut out of a text that is far too long.
    fn prompt(
        &self,
        prompt: Prompt,
        overflow: Overflow,
    ) -> Result<(Vec<LlamaToken>, usize), Error> {
        let (text, special) = match (prompt, overflow) {
            (Prompt::Tokens(tokens), _) => return Ok((self.model.checked(&tokens)?, 0)),
            (Prompt::Text { text, special }, _) => (text, special),
            (Prompt::Chat(template), Overflow::Refuse) => (self.template(&template)?, true),
            (Prompt::Chat(template), Overflow::Truncate { .. }) => {
                (self.model.render(&template)?, true)
            }
        };
        let count = self.counter(special);
        let (text, cut) = match (self.length.check(&text, &count), overflow) {
            (Err(_), Overflow::Truncate { keep }) => {
                let cut = self.length.cut(&text, keep as usize, count)?;
                (cut.text, cut.tokens)
            }
            (checked, _) => checked.map(|()| (text, 0))?,
        };
        Ok((self.model.tokenize(&text, special, true), cut))
    }

    fn stats(&self) -> Stats {
        let running = self.slots.running();
        Stats {
            active: count(running.len()),
            waiting: count(self.slots.waiting()),
            cells_used: count(running.iter().map(|slot| slot.tenant.computed).sum()),
            resident_bytes: memory::resident(),
        }
    }

    fn generate(&mut self, id: u64, generate: Generate) {
        let queued = self.sequence(id, generate).and_then(|sequence| {
            let waiting = self.slots.waiting();
            self.slots
                .enqueue(sequence)
                .map_err(|_| Error::Busy(waiting))
        });
        if let Err(error) = queued {
            self.outbox.fail(id, error);
        }
    }

    /// Turns a request into a sequence that fits, or says what is wrong with it.
    fn sequence(
        &self,
        id: u64,
        Generate {
            prompt,
            sampling,
            max_tokens,
            stop,
            overflow,
        }: Generate,
    ) -> Result<Sequence, Error> {
        let clock = Clock::start();
        let stops = Stops::new(stop)?;
        let (tokens, cut) = self.prompt(prompt, overflow)?;
        let anchored = usize::from(
            tokens
                .first()
                .is_some_and(|&first| self.model.begins(first)),
        );
        let wanted = max_tokens.map(|tokens| tokens as usize);
        let fitted = prompt::fit(tokens, self.cells, wanted, overflow, anchored)?;
        Ok(Sequence {
            id,
            prompt: fitted.tokens.len(),
            computed: 0,
            max_tokens: wanted.unwrap_or(usize::MAX),
            truncated: cut + fitted.cut,
            chooser: self.chooser(&sampling, &fitted.tokens)?,
            text: Text::new(stops),
            tokens: fitted.tokens,
            clock,
        })
    }

    fn chooser(&self, sampling: &Sampling, prompt: &[LlamaToken]) -> Result<Chooser, Error> {
        Chooser::new(sampling, self.model.vocabulary(), self.cells, prompt)
    }

    fn cancel(&mut self, target: u64) {
        if let Some(sequence) = self.slots.remove_waiting(|sequence| sequence.id == target) {
            self.finish(sequence, StopReason::Cancelled);
        } else if let Some(index) = self
            .slots
            .running()
            .iter()
            .position(|slot| slot.tenant.id == target)
        {
            self.leave(index, StopReason::Cancelled);
        }
    }

    /// One decode call, and what follows from it.
    fn step(&mut self) {
        for seq in self.slots.make_room() {
            self.clear(seq);
        }
        let outstanding: Vec<usize> = self
            .slots
            .running()
            .iter()
            .map(|slot| slot.tenant.outstanding())
            .collect();
        let tempo = if outstanding.contains(&1) {
            pace::BESIDE_WRITERS
        } else {
            pace::ALONE
        };
        let shares = step::plan(&outstanding, self.batch_tokens, self.pace.chunk(tempo));
        let chosen_from = self.fill(&shares);
        if self.batch.n_tokens() == 0 {
            return;
        }

        let began = Instant::now();
        let decoded = self.context.decode(&mut self.batch);
        self.context.synchronize();
        if let Err(error) = decoded {
            return self.recover(&error);
        }
        self.pace.learn(
            reading(&outstanding, &shares).map(|(_, share)| share).sum(),
            began.elapsed(),
        );
        self.computed(&outstanding, &shares);

        // From the back, because those that end leave the list.
        for (index, at) in chosen_from.into_iter().rev() {
            if let Some(reason) = self.advance(index, at) {
                self.leave(index, reason);
            }
        }
    }

    /// Puts each sequence's share into the batch. Says where the sequences stand in it whose next token is due.
    fn fill(&mut self, shares: &[usize]) -> Vec<(usize, i32)> {
        self.batch.clear();
        let mut chosen_from = Vec::new();
        for (index, (slot, &share)) in self.slots.running().iter().zip(shares).enumerate() {
            let Sequence {
                tokens, computed, ..
            } = &slot.tenant;
            for at in *computed..*computed + share {
                let last = at + 1 == tokens.len();
                if last {
                    chosen_from.push((index, self.batch.n_tokens()));
                }
                let position = i32::try_from(at).expect("a context has at most 2^20 cells");
                let seq = i32::try_from(slot.seq).expect("there are at most 256 sequences");
                self.batch
                    .add(tokens[at], position, &[seq], last)
                    .expect("the plan fits the batch");
            }
        }
        chosen_from
    }

    /// Notes what the step computed, and tells those who read how far they are.
    fn computed(&mut self, outstanding: &[usize], shares: &[usize]) {
        for (slot, share) in self.slots.running_mut().iter_mut().zip(shares) {
            slot.tenant.computed += share;
        }
        for (index, _) in reading(outstanding, shares) {
            let sequence = &self.slots.running()[index].tenant;
            let (done, total) = (count(sequence.computed), count(sequence.tokens.len()));
            self.outbox
                .send(sequence.id, Event::Prefill { done, total });
        }
    }

    /// Chooses a sequence's next token and sends its text. Says why, if that was the last one.
    fn advance(&mut self, index: usize, at: i32) -> Option<StopReason> {
        let sequence = &mut self.slots.running_mut()[index].tenant;
        sequence.clock.prefilled();
        if sequence.max_tokens == 0 {
            return Some(StopReason::Length);
        }
        let token = sequence.chooser.choose(&self.context, at);
        if self.model.ends(token) {
            return Some(StopReason::Stop);
        }
        sequence.tokens.push(token);
        let mut bytes = Vec::with_capacity(32);
        self.model.piece(token, &mut bytes);
        let piece = sequence.text.push(&bytes);
        if !piece.text.is_empty() {
            let delta = Delta {
                text: piece.text,
                tokens: count(sequence.generated()),
            };
            self.outbox.send(sequence.id, Event::Delta(delta));
        }
        if piece.stopped {
            return Some(StopReason::Stop);
        }
        let full =
            sequence.generated() >= sequence.max_tokens || sequence.tokens.len() >= self.cells;
        full.then_some(StopReason::Length)
    }

    /// Ends a running sequence and gives its cells back.
    fn leave(&mut self, index: usize, reason: StopReason) {
        let Slot { seq, tenant } = self.slots.remove(index);
        self.clear(seq);
        self.finish(tenant, reason);
    }

    /// Sends what was held back, and the end.
    fn finish(&self, mut sequence: Sequence, mut reason: StopReason) {
        let rest = sequence.text.finish();
        if rest.stopped {
            reason = StopReason::Stop;
        }
        if !rest.text.is_empty() {
            let delta = Delta {
                text: rest.text,
                tokens: count(sequence.generated()),
            };
            self.outbox.send(sequence.id, Event::Delta(delta));
        }
        let id = sequence.id;
        self.outbox
            .send(id, Event::Done(Box::new(sequence.done(reason))));
    }

    /// After a decode call that failed: everything in the cache is in doubt, so all is computed again, by fewer or by none.
    fn recover(&mut self, error: &DecodeError) {
        self.context.clear_kv_cache();
        for slot in self.slots.running_mut() {
            slot.tenant.computed = 0;
        }
        // More cells were needed than we thought, as caches with windows may do; with one sequence less it works.
        let full = *error == DecodeError::NoKvCacheSlot;
        if full && self.slots.overfull().is_some() {
            tracing::warn!("the KV cache is full; the newest sequence waits");
            return;
        }
        tracing::error!(%error, "a decode call failed");
        while !self.slots.running().is_empty() {
            let Sequence { id, tokens, .. } = self.slots.remove(0).tenant;
            let error = if full {
                Error::CacheFull {
                    tokens: tokens.len(),
                }
            } else {
                Error::Internal(error.to_string())
            };
            self.outbox.fail(id, error);
        }
    }

    fn clear(&mut self, seq: u32) {
        // Removing all of a sequence cannot fail; only parts of some models' caches cannot be removed.
        let _ = self.context.clear_kv_cache_seq(Some(seq), None, None);
    }
}

/// Indices and shares of the sequences that read their prompts in this step.
fn reading<'a>(
    outstanding: &'a [usize],
    shares: &'a [usize],
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let all = outstanding.iter().zip(shares.iter().copied()).enumerate();
    all.filter(|(_, (outstanding, share))| **outstanding > 1 && *share > 0)
        .map(|(index, (_, share))| (index, share))
}

//! The engine thread: owns the model and all state, and answers many requests at once.
//!
//! ```text
//! loop: read the inbox ─► admit sequences ─► one step: decode a batch, sample tokens, send text
//! ```
//! The thread does nothing else during a step, so a request takes effect after one step at most.
//! A cancel takes effect sooner when the step is the prefill of that request alone: see [`Interrupt`].
//! Whatever takes long and is not a step has a thread: images, chat templates, tokens and grammars, saved states.

mod images;
mod prepare;
mod preparer;
mod render;
pub(crate) mod sequence;

use std::{collections::HashMap, sync::Arc, thread, time::Instant};

use llama_cpp_2::llama_backend::LlamaBackend;
use runner_protocol::{
    Call, Event, ExportState, Load, Loaded, Request, Stats, StopReason, Template,
};

use self::{
    images::Encoding,
    prepare::Preparing,
    preparer::{Job, Preparation, Preparer},
    render::Pending,
};
use crate::{
    answer::{Ending, Grown},
    cache::{
        Memory,
        read_ahead::Reader,
        slots::{Cache, Slots, Tenant},
        state_files::{StateExport, StateImport},
    },
    chat::renderer::{self, Renderer},
    embed,
    engine::sequence::Sequence,
    error::Error,
    ffi::context::{Batch, DecodeError},
    images::encoder::{Encoded, ImageEncoder, Pulse, Room},
    inbox::{Inbox, Mail, Returns},
    load::{self, LoadedAdapters},
    model::{Model, adapters::Adapters, backend},
    outbox::{Outbox, count, nanoseconds},
    prompt::length::{COUNTED_BYTES, Length},
    sampler::Scratch,
    schedule::{
        interrupt::Interrupt,
        pace::{Pace, StepLoad},
        step,
        turns::Turns,
    },
    speculation::{self, Draft, DraftModel, Speculation, Writer},
    system::{
        memory, threads,
        worker::{self, Ticket},
    },
};

/// How many tokens at the end of a prompt show where its answer begins.
const TAIL: usize = 64;

/// Prompt tokens in a step of a deterministic request: few enough that a slow machine sends progress in time.
const ALONE_CHUNK: usize = 128;

/// Cached cells of finished sequences take at most one part in so many of the weights' bytes.
const KEPT_SHARE: u64 = 20;

/// Results of the other threads.
#[derive(Debug)]
pub(crate) enum Finished {
    /// Images were encoded.
    Encoded(Encoded),
    /// A conversation was rendered.
    Rendered(renderer::Rendered),
    /// A request became a sequence.
    Prepared(preparer::Prepared),
    /// Texts to embed were tokenized.
    Tokenized(embed::Prepared),
}

/// Saved states, and the thread that reads them.
struct States {
    /// What the daemon handed in for the model that loads next.
    imported: Option<StateImport>,
    reader: Reader,
}

/// Answers requests until the process ends: first the load of a model, then all others.
pub(crate) fn run(
    backend: &Result<LlamaBackend, Error>,
    inbox: &Inbox<Finished>,
    outbox: &Outbox,
    returns: &Returns<Finished>,
    reader: Reader,
) {
    let mut states = States {
        imported: None,
        reader,
    };
    while let Some(mail) = inbox.wait() {
        let Mail::Request(Request { id, call }) = mail else {
            continue;
        };
        match (call, backend) {
            (Call::Load(load), Ok(backend)) => {
                if let Err(error) = serve(backend, id, &load, &mut states, inbox, outbox, returns) {
                    outbox.fail(id, error);
                }
            }
            (Call::HostCacheSetup(setup), _) if states.imported.is_none() => {
                match StateImport::open(setup, |saved| states.reader.read(saved)) {
                    Ok(files) => {
                        let states = states.imported.insert(files).readable();
                        outbox.send(id, Event::HostCacheReady { states });
                    }
                    Err(error) => outbox.fail(id, error),
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
    states: &mut States,
    inbox: &Inbox<Finished>,
    outbox: &Outbox,
    returns: &Returns<Finished>,
) -> Result<(), Error> {
    let imported = states.imported.take();
    let began = Instant::now();
    let free_before = backend::free_device_bytes();
    load::check(load)?;
    let progress = {
        let outbox = outbox.clone();
        move |fraction| outbox.send(id, Event::Loading { fraction })
    };
    let (model, given) = load::weights(backend, load, progress)?;
    let LoadedAdapters {
        adapters,
        refused,
        memory: adapter_memory,
    } = given;
    let weights_took = began.elapsed();
    let interrupt = Arc::clone(&inbox.interrupt);
    if let Some(pooling) = model.pooling {
        let put = returns.putting(Finished::Tokenized);
        let (embedder, prepare) = embed::Embedder::new(
            &model,
            adapters,
            pooling,
            load,
            interrupt,
            outbox.clone(),
            put,
        )?;
        return thread::scope(|scope| {
            threads::spawn(scope, "preparer", threads::STACK_BYTES, prepare)?;
            memory::hold(0, u64::from(load::threads(load).unsigned_abs()));
            let loaded = Loaded {
                memory: embedder
                    .memory_parts()
                    .into_iter()
                    .chain(adapter_memory)
                    .collect(),
                refused_adapters: refused,
                ..loaded(&model, load, embedder.longest(), free_before, began)
            };
            outbox.send(id, Event::Loaded(loaded));
            embedder.run(inbox, |finished| match finished {
                Finished::Tokenized(prepared) => Some(prepared),
                _ => None,
            });
            Ok(())
        });
    }
    let pulse = Pulse::new(outbox.clone());
    let projector = load::projector(&model, load, &pulse)?;
    let draft = speculation::open(backend, load, &model)?;
    let memory = load::context(&model, load, projector.as_ref(), interrupt.flag())?;
    let draft = draft
        .as_ref()
        .map(|draft| DraftModel::new(draft, &model, load))
        .transpose()?;
    let mut parts = memory.context.memory_parts();
    parts.extend(draft.iter().flat_map(DraftModel::memory_parts));
    parts.extend(adapter_memory);
    let speculation = Speculation::new(load.speculation, draft);
    let (renderer, render) =
        Renderer::new(model.chat_source(), returns.putting(Finished::Rendered));
    let put = returns.putting(Finished::Prepared);
    let cells = load.settings.context.min(memory.context.cells()) as usize;
    let mut preparation = Preparation::new(&model, cells, outbox.clone(), put);
    let (preparer, prepare) = Preparer::new(worker::MAX_JOBS, move || {
        move |job, _: &Ticket| preparation.work(job)
    });
    let mut engine = Engine::new(
        &model,
        memory,
        adapters,
        Beside {
            speculation,
            renderer,
            preparer,
            reader: &states.reader,
        },
        load,
        interrupt,
        outbox.clone(),
    );
    if let Some(imported) = imported {
        (engine.slots.host_cache, engine.export) =
            imported.into_cache(&model, load, engine.adapters.names(), Instant::now());
    }

    // The threads start before the memory is limited, so that their stacks count as taken.
    thread::scope(|scope| {
        threads::spawn(scope, "renderer", renderer::STACK_BYTES, render)?;
        threads::spawn(scope, "preparer", threads::STACK_BYTES, prepare)?;
        if let (Some(projector), Some(given)) = (projector, &load.projector) {
            let (identity, room) = (given.digest.clone(), engine.room());
            let done = returns.putting(Finished::Encoded);
            let (encoder, encode) = ImageEncoder::new(projector, identity, pulse, room, done);
            engine.encoder = Some(encoder);
            threads::spawn(scope, "encoder", threads::STACK_BYTES, encode)?;
        }
        memory::hold(
            engine.slots.host_cache.planned(),
            u64::from(load::threads(load).unsigned_abs()),
        );
        let loaded = Loaded {
            sees_images: engine.encoder.is_some(),
            memory: parts,
            refused_adapters: refused,
            ..loaded(&model, load, engine.cells, free_before, began)
        };
        tracing::info!(device = loaded.device, context = loaded.context, took = ?began.elapsed(), weights = ?weights_took, "loaded");
        outbox.send(id, Event::Loaded(loaded));
        engine.run(inbox);
        Ok(())
    })
}

/// What the daemon is told about a loaded model.
fn loaded(model: &Model, load: &Load, context: usize, free_before: u64, began: Instant) -> Loaded {
    Loaded {
        context: count(context),
        trained_context: model.trained_context(),
        vocabulary: u32::try_from(model.vocabulary()).unwrap_or(0),
        has_chat_template: model.has_template(),
        sees_images: false,
        refused_adapters: Vec::new(),
        resident_bytes: memory::resident(),
        device_bytes: free_before.saturating_sub(backend::free_device_bytes()),
        memory: Vec::new(),
        device: backend::device(load.settings.gpu_layers != 0),
        load_ns: nanoseconds(began.elapsed()),
    }
}

/// What an engine needs besides the model.
struct Beside<'m> {
    speculation: Speculation<'m>,
    renderer: Renderer,
    preparer: Preparer,
    reader: &'m Reader,
}

/// A loaded model and all that runs on it.
struct Engine<'m> {
    model: &'m Model,
    memory: Memory<'m>,
    adapters: Adapters,
    interrupt: Arc<Interrupt>,
    /// Used again for each step.
    batch: Batch,
    /// Most tokens in it.
    batch_tokens: usize,
    /// Tokens that fit the context.
    cells: usize,
    /// Most tokens of a batch with logits.
    outputs: usize,
    slots: Slots<Sequence>,
    pace: Pace,
    speculation: Speculation<'m>,
    /// The next step has no drafts, because the KV cache was too full for them.
    without_drafts: bool,
    /// Sequences with different adapters take turns.
    turns: Turns,
    /// Buffers of the sampler.
    scratch: Scratch,
    /// Hands out states before the model is unloaded.
    export: StateExport,
    /// Encodes images, if the model has a projector.
    encoder: Option<ImageEncoder>,
    /// Requests whose images are encoded, by their ids.
    encoding: HashMap<u64, Encoding>,
    /// Renders conversations.
    renderer: Renderer,
    /// Requests whose conversations are rendered, by their ids.
    rendering: HashMap<u64, Pending>,
    /// Turns requests into sequences.
    preparer: Preparer,
    /// Requests that become sequences, by their ids.
    preparing: HashMap<u64, Preparing>,
    /// The last step decoded an image.
    image_step_last: bool,
    outbox: Outbox,
    /// Reads saved states.
    reader: &'m Reader,
}

impl<'m> Engine<'m> {
    fn new(
        model: &'m Model,
        memory: Memory<'m>,
        adapters: Adapters,
        Beside {
            speculation,
            renderer,
            preparer,
            reader,
        }: Beside<'m>,
        load: &Load,
        interrupt: Arc<Interrupt>,
        outbox: Outbox,
    ) -> Self {
        // llama.cpp rounds both: the context up, which is not handed out, and the batch down to the context.
        let cells = load.settings.context.min(memory.context.cells()) as usize;
        let batch_tokens = load.settings.batch.min(memory.context.batch()) as usize;
        let sequences = load::sequences(&model.llama, load);
        Self {
            model,
            memory,
            adapters,
            interrupt,
            batch: Batch::new(),
            batch_tokens,
            cells,
            outputs: sequences as usize,
            slots: Slots::new(cells, sequences, load.sequences, spare_cells(model, load)),
            pace: Pace::new(batch_tokens),
            speculation,
            without_drafts: false,
            turns: Turns::default(),
            scratch: Scratch::default(),
            export: StateExport::default(),
            encoder: None,
            encoding: HashMap::new(),
            renderer,
            rendering: HashMap::new(),
            preparer,
            preparing: HashMap::new(),
            image_step_last: false,
            outbox,
            reader,
        }
    }

    /// Largest images that can be used.
    fn room(&self) -> Room {
        Room {
            cells: self.cells,
            whole: self.memory.context.micro_batch() as usize,
        }
    }

    fn run(mut self, inbox: &Inbox<Finished>) {
        loop {
            for (state, outcome) in self.slots.host_cache.take_outcomes() {
                self.outbox.send(0, Event::StateOutcome { state, outcome });
            }
            // Nothing to compute: wait.
            if self.slots.is_idle() {
                match inbox.wait() {
                    Some(mail) => self.open(mail),
                    None => return,
                }
            }
            while let Some(mail) = inbox.next() {
                self.open(mail);
            }
            while let Some(slot) = self.slots.admit(&mut self.memory, Instant::now()) {
                if slot.tenant.clock.admitted() {
                    self.outbox.send(slot.tenant.id, slot.tenant.started());
                }
            }
            self.slots
                .host_cache
                .read_wanted(|saved| self.reader.read(saved));
            self.step(inbox);
        }
    }

    fn open(&mut self, mail: Mail<Finished>) {
        match mail {
            Mail::Request(request) => self.accept(request),
            Mail::Finished(Finished::Encoded(encoded)) => self.encoded(encoded),
            Mail::Finished(Finished::Rendered(rendered)) => self.rendered(rendered),
            Mail::Finished(Finished::Prepared(prepared)) => self.prepared(prepared),
            // Texts are tokenized for embedding models alone.
            Mail::Finished(Finished::Tokenized(_)) => {}
            // The sequence of a saved state is admitted before the next step.
            Mail::Wake => {}
        }
    }

    fn accept(&mut self, Request { id, call }: Request) {
        let answer = match call {
            Call::Load(_) => Err(Error::Invalid(
                "a model is loaded already; a runner loads one".into(),
            )),
            Call::Generate(generate) if generate.images.is_some() => {
                return self.encode_images(id, generate);
            }
            Call::Generate(generate) => return self.render_or_prepare(id, generate, None),
            Call::Tokenize(tokenize) => {
                self.prepare(id, Job::Tokenize { id, tokenize });
                return;
            }
            Call::Detokenize(detokenize) => {
                self.prepare(id, Job::Detokenize { id, detokenize });
                return;
            }
            Call::Template(template) => return self.template(id, template),
            Call::Embed(_) | Call::Rerank(_) => Err(Error::Invalid(
                "this model generates text; ask a model that is made for embedding or reranking"
                    .into(),
            )),
            Call::Stats => Ok(Event::Stats(self.stats())),
            Call::HostCacheSetup(_) => Err(Error::Invalid(
                "what may be kept is said once, before the model is loaded".into(),
            )),
            Call::ExportState(wanted) => Ok(self.export_state(wanted)),
            Call::StatePart { offset } => self.export.part(offset),
            Call::Cancel { target } => return self.cancel(target),
            // The main thread ends the process itself.
            Call::Shutdown => return,
        };
        match answer {
            Ok(event) => self.outbox.send(id, event),
            Err(error) => self.outbox.fail(id, error),
        }
    }

    /// Bounds on texts for a context of so many cells.
    fn length(&self, cells: usize) -> Length {
        Length::new(cells, self.model.longest_piece())
    }

    fn has_room_for(&self, template: &Template, cells: usize) -> Result<(), Error> {
        let bytes = template.messages.iter().map(|it| it.content.len()).sum();
        let length = self.length(cells);
        // A shorter one is rendered, so that the error can say how many tokens it has.
        if bytes > COUNTED_BYTES && length.excludes(bytes) {
            return Err(length.refusal(bytes));
        }
        Ok(())
    }

    /// Hands out the state with the highest worth, and forgets it.
    fn export_state(&mut self, wanted: ExportState) -> Event {
        let parted = if self.export.is_allowed() {
            let most = usize::try_from(wanted.max_bytes).unwrap_or(usize::MAX);
            self.slots.export_state(
                &mut self.memory,
                wanted.min_tokens as usize,
                most,
                Instant::now(),
            )
        } else {
            None
        };
        self.export.export_state(parted)
    }

    fn stats(&self) -> Stats {
        let running = self.slots.running();
        Stats {
            active: count(running.len()),
            waiting: count(
                self.slots.waiting()
                    + self.encoding.len()
                    + self.rendering.len()
                    + self.preparing.len(),
            ),
            cells_used: count(self.slots.cells_used()),
            resident_bytes: memory::resident(),
        }
    }

    fn cancel(&mut self, target: u64) {
        if self.stop_encoding(target) || self.stop_rendering(target) || self.stop_preparing(target)
        {
            return;
        }
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
    fn step(&mut self, inbox: &Inbox<Finished>) {
        let now = Instant::now();
        // Sharing first: evicted cells that cannot be shared are computed again.
        self.slots.catch_up(&mut self.memory, now);
        self.slots.make_room(&mut self.memory, now);
        let mut outstanding = self.outstanding();
        if let Some(next_image_chunk) = self.next_image_chunk(&mut outstanding) {
            return self.decode_image_chunk(next_image_chunk);
        }
        let step_load = step::load_of(&outstanding);
        let shares = step::plan(&outstanding, self.batch_tokens, self.chunk(step_load));
        let drafts = self.draft(&outstanding, &shares);
        let due = self.fill(&shares, drafts);
        if self.batch.len() == 0 {
            return;
        }
        // A step with decode in it is short, and its tokens must not be lost.
        let prefilling = reading(&outstanding, &shares).filter(|_| step_load.decoding == 0);
        let prefilling = prefilling.map(|(index, _)| self.slots.running()[index].tenant.id);
        self.interrupt.watch(prefilling.collect());
        if inbox.has_mail() {
            return;
        }

        let began = Instant::now();
        let decoded = self.memory.context.decode(&mut self.batch);
        match decoded {
            Ok(()) => {}
            Err(DecodeError::Stopped) => return self.resync(),
            // Nothing was computed; without drafts it may fit.
            Err(DecodeError::Full) if due.iter().any(Due::guesses) => {
                self.without_drafts = true;
                return;
            }
            Err(error) => return self.recover(error),
        }
        let took = began.elapsed();
        let read = reading(&outstanding, &shares).map(|(_, share)| share).sum();
        self.pace.learn(read, step_load, took);
        if read == 0 {
            self.speculation.timed(self.batch.len(), took);
        }
        self.computed(&outstanding, &shares);

        // From the last, because finished sequences leave the list.
        for due in due.into_iter().rev() {
            self.follow(&due);
        }
    }

    /// Prompt tokens for the next step. For a deterministic sequence they do not depend on the speed of the machine.
    fn chunk(&self, step_load: StepLoad) -> usize {
        let alone = self.slots.running().iter().any(|slot| slot.tenant.alone());
        match alone {
            true => ALONE_CHUNK.min(self.batch_tokens),
            false => self.pace.chunk(step_load),
        }
    }

    /// Samples the next token of a sequence, or ends it.
    fn follow(&mut self, due: &Due) {
        match self.write(due) {
            Ok(None) => {}
            Ok(Some(reason)) => self.leave(due.index, reason),
            Err(error) => self.fail(due.index, error),
        }
    }

    /// Outstanding tokens of each sequence in this step. Only sequences with one set of adapter scales take part; the sets take turns.
    fn outstanding(&mut self) -> Vec<usize> {
        let mut outstanding = self.slots.outstanding();
        let running = self.slots.running();
        let ready = running
            .iter()
            .zip(&outstanding)
            .filter(|(_, count)| **count > 0);
        let wanted = ready.map(|(slot, _)| &slot.tenant.scales);
        let Some(turn) = self.turns.next(wanted, Instant::now()) else {
            return outstanding;
        };
        for (slot, outstanding) in running.iter().zip(&mut outstanding) {
            if slot.tenant.scales != turn {
                *outstanding = 0;
            }
        }
        let context = &mut self.memory.context;
        if let Err(error) = self
            .adapters
            .set(&turn, |given| context.set_adapters(given))
        {
            self.fail_all(|_| Error::Internal(error.to_string()));
            return Vec::new();
        }
        outstanding
    }

    /// Drafts for sequences in decode, as far as there is room. A step with prefill has none: it is long enough.
    fn draft(&mut self, outstanding: &[usize], shares: &[usize]) -> Vec<(usize, Draft)> {
        let planned: usize = shares.iter().sum();
        let without_drafts = std::mem::take(&mut self.without_drafts);
        if without_drafts || reading(outstanding, shares).next().is_some() {
            return Vec::new();
        }
        let room = self.outputs.min(self.batch_tokens).saturating_sub(planned);
        let room = room.min(self.slots.room());
        let tenants = self.slots.tenants().enumerate().zip(shares);
        let decoding = tenants
            // Cells of images are no tokens to draft from.
            .filter(|((_, sequence), share)| **share > 0 && sequence.placed_images.is_empty())
            .map(|((index, sequence), _)| {
                let length = sequence.tokens.len();
                let left = sequence.max_tokens.saturating_sub(sequence.generated());
                // The last token is sampled, but never computed.
                let left = left.min(sequence.cells - length).saturating_sub(1);
                Writer {
                    index,
                    id: sequence.id,
                    text: &sequence.tokens,
                    most: left.min(self.memory.cuttable(length)),
                    drafting: &mut sequence.drafting,
                }
            });
        self.speculation.draft(decoding.collect(), room)
    }

    /// Fills the batch with each sequence's tokens and draft. Returns the sequences with logits, in their order.
    fn fill(&mut self, shares: &[usize], drafts: Vec<(usize, Draft)>) -> Vec<Due> {
        self.batch.clear();
        let mut due = Vec::new();
        let mut drafts = drafts.into_iter().peekable();
        let slots = self.slots.running().iter().zip(shares).enumerate();
        // Prefill first: kernels take columns in blocks, and those of a prompt must not depend on sequences in decode.
        let (reading, writing): (Vec<_>, Vec<_>) = slots.partition(|(_, (_, share))| **share > 1);
        for (index, (slot, &share)) in reading.into_iter().chain(writing) {
            let tokens = &slot.tenant.tokens;
            for at in slot.computed()..slot.computed() + share {
                let last = at + 1 == tokens.len();
                let position = self.memory.position(slot.seq, at);
                let place = self.batch.push(tokens[at], position, slot.seq, last);
                if last {
                    let draft = drafts.next_if(|(of, _)| *of == index);
                    let draft = draft.map(|(_, draft)| draft).unwrap_or_default();
                    for (&guess, at) in draft.tokens.iter().zip(tokens.len()..) {
                        self.batch.push(guess, at, slot.seq, true);
                    }
                    due.push(Due {
                        index,
                        place,
                        draft,
                    });
                }
            }
        }
        due.sort_unstable_by_key(|due| due.index);
        due
    }

    /// Notes what the step computed, and reports progress of prefill.
    fn computed(&mut self, outstanding: &[usize], shares: &[usize]) {
        self.slots.computed(shares);
        for (index, _) in reading(outstanding, shares) {
            let slot = &self.slots.running()[index];
            let (done, total) = (count(slot.computed()), count(slot.tenant.tokens.len()));
            self.outbox
                .send(slot.tenant.id, Event::Prefill { done, total });
        }
    }

    /// Samples a sequence's next tokens: one, and one more behind each accepted draft token. Returns why the sequence ends, if it does.
    ///
    /// # Errors
    /// As [`Engine::advance`].
    fn write(&mut self, due: &Due) -> Result<Option<StopReason>, Error> {
        let Due {
            index,
            place,
            draft,
        } = due;
        let mut chosen = self.advance(*index, *place);
        let mut right = 0;
        for (&guess, place) in draft.tokens.iter().zip(place + 1..) {
            let goes_on = matches!(chosen, Ok(None));
            if !goes_on || self.slots.running()[*index].tenant.tokens.last() != Some(&guess) {
                break;
            }
            right += 1;
            chosen = self.advance(*index, place);
        }
        if due.guesses() {
            let refuted = matches!(chosen, Ok(None));
            let drafting = &mut self.slots.tenant(*index).drafting;
            self.speculation.turned_out(drafting, draft, right, refuted);
            self.slots.guessed(&mut self.memory, *index, right);
        }
        chosen
    }

    /// Samples a sequence's next token and sends its text. Returns why the sequence ends, if it does.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the request's constraint cannot be followed any further;
    /// [`Error::NotFinite`] when the logits are not finite, as with damaged weights.
    fn advance(&mut self, index: usize, at: i32) -> Result<Option<StopReason>, Error> {
        let sequence = self.slots.tenant(index);
        sequence.clock.prefilled();
        if sequence.max_tokens == 0 {
            return Ok(Some(StopReason::Length));
        }
        let logits = self.memory.context.logits(at);
        if !are_numbers(logits) {
            return Err(Error::NotFinite);
        }
        let choice = sequence.chooser.choose(logits, &mut self.scratch)?;
        let token = choice.token;
        if self.model.ends(token) {
            return Ok(Some(StopReason::Stop));
        }
        sequence.chooser.accept(token, self.model)?;
        sequence.tokens.push(token);
        let mut bytes = Vec::with_capacity(32);
        self.model
            .piece(token, sequence.answer.spells(token), &mut bytes);
        let held = sequence.answer.held();
        let mut grown = sequence.answer.push(&bytes);
        if let Some(logprobs) = choice.logprobs {
            sequence
                .report
                .note(held.unwrap_or(0), logprobs.told(self.model));
        }
        grown.delta.logprobs = match held {
            Some(_) => sequence.report.release(grown.delta.text.len()),
            None if grown.delta.is_empty() => Vec::new(),
            None => sequence.report.rest(),
        };
        let stopped = grown.stopped;
        tell(&self.outbox, sequence, grown);
        if stopped {
            // The remaining logprobs belong to the stop text.
            sequence.report.rest();
        }
        if stopped || sequence.chooser.is_over() {
            return Ok(Some(StopReason::Stop));
        }
        let full =
            sequence.generated() >= sequence.max_tokens || sequence.tokens.len() >= sequence.cells;
        Ok(full.then_some(StopReason::Length))
    }

    /// Ends a running sequence. Its cells stay cached.
    fn leave(&mut self, index: usize, reason: StopReason) {
        let sequence = self.slots.retire(&mut self.memory, index, Instant::now());
        self.finish(sequence, reason);
    }

    /// Ends a running sequence with an error. Its cells stay cached.
    fn fail(&mut self, index: usize, error: Error) {
        let sequence = self.slots.retire(&mut self.memory, index, Instant::now());
        self.outbox.fail(sequence.id, error);
    }

    /// Sends the rest of the text, and the end.
    fn finish(&self, mut sequence: Sequence, mut reason: StopReason) {
        let ending = match reason {
            StopReason::Stop => Ending::Whole,
            StopReason::Length | StopReason::Cancelled => Ending::Cut,
        };
        let id = sequence.id;
        match sequence.answer.finish(ending) {
            Ok(mut rest) => {
                rest.delta.logprobs = if rest.stopped {
                    sequence.report.release(rest.delta.text.len())
                } else {
                    sequence.report.rest()
                };
                if rest.stopped {
                    reason = StopReason::Stop;
                }
                tell(&self.outbox, &sequence, rest);
            }
            Err(error) => return self.outbox.fail(id, error),
        }
        self.outbox
            .send(id, Event::Done(Box::new(sequence.done(reason))));
    }

    /// After a decode call that was stopped: nothing of it counts, and a cache that cannot be truncated has lost the whole sequence.
    fn resync(&mut self) {
        for index in 0..self.slots.running().len() {
            let slot = &self.slots.running()[index];
            if self.memory.length(slot.seq) != Some(slot.computed()) {
                self.slots.lost(&mut self.memory, index);
            }
        }
    }

    /// After a decode call that failed: the cache is in doubt, so everything is computed again, with fewer sequences or none.
    fn recover(&mut self, error: DecodeError) {
        self.memory.clear();
        self.slots.all_lost();
        // Caches with a window may need more cells than are counted; with one sequence less it works.
        let full = error == DecodeError::Full;
        if full && self.slots.overfull(&mut self.memory) {
            tracing::warn!("the KV cache is full; the newest sequence waits");
            return;
        }
        tracing::error!(%error, "a decode call failed");
        self.fail_all(|tokens| {
            if full {
                Error::CacheFull { tokens }
            } else {
                Error::Internal(error.to_string())
            }
        });
    }

    /// Ends all running sequences with an error, which may depend on their number of tokens.
    fn fail_all(&mut self, error: impl Fn(usize) -> Error) {
        while !self.slots.running().is_empty() {
            let Sequence { id, tokens, .. } = self.slots.remove(&mut self.memory, 0);
            self.outbox.fail(id, error(tokens.len()));
        }
    }
}

/// A sequence with logits after a step.
struct Due {
    /// Its index among the running sequences.
    index: usize,
    /// Index of its last token in the batch; its draft follows.
    place: i32,
    draft: Draft,
}

impl Due {
    fn guesses(&self) -> bool {
        !self.draft.tokens.is_empty()
    }
}

/// Whether a token can be sampled from logits. −∞ rules a token out.
fn are_numbers(logits: &[f32]) -> bool {
    let wrong = |logit: &f32| logit.is_nan() || *logit == f32::INFINITY;
    !logits.iter().any(wrong) && logits.iter().any(|logit| logit.is_finite())
}

/// Cap on cached cells of finished sequences, so that attention over unused cells costs less than 5 % of a step.
fn spare_cells(model: &Model, load: &Load) -> usize {
    let cell = memory::kv_bytes(&model.llama, 1, load.settings.kv_type).max(1);
    let cells = model.llama.size() / KEPT_SHARE / cell;
    usize::try_from(cells).unwrap_or(usize::MAX)
}

/// Sends new text, if there is any.
fn tell(outbox: &Outbox, sequence: &Sequence, Grown { mut delta, .. }: Grown) {
    if !delta.is_empty() {
        delta.tokens = count(sequence.generated());
        outbox.send(sequence.id, Event::Delta(delta));
    }
}

/// Indices and shares of the sequences in prefill.
fn reading<'a>(
    outstanding: &'a [usize],
    shares: &'a [usize],
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let all = outstanding.iter().zip(shares.iter().copied()).enumerate();
    all.filter(|(_, (outstanding, share))| **outstanding > 1 && *share > 0)
        .map(|(index, (_, share))| (index, share))
}

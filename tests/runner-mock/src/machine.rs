//! The mock runner as a state machine of requests, time and outputs.
//!
//! It reads no clock and no socket, so program and task behave alike, independent of thread scheduling.

use std::{collections::VecDeque, fs::File, io, time::Duration};

use runner_protocol::{
    Call, Event, Failure, FailureKind, Generate, Hello, HostCacheSetup, Kernels, Load, Loaded,
    RefusedAdapter, Reply, Request, Sandbox, Stats, Template, Tokenize, VERSION, frame,
};

use super::{
    answer::{self, Answering, Step},
    attempt::Attempt,
    memory::Memory,
    process::start_of,
    script::{Death, Fault, FaultPoint, Origin, Script},
    vectors,
    words::{self, Words},
};

/// Bytes at the start of the weights that are searched for directives.
pub(super) const SEARCHED: usize = 64 * 1024;

/// Resident bytes, unless a directive gives others.
const RESIDENT: u64 = 64 * 1024 * 1024;

/// Trained context, unless a directive gives another.
const TRAINED_CONTEXT: u32 = 4096;

/// What the program or the task has to do, in order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Write these bytes to the socket.
    Send(Vec<u8>),
    /// Write this line to standard error.
    Say(String),
    /// Do this, and nothing after it.
    Last(Last),
}

/// The last output of a mock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// End the process.
    Die(Death),
    /// Neither read nor write, and do not exit.
    Deaf,
    /// Stop the process by SIGSTOP.
    Freeze,
    /// Close the socket, and do not exit.
    HangUp,
}

/// Opens the file behind a descriptor.
pub(crate) type OpenFile = Box<dyn FnMut(i32) -> io::Result<File> + Send>;

/// The environment of a mock.
pub(crate) struct World {
    pub(crate) open: OpenFile,
    /// Carries out an attempt and describes its result.
    pub(crate) attempt: fn(&Attempt) -> String,
    /// The sandbox that it reports.
    pub(crate) sandbox: Sandbox,
}

/// The mock runner without socket and clock. Times are since its start.
pub(crate) struct Mock {
    world: World,
    /// Directives for all answers, or the error in them.
    script: Result<Script, String>,
    words: Words,
    model: Model,
    memory: Memory,
    waiting: VecDeque<Answering>,
    active: Vec<Answering>,
    /// All work has stopped for good.
    stalled: bool,
    out: Vec<Output>,
}

/// The model.
enum Model {
    None,
    Loading(Loading),
    Loaded(Load),
    Failed,
}

struct Loading {
    id: u64,
    load: Load,
    quarters: u8,
    since: Duration,
    next: Duration,
}

impl Mock {
    /// A mock with the directives of the environment.
    pub(crate) fn new(environment: &str, world: World) -> Self {
        let mut script = Script::default();
        let script = script
            .add(environment, Origin::Environment)
            .map(|()| script);
        Self {
            world,
            script,
            words: Words::default(),
            model: Model::None,
            memory: Memory::default(),
            waiting: VecDeque::new(),
            active: Vec::new(),
            stalled: false,
            out: Vec::new(),
        }
    }

    /// Its outputs before the first request.
    pub(crate) fn begin(&mut self) -> Vec<Output> {
        let script = self.script.clone().unwrap_or_default();
        self.say(&script.say);
        match script.fault(FaultPoint::Hello) {
            Some(fault) => {
                self.misbehave(fault, 0);
            }
            None => {
                let hello = Hello {
                    version: script.hello_version.unwrap_or(VERSION),
                    engine: "mock".to_owned(),
                    sandbox: self.world.sandbox.clone(),
                    kernels: Kernels::default(),
                };
                self.out.push(Output::Send(
                    frame::wire(&hello).expect("an introduction fits a frame"),
                ));
            }
        }
        std::mem::take(&mut self.out)
    }

    /// Handles a request.
    pub(crate) fn receive(&mut self, Request { id, call }: Request, now: Duration) -> Vec<Output> {
        match call {
            Call::Load(load) => self.load(id, load, now),
            Call::Generate(generate) => self.generate(id, *generate, now),
            Call::Tokenize(tokenize) => {
                self.answer(id, |mock| Ok(Event::Tokens(mock.tokenize(&tokenize))))
            }
            Call::Detokenize(detokenize) => self.answer(id, |mock| {
                mock.words
                    .text(&detokenize.tokens)
                    .map(Event::Text)
                    .map_err(outside_of_vocabulary)
            }),
            Call::Template(template) => self.answer(id, |mock| {
                let text = mock.render(&template)?;
                Ok(Event::Prompt(text.into()))
            }),
            Call::Embed(embed) => self.answer(id, |mock| vectors::embed(embed, &mut mock.words)),
            Call::Rerank(rerank) => {
                self.answer(id, |mock| vectors::rerank(&rerank, &mut mock.words))
            }
            Call::Stats => {
                let stats = self.stats();
                self.reply(id, Event::Stats(stats));
            }
            Call::HostCacheSetup(setup) => self.set_up_host_cache(id, setup),
            Call::ExportState(wanted) => {
                self.answer(id, |mock| {
                    Ok(Event::State(mock.memory.export_state(wanted)))
                });
            }
            Call::StatePart { offset } => self.answer(id, |mock| mock.memory.part(offset)),
            Call::Cancel { target } => self.cancel(target, now),
            Call::Shutdown => self.out.push(Output::Last(Last::Die(Death::Exit(0)))),
        }
        self.admit(now);
        std::mem::take(&mut self.out)
    }

    /// When the next step is due, possibly in the past; `None` without work.
    pub(crate) fn next_step(&self) -> Option<Duration> {
        if self.stalled {
            return None;
        }
        let loading = match &self.model {
            Model::Loading(loading) => Some(loading.next),
            _ => None,
        };
        self.active.iter().map(Answering::next).chain(loading).min()
    }

    /// Does the steps that are due: a quarter of the file, or one token or batch of prefill of each active answer.
    pub(crate) fn step(&mut self, now: Duration) -> Vec<Output> {
        if matches!(&self.model, Model::Loading(loading) if loading.next <= now) {
            self.load_quarter(now);
        }
        let mut index = 0;
        while index < self.active.len() && !self.stalled {
            if self.active[index].next() > now {
                index += 1;
                continue;
            }
            let id = self.active[index].id();
            let Step { event, fault } = self.active[index].step(now);
            let mut over = event.is_terminal();
            if let Event::Done(done) = &event {
                self.memory.keep(&done.all_tokens);
            }
            self.reply(id, event);
            if let Some(fault) = fault {
                over = self.misbehave(fault, id);
            }
            if over {
                self.active.remove(index);
            } else {
                index += 1;
            }
        }
        self.admit(now);
        std::mem::take(&mut self.out)
    }

    fn set_up_host_cache(&mut self, id: u64, setup: HostCacheSetup) {
        if !matches!(self.model, Model::None) || self.memory.is_told() {
            return self.fail(
                id,
                FailureKind::Invalid,
                "the host cache is set up once, before the load",
            );
        }
        let states = self.memory.set_up_host_cache(setup, &mut self.world.open);
        self.reply(id, Event::HostCacheReady { states });
        self.tell_fates();
    }

    fn tell_fates(&mut self) {
        for (state, outcome) in self.memory.take_outcomes() {
            self.reply(0, Event::StateOutcome { state, outcome });
        }
    }

    fn load(&mut self, id: u64, load: Load, now: Duration) {
        if !matches!(self.model, Model::None) {
            return self.fail(id, FailureKind::Invalid, "a runner loads one model, once");
        }
        if let Err(message) = check(&load) {
            return self.fail(id, FailureKind::Invalid, message);
        }
        self.model = Model::Failed;
        let start = (self.world.open)(load.weights_fd).and_then(|file| start_of(&file));
        let start = match start {
            Ok(start) => start,
            Err(error) => {
                return self.fail(
                    id,
                    FailureKind::Internal,
                    format!("cannot read the weights: {error}"),
                );
            }
        };
        if let Some(fd) = load.draft_fd
            && let Err(error) = (self.world.open)(fd).and_then(|file| start_of(&file))
        {
            let message = format!("cannot read the draft model: {error}");
            return self.fail(id, FailureKind::Internal, message);
        }
        let mut script = match self.script.clone() {
            Ok(script) => script,
            Err(message) => return self.fail(id, FailureKind::Invalid, message),
        };
        let said = script.say.len();
        if let Err(message) = script.take_from(&String::from_utf8_lossy(&start), Origin::Weights) {
            return self.fail(id, FailureKind::Invalid, message);
        }
        self.say(&script.say.split_off(said));
        // Lines of `say` from the start of the process and the load are not repeated for each answer.
        script.say.clear();
        script.no_chat_template &= load.chat_template.is_none();
        let next = now + script.load_delay;
        self.script = Ok(script);
        self.model = Model::Loading(Loading {
            id,
            load,
            quarters: 0,
            since: now,
            next,
        });
    }

    fn load_quarter(&mut self, now: Duration) {
        let script = self.script.clone().unwrap_or_default();
        let Model::Loading(loading) = &mut self.model else {
            return;
        };
        let (id, since) = (loading.id, loading.since);
        loading.quarters += 1;
        loading.next = now + script.load_delay;
        let fraction = f32::from(loading.quarters) / 4.0;
        let whole = loading.quarters == 4;
        let load = loading.load.clone();
        self.reply(id, Event::Loading { fraction });
        if let Some(fault) = script.fault(FaultPoint::Load) {
            self.model = Model::Failed;
            self.misbehave(fault, id);
        } else if whole {
            let loaded = Loaded {
                context: load.settings.context,
                trained_context: script.trained_context.unwrap_or(TRAINED_CONTEXT),
                vocabulary: words::VOCABULARY,
                has_chat_template: !script.no_chat_template,
                sees_images: load.projector.is_some(),
                refused_adapters: script
                    .refused_adapter
                    .map(|digest| RefusedAdapter {
                        digest,
                        reason: "the mock refuses it".to_owned(),
                    })
                    .into_iter()
                    .collect(),
                resident_bytes: script.resident_bytes.unwrap_or(RESIDENT),
                device_bytes: script.device_bytes,
                memory: Vec::new(),
                device: "mock".to_owned(),
                load_ns: nanos(now - since),
            };
            self.model = Model::Loaded(load);
            self.reply(id, Event::Loaded(loaded));
        }
    }

    fn generate(&mut self, id: u64, generate: Generate, now: Duration) {
        let Model::Loaded(load) = &self.model else {
            return self.fail(id, FailureKind::Invalid, "no model is loaded");
        };
        let script = self.script.clone().unwrap_or_default();
        let load = load.clone();
        let attempt = self.world.attempt;
        match Answering::new(id, generate, &load, script, &mut self.words, attempt, now) {
            Ok(mut answering) => {
                answering.recalled(self.memory.alike(answering.prompt()));
                self.tell_fates();
                self.say(answering.said());
                self.waiting.push_back(answering);
            }
            Err(failure) => self.reply(id, Event::Failed(failure)),
        }
    }

    /// Starts waiting answers while there are free slots.
    fn admit(&mut self, now: Duration) {
        let Model::Loaded(Load { sequences, .. }) = self.model else {
            return;
        };
        while self.active.len() < sequences as usize
            && let Some(mut answering) = self.waiting.pop_front()
        {
            let started = answering.admit(now);
            let id = answering.id();
            self.active.push(answering);
            self.reply(id, started);
        }
    }

    fn cancel(&mut self, target: u64, now: Duration) {
        if self.stalled {
            return;
        }
        let is_target = |answering: &Answering| answering.id() == target;
        let answering = if let Some(index) = self.waiting.iter().position(is_target) {
            self.waiting.remove(index)
        } else if let Some(index) = self.active.iter().position(is_target) {
            Some(self.active.remove(index))
        } else {
            None
        };
        if let Some(answering) = answering {
            self.reply(target, answering.cancelled(now));
        }
    }

    fn tokenize(&mut self, tokenize: &Tokenize) -> Vec<i32> {
        let begin = tokenize.add_special.then_some(words::BEGIN);
        begin
            .into_iter()
            .chain(self.words.tokens(&tokenize.text))
            .collect()
    }

    fn render(&self, template: &Template) -> Result<String, Failure> {
        let script = self.script.as_ref();
        if script.is_ok_and(|script| script.no_chat_template) {
            return Err(invalid("this model has no chat template"));
        }
        Ok(answer::render(template))
    }

    fn stats(&self) -> Stats {
        let script = self.script.as_ref();
        Stats {
            active: count(self.active.len()),
            waiting: count(self.waiting.len()),
            cells_used: self.active.iter().map(Answering::cells).sum(),
            resident_bytes: script
                .ok()
                .and_then(|script| script.resident_bytes)
                .unwrap_or(RESIDENT),
        }
    }

    /// Answers a short call.
    fn answer(&mut self, id: u64, ask: impl FnOnce(&mut Self) -> Result<Event, Failure>) {
        let event = if matches!(self.model, Model::Loaded(_)) {
            ask(self).unwrap_or_else(Event::Failed)
        } else {
            Event::Failed(invalid("no model is loaded"))
        };
        self.reply(id, event);
    }

    /// Carries out a fault. Returns whether the request is over.
    fn misbehave(&mut self, fault: Fault, id: u64) -> bool {
        let last = |last| Output::Last(last);
        let output = match fault {
            Fault::Fail(kind) => {
                self.fail(id, kind, "the mock runner was told to fail");
                return true;
            }
            Fault::WrongId => {
                self.reply(u64::MAX, Event::Text(String::new()));
                return false;
            }
            Fault::WrongEvent => {
                self.reply(id, Event::Text(String::new()));
                return false;
            }
            Fault::Stall => {
                self.stalled = true;
                return false;
            }
            Fault::Crash(death) => last(Last::Die(death)),
            Fault::Deaf => last(Last::Deaf),
            Fault::Freeze => last(Last::Freeze),
            Fault::HangUp => last(Last::HangUp),
            // MessagePack never uses the byte 0xc1.
            Fault::Garbage => Output::Send(vec![0, 0, 0, 2, 0xc1, 0xc1]),
            Fault::HugeFrame => Output::Send(vec![0xff; 8]),
            Fault::HalfFrame => {
                self.out.push(Output::Send(vec![0, 0, 0, 100, 0x82, 0xa2]));
                last(Last::Die(Death::Exit(0)))
            }
        };
        self.stalled = true;
        self.out.push(output);
        false
    }

    fn say(&mut self, lines: &[String]) {
        self.out.extend(lines.iter().cloned().map(Output::Say));
    }

    fn fail(&mut self, id: u64, kind: FailureKind, message: impl Into<String>) {
        self.reply(id, Event::Failed(Failure::new(kind, message.into())));
    }

    fn reply(&mut self, id: u64, event: Event) {
        let frame = frame::wire(&Reply { id, event }).unwrap_or_else(|error| {
            let event = Event::Failed(Failure::new(FailureKind::Internal, error.to_string()));
            frame::wire(&Reply { id, event }).expect("a short failure fits a frame")
        });
        self.out.push(Output::Send(frame));
    }
}

/// Checks the rules of [`Load`].
fn check(load: &Load) -> Result<(), &'static str> {
    if load.settings.context < 4 {
        return Err("the context must have at least 4 cells");
    }
    if !(1..=256).contains(&load.sequences) {
        return Err("there must be 1 to 256 sequences");
    }
    if !(1..=65_536).contains(&load.settings.batch) {
        return Err("a batch must have 1 to 65536 tokens");
    }
    Ok(())
}

pub(super) fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Invalid, message.into())
}

pub(super) fn outside_of_vocabulary(token: i32) -> Failure {
    invalid(format!(
        "token {token} is outside of the vocabulary of {}",
        words::VOCABULARY
    ))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

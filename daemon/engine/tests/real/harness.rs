//! A runner process, and the daemon's end of its socket.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{Seek, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use runner_protocol::{
    Call, Done, Event, Failure, FailureKind, Generate, Hello, KvType, Load, LoadSettings, Loaded,
    Prompt, Reply, Request, Sampling, Speculation, VERSION, frame,
};

/// Far more than anything here takes; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(120);

/// A runner process with the daemon's end of its socket.
pub(crate) struct Runner {
    child: Child,
    socket: UnixStream,
    weights: File,
    shards: Vec<File>,
    last_id: u64,
    /// Events that came while another request was waited for.
    early: HashMap<u64, VecDeque<Event>>,
    hello: Hello,
}

impl Runner {
    /// Starts a runner that could load these bytes. Nothing is loaded yet.
    pub(crate) fn start(model: &[u8]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_slm-runner")), model)
    }

    /// Starts a runner that could load these parts of a model.
    pub(crate) fn start_with_parts(parts: &[Vec<u8>]) -> Self {
        let shards = parts[1..].iter().map(|part| inheritable(part)).collect();
        let mut runner = Self::start(&parts[0]);
        runner.shards = shards;
        runner
    }

    /// The same by another command.
    pub(crate) fn start_by(mut command: Command, model: &[u8]) -> Self {
        let weights = inheritable(model);
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = command
            .env_clear()
            .env("SLM_RUNNER_LOG", "warn")
            .env("GOMP_SPINCOUNT", "1000")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let hello: Hello = frame::read(&mut &socket).unwrap();
        assert_eq!(hello.version, VERSION);
        assert!(hello.engine.starts_with("llama.cpp "), "{}", hello.engine);
        Self {
            child,
            socket,
            weights,
            shards: Vec::new(),
            last_id: 0,
            early: HashMap::new(),
            hello,
        }
    }

    /// How it introduced itself.
    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A runner that has loaded the tiny model, with changed settings.
    pub(crate) fn loaded(change: impl FnOnce(&mut Load)) -> Self {
        let mut runner = Self::start(&gguf_writer::tiny::llama(1));
        runner.load(change).unwrap();
        runner
    }

    /// Loads what the runner was started with.
    pub(crate) fn load(&mut self, change: impl FnOnce(&mut Load)) -> Result<Loaded, Failure> {
        let call = self.load_call(change);
        let id = self.send(call);
        match self.end(id) {
            Event::Loaded(loaded) => Ok(loaded),
            Event::Failed(failure) => Err(failure),
            other => panic!("a load ended in {other:?}"),
        }
    }

    /// The call that [`Self::load`] sends.
    pub(crate) fn load_call(&self, change: impl FnOnce(&mut Load)) -> Call {
        let mut load = Load {
            weights_fd: self.weights.as_raw_fd(),
            shard_fds: self.shards.iter().map(AsRawFd::as_raw_fd).collect(),
            adapters: Vec::new(),
            sequences: 4,
            settings: LoadSettings {
                context: 2048,
                batch: 512,
                threads: 1,
                gpu_layers: 0,
                host_experts: 0,
                main_gpu: 0,
                mmap: true,
                kv_type: KvType::F16,
            },
            chat_template: None,
            draft_fd: None,
            speculation: Speculation::Auto,
            projector: None,
        };
        change(&mut load);
        Call::Load(load)
    }

    /// Sends a call and says its id.
    pub(crate) fn send(&mut self, call: Call) -> u64 {
        self.last_id += 1;
        frame::write(
            &mut self.socket,
            &Request {
                id: self.last_id,
                call,
            },
        )
        .unwrap();
        self.last_id
    }

    /// Sends bytes that are no frame of ours.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// The next event of a request.
    pub(crate) fn event(&mut self, id: u64) -> Event {
        loop {
            if let Some(event) = self.early.get_mut(&id).and_then(VecDeque::pop_front) {
                return event;
            }
            let reply: Reply = frame::read(&mut self.socket).unwrap();
            self.early
                .entry(reply.id)
                .or_default()
                .push_back(reply.event);
        }
    }

    /// Whether an event under this id came while another was waited for.
    pub(crate) fn has_early(&self, id: u64) -> bool {
        self.early.get(&id).is_some_and(|events| !events.is_empty())
    }

    /// The terminal event of a request.
    pub(crate) fn end(&mut self, id: u64) -> Event {
        loop {
            let event = self.event(id);
            if event.is_terminal() {
                return event;
            }
        }
    }

    /// Sends a call and waits for its end.
    pub(crate) fn call(&mut self, call: Call) -> Event {
        let id = self.send(call);
        self.end(id)
    }

    /// Sends a call that must fail, and says how.
    pub(crate) fn fails(&mut self, call: Call) -> (FailureKind, String) {
        match self.call(call) {
            Event::Failed(Failure { kind, message, .. }) => (kind, message),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    /// The text and the end of an answer.
    pub(crate) fn answer(&mut self, id: u64) -> (String, Done) {
        let mut text = String::new();
        let mut started = None;
        loop {
            match self.event(id) {
                Event::Started { prompt_tokens, .. } => {
                    assert_eq!(started.replace(prompt_tokens), None, "it starts once");
                }
                Event::Delta(delta) => text.push_str(&delta.text),
                Event::Prefill { done, total } => assert!(done <= total),
                Event::EncodingImages { .. } => {}
                Event::Done(done) => {
                    assert!(started.is_none_or(|tokens| tokens == done.prompt_tokens));
                    return (text, *done);
                }
                other => panic!("unexpected in an answer: {other:?}"),
            }
        }
    }

    /// What was thought, what was said, and the end of an answer without calls.
    pub(crate) fn thoughts_and_text(&mut self, generate: Generate) -> (String, String, Done) {
        let id = self.send(Call::Generate(Box::new(generate)));
        let (mut thoughts, mut text) = (String::new(), String::new());
        loop {
            match self.event(id) {
                Event::Delta(delta) => {
                    assert!(delta.tool_calls.is_empty(), "{delta:?}");
                    thoughts.push_str(&delta.reasoning);
                    text.push_str(&delta.text);
                }
                Event::Started { .. } | Event::Prefill { .. } => {}
                Event::Done(done) => return (thoughts, text, *done),
                other => panic!("unexpected in an answer: {other:?}"),
            }
        }
    }

    /// Names and arguments of the calls in an answer, and its end.
    pub(crate) fn calls(&mut self, generate: Generate) -> (Vec<(String, String)>, Done) {
        let id = self.send(Call::Generate(Box::new(generate)));
        let mut calls: Vec<(String, String)> = Vec::new();
        loop {
            match self.event(id) {
                Event::Delta(delta) => {
                    for call in delta.tool_calls {
                        if call.index as usize == calls.len() {
                            calls.push((call.name, String::new()));
                        }
                        calls[call.index as usize].1.push_str(&call.arguments);
                    }
                }
                Event::Started { .. } | Event::Prefill { .. } => {}
                Event::Done(done) => return (calls, *done),
                other => panic!("unexpected in an answer: {other:?}"),
            }
        }
    }

    /// Generates and waits for the end.
    pub(crate) fn generate(&mut self, generate: Generate) -> (String, Done) {
        let id = self.send(Call::Generate(Box::new(generate)));
        self.answer(id)
    }

    /// Closes the socket and waits for the process.
    pub(crate) fn hang_up(self) -> ExitStatus {
        let Self {
            mut child, socket, ..
        } = self;
        drop(socket);
        wait(&mut child)
    }

    /// Waits for the process while the socket is open.
    pub(crate) fn wait(mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

/// A file with these bytes that children inherit under the same number.
pub(crate) fn inheritable(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    // Whoever the runner runs as may open it again.
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
        .unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    file
}

/// A process that does not end is killed by whoever runs the tests.
fn wait(child: &mut Child) -> ExitStatus {
    child.wait().unwrap()
}

/// A greedy answer of at most so many tokens to a prompt as text.
pub(crate) fn greedy(prompt: &str, max_tokens: u32) -> Generate {
    Generate {
        sampling: Sampling::greedy(),
        max_tokens: Some(max_tokens),
        ..Generate::new(Prompt::Text {
            text: prompt.into(),
            special: true,
        })
    }
}

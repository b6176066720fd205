//! The mock runner as a program, without an async runtime, so that it starts fast.

use std::{
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    thread,
    time::Instant,
};

use confine::Needs;
use runner_protocol::{
    Request, Sandbox, frame,
    spare::{self, Reserved},
};
use rustix::process::Signal;
use supervisor::Files;

use super::{
    attempt::Attempt,
    machine::{Last, Mock, Output, SEARCHED, World},
    script::Death,
};

/// The environment variable with directives for the whole process.
pub(super) const VARIABLE: &str = "SLM_MOCK";

/// Most requests that wait for the state machine.
const BACKLOG: usize = 64;

/// Runs the program: speaks the protocol on standard input until that ends.
pub fn main() -> ExitCode {
    if let Err(error) = confine::at_start() {
        say(&format!("cannot confine the mock runner: {error}"));
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(code) => code,
        // The daemon is gone or has closed the socket, so the runner exits.
        Err(_) => ExitCode::SUCCESS,
    }
}

fn run() -> io::Result<ExitCode> {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    // Reserved before anything else is opened.
    let reserved = has(spare::SPARE).then(|| Reserved::new(Files::FIRST));
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    if let Some(reserved) = reserved.transpose()?
        && reserved.receive(&socket)?.is_none()
    {
        return Ok(ExitCode::SUCCESS);
    }
    let start = Instant::now();
    let sandbox = if has(runner_protocol::NO_SANDBOX) {
        Sandbox::default()
    } else {
        confine::restrict(&Needs::default())
    };
    let world = World {
        open: Box::new(open),
        attempt: Attempt::carry_out,
        sandbox,
    };
    let mut mock = Mock::new(&environment(), world);
    let (sender, requests) = mpsc::sync_channel(BACKLOG);
    let input = socket.try_clone()?;

    let outputs = mock.begin();
    thread::Builder::new().spawn(move || read(input, &sender))?;
    if let Some(code) = carry_out(outputs, &mut socket)? {
        return Ok(code);
    }
    loop {
        let request = match mock.next_step() {
            None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(next) => requests.recv_timeout(next.saturating_sub(start.elapsed())),
        };
        let outputs = match request {
            Ok(request) => mock.receive(request, start.elapsed()),
            Err(RecvTimeoutError::Timeout) => mock.step(start.elapsed()),
            Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
        };
        if let Some(code) = carry_out(outputs, &mut socket)? {
            return Ok(code);
        }
    }
}

/// Reads requests until the socket closes or the state machine ends.
fn read(mut input: UnixStream, requests: &SyncSender<Request>) {
    while let Ok(request) = frame::read(&mut input) {
        if requests.send(request).is_err() {
            return;
        }
    }
}

/// Carries out the outputs of the state machine. Returns the exit code when it has to exit.
fn carry_out(outputs: Vec<Output>, socket: &mut UnixStream) -> io::Result<Option<ExitCode>> {
    for output in outputs {
        match output {
            Output::Send(bytes) => socket.write_all(&bytes)?,
            Output::Say(line) => say(&line),
            Output::Last(Last::Die(Death::Exit(code))) => return Ok(Some(ExitCode::from(code))),
            Output::Last(Last::Die(Death::Abort)) => die(Signal::ABORT),
            Output::Last(Last::Die(Death::Segv)) => die(Signal::SEGV),
            Output::Last(Last::Die(Death::Kill)) => die(Signal::KILL),
            Output::Last(Last::Freeze) => die(Signal::STOP),
            Output::Last(Last::Deaf) => stay(),
            Output::Last(Last::HangUp) => {
                socket.shutdown(std::net::Shutdown::Both)?;
                stay();
            }
        }
    }
    Ok(None)
}

/// Sends itself a signal until it ends: the standard library handles a first SIGSEGV as a stack overflow, and only the second one kills.
fn die(signal: Signal) -> ! {
    loop {
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

fn stay() -> ! {
    loop {
        thread::park();
    }
}

fn say(line: &str) {
    // A closed standard error is ignored.
    let _ = writeln!(io::stderr(), "{line}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this program reads its environment"
)]
fn environment() -> String {
    std::env::var_os(VARIABLE)
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Opens an inherited file by the path of its descriptor, as the engine does.
#[expect(
    clippy::disallowed_methods,
    reason = "the file is a descriptor and has no path to name"
)]
fn open(descriptor: i32) -> io::Result<std::fs::File> {
    std::fs::File::open(format!("/proc/self/fd/{descriptor}"))
}

/// The first bytes of a file, independent of its offset.
pub(super) fn start_of(file: &std::fs::File) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;

    let mut start = vec![0; SEARCHED];
    let mut length = 0;
    while length < start.len() {
        match file.read_at(&mut start[length..], length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    start.truncate(length);
    Ok(start)
}

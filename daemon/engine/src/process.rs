//! The life of the process: what it was started for, its socket, its threads, its end.

use std::{
    io::{self, BufReader, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    thread,
};

use confine::Needs;
use llama_cpp_2::llama_backend::LlamaBackend;
use runner_protocol::{
    Call, Hello, Kernels, Request, Sandbox, VERSION, frame,
    spare::{self, Reserved},
};
use serde_json::Value;

use crate::{
    cache::read_ahead::Reader,
    engine::{self, Finished},
    error::Error,
    ffi,
    inbox::{self, Feed, MAX_REQUESTS},
    model::{
        accelerators, backend,
        kernels::{self, Switch},
        modules,
    },
    outbox::{self, Outbox},
    probe,
    system::{log, threads},
};

/// It was started in a way that it does not understand.
const USAGE_CODE: u8 = 2;

/// The option that names the CPU module; the daemon passes what `probe cpu` chose.
const CPU: &str = "--cpu=";

/// The first descriptor of a file, after the standard ones.
const FIRST_FILE: i32 = 3;

/// The option that names the module of an accelerator.
const BACKEND: &str = "--backend=";

/// The option that names a device to offload to.
const DEVICE: &str = "--device=";

/// The option that says how products are computed; the daemon passes what `probe measure` chose.
const PRODUCTS: &str = "--products=";

const USAGE: &str =
    "slm-runner holds one loaded model for slmd, which starts it with a socket as standard input.
To talk to a model, use slm run.

  slm-runner --no-sandbox     holds it without confining itself
  slm-runner --cpu=NAME       holds it with this CPU module
  slm-runner --spare          loads the libraries, and waits for the files of a model
  slm-runner --backend=NAME   loads the module of an accelerator, such as vulkan;
                              may be repeated
  slm-runner --device=NAME    offloads to this device only, such as Vulkan0;
                              may be repeated
  slm-runner --products=CHOICE,…  computes products as chosen, such as Q4_0=repack
  slm-runner --kernels=off    holds it, or does what follows, without slm's kernels
  slm-runner probe            shows what this machine can compute on, as JSON
  slm-runner probe processor  shows what the CPU module says, as JSON
  slm-runner probe nvml       shows what NVIDIA's management library says, as JSON
  slm-runner probe cpu [NAME…]  checks the CPU modules, best first, without the named
                              ones, and shows the first that works, as JSON
  slm-runner probe backends   shows the backend modules with their devices or faults
  slm-runner probe sandbox    shows how far a runner can confine itself here
  slm-runner probe measure [NAME]  measures memory and products, with this CPU module
  slm-runner probe backend NAME  shows the devices of one backend module
  slm-runner check NAME       checks one CPU module
  slm-runner --version        shows the version
";

/// Runs the process to its end.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (switches, arguments): (Vec<_>, Vec<&str>) = arguments
        .iter()
        .map(String::as_str)
        .partition(|argument| *argument == Kernels::OFF);
    let kernels = match switches.is_empty() {
        true => Switch::Auto,
        false => Switch::Off,
    };
    match arguments.as_slice() {
        ["probe"] => show(kernels, || Ok(probe::all(kernels))),
        ["probe", "processor"] => show(kernels, || backend::probe(kernels)),
        ["probe", "nvml"] => show(kernels, || Ok(probe::nvml())),
        ["probe", "cpu", without @ ..] => show(kernels, || modules::choose(without, kernels)),
        ["probe", "backends"] => show(kernels, || Ok(accelerators::probe_apart(kernels).into())),
        ["probe", "sandbox"] => show(kernels, || Ok(probe::sandbox())),
        ["probe", "measure"] => show(kernels, || probe::measure(None, kernels)),
        ["probe", "measure", cpu] => show(kernels, || probe::measure(Some(cpu), kernels)),
        ["probe", "backend", name] => show(kernels, || accelerators::probe(name, kernels)),
        ["check", name] => check(name, kernels),
        ["--version"] => print(&format!(
            "slm-runner {} ({})\n",
            env!("CARGO_PKG_VERSION"),
            backend::engine()
        )),
        ["--help"] => print(USAGE),
        options => {
            let options = Options::read(options);
            let is_spare = options.as_ref().is_some_and(|options| options.spare);
            // Before anything else opens a file.
            let reserved = is_spare.then(|| Reserved::new(FIRST_FILE));
            match (options, daemon_socket()) {
                (Some(options), Ok(socket)) => serve(socket, &options, kernels, reserved),
                _ => refuse(USAGE, USAGE_CODE),
            }
        }
    }
}

/// How a model is held.
#[derive(Debug, Default)]
struct Options<'arguments> {
    unconfined: bool,
    spare: bool,
    cpu: Option<&'arguments str>,
    products: Option<&'arguments str>,
    backends: Vec<&'arguments str>,
    devices: Vec<&'arguments str>,
}

impl<'arguments> Options<'arguments> {
    /// `None` for an argument that means nothing.
    fn read(arguments: &[&'arguments str]) -> Option<Self> {
        let mut options = Self::default();
        for argument in arguments {
            if *argument == runner_protocol::NO_SANDBOX {
                options.unconfined = true;
            } else if *argument == spare::SPARE {
                options.spare = true;
            } else if let Some(name) = argument.strip_prefix(CPU) {
                options.cpu = Some(name);
            } else if let Some(choices) = argument.strip_prefix(PRODUCTS) {
                options.products = Some(choices);
            } else if let Some(name) = argument.strip_prefix(BACKEND) {
                options.backends.push(name);
            } else if let Some(name) = argument.strip_prefix(DEVICE) {
                options.devices.push(name);
            } else {
                return None;
            }
        }
        Some(options)
    }

    /// Loads the modules, and selects the devices.
    fn open(&self, switch: Switch) -> Result<(LlamaBackend, Kernels), Error> {
        let opened = backend::open(self.cpu, &self.backends, switch)?;
        if let (Some(choices), Kernels::On) = (self.products, &opened.1) {
            kernels::select(choices)?;
        }
        if !self.devices.is_empty() {
            backend::select(&self.devices)?;
        }
        Ok(opened)
    }

    fn confine(&self, needs: &Needs) -> Sandbox {
        if self.unconfined {
            Sandbox::default()
        } else {
            confine::restrict(needs)
        }
    }
}

/// Serves the daemon until it goes or says so.
fn serve(
    socket: UnixStream,
    options: &Options<'_>,
    switch: Switch,
    reserved: Option<io::Result<Reserved>>,
) -> ExitCode {
    let confined = confine::at_start();
    prepare(switch);
    log::start();
    if let Err(error) = confined {
        tracing::error!(%error, "cannot bind this process to the daemon's life");
        return ExitCode::FAILURE;
    }
    // Backends open devices and start programs of their drivers, so they come before the sandbox; models come after it.
    let (backend, kernels) = match options.open(switch) {
        Ok((backend, kernels)) => (Ok(backend), kernels),
        Err(error) => {
            let kernels = Kernels::Unavailable(error.to_string());
            (Err(error), kernels)
        }
    };
    match reserved.map(|reserved| reserved?.receive(&socket)) {
        None | Some(Ok(Some(_))) => {}
        Some(Ok(None)) => return ExitCode::SUCCESS,
        Some(Err(error)) => {
            tracing::error!(%error, "a spare runner cannot take the files of a model");
            return ExitCode::FAILURE;
        }
    }
    let hello = Hello {
        version: VERSION,
        engine: backend::engine(),
        sandbox: options.confine(&backend::needs(&options.backends)),
        kernels,
    };
    match start(socket, backend, &hello) {
        Ok((feed, outbox, input)) => ffi::leave(read_requests(input, &feed, &outbox)),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot serve the daemon"
            );
            ExitCode::FAILURE
        }
    }
}

/// Says hello and starts the writer and the engine.
fn start(
    socket: UnixStream,
    backend: Result<LlamaBackend, Error>,
    hello: &Hello,
) -> Result<(Feed<Finished>, Outbox, UnixStream), frame::Error> {
    // The daemon's end may be asynchronous; this one never is.
    socket.set_nonblocking(false)?;
    frame::write(&mut &socket, hello)?;

    let (outbox, write) = outbox::new(socket.try_clone()?);
    let (feed, inbox) = inbox::new();
    let returns = feed.returns();
    let (reader, read) = {
        let returns = feed.returns();
        Reader::new(move || returns.wake())
    };
    let engine = {
        let outbox = outbox.clone();
        move || {
            let ended = panic::catch_unwind(AssertUnwindSafe(|| {
                engine::run(&backend, &inbox, &outbox, &returns, reader)
            }));
            ffi::leave(if ended.is_ok() {
                0
            } else {
                threads::PANIC_CODE
            });
        }
    };
    thread::Builder::new().name("writer".into()).spawn(write)?;
    threads::detach("reader", read)?;
    thread::Builder::new()
        .name("engine".into())
        .stack_size(threads::STACK_BYTES)
        .spawn(engine)?;
    Ok((feed, outbox, socket))
}

/// Passes requests on until the socket closes. What it returns is the process's exit code.
fn read_requests(socket: UnixStream, feed: &Feed<Finished>, outbox: &Outbox) -> u8 {
    let mut input = BufReader::new(socket);
    loop {
        match frame::read::<Request>(&mut input) {
            Ok(Request {
                call: Call::Shutdown,
                ..
            })
            | Err(frame::Error::Closed) => return 0,
            // It left without reading all our replies.
            Err(frame::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                return 0;
            }
            Ok(request) => {
                if let Err(id) = feed.put(request) {
                    outbox.fail(id, Error::Busy(MAX_REQUESTS));
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the daemon breaks the protocol; leaving"
                );
                return 1;
            }
        }
    }
}

/// Standard input as the daemon's socket.
fn daemon_socket() -> io::Result<UnixStream> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Fails for whatever is no connected Unix socket.
    socket.peer_addr()?;
    Ok(socket)
}

/// Has the CPU module compute in this process, which may crash.
fn check(name: &str, switch: Switch) -> ExitCode {
    prepare(switch);
    log::start();
    if let Err(error) = confine::no_core() {
        return refuse(&format!("{error}\n"), 1);
    }
    match modules::check(name, switch) {
        Ok(operations) => print(&format!("{operations}\n")),
        Err(fault) => {
            print(&format!("{fault}\n"));
            ExitCode::FAILURE
        }
    }
}

fn show(switch: Switch, look: impl FnOnce() -> Result<Value, Error>) -> ExitCode {
    prepare(switch);
    log::start();
    match look() {
        Ok(found) => print(&format!("{found:#}\n")),
        Err(error) => refuse(&format!("{error}\n"), 1),
    }
}

/// Settings that hold for the whole process. Call it before any other thread runs.
fn prepare(switch: Switch) {
    ffi::prepare_process();
    kernels::clear_lazily(switch);
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(text: &str, code: u8) -> ExitCode {
    // There is no one to report a failure to.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}

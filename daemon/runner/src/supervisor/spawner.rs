//! Starts runner processes, all from one thread that never ends.
//!
//! A runner asks the kernel to kill it when its parent dies ([`confine::at_start`](crate::confine::at_start)).
//! On Linux "parent" means the *thread* that started it.
//! Threads of a runtime come and go, and with one of them healthy runners would go too; so one thread of its own starts them all.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    panic::AssertUnwindSafe,
    process::Stdio,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicU64, mpsc as blocking},
    thread,
};

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::{
    io::AsyncRead,
    net::unix::pipe,
    process::Child,
    runtime::Handle,
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{
    body::Body,
    error::Error,
    outbox::Outbox,
    program::{Files, Options, Program},
    runner::{Inner, Runner},
    service::{Reading, Service, Writing},
    stderr::Tail,
    table::Table,
};
use crate::mock;

/// Requests that may wait for the service to take them; more wait with their callers.
const OPENS: usize = 64;

/// Bytes between a mock in this process and its supervisor; about what a socket holds.
const BUFFER: usize = 64 * 1024;

/// Name of the environment variable that scripts the mock runner.
const MOCK: &str = "SLM_MOCK";

/// The one thread, once it runs. Kept here for ever, and so is the thread.
static THREAD: Mutex<Option<blocking::Sender<Order>>> = Mutex::new(None);

/// Starts runners. Clones share what they started.
#[derive(Debug, Clone)]
pub struct Spawner {
    place: Place,
    tasks: TaskTracker,
}

#[derive(Debug, Clone)]
enum Place {
    Processes(blocking::Sender<Order>),
    Mocks,
}

/// One process to start.
#[derive(Debug)]
struct Order {
    program: Program,
    socket: OwnedFd,
    stderr: OwnedFd,
    files: Files,
    /// Watches the child for its end.
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// A spawner of processes.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> io::Result<Self> {
        let mut orders = THREAD
            .lock()
            .expect("nothing panics while it holds this lock");
        let orders = match &*orders {
            Some(orders) => orders.clone(),
            None => orders.insert(start_thread()?).clone(),
        };
        Ok(Self {
            place: Place::Processes(orders),
            tasks: TaskTracker::new(),
        })
    }

    /// A spawner that starts the mock runner as a task of the caller's runtime, whatever the program is.
    ///
    /// For tests: no process, and time is the runtime's, so it can be paused.
    /// The mock sees the program's `SLM_MOCK`, and the files by their numbers.
    pub fn mock() -> Self {
        Self {
            place: Place::Mocks,
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a runner and waits for its introduction.
    ///
    /// The process gets the program's environment and nothing else, `/` as its working directory, a process group of its own
    /// (so that Ctrl-C in the daemon's terminal is the daemon's to handle), its socket as standard input, nothing as standard output,
    /// and the files from descriptor 3 on.
    /// Dropping the future ends the process.
    ///
    /// # Errors
    /// [`Error::Spawn`] when it cannot be started, [`Error::Hello`], [`Error::Version`] or [`Error::Exited`] when it is no good.
    pub async fn spawn(
        &self,
        program: &Program,
        files: Files,
        options: Options,
    ) -> Result<Runner, Error> {
        let Parts {
            body,
            read,
            write,
            words,
        } = match &self.place {
            Place::Mocks => self.start_mock(program, files),
            Place::Processes(orders) => {
                start_process(orders, program, files)
                    .await
                    .map_err(|source| Error::Spawn {
                        path: program.path.clone(),
                        source: Arc::new(source),
                    })?
            }
        };

        let pid = body.pid();
        let span = tracing::info_span!("runner", pid);
        let tail = Tail::default();
        let words = self
            .tasks
            .spawn(tail.clone().follow(words).instrument(span.clone()));
        let departed = Arc::new(Notify::new());
        let (opens, opens_receiver) = mpsc::channel(OPENS);
        let (stop, stop_receiver) = watch::channel(None);
        let (exit_sender, exit) = watch::channel(None);
        let (greeted, greeting) = oneshot::channel();
        let service = Service {
            body,
            write,
            outbox: Outbox::default(),
            table: Table::new(options.clone(), Instant::now()),
            opens: opens_receiver,
            departed: Arc::clone(&departed),
            stop: stop_receiver,
            exit: exit_sender,
            tail,
            words,
            options: options.clone(),
        };
        self.tasks
            .spawn(service.run(read, greeted).instrument(span));

        // From here on the process is ended when the handle is dropped, also while we wait.
        let runner = Runner::new(Inner {
            hello: OnceLock::new(),
            pid,
            options,
            // 0 is for calls that have no answer.
            ids: AtomicU64::new(1),
            opens,
            stop,
            exit,
            departed,
        });
        match greeting.await {
            Ok(hello) => Ok(runner.greeted(hello)),
            Err(_) => Err(runner.exited().await.to_error()),
        }
    }

    /// Starts a mock that is connected through memory alone.
    /// A socket would be shared with every process that is being started at that moment, so its end could come late,
    /// and a paused clock does not wait for that.
    fn start_mock(&self, program: &Program, files: Files) -> Parts {
        let script = program
            .env
            .iter()
            .find(|(name, _)| name == MOCK)
            .map(|(_, script)| script.to_string_lossy().into_owned());
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let (words, stderr) = tokio::io::duplex(BUFFER);
        let task = self.tasks.spawn(mock::task::run(
            theirs,
            stderr,
            files,
            script.unwrap_or_default(),
        ));
        let (read, write) = tokio::io::split(ours);
        let body = Body::Task { task, status: None };
        Parts {
            body,
            read: Box::new(read),
            write: Box::new(write),
            words: Box::new(words),
        }
    }

    /// Waits until all runners that were started are gone and reaped. Starting more after this is called only makes it wait for them too.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A runner that runs, before anybody looks after it.
struct Parts {
    body: Body,
    read: Reading,
    write: Writing,
    /// Its standard error.
    words: Box<dyn AsyncRead + Send + Unpin>,
}

async fn start_process(
    orders: &blocking::Sender<Order>,
    program: &Program,
    files: Files,
) -> io::Result<Parts> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (read, write) = tokio::net::UnixStream::from_std(ours)?.into_split();
    let (words, stderr) = io::pipe()?;
    let words = pipe::Receiver::from_owned_fd(words.into())?;

    let (started, child) = oneshot::channel();
    let program = program.clone();
    let runtime = Handle::current();
    let order = Order {
        program,
        socket: theirs.into(),
        stderr: stderr.into(),
        files,
        runtime,
        started,
    };
    orders.send(order).map_err(|_| thread_failed())?;
    let child = child.await.map_err(|_| thread_failed())??;
    Ok(Parts {
        body: Body::Process(child),
        read: Box::new(read),
        write: Box::new(write),
        words: Box::new(words),
    })
}

fn thread_failed() -> io::Error {
    io::Error::other("the thread that starts runners failed")
}

fn start_thread() -> io::Result<blocking::Sender<Order>> {
    let (orders, inbox) = blocking::channel::<Order>();
    thread::Builder::new()
        .name("spawn-runners".to_owned())
        .spawn(move || {
            for order in inbox {
                // It must not end, whatever an order does: all runners would end with it.
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| carry_out(order)));
            }
        })?;
    Ok(orders)
}

fn carry_out(
    Order {
        program,
        socket,
        stderr,
        files,
        runtime,
        started,
    }: Order,
) {
    let _runtime = runtime.enter();
    // If nobody waits for it any more, the child is dropped here, which kills it.
    let _ = started.send(start(program, socket, stderr, files));
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the supervisor, which ends and reaps what it starts"
)]
fn start(program: Program, socket: OwnedFd, stderr: OwnedFd, files: Files) -> io::Result<Child> {
    if !program.path.is_absolute() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path of a runner must be absolute",
        ));
    }
    // Whoever started the daemon may have left files open in it, and a runner must have none of them.
    close_fds::set_fds_cloexec(Files::FIRST, &[]);
    let mut command = std::process::Command::new(&program.path);
    command
        .args(&program.args)
        .env_clear()
        .envs(program.env)
        .current_dir("/")
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(stderr)
        .fd_mappings(
            files
                .into_numbered()
                .map(|(child_fd, parent_fd)| FdMapping {
                    parent_fd,
                    child_fd,
                })
                .collect(),
        )
        .map_err(|_| io::Error::other("two files for one descriptor"))?;
    let mut command = tokio::process::Command::from(command);
    command.process_group(0).kill_on_drop(true).spawn()
}

//! Starts runners, and knows when all of them are gone.

use std::{
    io,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{
    error::Error,
    launch::{Launch, Launched, Prepared},
    launcher::Launcher,
    outbox::Outbox,
    program::{Files, Options, Program},
    runner::{Inner, Runner},
    service::{MAX_QUEUED, Service},
    stderr::Tail,
    table::Table,
};

/// Requests that may wait for the service. Further requests wait with their callers.
const OPENS: usize = 64;

/// Starts runners. Clones share the runners that they started.
#[derive(Debug, Clone)]
pub struct Spawner {
    launch: Arc<dyn Launch>,
    tasks: TaskTracker,
}

impl Spawner {
    /// A spawner of processes.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> io::Result<Self> {
        Ok(Self::new(Launcher::start()?))
    }

    /// A spawner that starts runners in this way.
    pub fn new(launch: impl Launch + 'static) -> Self {
        Self {
            launch: Arc::new(launch),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a runner and waits for its hello.
    ///
    /// The process gets only the program's environment, `/` as its working directory, a new process group (so that Ctrl-C in the
    /// terminal reaches the daemon alone), its socket as standard input, no standard output, and the files from descriptor 3 on.
    /// Dropping the future kills the process.
    ///
    /// # Errors
    /// [`Error::Spawn`] when it cannot be started, [`Error::Hello`], [`Error::Version`] or [`Error::Exited`] without a valid hello.
    pub async fn spawn(
        &self,
        program: &Program,
        files: Files,
        options: Options,
    ) -> Result<Runner, Error> {
        let launched = self.launch.launch(program.clone(), files).await;
        let launched = launched.map_err(|source| failed(program, source))?;
        self.attend(launched, options).await
    }

    /// Starts a runner that waits for its files. Dropping it ends the process.
    ///
    /// # Errors
    /// [`Error::Spawn`] when it cannot be started.
    pub async fn prepare(&self, program: &Program) -> Result<Spare, Error> {
        let waiting = self.launch.prepare(program.clone()).await;
        let waiting = waiting.map_err(|source| failed(program, source))?;
        Ok(Spare {
            program: program.clone(),
            waiting,
        })
    }

    /// Gives a spare runner its files and waits for its hello.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub async fn use_spare(
        &self,
        spare: Spare,
        files: Files,
        options: Options,
    ) -> Result<Runner, Error> {
        let Spare { program, waiting } = spare;
        let launched = waiting.hand_over(files);
        let launched = launched.map_err(|source| failed(&program, source))?;
        self.attend(launched, options).await
    }

    /// Serves a runner that was started, and waits for its hello.
    async fn attend(&self, launched: Launched, options: Options) -> Result<Runner, Error> {
        let Launched {
            process,
            read,
            write,
            stderr,
        } = launched;
        let pid = process.pid();
        let span = tracing::info_span!("runner", pid);
        let tail = Tail::default();
        let words = self
            .tasks
            .spawn(tail.clone().follow(stderr).instrument(span.clone()));
        let departed = Arc::new(Notify::new());
        let (opens, opens_receiver) = mpsc::channel(OPENS);
        let room = Arc::new(Semaphore::new(MAX_QUEUED));
        let (stop, stop_receiver) = watch::channel(None);
        let (exit_sender, exit) = watch::channel(None);
        let (greeted, greeting) = oneshot::channel();
        let table = Table::new(options.clone(), Instant::now());
        let outcomes = table.state_outcomes();
        let service = Service {
            process,
            write,
            outbox: Outbox::default(),
            table,
            opens: opens_receiver,
            room: Arc::clone(&room),
            departed: Arc::clone(&departed),
            stop: stop_receiver,
            exit: exit_sender,
            tail,
            words,
            options: options.clone(),
        };
        self.tasks
            .spawn(service.run(read, greeted).instrument(span));

        // From here on dropping the handle ends the process, also during this wait.
        let runner = Runner::new(Inner {
            hello: OnceLock::new(),
            pid,
            options,
            // 0 is for calls without an answer.
            ids: AtomicU64::new(1),
            opens,
            room,
            stop,
            exit,
            departed,
            outcomes,
        });
        match greeting.await {
            Ok(hello) => Ok(runner.greeted(hello)),
            Err(_) => Err(runner.exited().await.to_error()),
        }
    }

    /// Waits until all runners that were started are reaped, also those that are started meanwhile.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A runner that waits for its files.
#[derive(Debug)]
pub struct Spare {
    program: Program,
    waiting: Box<dyn Prepared>,
}

impl Spare {
    /// Its program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Whether it has ended already, by a fault of its libraries for instance.
    pub fn has_ended(&mut self) -> bool {
        self.waiting.has_ended()
    }
}

fn failed(program: &Program, source: io::Error) -> Error {
    Error::Spawn {
        path: program.path.clone(),
        source: Arc::new(source),
    }
}

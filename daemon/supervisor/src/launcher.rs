//! Starts all processes from one thread that never ends.
//!
//! A runner asks the Linux kernel to kill it when its parent dies (`confine::at_start`).
//! On Linux "parent" means the *thread* that started it. A runtime ends its idle threads, and healthy runners would be killed with
//! them, so a dedicated thread starts all runners.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    panic::AssertUnwindSafe,
    process::Stdio,
    sync::{Mutex, mpsc},
    thread,
};

use command_fds::{CommandFdExt as _, FdMapping};
use futures::{FutureExt as _, future::BoxFuture};
use runner_protocol::spare;
use tokio::{net::unix::pipe, process::Child, runtime::Handle, sync::oneshot};

use super::{
    launch::{Launch, Launched, Prepared},
    program::{Files, Program},
};

/// The launcher thread, once it runs. It is never dropped, so the thread never ends.
static THREAD: Mutex<Option<Launcher>> = Mutex::new(None);

/// A handle on the launcher thread.
#[derive(Debug, Clone)]
pub(super) struct Launcher(mpsc::Sender<Order>);

/// One process to start.
#[derive(Debug)]
struct Order {
    program: Program,
    socket: OwnedFd,
    stderr: OwnedFd,
    files: Files,
    /// The runtime that waits for the end of the child.
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

impl Launch for Launcher {
    /// Starts one process; see [`Spawner::spawn`](super::Spawner::spawn) for what it gets.
    fn launch(&self, program: Program, files: Files) -> BoxFuture<'_, io::Result<Launched>> {
        async { Ok(self.order(program, files).await?.launched()) }.boxed()
    }

    /// Starts one process with [`spare::SPARE`] as its last argument.
    fn prepare(&self, mut program: Program) -> BoxFuture<'_, io::Result<Box<dyn Prepared>>> {
        program.args.push(spare::SPARE.into());
        async {
            let started = self.order(program, Files::new()).await?;
            Ok(Box::new(started) as Box<dyn Prepared>)
        }
        .boxed()
    }
}

/// A process that was started.
#[derive(Debug)]
struct Started {
    child: Child,
    socket: tokio::net::UnixStream,
    stderr: pipe::Receiver,
}

impl Started {
    fn launched(self) -> Launched {
        let (read, write) = self.socket.into_split();
        Launched {
            process: Box::new(self.child),
            read: Box::new(read),
            write: Box::new(write),
            stderr: Box::new(self.stderr),
        }
    }
}

impl Prepared for Started {
    fn hand_over(self: Box<Self>, files: Files) -> io::Result<Launched> {
        let files: Vec<OwnedFd> = files.into_numbered().map(|(_, file)| file).collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        spare::send(&self.socket, &borrowed)?;
        Ok(self.launched())
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Launcher {
    /// Starts the thread, unless it runs already.
    pub(super) fn start() -> io::Result<Self> {
        let mut thread = THREAD
            .lock()
            .expect("nothing panics while it holds this lock");
        match &*thread {
            Some(launcher) => Ok(launcher.clone()),
            None => Ok(thread.insert(Self(start_thread()?)).clone()),
        }
    }

    async fn order(&self, program: Program, files: Files) -> io::Result<Started> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let ours = tokio::net::UnixStream::from_std(ours)?;
        let (errors, stderr) = io::pipe()?;
        let errors = pipe::Receiver::from_owned_fd(errors.into())?;

        let (started, child) = oneshot::channel();
        let runtime = Handle::current();
        let (socket, stderr) = (theirs.into(), stderr.into());
        let order = Order {
            program,
            socket,
            stderr,
            files,
            runtime,
            started,
        };
        self.0.send(order).map_err(|_| thread_failed())?;
        let child = child.await.map_err(|_| thread_failed())??;
        Ok(Started {
            child,
            socket: ours,
            stderr: errors,
        })
    }
}

fn thread_failed() -> io::Error {
    io::Error::other("the thread that starts runners failed")
}

fn start_thread() -> io::Result<mpsc::Sender<Order>> {
    let (orders, inbox) = mpsc::channel::<Order>();
    thread::Builder::new()
        .name("spawn-runners".to_owned())
        .spawn(move || {
            for order in inbox {
                // A panic must not end the thread, because all runners would be killed with it.
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| carry_out(order)));
            }
        })?;
    Ok(orders)
}

fn carry_out(order: Order) {
    let Order {
        program,
        socket,
        stderr,
        files,
        runtime,
        started,
    } = order;
    let _runtime = runtime.enter();
    // If the caller has gone, the child is dropped here, which kills it.
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
    // The daemon may have inherited open files, and a runner must have none of them.
    close_fds::set_fds_cloexec(Files::FIRST, &[]);
    let mappings = files
        .into_numbered()
        .map(|(child_fd, parent_fd)| FdMapping {
            parent_fd,
            child_fd,
        })
        .collect();
    let mut command = std::process::Command::new(&program.path);
    command
        .args(&program.args)
        .env_clear()
        .envs(program.env)
        .current_dir("/")
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(stderr)
        .fd_mappings(mappings)
        .map_err(|_| io::Error::other("two files for one descriptor"))?;
    let mut command = tokio::process::Command::from(command);
    command.process_group(0).kill_on_drop(true).spawn()
}

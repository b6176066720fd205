//! The task that owns one runner: its socket, its process and its open requests.
//!
//! [`Service::serve`] handles every event while the runner works, and [`Service::end`] ends it.

use std::{process::ExitStatus, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use runner_protocol::{Call, Hello, Reply, Request, VERSION, frame};
use rustix::process::Signal;
use tokio::{
    io::AsyncWriteExt as _,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::{JoinHandle, coop::unconstrained},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::codec::FramedRead;

use super::{
    codec::Frames,
    error::{Cause, Error, Exit, Violation},
    launch::{Process, Reading, Writing},
    outbox::Outbox,
    program::Options,
    queue::Sender,
    stderr::Tail,
    table::{Kind, Table, after},
};

/// Time for a runner to exit after it closed its socket. A driver may need a moment to release its memory.
const LEAVE: Duration = Duration::from_secs(5);

/// Time for a killed process to end before its callers get their error. A broken driver can hold a process for ever.
const REAP: Duration = Duration::from_secs(2);

/// Time for the rest of standard error after the end. Only a child that inherited the pipe can hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Most bytes of requests that wait for one runner to read them. Further requests wait with their callers.
pub(super) const MAX_QUEUED: usize = 64 << 20;

const _: () = assert!(frame::MAX_FRAME <= MAX_QUEUED);

/// One request from a handle.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) frame: Bytes,
    pub(super) room: OwnedSemaphorePermit,
    pub(super) queue: Sender,
}

/// When the runner gets its signals, if it does not exit by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    term_at: Instant,
    kill_at: Instant,
}

impl Stop {
    /// SIGTERM after `grace`, SIGKILL after another `term`.
    pub(super) fn within(grace: Duration, term: Duration) -> Self {
        let term_at = after(Instant::now(), grace);
        Self {
            term_at,
            kill_at: after(term_at, term),
        }
    }

    /// Asks for it. The earliest of several times counts.
    pub(super) fn ask(self, stop: &watch::Sender<Option<Self>>) {
        stop.send_modify(|times| {
            let before = times.unwrap_or(self);
            *times = Some(Self {
                term_at: before.term_at.min(self.term_at),
                kill_at: before.kill_at.min(self.kill_at),
            });
        });
    }
}

/// Why the service stops serving.
#[derive(Debug)]
enum Ending {
    /// The runner closed its socket, between frames or inside one.
    Closed(Option<frame::Error>),
    /// The daemon asked for it, or the runner has to be killed.
    Because(Cause),
}

impl From<frame::Error> for Ending {
    fn from(error: frame::Error) -> Self {
        match error {
            frame::Error::Closed | frame::Error::Io(_) => Self::Closed(Some(error)),
            _ => Self::from(Violation::from(error)),
        }
    }
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Self::Because(Cause::Protocol(Arc::new(violation)))
    }
}

/// One runner.
pub(super) struct Service {
    pub(super) process: Box<dyn Process>,
    pub(super) write: Writing,
    pub(super) outbox: Outbox,
    pub(super) table: Table,
    pub(super) opens: mpsc::Receiver<Open>,
    /// Bytes of requests that may still wait for the runner.
    pub(super) room: Arc<Semaphore>,
    pub(super) departed: Arc<Notify>,
    pub(super) stop: watch::Receiver<Option<Stop>>,
    pub(super) exit: watch::Sender<Option<Exit>>,
    pub(super) tail: Tail,
    pub(super) words: JoinHandle<()>,
    pub(super) options: Options,
}

impl Service {
    /// Lives as long as the runner: waits for its hello, serves, and reaps it.
    pub(super) async fn run(mut self, read: Reading, greeted: oneshot::Sender<Hello>) {
        let mut hellos = FramedRead::new(read, Frames::<Hello>::new());
        let (ending, read) = match self.greet(&mut hellos).await {
            Err(ending) => (ending, hellos.into_inner()),
            Ok(hello) => {
                let mut replies = hellos.map_decoder(|_| Frames::<Reply>::new());
                // A spawner that gave up has dropped its handle, which stops the runner.
                let _ = greeted.send(hello);
                (self.serve(&mut replies).await, replies.into_inner())
            }
        };
        self.end(ending, read).await;
    }

    /// Waits for the hello.
    async fn greet(
        &mut self,
        hellos: &mut FramedRead<Reading, Frames<Hello>>,
    ) -> Result<Hello, Ending> {
        let hello = tokio::select! {
            _ = self.stop.changed() => return Err(Ending::Because(Cause::Stopped)),
            hello = timeout(self.options.hello, hellos.next()) => hello,
        };
        match hello {
            Err(_) => Err(Ending::Because(Cause::Mute {
                seconds: self.options.hello.as_secs(),
            })),
            Ok(None) => Err(Ending::Closed(None)),
            Ok(Some(Err(error))) => Err(Ending::from(error)),
            Ok(Some(Ok(hello))) if hello.version != VERSION => {
                Err(Ending::Because(Cause::Version {
                    theirs: hello.version,
                    engine: hello.engine,
                }))
            }
            Ok(Some(Ok(hello))) => Ok(hello),
        }
    }

    /// Handles every event until the runner ends or has to be ended.
    async fn serve(&mut self, replies: &mut FramedRead<Reading, Frames<Reply>>) -> Ending {
        let mut gone = false;
        let mut deadline = None;
        loop {
            let watch = deadline.or_else(|| self.table.deadline());
            tokio::select! {
                // The last handle asks for this when it is dropped.
                _ = self.stop.changed() => return Ending::Because(Cause::Stopped),
                reply = replies.next() => if let Err(ending) = self.take(reply) {
                    return ending;
                },
                Some(open) = self.opens.recv(), if self.outbox.has_room() => self.open(open),
                // When the runner reads no more, its closed socket is seen above.
                _ = self.outbox.write(&mut self.write), if !self.outbox.is_empty() => {}
                () = self.departed.notified() => self.cancel(),
                _ = self.process.wait(), if !gone => {
                    // The socket still holds its last frames and then ends, unless a child holds it open.
                    gone = true;
                    deadline = Some(after(Instant::now(), LEAVE));
                }
                () = until(watch) => {
                    if gone {
                        return Ending::Closed(None);
                    }
                    // Drains buffered replies before it declares a stall: after a suspend of the machine, the clock is late and not the runner.
                    let come = unconstrained(replies.next()).now_or_never();
                    let ending = match come {
                        Some(reply) => self.take(reply).err(),
                        None => self.check_progress(),
                    };
                    if let Some(ending) = ending {
                        return ending;
                    }
                }
            }
        }
    }

    /// Passes a reply to its reader, or returns why the runner ends.
    fn take(&mut self, reply: Option<Result<Reply, frame::Error>>) -> Result<(), Ending> {
        let reply = reply.ok_or(Ending::Closed(None))??;
        Ok(self.table.reply(reply, Instant::now())?)
    }

    /// Checks for a stalled runner, and cancels answers of slow readers.
    fn check_progress(&mut self) -> Option<Ending> {
        if let Some(silence) = self.table.stalled(Instant::now()) {
            let seconds = silence.as_secs();
            return Some(Ending::Because(Cause::Stalled { seconds }));
        }
        self.cancel();
        None
    }

    /// Adds a request to the table and the outbox.
    fn open(&mut self, open: Open) {
        let Open {
            id,
            kind,
            frame,
            room,
            queue,
        } = open;
        if self.table.admit(id, kind, queue, Instant::now()) {
            self.outbox.push_request(frame, room);
        }
    }

    /// Cancels the answers whose readers left or are too slow.
    fn cancel(&mut self) {
        for target in self.table.cancels(Instant::now()) {
            // A cancel has no answer, so it needs no id.
            self.send(Call::Cancel { target });
        }
    }

    fn send(&mut self, call: Call) {
        let frame =
            frame::wire(&Request { id: 0, call }).expect("a call of two numbers fits a frame");
        self.outbox.push(frame);
    }

    /// Ends the runner, unless it has ended itself, and ends all its requests.
    async fn end(mut self, ending: Ending, read: Reading) {
        self.opens.close();
        self.room.close();
        let (cause, status) = match ending {
            Ending::Because(Cause::Stopped) => {
                self.fail_all(&Error::Stopped);
                (Cause::Stopped, self.shutdown_gracefully(read).await)
            }
            Ending::Because(cause) => (cause, force(&mut *self.process).await),
            Ending::Closed(error) => match timeout(LEAVE, self.process.wait()).await {
                Ok(status) => (cause_of_leaving(error, status), status),
                Err(_) => {
                    let error = error.unwrap_or(frame::Error::Closed);
                    (
                        Cause::Protocol(Arc::new(error.into())),
                        force(&mut *self.process).await,
                    )
                }
            },
        };
        let _ = timeout(LAST_WORDS, &mut self.words).await;
        let exit = Exit {
            cause,
            status,
            stderr: self.tail.lines(),
        };
        tracing::debug!(cause = ?exit.cause, "the runner {exit}");
        let error = exit.to_error();
        // In this order, so that a caller that retries at once finds this runner gone.
        self.exit.send_replace(Some(exit));
        self.fail_all(&error);
        if status.is_none() {
            self.process.wait().await;
        }
    }

    /// Sends `Shutdown`, then SIGTERM, then SIGKILL. Reads and discards its output meanwhile, so that it cannot block on a full socket.
    async fn shutdown_gracefully(&mut self, mut read: Reading) -> Option<ExitStatus> {
        self.outbox.clear();
        self.send(Call::Shutdown);
        let Self {
            process,
            write,
            outbox,
            stop,
            options,
            ..
        } = self;
        let shutdown = async {
            while !outbox.is_empty() && outbox.write(write).await.is_ok() {}
            // A runner also exits at the end of its input.
            let _ = write.shutdown().await;
        };
        let discard = async {
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        };
        let mut both = std::pin::pin!(futures::future::join(shutdown, discard).fuse());
        let mut times = stop
            .borrow_and_update()
            .unwrap_or_else(|| Stop::within(options.grace, options.term));
        let (mut terminated, mut held) = (false, true);
        loop {
            tokio::select! {
                status = process.wait() => return status,
                _ = &mut both => {}
                () = sleep_until(times.kill_at) => break,
                () = sleep_until(times.term_at), if !terminated => {
                    process.signal(Signal::TERM);
                    terminated = true;
                }
                changed = stop.changed(), if held => {
                    held = changed.is_ok();
                    times = stop.borrow_and_update().unwrap_or(times);
                }
            }
        }
        force(&mut **process).await
    }

    /// Ends all requests with this error, also those that were not sent.
    fn fail_all(&mut self, error: &Error) {
        self.table.fail_all(error);
        while let Ok(open) = self.opens.try_recv() {
            open.queue.end(Err(error.clone()));
        }
    }
}

/// Kills the runner and waits for it, at most [`REAP`].
async fn force(process: &mut dyn Process) -> Option<ExitStatus> {
    process.signal(Signal::KILL);
    timeout(REAP, process.wait()).await.ok().flatten()
}

/// Resolves at the deadline, or never without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The cause of an exit that the daemon did not ask for.
///
/// A crash can cut a frame, and is then the cause. A runner that cuts a frame and exits with code 0 breaks the protocol.
fn cause_of_leaving(error: Option<frame::Error>, status: Option<ExitStatus>) -> Cause {
    match error {
        Some(error) if status.is_some_and(|status| status.success()) && is_half(&error) => {
            Cause::Protocol(Arc::new(error.into()))
        }
        _ => Cause::Itself,
    }
}

fn is_half(error: &frame::Error) -> bool {
    matches!(error, frame::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof)
}

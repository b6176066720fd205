//! The task that owns one runner: its socket, its process and its open requests.
//!
//! All that can wake it stands in one place, [`Service::serve`]; how it ends stands in another, [`Service::end`].

use std::{process::ExitStatus, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
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
use runner_protocol::{Call, Hello, Reply, Request, VERSION, frame};

/// How long a runner that closed its socket is given to be gone: its memory is returned before, its drivers' perhaps after.
const LEAVE: Duration = Duration::from_secs(5);

/// How long a killed process is waited for before its callers are told; a broken driver can hold it for ever.
const REAP: Duration = Duration::from_secs(2);

/// How long the last words are waited for after the end; only something that inherited the pipe can hold it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Most bytes of requests that wait for one runner to read them; more wait with their callers. Each frame fits.
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

/// When the runner is made to stop, if it does not by itself.
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

    /// Asks for it. Of several wishes the most urgent counts.
    pub(super) fn ask(self, stop: &watch::Sender<Option<Self>>) {
        stop.send_modify(|wish| {
            let before = wish.unwrap_or(self);
            *wish = Some(Self {
                term_at: before.term_at.min(self.term_at),
                kill_at: before.kill_at.min(self.kill_at),
            });
        });
    }
}

/// Why the service stops serving.
#[derive(Debug)]
enum Ending {
    /// The runner closed its socket, orderly or in the middle of a frame.
    Closed(Option<frame::Error>),
    /// It was asked for, or the runner did something it must be ended for.
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
    /// Lives as long as the runner: takes its introduction, serves, and reaps it.
    pub(super) async fn run(mut self, read: Reading, greeted: oneshot::Sender<Hello>) {
        let mut hellos = FramedRead::new(read, Frames::<Hello>::new());
        let (ending, read) = match self.greet(&mut hellos).await {
            Err(ending) => (ending, hellos.into_inner()),
            Ok(hello) => {
                let mut replies = hellos.map_decoder(|_| Frames::<Reply>::new());
                // A spawner that left has asked for the stop by leaving.
                let _ = greeted.send(hello);
                (self.serve(&mut replies).await, replies.into_inner())
            }
        };
        self.end(ending, read).await;
    }

    /// Waits for the first frame.
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

    /// Everything that can happen to a runner that works.
    async fn serve(&mut self, replies: &mut FramedRead<Reading, Frames<Reply>>) -> Ending {
        let mut gone = false;
        let mut deadline = None;
        loop {
            let watch = deadline.or_else(|| self.table.deadline());
            tokio::select! {
                // Also when all handles are dropped, whose last wish this is.
                _ = self.stop.changed() => return Ending::Because(Cause::Stopped),
                reply = replies.next() => if let Err(ending) = self.take(reply) {
                    return ending;
                },
                Some(open) = self.opens.recv(), if self.outbox.has_room() => self.open(open),
                // A runner that reads no more is about to close its socket, which is seen above.
                _ = self.outbox.write(&mut self.write), if !self.outbox.is_empty() => {}
                () = self.departed.notified() => self.cancel(),
                _ = self.process.wait(), if !gone => {
                    // The rest of its words is in the socket, and then the end; unless somebody else holds the socket open.
                    gone = true;
                    deadline = Some(after(Instant::now(), LEAVE));
                }
                () = until(watch) => {
                    if gone {
                        return Ending::Closed(None);
                    }
                    // What has come must count, even if this task itself slept: a machine that was suspended is no stalled runner.
                    let come = unconstrained(replies.next()).now_or_never();
                    let ending = match come {
                        Some(reply) => self.take(reply).err(),
                        None => self.look_around(),
                    };
                    if let Some(ending) = ending {
                        return ending;
                    }
                }
            }
        }
    }

    /// Hands a reply to its reader, or says why there are no more.
    fn take(&mut self, reply: Option<Result<Reply, frame::Error>>) -> Result<(), Ending> {
        let reply = reply.ok_or(Ending::Closed(None))??;
        Ok(self.table.reply(reply, Instant::now())?)
    }

    /// Looks for a runner that stalls, and for readers that sleep.
    fn look_around(&mut self) -> Option<Ending> {
        if let Some(silence) = self.table.stalled(Instant::now()) {
            let seconds = silence.as_secs();
            return Some(Ending::Because(Cause::Stalled { seconds }));
        }
        self.cancel();
        None
    }

    /// Sends a request on its way.
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

    /// Cancels what nobody reads any more.
    fn cancel(&mut self) {
        for target in self.table.cancels(Instant::now()) {
            // Cancels have no answer, so they need no id of their own.
            self.send(Call::Cancel { target });
        }
    }

    fn send(&mut self, call: Call) {
        let frame =
            frame::wire(&Request { id: 0, call }).expect("a call of two numbers fits a frame");
        self.outbox.push(frame);
    }

    /// Ends the runner, if it has not ended itself, and tells everybody.
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
        // In this order, so that somebody who tries again at once finds this runner gone.
        self.exit.send_replace(Some(exit));
        self.fail_all(&error);
        if status.is_none() {
            self.process.wait().await;
        }
    }

    /// Asks the runner to leave, then insists, then forces it; what it still writes is thrown away, so that it cannot hang on that.
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
        let farewell = async {
            while !outbox.is_empty() && outbox.write(write).await.is_ok() {}
            // An end of input says the same as the frame before it.
            let _ = write.shutdown().await;
        };
        let silence = async {
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        };
        let mut both = std::pin::pin!(futures::future::join(farewell, silence).fuse());
        let mut wish = stop
            .borrow_and_update()
            .unwrap_or_else(|| Stop::within(options.grace, options.term));
        let (mut insisted, mut held) = (false, true);
        loop {
            tokio::select! {
                status = process.wait() => return status,
                _ = &mut both => {}
                () = sleep_until(wish.kill_at) => break,
                () = sleep_until(wish.term_at), if !insisted => {
                    process.signal(Signal::TERM);
                    insisted = true;
                }
                changed = stop.changed(), if held => {
                    held = changed.is_ok();
                    wish = stop.borrow_and_update().unwrap_or(wish);
                }
            }
        }
        force(&mut **process).await
    }

    /// Ends all requests, those that were not sent too.
    fn fail_all(&mut self, error: &Error) {
        self.table.fail_all(error);
        while let Ok(open) = self.opens.try_recv() {
            open.queue.end(Err(error.clone()));
        }
    }
}

/// Kills the runner and waits for it, within reason.
async fn force(process: &mut dyn Process) -> Option<ExitStatus> {
    process.signal(Signal::KILL);
    timeout(REAP, process.wait()).await.ok().flatten()
}

/// Never, if there is no deadline.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Why a runner left by itself.
///
/// A crash can cut a frame in two; then the crash is the cause.
/// One that cuts its frame and leaves as if all were well breaks the protocol.
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

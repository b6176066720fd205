//! Pulls and pushes as jobs, which have an id and a priority, can be paused and resumed, and continue after a restart.
//!
//! - `table` decides which jobs exist and which of them run; it knows no network, no clock and no task.
//! - `task` owns the table: it handles the messages of clients, runs the work, and saves each change in the index.
//! - `work` does the work of a job.
//! - `meter` counts bytes, and `window` is the time of day in which jobs run.
//!
//! The client of a request listens to its job. A *background* job continues without listeners, and is tried again after a network
//! failure. A foreground job ends with its last listener, as clients of Ollama's API expect.

mod meter;
mod table;
mod task;
mod window;
mod work;

use std::sync::Arc;

use api::{Job, Progress};
use futures::Stream;
use futures::stream::BoxStream;
use jiff::Zoned;
use registry::{ModelName, Registry};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::events::Events;
use crate::shutdown::Shutdown;

pub use table::{Change, Options, TransferRequest, Work};
pub use window::Window;
pub use work::{StoreWorker, Worker};

/// The clock, which tests replace.
pub type Clock = Arc<dyn Fn() -> Zoned + Send + Sync>;

/// A handle on the task of all jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transfers {
    sender: mpsc::UnboundedSender<Message>,
}

/// A message to the task. The number of clients and runs bounds the number of messages.
#[derive(Debug)]
enum Message {
    Ask(
        TransferRequest,
        oneshot::Sender<Result<Subscription, Error>>,
    ),
    Watch(u64, oneshot::Sender<Result<Subscription, Error>>),
    List(oneshot::Sender<Vec<Job>>),
    Change(u64, Change, oneshot::Sender<Result<Job, Error>>),
    CancelPulls(String, oneshot::Sender<usize>),
    Left(u64),
    Configure(Options),
    Over {
        id: u64,
        result: Option<Result<Progress, Error>>,
    },
}

/// The lines of a job for one client.
struct Subscription {
    lines: BoxStream<'static, Result<Progress, Error>>,
    leave: LeaveGuard,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Subscription").field(&self.leave).finish()
    }
}

/// A drop guard that tells the task that a client left.
#[derive(Debug)]
struct LeaveGuard {
    id: u64,
    sender: mpsc::UnboundedSender<Message>,
}

impl Drop for LeaveGuard {
    fn drop(&mut self) {
        // The task may have ended.
        let _ = self.sender.send(Message::Left(self.id));
    }
}

impl Transfers {
    /// Starts the task, which continues the saved jobs of an earlier daemon.
    ///
    /// # Errors
    /// When the saved jobs cannot be read.
    pub async fn start(
        registry: &Registry,
        worker: Arc<dyn Worker>,
        options: Options,
        clock: Clock,
        events: Events,
        shutdown: &Shutdown,
    ) -> Result<Self, registry::Error> {
        let saved = registry.saved_jobs().await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let store = task::start_saver(registry.clone(), shutdown);
        let task = task::Task::new(
            saved,
            worker,
            options,
            clock,
            task::Outlets { store, events },
            sender.clone(),
            shutdown,
        );
        shutdown.tasks.spawn(task.run(receiver));
        Ok(Self { sender })
    }

    /// Joins the job with the key of this request, or creates one. The stream has its progress, and ends with its last line or error.
    ///
    /// # Errors
    /// When there are too many jobs, or the daemon stops.
    pub async fn ask(
        &self,
        asked: TransferRequest,
    ) -> Result<impl Stream<Item = Result<Progress, Error>> + Send + use<>, Error> {
        let subscription = self.send(|reply| Message::Ask(asked, reply)).await??;
        Ok(subscription.stream())
    }

    /// The progress of an open job, from its start.
    ///
    /// # Errors
    /// When the job does not exist, or is over.
    pub async fn watch(
        &self,
        id: u64,
    ) -> Result<impl Stream<Item = Result<Progress, Error>> + Send + use<>, Error> {
        let subscription = self.send(|reply| Message::Watch(id, reply)).await??;
        Ok(subscription.stream())
    }

    /// All jobs, by id.
    ///
    /// # Errors
    /// When the daemon stops.
    pub async fn list(&self) -> Result<Vec<Job>, Error> {
        self.send(Message::List).await
    }

    /// Changes a job, and returns the changed job.
    ///
    /// # Errors
    /// When the job does not exist, or its state does not allow the change.
    pub async fn change(&self, id: u64, change: Change) -> Result<Job, Error> {
        self.send(|reply| Message::Change(id, change, reply))
            .await?
    }

    /// Cancels all pulls of a model, and waits until they have ended. Returns their number.
    ///
    /// # Errors
    /// When the daemon stops.
    pub async fn cancel_pulls(&self, model: &ModelName) -> Result<usize, Error> {
        let model = model.to_string();
        self.send(|reply| Message::CancelPulls(model, reply)).await
    }

    /// Changes the options of all jobs. Running jobs that they hold back stop, and keep their bytes.
    pub fn configure(&self, options: Options) {
        // It fails only when the task has ended.
        let _ = self.sender.send(Message::Configure(options));
    }

    async fn send<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        // The task ends with the daemon.
        self.sender
            .send(message(reply))
            .map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)
    }
}

impl Subscription {
    fn stream(self) -> impl Stream<Item = Result<Progress, Error>> + Send {
        let Self { lines, leave } = self;
        futures::stream::unfold((lines, leave), |(mut lines, leave)| async move {
            let line = futures::StreamExt::next(&mut lines).await?;
            Some((line, (lines, leave)))
        })
    }
}

#[cfg(test)]
mod tests;

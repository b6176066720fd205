//! Transfers as jobs: they have ids, wait for each other, are paused and resumed, and go on after a restart.
//!
//! - `table` decides which jobs there are and which of them run; it knows no network, no clock and no task.
//! - `task` owns the table: it hears what clients ask for, runs the work, and saves each change in the index.
//! - `work` is what a job does.
//! - `meter` counts bytes, and `window` is the time of day in which they may move.
//!
//! A client that asks for a transfer listens to its job. A job *in the background* goes on when nobody listens, and is tried again
//! after a failure of the network; any other one ends with its last listener, which is what clients of Ollama's API expect.

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
use crate::shutdown::Shutdown;

pub use table::{Change, Options, TransferRequest, Work};
pub use window::Window;
pub use work::{StoreWorker, Worker};

/// Where the time is from.
pub type Clock = Arc<dyn Fn() -> Zoned + Send + Sync>;

/// All transfers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transfers {
    sender: mpsc::UnboundedSender<Message>,
}

/// What the task is asked. There are no more of these than there are clients and runs.
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
    Over {
        id: u64,
        result: Option<Result<Progress, Error>>,
    },
}

/// The job that a client listens to, and what it hears.
struct Subscription {
    lines: BoxStream<'static, Result<Progress, Error>>,
    leave: LeaveGuard,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Subscription").field(&self.leave).finish()
    }
}

/// Says that a client left when it is dropped.
#[derive(Debug)]
struct LeaveGuard {
    id: u64,
    sender: mpsc::UnboundedSender<Message>,
}

impl Drop for LeaveGuard {
    fn drop(&mut self) {
        // Without a task there is nobody to be told.
        let _ = self.sender.send(Message::Left(self.id));
    }
}

impl Transfers {
    /// Goes on with what an earlier daemon left, with these options.
    ///
    /// # Errors
    /// When the saved jobs cannot be read.
    pub async fn start(
        registry: &Registry,
        worker: Arc<dyn Worker>,
        options: Options,
        clock: Clock,
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
            store,
            sender.clone(),
            shutdown,
        );
        shutdown.tasks.spawn(task.run(receiver));
        Ok(Self { sender })
    }

    /// Joins the job that does this work, or makes one. The stream tells how far it is, and ends with its last word.
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

    /// What a job that is not over tells, from its beginning on.
    ///
    /// # Errors
    /// When there is no such job, or it is over.
    pub async fn watch(
        &self,
        id: u64,
    ) -> Result<impl Stream<Item = Result<Progress, Error>> + Send + use<>, Error> {
        let subscription = self.send(|reply| Message::Watch(id, reply)).await??;
        Ok(subscription.stream())
    }

    /// Every job, by id.
    ///
    /// # Errors
    /// When the daemon stops.
    pub async fn list(&self) -> Result<Vec<Job>, Error> {
        self.send(Message::List).await
    }

    /// Changes a job, and returns what it is then.
    ///
    /// # Errors
    /// When there is no such job, or its state does not allow it.
    pub async fn change(&self, id: u64, change: Change) -> Result<Job, Error> {
        self.send(|reply| Message::Change(id, change, reply))
            .await?
    }

    /// Cancels every pull of a model, and waits until they have ended. Returns how many there were.
    ///
    /// # Errors
    /// When the daemon stops.
    pub async fn cancel_pulls(&self, model: &ModelName) -> Result<usize, Error> {
        let model = model.to_string();
        self.send(|reply| Message::CancelPulls(model, reply)).await
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

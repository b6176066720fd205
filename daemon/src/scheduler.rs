//! Who is loaded, who waits, who has to go.
//!
//! One task owns the table of loaded models (`task`); everybody else holds a [`Scheduler`] and sends it commands.
//! The right to use a loaded model is a [`Lease`]: while one is held the model stays, and dropping the last one starts the
//! idle clock.
//!
//! - A model is loaded once, however many ask for it; whoever comes while it loads waits with the others.
//! - A context that is smaller than the loaded one is served by it; a larger one loads the model anew when it is idle.
//! - When there is no room, the idle model that is cheapest to have again and longest unused goes; a busy one never does,
//!   but when somebody waited for long, one busy model takes no new requests until it is idle and gives its place.
//! - Whoever leaves while waiting gives up the place. A full queue is an answer.
//! - A runner that dies is noticed at once; three deaths in a minute, and its model rests (`breaker`).
//! - The task never waits for a runner: loading, stopping and watching are tasks of their own that report back.

mod breaker;
mod lease;
mod loader;
mod states;
mod task;

use std::sync::Arc;
use std::time::Duration;

use api::ModelDetails;
use registry::ModelName;
use runner::protocol::Sandbox;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::duration::Stay;
use crate::error::Error;

pub use lease::Lease;
pub use loader::{Loader, StoreLoader, Up};
pub(crate) use loader::{key_of, program};
pub(crate) use states::SAVING;
pub use states::{Keeping, States};

use task::{Command, Task};

/// What the scheduler keeps to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most models side by side, those that come and go included.
    pub max_loaded: usize,
    /// Most requests that wait.
    pub max_queue: usize,
    /// How long a model stays when nobody says otherwise.
    pub keep_alive: Stay,
    /// How long a runner may take to leave before it is made to.
    pub stop_grace: Duration,
}

/// What makes two models the same to a runner: weights, adapters and draft model. Names, prompts and parameters do not matter to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a model with these blobs, in this order.
    pub fn of(blobs: impl IntoIterator<Item = impl ToString>) -> Self {
        let digests: Vec<String> = blobs.into_iter().map(|blob| blob.to_string()).collect();
        Self(digests.join(" "))
    }
}

/// How to load a model.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name in the store.
    pub name: ModelName,
    /// What must come out, or it became another model in between.
    pub key: Key,
    /// Cells of the KV cache.
    pub context: u32,
    /// Most tokens in one decode call.
    pub batch: u32,
    /// CPU threads; 0 lets the engine choose.
    pub threads: u32,
    /// Layers on a GPU; −1 as many as fit.
    pub gpu_layers: i32,
    /// Device for a model that lies on one GPU.
    pub main_gpu: i32,
    /// Map the file instead of reading it.
    pub mmap: bool,
}

/// A model that is asked for.
#[derive(Debug, Clone)]
pub struct Want {
    /// How to load it, if it is not loaded.
    pub plan: Plan,
    /// Hexadecimal digest of its manifest, for the list.
    pub digest: String,
    /// What is known of it, for the list.
    pub details: ModelDetails,
    /// How long it stays after this request; `None` leaves it as it is.
    pub keep_alive: Option<Stay>,
}

/// One line of the list of loaded models.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Name that it was loaded by.
    pub name: String,
    /// Hexadecimal digest of its manifest.
    pub digest: String,
    /// What is known of it.
    pub details: ModelDetails,
    /// `loading`, `ready`, `busy` or `stopping`.
    pub state: &'static str,
    /// Leases that are held.
    pub active: usize,
    /// When it goes if nothing is asked of it; `None` for never.
    pub expires: Option<Instant>,
    /// How long it stays after its last request.
    pub keep_alive: Stay,
    /// Context that it was loaded with.
    pub context: u32,
    /// Process id of its runner.
    pub pid: Option<u32>,
    /// Bytes of host memory.
    pub resident_bytes: u64,
    /// Bytes on devices.
    pub device_bytes: u64,
    /// Device that computes, for people.
    pub device: String,
    /// Why with this module of the processor; empty where nothing was checked.
    pub device_reason: String,
    /// How far its runner is confined; `None` while it loads and when it has left.
    pub sandbox: Option<Sandbox>,
}

/// The way to the task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    commands: mpsc::Sender<Command>,
}

/// Commands that may be under way; senders wait beyond that.
const COMMANDS: usize = 64;

impl Scheduler {
    /// Starts the task, which lives until [`close`](Self::close) or until the last handle is gone.
    pub fn start(options: Options, loader: Arc<dyn Loader>, tasks: &TaskTracker) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let task = Task::new(options, loader, tasks.clone());
        tasks.spawn(task.run(inbox));
        Self { commands }
    }

    /// The right to use a model, once it is loaded. Dropping the future gives up the place.
    ///
    /// # Errors
    /// Why it cannot be loaded, that too many wait, or that the daemon stops.
    pub async fn acquire(&self, want: Want) -> Result<Lease, Error> {
        self.ask(|reply| Command::Acquire {
            want: Box::new(want),
            reply,
        })
        .await
        .unwrap_or(Err(Error::Stopping))
    }

    /// Lets a model go as soon as nobody uses it; says whether it was loaded at all.
    /// When nobody uses it now, it is gone when this returns.
    pub async fn unload(&self, key: Key) -> bool {
        self.ask(|reply| Command::Unload { key, reply })
            .await
            .unwrap_or(false)
    }

    /// What is loaded, in no order.
    pub async fn list(&self) -> Vec<Seen> {
        self.ask(|reply| Command::List { reply })
            .await
            .unwrap_or_default()
    }

    /// Refuses everything from now on, stops all runners, and returns when they are gone.
    pub async fn close(&self) {
        let _ = self.ask(|reply| Command::Close { reply }).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests;

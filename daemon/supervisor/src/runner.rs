//! The handle on one live runner.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use runner_protocol::{
    Call, Delta, Detokenize, Done, Embed, Embeddings, Event, ExportState, FailureKind, Generate,
    Hello, HostCacheSetup, Load, Loaded, Rendered, Request, Rerank, Scores, State, Stats, Template,
    Tokenize, frame,
};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::{
    error::{Error, Exit},
    program::Options,
    queue::{self, Receiver},
    service::{MAX_QUEUED, Open, Stop},
    table::{Kind, StateOutcomes},
};

/// A handle on one live runner. Clones are handles on the same runner; it is stopped when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Runner(Arc<Inner>);

/// The shared part of all handles.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) hello: OnceLock<Hello>,
    pub(super) pid: Option<u32>,
    pub(super) options: Options,
    pub(super) ids: AtomicU64,
    pub(super) opens: mpsc::Sender<Open>,
    pub(super) room: Arc<Semaphore>,
    pub(super) stop: watch::Sender<Option<Stop>>,
    pub(super) exit: watch::Receiver<Option<Exit>>,
    pub(super) departed: Arc<Notify>,
    pub(super) outcomes: watch::Receiver<StateOutcomes>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        Stop::within(self.options.grace, self.options.term).ask(&self.stop);
    }
}

impl Runner {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Stores the hello, before the handle is given out.
    pub(super) fn greeted(self, hello: Hello) -> Self {
        self.0.hello.get_or_init(|| hello);
        self
    }

    /// The runner's first frame.
    pub fn hello(&self) -> &Hello {
        self.0
            .hello
            .get()
            .expect("a handle is given out after the hello")
    }

    /// Process id; `None` for a runner without one.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid
    }

    /// Resident bytes of the process as the system counts them now.
    /// `None` when it is gone, is not a process, or the system does not report it.
    pub fn resident_bytes(&self) -> Option<u64> {
        if self.0.exit.borrow().is_some() {
            return None;
        }
        super::process::resident_bytes(self.0.pid?)
    }

    /// Loads the model. Exactly once, and before anything else.
    ///
    /// `on_progress` gets the share that is loaded, 0 to 1. It can miss shares that arrive in quick succession.
    /// Dropping the future does not stop the loading; dropping the runner does.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn load(
        &self,
        load: Load,
        mut on_progress: impl FnMut(f32),
    ) -> Result<Loaded, Error> {
        let mut answer = self.call(Call::Load(load)).await?;
        loop {
            match answer.next().await? {
                Event::Loading { fraction } => on_progress(if fraction.is_nan() {
                    0.0
                } else {
                    fraction.clamp(0.0, 1.0)
                }),
                Event::Loaded(loaded) => return Ok(loaded),
                other => unreachable!("the table lets no {other:?} into the answer to a load"),
            }
        }
    }

    /// Starts an answer.
    ///
    /// # Errors
    /// [`Error::Failed`] when the request is too large or too many are open, and the end of a runner that is gone.
    /// All other errors come through the [`Generation`].
    pub async fn generate(&self, generate: Generate) -> Result<Generation, Error> {
        let events = self.call(Call::Generate(Box::new(generate))).await?;
        Ok(Generation {
            events,
            _runner: self.clone(),
        })
    }

    /// Turns text into tokens.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tokenize(&self, tokenize: Tokenize) -> Result<Vec<i32>, Error> {
        match self.call(Call::Tokenize(tokenize)).await?.next().await? {
            Event::Tokens(tokens) => Ok(tokens),
            other => unreachable!("the table lets no {other:?} into the answer to tokenize"),
        }
    }

    /// Turns tokens into text.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn detokenize(&self, tokens: Vec<i32>) -> Result<String, Error> {
        match self
            .call(Call::Detokenize(Detokenize { tokens }))
            .await?
            .next()
            .await?
        {
            Event::Text(text) => Ok(text),
            other => unreachable!("the table lets no {other:?} into the answer to detokenize"),
        }
    }

    /// Renders a conversation by the model's own chat template.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn template(&self, template: Template) -> Result<Rendered, Error> {
        match self.call(Call::Template(template)).await?.next().await? {
            Event::Prompt(prompt) => Ok(prompt),
            other => unreachable!("the table lets no {other:?} into the answer to template"),
        }
    }

    /// Turns texts into vectors, one for each. Dropping the future cancels it in the runner.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn embed(&self, embed: Embed) -> Result<Embeddings, Error> {
        let mut answer = self.call(Call::Embed(embed)).await?;
        loop {
            match answer.next().await? {
                Event::Prefill { .. } => {}
                Event::Embeddings(embeddings) => return Ok(embeddings),
                other => unreachable!("the table lets no {other:?} into the answer to embed"),
            }
        }
    }

    /// Scores documents by their relevance to a query, one score for each. Dropping the future cancels it in the runner.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rerank(&self, rerank: Rerank) -> Result<Scores, Error> {
        let mut answer = self.call(Call::Rerank(rerank)).await?;
        loop {
            match answer.next().await? {
                Event::Prefill { .. } => {}
                Event::Scores(scores) => return Ok(scores),
                other => unreachable!("the table lets no {other:?} into the answer to rerank"),
            }
        }
    }

    /// Its usage, as the runner reports it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stats(&self) -> Result<Stats, Error> {
        match self.call(Call::Stats).await?.next().await? {
            Event::Stats(stats) => Ok(stats),
            other => unreachable!("the table lets no {other:?} into the answer to stats"),
        }
    }

    /// Turns its host cache on and offers it saved states, before [`Runner::load`]. Returns the number of states with a valid head.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_up_host_cache(&self, setup: HostCacheSetup) -> Result<u32, Error> {
        match self.call(Call::HostCacheSetup(setup)).await?.next().await? {
            Event::HostCacheReady { states } => Ok(states),
            other => {
                unreachable!("the table lets no {other:?} into the answer to host-cache-setup")
            }
        }
    }

    /// What it does with its saved states. The sender is dropped when the runner is gone.
    pub fn state_outcomes(&self) -> watch::Receiver<StateOutcomes> {
        self.0.outcomes.clone()
    }

    /// Exports its most valuable KV state, if one is worth it; the runner drops it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn export_state(&self, wanted: ExportState) -> Result<Option<State>, Error> {
        match self.call(Call::ExportState(wanted)).await?.next().await? {
            Event::State(state) => Ok(state.map(|state| *state)),
            other => unreachable!("the table lets no {other:?} into the answer to export-state"),
        }
    }

    /// Bytes of the state that was exported last, from `offset` on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn state_part(&self, offset: u64) -> Result<Vec<u8>, Error> {
        let call = Call::StatePart { offset };
        match self.call(call).await?.next().await? {
            Event::StatePart(part) => Ok(part.0),
            other => unreachable!("the table lets no {other:?} into the answer to state-part"),
        }
    }

    /// How it ended, if it has ended.
    pub fn exit(&self) -> Option<Exit> {
        self.0.exit.borrow().clone()
    }

    /// Resolves when the runner is gone. The future holds no handle, so it does not keep the runner alive.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static {
        let mut exit = self.0.exit.clone();
        async move {
            let seen = exit
                .wait_for(Option::is_some)
                .await
                .map(|exit| exit.clone());
            // The sender is dropped without an exit only with the runtime, which kills the process as well.
            seen.ok().flatten().unwrap_or_else(Exit::dropped)
        }
    }

    /// Asks it to exit, sends SIGTERM after `grace` and SIGKILL [`Options::term`] later, and reaps it.
    /// Open answers end with [`Error::Stopped`] at once.
    /// A second call can only shorten these times.
    pub async fn stop(&self, grace: Duration) -> Exit {
        Stop::within(grace, self.0.options.term).ask(&self.0.stop);
        self.exited().await
    }

    /// Kills it at once (SIGKILL), and reaps it.
    pub async fn kill(&self) -> Exit {
        Stop::within(Duration::ZERO, Duration::ZERO).ask(&self.0.stop);
        self.exited().await
    }

    /// Opens one request.
    async fn call(&self, call: Call) -> Result<Receiver, Error> {
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        let kind = Kind::of(&call);
        let frame = frame::wire(&Request { id, call }).map_err(|error| {
            Error::refused(
                FailureKind::Invalid,
                format!("the request cannot be sent: {error}"),
            )
        })?;
        let bytes = u32::try_from(frame.len().min(MAX_QUEUED)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.0.room).acquire_many_owned(bytes).await;
        // The service closes it when the runner is gone.
        let Ok(room) = room else {
            return Err(self.over().await);
        };
        let (sender, receiver) = queue::channel(Arc::clone(&self.0.departed));
        let open = Open {
            id,
            kind,
            frame: frame.into(),
            room,
            queue: sender,
        };
        if self.0.opens.send(open).await.is_err() {
            return Err(self.over().await);
        }
        Ok(receiver)
    }

    /// The error for a call on a runner that is gone.
    async fn over(&self) -> Error {
        if self.0.stop.borrow().is_some() {
            return Error::Stopped;
        }
        self.exited().await.to_error()
    }
}

/// One answer, as it comes.
///
/// A stream of [`Step`]s that ends, after exactly one [`Step::Done`] or error, with `None`.
/// Dropping it cancels the answer in the runner.
/// A slow reader gets several deltas as one; after [`Options::patience`] with a full queue the answer ends in [`Error::Slow`].
/// It keeps the runner alive.
#[derive(Debug)]
pub struct Generation {
    events: Receiver,
    _runner: Runner,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The request has a slot. Comes once, before every other step.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// Of these, tokens that the KV cache has already.
        cached_tokens: u32,
    },
    /// Progress of prefill; a slow reader gets only the latest.
    Prefill {
        /// Computed so far.
        done: u32,
        /// All of them.
        total: u32,
    },
    /// More text.
    Delta(Delta),
    /// The end of the answer, always the last step.
    Done(Box<Done>),
}

impl Generation {
    /// Asks the runner to stop generating. The stream still ends with [`Step::Done`].
    pub fn cancel(&self) {
        self.events.cancel();
    }
}

impl Stream for Generation {
    type Item = Result<Step, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(event) = std::task::ready!(self.get_mut().events.poll(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(event.map(|event| match event {
            Event::Started {
                prompt_tokens,
                cached_tokens,
            } => Step::Started {
                prompt_tokens,
                cached_tokens,
            },
            Event::Prefill { done, total } => Step::Prefill { done, total },
            Event::Delta(delta) => Step::Delta(delta),
            Event::Done(done) => Step::Done(done),
            other => unreachable!("the table lets no {other:?} into the answer to generate"),
        })))
    }
}

//! The thread that renders conversations, while the engine computes others.
//!
//! Chat templates come with the weights and are programs: even within their bounds, one may take seconds. The engine queues
//! conversations here and finds prompts in its inbox. They are rendered one after the other.

use std::sync::Arc;

use runner_protocol::Template;

use crate::{
    answer::format::Applied,
    chat::Chat,
    error::Error,
    prompt::marks::Controls,
    system::worker::{MAX_JOBS, Ticket, Worker},
};

/// Stack of the thread: the interpreter of templates goes deep, and is stopped where it asks for memory.
pub(crate) const STACK_BYTES: usize = 256 * 1024 * 1024;

/// A chat template that is not parsed yet, and the tokens that it is parsed with.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Jinja source, if the model has any.
    pub(crate) template: Option<String>,
    /// The token that begins a sequence, as it is written.
    pub(crate) bos: String,
    /// The token that ends one.
    pub(crate) eos: String,
    /// Control tokens as they are written.
    pub(crate) controls: Arc<Controls>,
}

/// The result that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The prompt alone.
    Prompt,
    /// The prompt, and the form of the answer.
    Form,
}

/// The engine's side.
#[derive(Debug)]
pub(crate) struct Renderer(Worker<Job>);

#[derive(Debug)]
struct Job {
    id: u64,
    conversation: Template,
    wanted: Wanted,
}

/// The result for a conversation.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Id of the request.
    pub(crate) id: u64,
    /// The prompt, or the error of the template.
    pub(crate) applied: Result<Applied, Error>,
}

impl Renderer {
    /// The engine's side, and the work of the thread. `done` gets what is rendered.
    pub(crate) fn new(
        source: Source,
        done: impl Fn(Rendered) + Send,
    ) -> (Self, impl FnOnce() + Send) {
        let (worker, run) = Worker::new(MAX_JOBS, move || {
            // Parsed when the first conversation comes, because that takes time, and some models never get one.
            let mut parsed = None;
            move |job: Job, _: &Ticket| {
                let applied = chat(&mut parsed, &source).and_then(|chat| match job.wanted {
                    Wanted::Prompt => chat.render(&job.conversation),
                    Wanted::Form => chat.apply(&job.conversation),
                });
                done(Rendered {
                    id: job.id,
                    applied,
                });
            }
        });
        (Self(worker), run)
    }

    /// Queues a conversation of so many bytes.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full.
    pub(crate) fn render(
        &self,
        id: u64,
        conversation: Template,
        wanted: Wanted,
        bytes: usize,
    ) -> Result<Ticket, Error> {
        let job = Job {
            id,
            conversation,
            wanted,
        };
        self.0.queue(job, bytes)
    }
}

fn chat<'c>(parsed: &'c mut Option<Chat>, source: &Source) -> Result<&'c Chat, Error> {
    if parsed.is_none() {
        *parsed = Some(Chat::parse(
            source.template.as_deref(),
            &source.bos,
            &source.eos,
            Arc::clone(&source.controls),
        )?);
    }
    parsed
        .as_ref()
        .ok_or_else(|| Error::Internal("the template was lost".into()))
}

//! Requests on their way from the main thread to the engine thread.
//!
//! The main thread must never wait here: it has to see the socket close while the engine loads or decodes.
//! So a full inbox refuses new work at once; only cancels, which are tiny and free room, always go in.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{self, Receiver, Sender},
};

use runner_protocol::{
    Call, Generate, Images, Input, Message, Prompt, Request, Shape, Template, Tool, ToolCall,
};

use crate::schedule::interrupt::Interrupt;

/// Most requests that lie in the inbox; the engine empties it before every step.
pub(crate) const MAX_REQUESTS: usize = 1024;

/// Most bytes of prompts that lie in the inbox.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// What lies in the inbox.
#[derive(Debug)]
pub(crate) enum Mail<F> {
    /// From the daemon.
    Request(Request),
    /// From a thread that works for the engine.
    Finished(F),
    /// Only wakes the engine: a saved state is read.
    Wake,
}

/// The main thread's end.
#[derive(Debug)]
pub(crate) struct Feed<F> {
    requests: Sender<Mail<F>>,
    lying: Arc<Lying>,
    interrupt: Arc<Interrupt>,
}

/// The end of a thread that works for the engine.
#[derive(Debug)]
pub(crate) struct Returns<F> {
    mail: Sender<Mail<F>>,
    lying: Arc<Lying>,
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Inbox<F> {
    requests: Receiver<Mail<F>>,
    lying: Arc<Lying>,
    /// What cancels go to before they lie here.
    pub(crate) interrupt: Arc<Interrupt>,
}

/// What lies in the inbox.
#[derive(Debug, Default)]
struct Lying {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// A new, empty inbox.
pub(crate) fn new<F>() -> (Feed<F>, Inbox<F>) {
    let (sender, receiver) = mpsc::channel();
    let lying = Arc::new(Lying::default());
    let interrupt = Arc::new(Interrupt::default());
    (
        Feed {
            requests: sender,
            lying: Arc::clone(&lying),
            interrupt: Arc::clone(&interrupt),
        },
        Inbox {
            requests: receiver,
            lying,
            interrupt,
        },
    )
}

impl<F> Feed<F> {
    /// Puts a request in, without waiting.
    ///
    /// # Errors
    /// Gives the request's id back when [`MAX_REQUESTS`] lie there already, or [`MAX_BYTES`] with it.
    pub(crate) fn put(&self, request: Request) -> Result<(), u64> {
        let id = request.id;
        let cancelled = match request.call {
            Call::Cancel { target } => Some(target),
            _ => None,
        };
        let bytes = size(&request.call);
        let full = self.lying.requests.load(Ordering::Relaxed) >= MAX_REQUESTS
            || self.lying.bytes.load(Ordering::Relaxed) + bytes > MAX_BYTES;
        if cancelled.is_none() && full {
            return Err(id);
        }
        self.lying.requests.fetch_add(1, Ordering::Relaxed);
        self.lying.bytes.fetch_add(bytes, Ordering::Relaxed);
        // The engine thread ends only when the process does.
        let _ = self.requests.send(Mail::Request(request));
        // Only now, so that the engine finds the reason in the inbox.
        if let Some(target) = cancelled {
            self.interrupt.cancelled(target);
        }
        Ok(())
    }

    /// The end of a thread that works for the engine. With it, an inbox does not end with its feed.
    pub(crate) fn returns(&self) -> Returns<F> {
        Returns {
            mail: self.requests.clone(),
            lying: Arc::clone(&self.lying),
        }
    }
}

impl<F> Clone for Returns<F> {
    fn clone(&self) -> Self {
        Self {
            mail: self.mail.clone(),
            lying: Arc::clone(&self.lying),
        }
    }
}

impl<F> Returns<F> {
    /// A function that puts in what `wrap` makes of a result. The engine limits how many results there are.
    pub(crate) fn putting<T>(&self, wrap: fn(T) -> F) -> impl Fn(T) + Send + use<F, T>
    where
        F: Send,
    {
        let returns = self.clone();
        move |result| returns.put(Mail::Finished(wrap(result)))
    }

    /// Wakes the engine.
    pub(crate) fn wake(&self) {
        self.put(Mail::Wake);
    }

    fn put(&self, mail: Mail<F>) {
        self.lying.requests.fetch_add(1, Ordering::Relaxed);
        // The engine thread ends only when the process does.
        let _ = self.mail.send(mail);
    }
}

impl<F> Inbox<F> {
    /// The next letter if there is one.
    pub(crate) fn next(&self) -> Option<Mail<F>> {
        self.took(self.requests.try_recv().ok())
    }

    /// Whether there is a letter.
    pub(crate) fn has_mail(&self) -> bool {
        self.lying.requests.load(Ordering::Relaxed) > 0
    }

    /// The next letter; waits for it. `None` when there will be none: in tests, because an engine with threads keeps their ends itself.
    pub(crate) fn wait(&self) -> Option<Mail<F>> {
        self.took(self.requests.recv().ok())
    }

    fn took(&self, mail: Option<Mail<F>>) -> Option<Mail<F>> {
        if let Some(mail) = &mail {
            self.lying.requests.fetch_sub(1, Ordering::Relaxed);
            if let Mail::Request(Request { call, .. }) = mail {
                self.lying.bytes.fetch_sub(size(call), Ordering::Relaxed);
            }
        }
        mail
    }
}

/// About how many bytes a call takes: those of what can be long in it.
pub(crate) fn size(call: &Call) -> usize {
    match call {
        Call::Generate(it) => generate(it),
        Call::Tokenize(tokenize) => tokenize.text.len(),
        Call::Detokenize(detokenize) => size_of_val(detokenize.tokens.as_slice()),
        Call::Template(template) => conversation(template),
        Call::Embed(embed) => embed
            .inputs
            .iter()
            .map(|input| match input {
                Input::Text(text) => text.len(),
                Input::Tokens(tokens) => size_of_val(tokens.as_slice()),
            })
            .sum(),
        Call::Rerank(rerank) => {
            rerank.query.len() + rerank.documents.iter().map(String::len).sum::<usize>()
        }
        Call::HostCacheSetup(setup) => size_of_val(setup.files.as_slice()),
        Call::Load(_)
        | Call::Cancel { .. }
        | Call::Stats
        | Call::ExportState(_)
        | Call::StatePart { .. }
        | Call::Shutdown => 0,
    }
}

/// The same for a request that generates.
pub(crate) fn generate(generate: &Generate) -> usize {
    let prompt = match &generate.prompt {
        Prompt::Text { text, .. } => text.len(),
        Prompt::Rendered(rendered) => rendered.text.len(),
        Prompt::Tokens(tokens) => size_of_val(tokens.as_slice()),
        Prompt::Chat(template) => conversation(template),
    };
    let stops: usize = generate.stop.iter().map(String::len).sum();
    let read_as = generate.read_as.as_deref().map_or(0, conversation);
    let shape = generate.constraint.as_ref().map(|it| &it.shape);
    let constraint = match shape {
        Some(Shape::Schema(text) | Shape::Grammar(text) | Shape::Regex(text)) => text.len(),
        Some(Shape::Json) | None => 0,
    };
    let images = generate.images.as_ref().map_or(0, Images::bytes);
    prompt + stops + read_as + constraint + images
}

/// The same for a conversation.
pub(crate) fn conversation(template: &Template) -> usize {
    let call = |it: &ToolCall| size_of_val(it) + it.id.len() + it.name.len() + it.arguments.len();
    let message = |it: &Message| {
        let calls: usize = it.tool_calls.iter().map(call).sum();
        let texts = [
            &it.role,
            &it.content,
            &it.reasoning,
            &it.tool_call_id,
            &it.tool_name,
        ];
        size_of_val(it) + texts.map(String::len).iter().sum::<usize>() + calls
    };
    let tool =
        |it: &Tool| size_of_val(it) + it.name.len() + it.description.len() + it.parameters.len();
    let messages: usize = template.messages.iter().map(message).sum();
    messages + template.tools.iter().map(tool).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use runner_protocol::{Constraint, Tokenize};

    use super::*;

    #[test]
    fn a_full_inbox_refuses_work_but_never_a_cancel() {
        let (feed, inbox) = new::<()>();
        for id in 0..MAX_REQUESTS as u64 {
            feed.put(Request {
                id,
                call: Call::Stats,
            })
            .unwrap();
        }
        assert_eq!(
            feed.put(Request {
                id: 5000,
                call: Call::Stats
            }),
            Err(5000)
        );
        assert_eq!(
            feed.put(Request {
                id: 5001,
                call: Call::Cancel { target: 3 }
            }),
            Ok(())
        );
        let id = |mail| match mail {
            Some(Mail::Request(request)) => request.id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(inbox.next()), 0);
        assert_eq!(id(inbox.wait()), 1);
        assert_eq!(
            feed.put(Request {
                id: 5002,
                call: Call::Stats
            }),
            Ok(())
        );
    }

    #[test]
    fn large_requests_fill_it_sooner_and_make_room_again() {
        let (feed, inbox) = new::<()>();
        let text = "x".repeat(MAX_BYTES / 4);
        let large = |id| Request {
            id,
            call: Call::Tokenize(Tokenize {
                text: text.clone(),
                add_special: false,
                parse_special: false,
                literal: Vec::new(),
            }),
        };
        for id in 0..4 {
            feed.put(large(id)).unwrap();
        }
        assert_eq!(feed.put(large(4)), Err(4));
        assert!(inbox.next().is_some());
        assert_eq!(feed.put(large(5)), Ok(()));
    }

    #[test]
    fn each_long_text_of_a_request_is_counted() {
        let long = || "x".repeat(1 << 20);
        let conversation = Template {
            messages: vec![Message {
                reasoning: long(),
                tool_calls: vec![ToolCall {
                    arguments: long(),
                    ..ToolCall::default()
                }],
                ..Message::default()
            }],
            tools: vec![Tool {
                name: String::new(),
                description: long(),
                parameters: long(),
            }],
            ..Template::default()
        };
        let request = Generate {
            stop: vec![long()],
            read_as: Some(Box::new(conversation.clone())),
            constraint: Some(Constraint {
                shape: Shape::Schema(long()),
                after: None,
            }),
            ..Generate::new(Prompt::Chat(conversation))
        };
        let bytes = size(&Call::Generate(Box::new(request)));
        assert_eq!(bytes >> 20, 4 + 4 + 2, "{bytes}");
    }

    #[test]
    fn an_inbox_without_a_feed_ends() {
        let (feed, inbox) = new::<()>();
        drop(feed);
        assert!(inbox.next().is_none());
        assert!(inbox.wait().is_none());
    }
}

//! Requests on their way from the main thread to the engine thread.
//!
//! The main thread must never wait here: it has to see the socket close while the engine loads or decodes.
//! So a full inbox refuses new work at once; only cancels, which are tiny and free room, always go in.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{self, Receiver, Sender},
};

use runner::protocol::{Call, Request};

/// Most requests that lie in the inbox; the engine empties it before every step.
pub(crate) const MAX_REQUESTS: usize = 1024;

/// The main thread's end.
#[derive(Debug)]
pub(crate) struct Feed {
    requests: Sender<Request>,
    lying: Arc<AtomicUsize>,
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    requests: Receiver<Request>,
    lying: Arc<AtomicUsize>,
}

/// A new, empty inbox.
pub(crate) fn new() -> (Feed, Inbox) {
    let (sender, receiver) = mpsc::channel();
    let lying = Arc::new(AtomicUsize::new(0));
    (
        Feed {
            requests: sender,
            lying: Arc::clone(&lying),
        },
        Inbox {
            requests: receiver,
            lying,
        },
    )
}

impl Feed {
    /// Puts a request in, without waiting.
    ///
    /// # Errors
    /// Gives the request's id back when [`MAX_REQUESTS`] lie there already.
    pub(crate) fn put(&self, request: Request) -> Result<(), u64> {
        let id = request.id;
        let cancel = matches!(request.call, Call::Cancel { .. });
        if !cancel && self.lying.load(Ordering::Relaxed) >= MAX_REQUESTS {
            return Err(id);
        }
        self.lying.fetch_add(1, Ordering::Relaxed);
        // The engine thread ends only when the process does.
        let _ = self.requests.send(request);
        Ok(())
    }
}

impl Inbox {
    /// The next request if there is one.
    pub(crate) fn next(&self) -> Option<Request> {
        self.took(self.requests.try_recv().ok())
    }

    /// The next request; waits for it. `None` when there will be none.
    pub(crate) fn wait(&self) -> Option<Request> {
        self.took(self.requests.recv().ok())
    }

    fn took(&self, request: Option<Request>) -> Option<Request> {
        if request.is_some() {
            self.lying.fetch_sub(1, Ordering::Relaxed);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_refuses_work_but_never_a_cancel() {
        let (feed, inbox) = new();
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
        assert_eq!(inbox.next().map(|request| request.id), Some(0));
        assert_eq!(inbox.wait().map(|request| request.id), Some(1));
        assert_eq!(
            feed.put(Request {
                id: 5002,
                call: Call::Stats
            }),
            Ok(())
        );
    }

    #[test]
    fn an_inbox_without_a_feed_ends() {
        let (feed, inbox) = new();
        drop(feed);
        assert!(inbox.next().is_none());
        assert!(inbox.wait().is_none());
    }
}

//! What a request sends.
//!
//! A part of a file is read piece by piece while it is sent, so that its size costs no memory. Its reading ends as soon as an answer
//! comes: a server that refuses early gets nothing more.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use reqwest::header::CONTENT_LENGTH;
use tokio::time::Instant;

use crate::fs;

/// Bytes of a piece.
const PIECE: u64 = 1 << 20;
/// Pieces that are read ahead.
const AHEAD: usize = 2;
/// Longest time in which no piece is taken.
const STALL: Duration = Duration::from_secs(30);
/// Bytes a second that a server is trusted to make durable after the last one came.
const KEEPS: u64 = 20_000_000;
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What a request sends.
#[derive(Debug, Clone, Default)]
pub(crate) enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// A document.
    Bytes(Bytes),
    /// A part of a file.
    File(FilePart),
}

/// Is told each piece before it is sent.
type Tap = dyn Fn(&[u8]) + Send + Sync;

/// A part of an open file.
#[derive(Clone)]
pub(crate) struct FilePart {
    /// The file.
    pub(crate) file: Arc<File>,
    /// Its path, for messages.
    pub(crate) path: PathBuf,
    /// Its first byte.
    pub(crate) start: u64,
    /// How many bytes.
    pub(crate) length: u64,
    /// How long the first piece is held back, so that a server that refuses the request by its head is heard: one that closes the
    /// connection while pieces come takes its answer with it.
    pub(crate) hold: Duration,
    /// Told each piece before it is sent.
    pub(crate) tap: Arc<Tap>,
}

impl std::fmt::Debug for FilePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            path,
            start,
            length,
            ..
        } = self;
        write!(f, "{} from {start}, {length} bytes", path.display())
    }
}

/// Watches the sending of a part of a file, and ends it when it is dropped.
#[derive(Debug)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    taken: AtomicU64,
    length: u64,
    is_over: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Body {
    /// Gives it to a request.
    pub(super) fn attach(
        &self,
        request: reqwest::RequestBuilder,
    ) -> (reqwest::RequestBuilder, Option<Watch>) {
        match self {
            Self::Empty => (request, None),
            Self::Bytes(bytes) => (request.body(bytes.clone()), None),
            Self::File(part) => {
                let shared = Arc::new(Shared {
                    length: part.length,
                    ..Shared::default()
                });
                let pieces = part.clone().pieces(shared.clone());
                let request = request
                    .header(CONTENT_LENGTH, part.length)
                    .body(reqwest::Body::wrap_stream(pieces));
                (request, Some(Watch(shared)))
            }
        }
    }
}

impl FilePart {
    fn pieces(
        self,
        shared: Arc<Shared>,
    ) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
        let end = self.start + self.length;
        let starts = (0..self.length.div_ceil(PIECE)).map(move |piece| self.start + piece * PIECE);
        let (file, path, tap) = (self.file, self.path, self.tap);
        let read = move |start: u64| {
            let (file, path) = (file.clone(), path.clone());
            let length = PIECE.min(end - start);
            tokio::task::spawn_blocking(move || fs::read_range(&file, &path, start, length))
        };
        let held = futures::stream::once(tokio::time::sleep(self.hold));
        let held = held.filter_map(|()| std::future::ready(None));
        let pieces = futures::stream::iter(starts).map(read).buffered(AHEAD);
        held.chain(pieces).map(move |piece| {
            if shared.is_over.load(Ordering::Relaxed) {
                return Err(std::io::Error::other("the answer came before the end"));
            }
            let piece = piece.map_err(crate::Error::Task).flatten();
            match piece {
                Ok(piece) => {
                    tap(&piece);
                    shared
                        .taken
                        .fetch_add(piece.len() as u64, Ordering::Relaxed);
                    Ok(Bytes::from(piece))
                }
                Err(error) => {
                    let reason = crate::error::in_full(&error);
                    *shared
                        .failure
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
                    Err(std::io::Error::other(reason))
                }
            }
        })
    }
}

impl Watch {
    /// Why the file could not be read, where it could not.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.0.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until nothing was taken for too long; returns for how long. When all is sent, a server may take the time that a slow
    /// disk needs.
    pub(super) async fn stalled(&self) -> Duration {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            tokio::time::sleep(LOOK).await;
            let taken = self.0.taken.load(Ordering::Relaxed);
            if taken != seen {
                (seen, since) = (taken, Instant::now());
            }
            let patience = match taken == self.0.length {
                true => STALL + Duration::from_secs(self.0.length / KEEPS),
                false => STALL,
            };
            if since.elapsed() >= patience {
                return since.elapsed();
            }
        }
    }
}

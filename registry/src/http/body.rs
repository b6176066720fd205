//! The body of a request.
//!
//! A part of a file is read piece by piece while it is sent, so that its size costs no memory. Reading ends when the response
//! arrives: a server that refuses early gets no more bytes.

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

/// Bytes of one read.
const READ: u64 = 1 << 20;
/// Number of reads ahead.
const AHEAD: usize = 2;
/// Bytes of a piece, the measure of progress: a slow connection takes one within [`STALL`].
const PIECE: usize = 64 << 10;
/// Maximum time without progress.
const STALL: Duration = Duration::from_secs(30);
/// Bytes per second that a server is assumed to make durable after the last byte.
const KEEPS: u64 = 20_000_000;
/// Interval of the checks for progress.
const LOOK: Duration = Duration::from_millis(500);

/// The body of a request.
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

/// A callback with each piece before it is sent.
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
    /// Number of bytes.
    pub(crate) length: u64,
    /// Delay of the first piece. A server may refuse a request by its headers and close the connection; its response is lost if
    /// pieces are being sent at that moment.
    pub(crate) hold: Duration,
    /// Called with each piece before it is sent.
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

/// Watches the progress of a part of a file, and ends its sending when dropped.
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
    /// Attaches it to a request.
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
        let starts = (0..self.length.div_ceil(READ)).map(move |read| self.start + read * READ);
        let (file, path, tap) = (self.file, self.path, self.tap);
        let read = move |start: u64| {
            let (file, path) = (file.clone(), path.clone());
            let length = READ.min(end - start);
            tokio::task::spawn_blocking(move || fs::read_range(&file, &path, start, length))
        };
        let held = futures::stream::once(tokio::time::sleep(self.hold));
        let held = held.filter_map(|()| std::future::ready(None));
        let reads = futures::stream::iter(starts).map(read).buffered(AHEAD);
        let pieces = reads.flat_map(|read| {
            let read = read.map_err(crate::Error::Task).flatten();
            futures::stream::iter(in_pieces(read.map(Bytes::from)))
        });
        held.chain(pieces).map(move |piece| {
            if shared.is_over.load(Ordering::Relaxed) {
                return Err(std::io::Error::other("the answer came before the end"));
            }
            match piece {
                Ok(piece) => {
                    tap(&piece);
                    shared
                        .taken
                        .fetch_add(piece.len() as u64, Ordering::Relaxed);
                    Ok(piece)
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

/// Splits a read into pieces, without a copy.
fn in_pieces(read: crate::Result<Bytes>) -> impl Iterator<Item = crate::Result<Bytes>> {
    let (mut rest, mut failure) = match read {
        Ok(bytes) => (bytes, None),
        Err(error) => (Bytes::new(), Some(error)),
    };
    std::iter::from_fn(move || match failure.take() {
        Some(error) => Some(Err(error)),
        None if rest.is_empty() => None,
        None => Some(Ok(rest.split_to(PIECE.min(rest.len())))),
    })
}

/// Maximum time from the last byte to the response, in which the server makes so many bytes durable.
pub(super) fn patience(bytes: u64) -> Duration {
    STALL + Duration::from_secs(bytes / KEEPS)
}

impl Watch {
    /// The error of reading the file, if any.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.0.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there is no progress for too long; returns for how long. After the last byte, the limit is that of a slow disk.
    pub(super) async fn stalled(&self) -> Duration {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            tokio::time::sleep(LOOK).await;
            let taken = self.0.taken.load(Ordering::Relaxed);
            if taken != seen {
                (seen, since) = (taken, Instant::now());
            }
            let patience = match taken == self.0.length {
                true => patience(self.0.length),
                false => STALL,
            };
            if since.elapsed() >= patience {
                return since.elapsed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_of_a_file_goes_out_in_small_pieces() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        std::fs::write(&path, &bytes).expect("a file");
        let told = Arc::new(AtomicU64::new(0));
        let tap = told.clone();
        let part = FilePart {
            file: Arc::new(fs::open(&path).expect("a file")),
            path,
            start: 5,
            length: 2_500_001,
            hold: Duration::ZERO,
            tap: Arc::new(move |piece| {
                tap.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }),
        };
        let shared = Arc::new(Shared::default());
        let mut pieces = std::pin::pin!(part.pieces(shared.clone()));
        let mut sent = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.expect("it can be read");
            assert!(piece.len() <= 64 << 10, "{}", piece.len());
            sent.extend_from_slice(&piece);
            assert_eq!(shared.taken.load(Ordering::Relaxed), sent.len() as u64);
        }
        assert!(sent == bytes[5..2_500_006]);
        assert_eq!(told.load(Ordering::Relaxed), sent.len() as u64);
    }

    #[test]
    fn a_large_blob_takes_longer_to_become_durable() {
        assert_eq!(patience(0), STALL);
        assert_eq!(patience(40_000_000_000), STALL + Duration::from_secs(2000));
    }
}

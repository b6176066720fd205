//! Deadlines of a connection: closes a connection whose peer is too slow.
//!
//! A connection is always in one phase, and most phases have a time limit. The socket and the service report to a shared
//! `Watchdog`; a future beside the connection waits for its deadline.
//! The body of a response cannot check the deadline for writing: it is polled only while the socket takes bytes, and never for a
//! reader that stalls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::listen::Io;

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// From the connection to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// While the peer reads no byte of a response.
    pub stall: Duration,
    /// Most header lines of a request.
    pub headers: usize,
    /// Most connections at a time.
    pub connections: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            headers: 100,
            connections: 4096,
        }
    }
}

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// No byte has arrived.
    Fresh,
    /// A part of a request head has arrived.
    Head,
    /// The daemon answers a request.
    Answering,
    /// Between two requests.
    Idle,
}

impl Phase {
    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Fresh,
            1 => Self::Head,
            2 => Self::Answering,
            _ => Self::Idle,
        }
    }
}

/// The phase of a connection, and when it began. Times are in milliseconds from the start of the connection.
#[derive(Debug)]
pub(crate) struct Watchdog {
    start: Instant,
    phase: AtomicU8,
    since: AtomicU64,
    /// Whether a part of the current request's body is unread.
    has_unread_body: AtomicBool,
    /// When a write first found the socket full, plus one; 0 while the socket takes bytes.
    blocked: AtomicU64,
}

impl Watchdog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            phase: AtomicU8::new(Phase::Fresh as u8),
            since: AtomicU64::new(0),
            has_unread_body: AtomicBool::new(false),
            blocked: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Ordering::Relaxed))
    }

    fn enter(&self, phase: Phase) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// A request head is complete, perhaps without a body.
    pub(crate) fn answering(&self, is_without_body: bool) {
        self.has_unread_body
            .store(!is_without_body, Ordering::Relaxed);
        self.enter(Phase::Answering);
    }

    /// The body of the request is read to its end.
    pub(crate) fn body_is_read(&self) {
        self.has_unread_body.store(false, Ordering::Relaxed);
    }

    /// The response is complete.
    pub(crate) fn answered(&self) {
        self.enter(Phase::Idle);
    }

    /// Whether the last request and its response are complete, and the socket took all bytes of the response.
    /// After an unread body, the next bytes are not those of a request.
    pub(crate) fn waits_for_request(&self) -> bool {
        self.phase() == Phase::Idle
            && !self.has_unread_body.load(Ordering::Relaxed)
            && self.blocked.load(Ordering::Relaxed) == 0
    }

    fn read(&self) {
        if matches!(self.phase(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    fn wrote(&self, blocked: bool) {
        if !blocked {
            self.blocked.store(0, Ordering::Relaxed);
        } else if self.blocked.load(Ordering::Relaxed) == 0 {
            self.blocked.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// The next deadline, and the reason to close the connection then; `None` without a limit.
    fn deadline(&self, limits: &ConnectionLimits) -> Option<(Instant, &'static str)> {
        let at = |since: u64, limit: Duration| self.start + Duration::from_millis(since) + limit;
        let since = self.since.load(Ordering::Relaxed);
        let phase = match self.phase() {
            Phase::Fresh => Some((at(since, limits.first_byte), "sent nothing")),
            Phase::Head => Some((at(since, limits.head), "did not finish its request")),
            Phase::Idle => Some((at(since, limits.idle), "was idle")),
            Phase::Answering => None,
        };
        let stall = match self.blocked.load(Ordering::Relaxed) {
            0 => None,
            since => Some((at(since - 1, limits.stall), "did not read its answer")),
        };
        phase.into_iter().chain(stall).min()
    }

    /// Resolves at a missed deadline, with the reason.
    pub(crate) async fn too_slow(&self, limits: &ConnectionLimits) -> &'static str {
        // Reports come with each read and write and do not wake this future, so it checks the deadline this often.
        let look = (limits.stall / 6).min(Duration::from_secs(5));
        loop {
            let now = Instant::now();
            let again = match self.deadline(limits) {
                Some((deadline, what)) if deadline <= now => return what,
                Some((deadline, _)) => deadline.min(now + look),
                None => now + look,
            };
            tokio::time::sleep_until(again).await;
        }
    }
}

/// A stream that reports reads and writes to a [`Watchdog`].
pub(crate) struct WatchedStream {
    inner: Box<dyn Io>,
    /// Bytes that were taken from the socket and not read yet.
    early: Bytes,
    watchdog: Arc<Watchdog>,
}

impl WatchedStream {
    pub(crate) fn new(inner: Box<dyn Io>, watchdog: Arc<Watchdog>) -> Self {
        Self {
            inner,
            early: Bytes::new(),
            watchdog,
        }
    }

    /// The same stream, with these bytes before those of the socket.
    pub(crate) fn beginning_with(mut self, early: Bytes) -> Self {
        self.early = early;
        self
    }

    /// Waits for a byte without a buffer, and keeps it for the next read. False if the peer has closed the connection.
    pub(crate) async fn first_byte(&mut self) -> bool {
        if self.early.is_empty() {
            let mut byte = [0];
            match self.inner.read(&mut byte).await {
                Ok(1) => self.early = Bytes::copy_from_slice(&byte),
                _ => return false,
            }
        }
        self.watchdog.read();
        true
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watchdog.read();
        }
        polled
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watchdog.wrote(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watchdog.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

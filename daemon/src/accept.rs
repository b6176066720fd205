//! The accept loop: takes connections within limits, and serves them until the daemon stops.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::listen::{Io, Listener, Peer};
use crate::shutdown::Shutdown;
use crate::watchdog::{ConnectionLimits, Watchdog, WatchedStream};

/// Buffer of a connection in each direction, in bytes; a request head must fit.
const BUFFER: usize = 64 * 1024;

/// Longest pause after an accept failed, for example for lack of file descriptors.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Serves `router` on one listener until the graceful token; then stops listening and returns.
///
/// Connections continue in the task tracker: each finishes its current request, and ends at once on the force token.
/// `permits` bounds the connections of all listeners together. A listener accepts first and takes a permit then, so an idle
/// listener holds none. Without a free permit, one accepted connection waits at each listener, and the others in the system's queue.
pub async fn serve(
    listener: Listener,
    router: Router,
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    shutdown: Shutdown,
) {
    let mut backoff = Duration::from_millis(10);
    loop {
        let next = async {
            let accepted = listener.accept().await?;
            Ok((accepted, permits.clone().acquire_owned().await))
        };
        let accepted = tokio::select! {
            () = shutdown.graceful.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok(((stream, peer), permit)) => {
                backoff = Duration::from_millis(10);
                let connection = connection(stream, peer, router.clone(), limits, shutdown.clone());
                shutdown.tasks.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // The peer disconnected before it was served.
            Err(error) if is_about_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?backoff, "cannot accept connections, pausing");
                tokio::select! {
                    () = shutdown.graceful.cancelled() => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

/// Whether an error of accept is about one connection: Linux returns its network errors here too.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::Interrupted
    )
}

/// Serves one connection from its first byte to its last.
async fn connection(
    stream: Box<dyn Io>,
    peer: Peer,
    router: Router,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) {
    let watchdog = Watchdog::new();
    let service = {
        let watchdog = watchdog.clone();
        hyper::service::service_fn(move |request: Request<Incoming>| {
            watchdog.answering();
            let done = AnswerGuard(watchdog.clone());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let answer = router.clone().oneshot(request);
            async move {
                let response: Response<Body> = answer.await?;
                Ok::<_, Infallible>(response.map(|body| TrackedBody { body, _done: done }))
            }
        })
    };
    // hyper's header timeout is off, because it does not tell a slow request head from an idle connection.
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(BUFFER)
        .serve_connection(
            TokioIo::new(WatchedStream::new(stream, watchdog.clone())),
            service,
        );
    let mut serving = pin!(serving);
    let mut too_slow = pin!(watchdog.too_slow(&limits));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(?peer, %error, "a connection broke");
                }
                return;
            }
            what = too_slow.as_mut() => {
                tracing::debug!(?peer, "closed a connection whose peer {what}");
                return;
            }
            () = shutdown.force.cancelled() => return,
            () = shutdown.graceful.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A drop guard that tells the watchdog when a response ends.
struct AnswerGuard(Arc<Watchdog>);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A response body with its guard.
struct TrackedBody {
    body: Body,
    _done: AnswerGuard,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;

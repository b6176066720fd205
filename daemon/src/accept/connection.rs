//! One connection, from its first byte to its last.
//!
//! hyper keeps a read buffer of 8 KiB for as long as it owns a connection. So a connection belongs to hyper only from the first byte
//! of a request to the end of its response, and between requests it waits without buffers.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tower::ServiceExt;

use crate::listen::{Io, Peer};
use crate::shutdown::Shutdown;
use crate::watchdog::{ConnectionLimits, Watchdog, WatchedStream};

/// Buffer of a connection in each direction, in bytes; a request head must fit.
pub(super) const BUFFER: usize = 64 * 1024;

/// Serves a connection within its limits, until its peer or the daemon ends it.
pub(super) async fn connection(
    stream: Box<dyn Io>,
    peer: Peer,
    router: Router,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) {
    let watchdog = Watchdog::new();
    let stream = WatchedStream::new(stream, watchdog.clone());
    let serving = requests(stream, peer, router, limits.headers, &watchdog, &shutdown);
    tokio::select! {
        () = serving => {}
        what = watchdog.too_slow(&limits) => {
            tracing::debug!(?peer, "closed a connection whose peer {what}");
        }
        () = shutdown.force.cancelled() => {}
    }
}

/// Serves the requests of a connection. When the daemon stops, the current one is the last.
async fn requests(
    mut stream: WatchedStream,
    peer: Peer,
    router: Router,
    headers: usize,
    watchdog: &Arc<Watchdog>,
    shutdown: &Shutdown,
) {
    loop {
        let has_bytes = tokio::select! {
            biased;
            has_bytes = stream.first_byte() => has_bytes,
            () = shutdown.graceful.cancelled() => return,
        };
        if !has_bytes {
            return;
        }
        // A box, so that an idle connection has no room for what only a busy one needs.
        let served = Box::pin(until_idle(
            stream, peer, &router, headers, watchdog, shutdown,
        ));
        match served.await {
            Some(idle) => stream = idle,
            None => return,
        }
    }
}

/// Serves requests until the connection ends, or until it waits for a request: then it returns the stream.
async fn until_idle(
    stream: WatchedStream,
    peer: Peer,
    router: &Router,
    headers: usize,
    watchdog: &Arc<Watchdog>,
    shutdown: &Shutdown,
) -> Option<WatchedStream> {
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        watchdog.answering(request.body().is_end_stream());
        let done = AnswerGuard(watchdog.clone());
        let mut request = request.map(|body| {
            Body::new(RequestBody {
                body,
                watchdog: watchdog.clone(),
            })
        });
        request.extensions_mut().insert(peer);
        let answer = router.clone().oneshot(request);
        async move {
            let response: Response<Body> = answer.await?;
            Ok::<_, Infallible>(response.map(|body| ResponseBody { body, _done: done }))
        }
    });
    // hyper's header timeout is off, because it does not tell a slow request head from an idle connection.
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(headers)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut graceful = pin!(shutdown.graceful.cancelled());
    let mut stopping = false;
    let ended = poll_fn(|cx| {
        if !stopping && graceful.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut serving).graceful_shutdown();
        }
        match Pin::new(&mut serving).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            // hyper has written everything, or the socket would be full, and it waits for the next head.
            Poll::Pending if watchdog.waits_for_request() && !stopping => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    match ended.await {
        None => {
            let parts = serving.into_parts();
            // A copy, because even an empty rest holds the whole buffer.
            let early = Bytes::copy_from_slice(&parts.read_buf);
            Some(parts.io.into_inner().beginning_with(early))
        }
        Some(ended) => {
            if let Err(error) = ended {
                tracing::debug!(?peer, %error, "a connection broke");
            }
            None
        }
    }
}

/// The body of a request, which reports its end to the watchdog.
struct RequestBody {
    body: Incoming,
    watchdog: Arc<Watchdog>,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.watchdog.body_is_read();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, whose drop tells the watchdog that the response ends.
struct ResponseBody {
    body: Body,
    _done: AnswerGuard,
}

impl HttpBody for ResponseBody {
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

/// A drop guard that tells the watchdog when a response ends.
struct AnswerGuard(Arc<Watchdog>);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.answered();
    }
}

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

use super::connection::BUFFER;
use super::*;
use crate::listen::{Io, Stale};

/// A limit that a test does not reach.
const NEVER: Duration = Duration::from_secs(3600);
/// The limit under test.
const SOON: Duration = Duration::from_millis(60);

fn limits() -> ConnectionLimits {
    ConnectionLimits {
        first_byte: NEVER,
        head: NEVER,
        idle: NEVER,
        stall: NEVER,
        ..ConnectionLimits::default()
    }
}

async fn start(limits: ConnectionLimits, router: Router) -> (SocketAddr, Shutdown) {
    let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address().unwrap();
    let shutdown = Shutdown::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    shutdown
        .tasks
        .spawn(serve(listener, router, limits, permits, shutdown.clone()));
    (address, shutdown)
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// All bytes until the peer closes; a reset counts as closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one response with the body `hello`.
async fn read_hello(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "closed too early");
        seen.push(byte[0]);
    }
}

#[tokio::test]
async fn a_peer_that_sends_nothing_is_closed() {
    let (address, _shutdown) = start(
        ConnectionLimits {
            first_byte: SOON,
            ..limits()
        },
        hello(),
    )
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_peer_that_does_not_finish_its_head_is_closed() {
    let (address, _shutdown) = start(
        ConnectionLimits {
            head: SOON,
            ..limits()
        },
        hello(),
    )
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_serves_again_and_is_closed_in_the_end() {
    let (address, _shutdown) = start(
        ConnectionLimits {
            idle: SOON * 5,
            ..limits()
        },
        hello(),
    )
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        read_hello(&mut stream).await;
    }
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let (address, _shutdown) = start(
        ConnectionLimits {
            headers: 4,
            ..limits()
        },
        hello(),
    )
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let (address, _shutdown) = start(limits(), hello()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(2 * BUFFER));
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

/// Reports its drop.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// An endless stream that reports its drop.
fn endless(dropped: mpsc::UnboundedSender<()>) -> Router {
    let handler = async move || {
        let report = Dropped(dropped.clone());
        let stream = futures::stream::repeat_with(move || {
            let _held = &report;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 16 * 1024]))
        });
        Body::from_stream(stream)
    };
    Router::new().route("/", get(handler))
}

#[tokio::test]
async fn a_stalled_reader_is_disconnected() {
    let (dropped, mut reports) = mpsc::unbounded_channel();
    let (address, _shutdown) = start(
        ConnectionLimits {
            stall: SOON,
            ..limits()
        },
        endless(dropped),
    )
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The test never reads; the stream is dropped at the deadline.
    reports.recv().await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_client_that_disconnects_ends_its_answer() {
    let (dropped, mut reports) = mpsc::unbounded_channel();
    let pending = async move || {
        let report = Dropped(dropped.clone());
        std::future::pending::<()>().await;
        drop(report);
    };
    let router = Router::new().route("/", post(pending));
    let (address, _shutdown) = start(limits(), router).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    drop(stream);
    reports.recv().await.unwrap();
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_permit() {
    let (address, _shutdown) = start(
        ConnectionLimits {
            connections: 1,
            ..limits()
        },
        hello(),
    )
    .await;
    let first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    drop(first);
    read_hello(&mut second).await;
}

#[tokio::test]
async fn two_listeners_share_one_permit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let tcp = Listener::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = tcp.address().unwrap();
    let unix = Listener::unix(&path, Stale::Unknown).await.unwrap();
    let shutdown = Shutdown::new();
    let permits = Arc::new(Semaphore::new(1));
    for listener in [tcp, unix] {
        let serving = serve(
            listener,
            hello(),
            limits(),
            permits.clone(),
            shutdown.clone(),
        );
        shutdown.tasks.spawn(serving);
    }
    for _ in 0..2 {
        ask(UnixStream::connect(&path).await.unwrap()).await;
        ask(TcpStream::connect(address).await.unwrap()).await;
    }
    // A connection that waits for a permit ends with the daemon.
    let held = TcpStream::connect(address).await.unwrap();
    let _waiting = UnixStream::connect(&path).await.unwrap();
    shutdown.graceful.cancel();
    drop(held);
    shutdown.tasks.close();
    shutdown.tasks.wait().await;
}

async fn ask(mut stream: impl Io) {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_graceful_stop_finishes_answers_and_closes_idle_connections() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let slow = async move || {
        arrived.send(()).unwrap();
        let mut wait = wait.clone();
        wait.wait_for(|go| *go).await.unwrap();
        "hello"
    };
    let router = Router::new().route("/slow", get(slow)).merge(hello());
    let (address, shutdown) = start(limits(), router).await;

    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    read_hello(&mut idle).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    arrivals.recv().await.unwrap();

    shutdown.graceful.cancel();
    assert_eq!(rest(&mut idle).await, "");
    go.send(true).unwrap();
    assert!(rest(&mut busy).await.ends_with("hello"));
    shutdown.tasks.close();
    shutdown.tasks.wait().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_forced_stop_closes_all_connections() {
    let (dropped, mut reports) = mpsc::unbounded_channel();
    let (address, shutdown) = start(limits(), endless(dropped)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    shutdown.graceful.cancel();
    shutdown.force.cancel();
    reports.recv().await.unwrap();
    shutdown.tasks.close();
    shutdown.tasks.wait().await;
}

#[tokio::test]
async fn requests_in_one_write_and_in_pieces_are_answered_in_order() {
    let (address, _shutdown) = start(limits(), hello()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (head, tail) = request.split_at(9);
    // Two requests, and the beginning of a third.
    let bytes = format!("{request}{request}{head}");
    stream.write_all(bytes.as_bytes()).await.unwrap();
    read_hello(&mut stream).await;
    read_hello(&mut stream).await;
    stream.write_all(tail.as_bytes()).await.unwrap();
    read_hello(&mut stream).await;
    // The connection waited for this one without a buffer.
    stream.write_all(request.as_bytes()).await.unwrap();
    read_hello(&mut stream).await;
}

#[tokio::test]
async fn an_unread_body_is_never_taken_for_a_request() {
    let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counter = asked.clone();
    let router = hello().route(
        "/refuse",
        post(async move || {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            "refused"
        }),
    );
    // A connection that goes on is closed soon, so that this test ends.
    let limits = ConnectionLimits {
        idle: SOON,
        ..limits()
    };
    let (address, _shutdown) = start(limits, router).await;
    let body = "POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    let head = format!(
        "POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"refused") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
        answer.push(byte[0]);
    }
    // The peer may be gone by now.
    let _ = stream.write_all(body.as_bytes()).await;
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_goes_on_after_a_body_that_was_read() {
    let router = Router::new().route("/", post(async |body: Bytes| body));
    let (address, _shutdown) = start(limits(), router).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let sized = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello";
    let chunked = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for request in [sized, chunked, sized, chunked] {
        stream.write_all(request.as_bytes()).await.unwrap();
        read_hello(&mut stream).await;
    }
}

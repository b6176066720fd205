//! A daemon that answers by script and records its requests.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{self, Runtime};

/// Longer than any test takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET /api/tags`.
    pub(crate) what: String,
    pub(crate) body: Bytes,
}

impl Asked {
    /// The body as JSON; null without a body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A scripted answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A document with a status.
    Json(u16, Value),
    /// A stream of events that ends.
    Lines(Vec<Value>),
    /// A stream of events, then silence until the client disconnects.
    Silence(Vec<Value>),
    /// A stream of events, then the connection breaks.
    Break(Vec<Value>),
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    departures: usize,
}

/// State shared by the server and the test.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A daemon that answers by script. It stops when it is dropped.
pub(crate) struct Fake {
    shared: Arc<Shared>,
    port: u16,
    _runtime: Runtime,
}

impl Fake {
    /// Listens on the socket of `home`, and on a free port.
    pub(crate) fn start(
        home: &Path,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        std::fs::create_dir_all(home.join("run")).unwrap();
        let shared = Arc::new(Shared::default());
        let script: Arc<Script> = Arc::new(script);
        let (socket, port) = runtime.block_on(async {
            let socket = UnixListener::bind(home.join("run/slmd.sock")).unwrap();
            (
                socket,
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            )
        });
        let number = port.local_addr().unwrap().port();
        let (state, answers) = (Arc::clone(&shared), Arc::clone(&script));
        runtime.spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state), Arc::clone(&answers)));
            }
        });
        let state = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = port.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state), Arc::clone(&script)));
            }
        });
        Self {
            shared,
            port: number,
            _runtime: runtime,
        }
    }

    /// Value for `--host`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.state.lock().unwrap().asked.clone()
    }

    /// The last body sent to `what`.
    pub(crate) fn last(&self, what: &str) -> Value {
        let asked = self.asked();
        let found = asked.iter().rev().find(|asked| asked.what == what);
        found
            .unwrap_or_else(|| panic!("no request {what}: {asked:?}"))
            .json()
    }

    /// Waits until `count` clients have disconnected during a [`Reply::Silence`].
    pub(crate) fn wait_for_departures(&self, count: usize) {
        let state = self.shared.state.lock().unwrap();
        let (_state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.departures < count)
            .unwrap();
        assert!(!waited.timed_out(), "the client stayed");
    }
}

async fn serve<S>(stream: S, shared: Arc<Shared>, script: Arc<Script>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, script) = (Arc::clone(&shared), Arc::clone(&script));
        async move { Ok::<_, Infallible>(answer(request, &shared, &*script).await) }
    });
    // Clients that disconnect are part of the tests.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Body = BoxBody<Bytes, std::io::Error>;

async fn answer(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    script: &Script,
) -> Response<Body> {
    let what = format!("{} {}", request.method(), request.uri());
    let body = request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let asked = Asked { what, body };
    shared.state.lock().unwrap().asked.push(asked.clone());
    match script(&asked) {
        Reply::Json(status, value) => {
            let body = Full::from(value.to_string())
                .map_err(|never| match never {})
                .boxed();
            Response::builder().status(status).body(body).unwrap()
        }
        Reply::Lines(lines) => streamed(lines, stream::empty()),
        Reply::Silence(lines) => {
            let departure = Departure(Arc::clone(shared));
            streamed(
                lines,
                stream::once(async move {
                    let _departure = departure;
                    std::future::pending().await
                }),
            )
        }
        Reply::Break(lines) => streamed(
            lines,
            stream::iter([Err(std::io::Error::other("broken on purpose"))]),
        ),
    }
}

fn streamed(
    lines: Vec<Value>,
    end: impl stream::Stream<Item = std::io::Result<Frame<Bytes>>> + Send + Sync + 'static,
) -> Response<Body> {
    let lines = stream::iter(lines).map(|line| Ok(Frame::data(Bytes::from(format!("{line}\n")))));
    // A break must not overtake the events before it.
    let pause = stream::once(tokio::task::yield_now()).filter_map(|()| async { None });
    Response::new(BodyExt::boxed(StreamBody::new(
        lines.chain(pause).chain(end),
    )))
}

/// Counts a disconnected client when it is dropped.
struct Departure(Arc<Shared>);

impl Drop for Departure {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().departures += 1;
        self.0.changed.notify_all();
    }
}

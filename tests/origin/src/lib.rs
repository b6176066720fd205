//! A server of models for tests: an Ollama registry, the Hugging Face hub and plain files, on one loopback port. It accepts pushes,
//! and [`Issuer`] issues tokens for a registry.
//!
//! It answers exactly as these do, records every request, and lies on command: see [`Lie`].

mod answer;
mod issuer;
mod proxy;
mod store;
mod tls;
mod uploads;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use proxy::Proxy;
pub use tls::Authority;

pub use issuer::{ISSUER, Issuer, SERVICE};
pub use store::{digest, git_blob, layer, manifest, noise};

/// A wrong answer to a request.
#[derive(Debug, Clone)]
pub enum Lie {
    /// A status with headers and a body.
    Status(u16, Vec<(&'static str, String)>, &'static str),
    /// A redirect with this status to the same path on another server.
    Redirect(u16, String),
    /// The whole file with 200, whatever the requested range.
    NoRanges,
    /// The correct head, this many bytes, then the end of the connection.
    Cut(usize),
    /// The correct head, this many bytes, then silence.
    Silence(usize),
    /// A part that starts this many bytes before the requested one, with a matching `Content-Range`.
    Earlier(u64),
    /// A part without `Content-Range`.
    NoContentRange,
    /// One bit of this byte of the file is wrong.
    Flip(usize),
    /// The same, with the whole file, whatever the requested range.
    FlipAll(usize),
    /// The file has another `ETag`.
    Etag(String),
    /// An additional header.
    Header(&'static str, String),
    /// No length; the body is chunked.
    NoLength,
    /// Only this many pushed bytes are kept.
    Keep(usize),
    /// The pushed bytes are kept, and the connection ends without an answer.
    NoAnswer,
    /// The pushed bytes are kept, and the answer has this status.
    As(u16),
    /// A slow body: this many bytes at a time, with this many milliseconds between.
    Trickle(usize, u64),
}

/// A recorded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The client's port, which identifies the connection.
    pub port: u16,
}

#[derive(Debug)]
struct Rule {
    part: String,
    lie: Lie,
    left: usize,
}

#[derive(Debug, Default)]
struct State {
    store: store::Store,
    uploads: uploads::Uploads,
    rules: Vec<Rule>,
    log: Vec<RecordedRequest>,
    /// Bytes of bodies handed to connections.
    sent: u64,
    open: usize,
    most_open: usize,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Shared,
    _serving: JoinSet<()>,
}

impl Origin {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        Self::start_at(0).await
    }

    /// Starts a server on a port; 0 takes a free one.
    pub async fn start_at(port: u16) -> Self {
        Self::serving(port, None).await
    }

    /// Starts a TLS server on a free port for these names, with a certificate of `authority`.
    pub async fn start_tls(authority: &Authority, names: &[&str]) -> Self {
        Self::serving(0, Some(authority.acceptor(names))).await
    }

    async fn serving(port: u16, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Shared::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tls, state.clone()));
        Self {
            address,
            state,
            _serving: serving,
        }
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a blob of a registry; returns its digest.
    pub fn blob(&self, bytes: impl Into<Vec<u8>>) -> String {
        lock(&self.state).store.blob(bytes.into())
    }

    /// Adds a manifest of a registry under `namespace/model:tag`; returns its digest.
    pub fn manifest(&self, name: &str, bytes: impl Into<Vec<u8>>) -> String {
        lock(&self.state).store.manifest(name, bytes.into())
    }

    /// Adds a file to a repository of the hub.
    pub fn hub_file(&self, repo: &str, path: &str, bytes: impl Into<Vec<u8>>) {
        lock(&self.state).store.hub_file(repo, path, bytes.into());
    }

    /// Adds a file at a path.
    pub fn file(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        lock(&self.state).store.file(path, bytes.into());
    }

    /// Answers the next `times` requests whose path contains `part` with a lie. Lies are used in the order of these calls.
    pub fn lie(&self, part: &str, times: usize, lie: Lie) {
        lock(&self.state).rules.push(Rule {
            part: part.to_owned(),
            lie,
            left: times,
        });
    }

    /// Removes all lies.
    pub fn be_honest(&self) {
        lock(&self.state).rules.clear();
    }

    /// Every request so far whose path contains `part`.
    pub fn seen(&self, part: &str) -> Vec<RecordedRequest> {
        let state = lock(&self.state);
        let seen = state.log.iter().filter(|seen| seen.path.contains(part));
        seen.cloned().collect()
    }

    /// Clears the recorded requests and byte counts.
    pub fn forget(&self) {
        let mut state = lock(&self.state);
        state.log.clear();
        state.sent = 0;
        state.most_open = state.open;
    }

    /// Bytes of pushed bodies so far.
    pub fn received(&self) -> u64 {
        lock(&self.state).uploads.received
    }

    /// Parts of pushes sent to this server as the object store of an Ollama registry.
    pub fn behind(&self) -> Vec<Vec<u8>> {
        lock(&self.state).uploads.behind.clone()
    }

    /// The bytes of a blob or a manifest, by its path.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let item = lock(&self.state).store.find(path)?;
        Some(item.bytes.to_vec())
    }

    /// Bytes of bodies handed to connections so far.
    pub fn sent(&self) -> u64 {
        lock(&self.state).sent
    }

    /// Maximum number of concurrent connections so far.
    pub fn most_open(&self) -> usize {
        lock(&self.state).most_open
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let (state, tls) = (state.clone(), tls.clone());
        connections.spawn(async move {
            {
                let mut state = lock(&state);
                state.open += 1;
                state.most_open = state.most_open.max(state.open);
            }
            let shared = state.clone();
            let answer = service_fn(move |request| {
                let state = shared.clone();
                async move {
                    if uploads::is_push(&request) {
                        return uploads::answer(&state, request, peer.port()).await;
                    }
                    Ok(answer::answer(&state, &request, peer.port()))
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // A connection that a lie cuts, or whose client rejects the certificate, ends with an error.
            match tls {
                None => {
                    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
                }
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let _ = http.serve_connection(TokioIo::new(stream), answer).await;
                    }
                }
            }
            lock(&state).open -= 1;
        });
    }
}

//! The HTTP client of the daemon.
//!
//! Each request has its own connection; closing it cancels the request.
//! If no daemon answers and the user named no address, the client starts one, once.

mod address;
mod ndjson;
mod note;
mod own;
mod start;

use std::io;
use std::time::Duration;

use api::{Adopted, ErrorBody, Progress, VersionResponse, routes};
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

pub(crate) use self::address::{Address, Addresses};
pub(crate) use self::ndjson::{Event, Events};
pub(crate) use self::note::Note;
pub(crate) use self::own::{DaemonConnection, reach};
pub(crate) use self::start::{Starter, program_beside_us};
pub(crate) use crate::error::client::Error;

/// Timeout of a connection to another machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is not a stream, in bytes: `show -v` of a model with a large vocabulary.
const MAX_ANSWER: usize = 256 << 20;
/// The longest body of an error status, in bytes.
const MAX_REFUSAL: usize = 64 << 10;

/// Body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A client of one daemon.
#[derive(Debug)]
pub(crate) struct Client {
    addresses: Addresses,
    starter: Option<Starter>,
}

impl Client {
    /// A client of the daemon at `addresses`, which `starter` starts if it does not answer.
    ///
    /// A daemon at a named address is never started: it may be on another machine.
    pub(crate) fn new(addresses: Addresses, starter: Option<Starter>) -> Self {
        let starter = starter.filter(|_| matches!(addresses, Addresses::Own(_)));
        Self { addresses, starter }
    }

    /// The same client, without starting a daemon.
    #[must_use]
    pub(crate) fn without_start(self) -> Self {
        Self {
            starter: None,
            ..self
        }
    }

    /// The note of this home's daemon; `None` if the user named an address.
    pub(crate) fn note(&self) -> Option<Note> {
        match &self.addresses {
            Addresses::Named(_) => None,
            Addresses::Own(home) => Note::read(home).ok().flatten(),
        }
    }

    /// The daemon's address, for messages.
    pub(crate) fn location(&self) -> String {
        match &self.addresses {
            Addresses::Named(address) => address.to_string(),
            Addresses::Own(home) => home.socket().display().to_string(),
        }
    }

    /// The daemon's address for other programs on this machine; `None` if it has only a Unix socket.
    pub(crate) fn base_url(&self) -> Option<String> {
        match &self.addresses {
            Addresses::Named(address) => address.base_url(),
            Addresses::Own(_) => self.note()?.base_url(),
        }
    }

    /// Gets the daemon's version.
    pub(crate) async fn version(&self) -> Result<VersionResponse, Error> {
        self.get(routes::VERSION).await
    }

    /// Gets one JSON document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let response = self.send(Method::GET, path, None, empty()).await?;
        document(response).await
    }

    /// Posts JSON and gets one JSON document.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let response = self
            .send(Method::POST, path, Some(JSON), json(body)?)
            .await?;
        document(response).await
    }

    /// Sends JSON and gets an empty answer.
    pub(crate) async fn tell(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), Error> {
        self.send(method, path, Some(JSON), json(body)?)
            .await
            .map(drop)
    }

    /// Posts JSON and gets a stream of events.
    pub(crate) async fn stream<T: Event>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Events<T>, Error> {
        let response = self
            .send(Method::POST, path, Some(JSON), json(body)?)
            .await?;
        Ok(Events::new(response.into_body()))
    }

    /// Gets a stream of events.
    pub(crate) async fn watch<T: Event>(&self, path: &str) -> Result<Events<T>, Error> {
        let response = self.send(Method::GET, path, None, empty()).await?;
        Ok(Events::new(response.into_body()))
    }

    /// Whether the daemon has the blob.
    pub(crate) async fn has_blob(&self, digest: &str) -> Result<bool, Error> {
        let (mut connection, address) = self.connect().await?;
        let request = build(&address, Method::HEAD, &routes::blob(digest), None, empty())?;
        let response = connection
            .send_request(request)
            .await
            .map_err(Error::broken)?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(refusal(status, &[])),
        }
    }

    /// Uploads the bytes of a blob.
    pub(crate) async fn upload(&self, digest: &str, body: Body) -> Result<(), Error> {
        self.send(Method::POST, &routes::blob(digest), Some(BYTES), body)
            .await
            .map(drop)
    }

    /// Whether the daemon can open local files: its Unix socket answers, so it is on this machine and
    /// knows the user.
    ///
    /// This makes a connection, because only a connection shows which address answers.
    pub(crate) async fn can_adopt(&self) -> Result<bool, Error> {
        let (_, address) = self.connect().await?;
        Ok(matches!(address, Address::Unix(_)))
    }

    /// Lets the daemon adopt a local file, with its progress in `progress`.
    pub(crate) async fn adopt(
        &self,
        path: &str,
        mut progress: impl FnMut(&Progress) -> anyhow::Result<()>,
    ) -> anyhow::Result<Adopted> {
        let request = api::AdoptRequest {
            path: path.to_owned(),
        };
        let mut events = self.stream::<Progress>(routes::ADOPT, &request).await?;
        let mut adopted = None;
        while let Some(event) = events.next().await? {
            progress(&event)?;
            adopted = event.adopted.or(adopted);
        }
        let nothing = || Error::Garbled("the report of the file is missing".to_owned());
        Ok(adopted.ok_or_else(nothing)?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: Option<&'static str>,
        body: Body,
    ) -> Result<Response<Incoming>, Error> {
        let (mut connection, address) = self.connect().await?;
        let request = build(&address, method, path, content, body)?;
        let response = connection
            .send_request(request)
            .await
            .map_err(Error::broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // An unreadable error body still leaves the status.
        let body = collect(response.into_body(), MAX_REFUSAL)
            .await
            .unwrap_or_default();
        Err(refusal(status, &body))
    }

    async fn connect(&self) -> Result<(SendRequest<Body>, Address), Error> {
        let mut reason = match self.dial().await {
            Ok(connected) => return Ok(connected),
            Err(reason) => reason,
        };
        // The socket of another user refuses us: a second daemon would not help.
        let forbidden = reason.kind() == io::ErrorKind::PermissionDenied;
        if let Some(starter) = self.starter.as_ref().filter(|_| !forbidden) {
            starter.start().await?;
            match self.dial().await {
                Ok(connected) => return Ok(connected),
                Err(again) => reason = again,
            }
        }
        Err(self.unreachable(reason))
    }

    async fn dial(&self) -> Result<(SendRequest<Body>, Address), io::Error> {
        match &self.addresses {
            Addresses::Named(address) => Ok((dial(address).await?, address.clone())),
            Addresses::Own(home) => {
                let reached = own::reach(home).await?;
                let address = Address::Unix(reached.socket);
                Ok((shake(reached.stream).await?, address))
            }
        }
    }

    fn unreachable(&self, reason: io::Error) -> Error {
        if let (Addresses::Own(home), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =
            (&self.addresses, reason.kind())
        {
            return Error::NotRunning(home.root().to_owned());
        }
        let hint = match &self.addresses {
            _ if reason.kind() == io::ErrorKind::PermissionDenied => FORBIDDEN,
            Addresses::Named(_) => NAMED,
            Addresses::Own(_) => "start it with `slm serve`",
        };
        Error::Unreachable {
            tried: self.location(),
            reason,
            hint: hint.to_owned(),
        }
    }
}

const NAMED: &str = "check the address in --host or SLM_HOST, and that `slm serve` runs there";
const FORBIDDEN: &str = "it belongs to another user; name it with --host unix:PATH if it is meant, \
    or use a home of your own with --home";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// Opens a connection; a task drives it while requests use it.
async fn dial(address: &Address) -> Result<SendRequest<Body>, io::Error> {
    match address {
        Address::Unix(path) => shake(UnixStream::connect(path).await?).await,
        Address::Tcp { host, port, .. } => {
            let connecting = TcpStream::connect((host.as_str(), *port));
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            shake(stream).await
        }
    }
}

async fn shake<S>(stream: S) -> Result<SendRequest<Body>, io::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // The task ends when the sender and the body are dropped; they report its errors.
    tokio::spawn(connection);
    Ok(sender)
}

fn build(
    address: &Address,
    method: Method,
    path: &str,
    content: Option<&'static str>,
    body: Body,
) -> Result<Request<Body>, Error> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", address.prefix()))
        .header(header::HOST, address.authority())
        .header(
            header::USER_AGENT,
            concat!("slm/", env!("CARGO_PKG_VERSION")),
        );
    if let Some(content) = content {
        request = request.header(header::CONTENT_TYPE, content);
    }
    request
        .body(body)
        .map_err(|error| Error::broken(error.to_string()))
}

fn empty() -> Body {
    Full::default()
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn json(value: &impl Serialize) -> Result<Body, Error> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::broken(error.to_string()))?;
    Ok(Full::from(bytes)
        .map_err(|never| match never {})
        .boxed_unsync())
}

async fn document<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, Error> {
    let body = collect(response.into_body(), MAX_ANSWER).await?;
    serde_json::from_slice(&body).map_err(|error| Error::Garbled(error.to_string()))
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Error::broken)?.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(Error::Garbled(format!("it is longer than {limit} bytes")));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let body = serde_json::from_slice(body).unwrap_or_else(|_| ErrorBody {
        error: format!("the daemon answered {status} and did not say why"),
        ..ErrorBody::default()
    });
    Error::Refused {
        status: Some(status.as_u16()),
        body,
    }
}

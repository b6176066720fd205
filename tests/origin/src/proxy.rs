//! A proxy that requires a login, and connects every host to one server.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The longest head of a request in bytes.
const HEAD_MAX: usize = 16 << 10;

/// The proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy to `server` on a free port. `login` is the required `Proxy-Authorization`, such as `Basic dTpw`.
    pub async fn start(server: String, login: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut serving = JoinSet::new();
        let heard = log.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, server.clone(), login, heard.clone()));
            }
        });
        Self {
            address,
            log,
            _serving: serving,
        }
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The first line of each request.
    pub fn seen(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn serve(
    mut client: TcpStream,
    server: String,
    login: &'static str,
    log: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let head = head(&mut client).await?;
    let first = head.lines().next().unwrap_or_default().to_owned();
    log.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(first.clone());
    let is_known = head.lines().any(|line| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("proxy-authorization") && value.trim() == login
    });
    if !is_known {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        client.write_all(refusal).await?;
        return client.shutdown().await;
    }
    let mut upstream = TcpStream::connect(server).await?;
    if first.starts_with("CONNECT ") {
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    } else {
        // `GET http://host/path` becomes `GET /path`; the connection serves one request.
        let mut words = first.splitn(3, ' ');
        let (method, url) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        let rest = head
            .split_once("\r\n")
            .map(|(_, rest)| rest)
            .unwrap_or_default();
        let request = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n{rest}");
        upstream.write_all(request.as_bytes()).await?;
    }
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

/// A request up to the empty line.
async fn head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

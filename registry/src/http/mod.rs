//! The HTTP client of slm. All requests to other machines go through it.
//!
//! This module follows redirects itself, because each hop is checked:
//!
//! - An `Authorization` header goes to the origin (scheme, host and port) that it was made for, and is not sent again after a redirect,
//!   even if that leads back.
//! - `https` never leads to `http`.
//! - Only a host that the user named may have an address of this machine or of a private network. The check is on the address
//!   of the connection, so a name that later resolves to another address does not pass it.
//! - A body is sent again only after a redirect that asks for it (307 and 308), and a body with a login never goes to another
//!   origin.
//!
//! Bodies are never decompressed, because the digest is that of the transferred bytes.

mod address;
mod body;
mod error;
mod retry_after;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};

pub(crate) use self::body::{Body, FilePart};
pub(crate) use self::error::shown;
use crate::credentials::Logins;
pub use crate::error::http::Error;
use crate::host::bare;

/// Maximum number of redirects in a row.
const MOST_HOPS: usize = 10;
/// Maximum time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// Maximum time from the request to the headers of the response.
const HEAD: Duration = Duration::from_secs(20);
/// Maximum time for a whole document, such as a manifest.
const DOCUMENT: Duration = Duration::from_secs(60);
/// Maximum number of bytes that are read of an error response, for its message.
const REFUSAL: u64 = 4096;

/// How this machine reaches the network. The daemon reads these from its environment and configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The proxy for `http://`, as in `HTTP_PROXY`.
    pub http_proxy: Option<String>,
    /// The proxy for `https://`, as in `HTTPS_PROXY`.
    pub https_proxy: Option<String>,
    /// Hosts that are reached without a proxy, as in `NO_PROXY`. Loopback always is.
    pub no_proxy: Option<String>,
    /// Certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// A client for one pull or push: it knows which hosts the user named for it, and where the user's logins are.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: reqwest::Client,
    named: NamedHosts,
    proxied: Proxied,
    logins: Option<Logins>,
}

/// Hosts that the user named, in lower case.
#[derive(Debug, Clone, Default)]
struct NamedHosts(Arc<BTreeSet<String>>);

impl NamedHosts {
    fn has(&self, host: &str) -> bool {
        self.0.contains(&host.to_ascii_lowercase())
    }
}

/// Which schemes go through a proxy, for messages.
#[derive(Debug, Clone, Default)]
struct Proxied {
    http: Option<String>,
    https: Option<String>,
}

impl Proxied {
    fn of(&self, url: &Url) -> Option<&str> {
        match url.scheme() {
            "https" => self.https.as_deref(),
            _ => self.http.as_deref(),
        }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// Maximum time until the headers of the response. A [`FilePart`] body has a limit of its own.
    pub(crate) patience: Duration,
    /// Whether the body holds a login, which no redirect takes to another origin.
    pub(crate) has_login: bool,
    /// Whether redirects are followed.
    follows: bool,
}

impl Request {
    /// A GET request.
    pub(crate) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A request without a body.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Body::Empty,
            patience: HEAD,
            has_login: false,
            follows: true,
        }
    }

    /// Sets the body.
    #[must_use]
    pub(crate) fn sending(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sets a body that contains a login.
    #[must_use]
    pub(crate) fn sending_login(self, body: Bytes) -> Self {
        Self {
            has_login: true,
            ..self.sending(Body::Bytes(body))
        }
    }

    /// Returns a redirect as the response.
    #[must_use]
    pub(crate) fn without_redirects(self) -> Self {
        Self {
            follows: false,
            ..self
        }
    }

    /// Allows the time that a server takes to make so many bytes durable.
    #[must_use]
    pub(crate) fn keeping(self, bytes: u64) -> Self {
        Self {
            patience: body::patience(bytes),
            ..self
        }
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds the credentials for the origin, if there are any.
    #[must_use]
    pub(crate) fn authorized(self, value: Option<HeaderValue>) -> Self {
        match value {
            Some(value) => self.with(header::AUTHORIZATION, value),
            None => self,
        }
    }
}

/// A response whose body has not been read.
#[derive(Debug)]
pub(crate) struct Response {
    inner: reqwest::Response,
    /// The URL after all redirects.
    pub(crate) url: Url,
    /// The headers of the first redirect, if there was one: the origin's own response.
    pub(crate) first: Option<HeaderMap>,
    via: Option<String>,
}

impl Client {
    /// A client that may connect to private addresses of `named` hosts.
    ///
    /// # Errors
    /// [`Error::Settings`] when a proxy or a file of certificates cannot be used.
    pub(crate) fn new(
        network: &Network,
        named: impl IntoIterator<Item = String>,
    ) -> Result<Self, Error> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // It fails if a test or another library has set a provider, which then is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let named: BTreeSet<String> = named
            .into_iter()
            .map(|host| host.to_ascii_lowercase())
            .collect();
        // A proxy may have any address, but no redirect may lead to its other ports.
        let mut resolved = named.clone();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("slm/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .http1_only()
            .no_proxy();
        let mut proxied = Proxied::default();
        for (proxy, secure) in [(&network.http_proxy, false), (&network.https_proxy, true)] {
            let Some(text) = proxy.as_deref().filter(|text| !text.is_empty()) else {
                continue;
            };
            let url = proxy_url(text)?;
            resolved.extend(url.host_str().map(bare).map(str::to_ascii_lowercase));
            let made = if secure {
                proxied.https = Some(shown(&url));
                reqwest::Proxy::https(url.clone())
            } else {
                proxied.http = Some(shown(&url));
                reqwest::Proxy::http(url.clone())
            };
            let made = made.map_err(|_| Error::Settings {
                what: format!("the proxy {}", shown(&url)),
                reason: "it is no address of a proxy".to_owned(),
            })?;
            builder = builder.proxy(made.no_proxy(unproxied(network.no_proxy.as_deref())));
        }
        if let Some(file) = &network.ca_file {
            builder = builder.tls_certs_merge(certificates(file)?);
        }
        let named = NamedHosts(Arc::new(named));
        let inner = builder
            .dns_resolver(Arc::new(address::Resolver::new(NamedHosts(Arc::new(
                resolved,
            )))))
            .build()
            .map_err(|error| Error::Settings {
                what: "the HTTP client".to_owned(),
                reason: crate::error::in_full(&error),
            })?;
        Ok(Self {
            inner,
            named,
            proxied,
            logins: None,
        })
    }

    /// The same client, which answers challenges with the user's logins.
    #[must_use]
    pub(crate) fn with_logins(self, logins: Logins) -> Self {
        Self {
            logins: Some(logins),
            ..self
        }
    }

    /// Where the user's logins are.
    pub(crate) fn logins(&self) -> Option<&Logins> {
        self.logins.as_ref()
    }

    /// Sends a request and follows redirects, unless the request says otherwise. The response may have any status.
    ///
    /// # Errors
    /// When no response comes, or the rules above forbid a redirect.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, Error> {
        let mut url = request.url.clone();
        let mut headers = plain(&request.headers);
        let mut first = None;
        let changes = !matches!(request.method, Method::GET | Method::HEAD);
        for _ in 0..=MOST_HOPS {
            let response = self.hop(request, &url, &headers).await?;
            let is_followed = match changes {
                true => is_repeated(response.status()),
                false => is_redirect(response.status()),
            };
            if !(request.follows && is_followed) {
                return Ok(Response {
                    inner: response,
                    via: self.proxied.of(&url).map(str::to_owned),
                    url,
                    first,
                });
            }
            let next = target(&url, response.headers())?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(Error::Downgrade {
                    host: shown(&url),
                    to: shown(&next),
                });
            }
            if next.origin() != url.origin() {
                if request.has_login {
                    return Err(Error::LoginRedirect {
                        host: shown(&url),
                        to: shown(&next),
                    });
                }
                headers.remove(header::AUTHORIZATION);
                headers.remove(header::COOKIE);
            }
            first.get_or_insert_with(|| response.headers().clone());
            url = next;
        }
        Err(Error::Redirects {
            host: shown(&request.url),
        })
    }

    /// Reads a document of at most `most` bytes. Any status but success is an error. A transient error is tried three times.
    ///
    /// # Errors
    /// Errors of [`Client::send`]; [`Error::Status`]; [`Error::TooLong`].
    pub(crate) async fn document(
        &self,
        request: &Request,
        most: u64,
    ) -> Result<(Bytes, HeaderMap), Error> {
        self.repeated(|| async { self.send(request).await?.document(most).await })
            .await
    }

    /// Tries up to three times, if [`Error::is_worth_repeating`].
    ///
    /// # Errors
    /// The error of the last try.
    pub(crate) async fn repeated<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(300))
            .with_max_times(2);
        ask.retry(pauses).when(Error::is_worth_repeating).await
    }

    /// Sends one hop of a request.
    async fn hop(
        &self,
        asked: &Request,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<reqwest::Response, Error> {
        self.judge(url)?;
        let via = self.proxied.of(url);
        let request = self
            .inner
            .request(asked.method.clone(), url.clone())
            .headers(headers.clone());
        let (request, watch) = asked.body.attach(request);
        let sending = request.send();
        let patience = async {
            match &watch {
                Some(watch) => watch.stalled().await,
                None => {
                    tokio::time::sleep(asked.patience).await;
                    asked.patience
                }
            }
        };
        let waited = tokio::select! {
            biased;
            response = sending => return response.map_err(|error| match watch.as_ref().and_then(body::Watch::failure) {
                Some(reason) => Error::File { reason },
                None => Error::of(&error, url, via),
            }),
            waited = patience => waited,
        };
        Err(Error::Silent {
            host: shown(url),
            seconds: waited.as_secs(),
            via: via.map(str::to_owned),
        })
    }

    /// Refuses a URL whose host is an IP address of this machine or of a private network. The resolver checks the addresses of
    /// host names.
    fn judge(&self, url: &Url) -> Result<(), Error> {
        let host = url.host_str().map(bare).unwrap_or_default();
        match host.parse::<IpAddr>() {
            Ok(address) if address::is_local(address) && !self.named.has(host) => {
                Err(Error::Private {
                    host: host.to_owned(),
                    address,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Response {
    pub(crate) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Whether a redirect was followed.
    pub(crate) fn is_redirected(&self) -> bool {
        self.first.is_some()
    }

    /// The wait that the server asks for, if any.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after::of(self.headers(), jiff::Timestamp::now())
    }

    /// The response, if its status is a success.
    ///
    /// # Errors
    /// [`Error::Status`] with what the server said.
    pub(crate) async fn good(self) -> Result<Self, Error> {
        if self.status().is_success() {
            return Ok(self);
        }
        Err(self.refused().await)
    }

    /// The body of a successful response, of at most `most` bytes, and the headers.
    ///
    /// # Errors
    /// [`Error::Status`]; [`Error::TooLong`]; when the connection breaks.
    pub(crate) async fn document(self, most: u64) -> Result<(Bytes, HeaderMap), Error> {
        let (host, via) = (shown(&self.url), self.via.clone());
        let read = async {
            let response = self.good().await?;
            let headers = response.headers().clone();
            Ok((response.bytes(most).await?, headers))
        };
        tokio::time::timeout(DOCUMENT, read)
            .await
            .map_err(|_| Error::Silent {
                host,
                seconds: DOCUMENT.as_secs(),
                via,
            })?
    }

    /// The error of a response without success.
    pub(crate) async fn refused(self) -> Error {
        let status = self.status();
        let retry_after = self.retry_after();
        let code = self
            .headers()
            .get("x-error-code")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let host = shown(&self.url);
        let redirected = self.is_redirected();
        let body = self.prefix(REFUSAL).await;
        Error::Status {
            status,
            host,
            code,
            said: error::said(&body),
            retry_after,
            redirected,
        }
    }

    /// The body as a stream.
    pub(crate) fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let (url, via) = (self.url, self.via);
        self.inner
            .bytes_stream()
            .map(move |piece| piece.map_err(|error| Error::of(&error, &url, via.as_deref())))
    }

    /// The whole body, of at most `most` bytes.
    async fn bytes(self, most: u64) -> Result<Bytes, Error> {
        let host = shown(&self.url);
        let mut body = Vec::new();
        let mut pieces = std::pin::pin!(self.stream());
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece?);
            if body.len() as u64 > most {
                return Err(Error::TooLong { host, most });
            }
        }
        Ok(body.into())
    }

    /// The part of the body that arrives within a short time.
    async fn prefix(self, most: u64) -> Vec<u8> {
        let mut body = Vec::new();
        let mut pieces = std::pin::pin!(self.stream());
        let read = async {
            while let Some(Ok(piece)) = pieces.next().await {
                body.extend_from_slice(&piece);
                if body.len() as u64 >= most {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
        body.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        body
    }
}

/// Whether this machine has a route to others.
pub(crate) fn is_online() -> bool {
    let routes = |path: &str, header: usize| {
        let path = std::path::Path::new(path);
        let text =
            crate::fs::open(path).and_then(|file| crate::fs::read_bounded(&file, path, 1 << 20));
        text.map(|text| {
            String::from_utf8_lossy(&text)
                .lines()
                .skip(header)
                .any(|line| !line.trim_end().ends_with("lo") && !line.starts_with("lo"))
        })
    };
    // A missing certificate file is noticed at the first connection.
    match (
        routes("/proc/net/route", 1),
        routes("/proc/net/ipv6_route", 0),
    ) {
        (Err(_), Err(_)) => true,
        (four, six) => four.unwrap_or(false) || six.unwrap_or(false),
    }
}

/// The headers of a request, with one that asks for an uncompressed body.
fn plain(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers
        .entry(header::ACCEPT_ENCODING)
        .or_insert(HeaderValue::from_static("identity"));
    headers
}

/// Whether a redirect asks for the same request at another address, with its body.
fn is_repeated(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    )
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// The target of a redirect.
fn target(from: &Url, headers: &HeaderMap) -> Result<Url, Error> {
    let missing = || Error::Location { host: shown(from) };
    let location = headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(missing)?;
    let next = from.join(location).map_err(|_| missing())?;
    if !matches!(next.scheme(), "http" | "https") || next.host_str().is_none() {
        return Err(missing());
    }
    Ok(next)
}

fn proxy_url(text: &str) -> Result<Url, Error> {
    // As in other programs, a proxy without a scheme speaks HTTP.
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&with_scheme).ok();
    url.filter(|url| url.host_str().is_some())
        .ok_or_else(|| Error::Settings {
            // User and password may precede the host.
            what: format!(
                "the proxy {:?}",
                text.rsplit('@').next().unwrap_or_default()
            ),
            reason: "it is no address of a proxy, such as http://proxy.example:3128".to_owned(),
        })
}

fn unproxied(listed: Option<&str>) -> Option<reqwest::NoProxy> {
    let loopback = "localhost,127.0.0.0/8,::1";
    reqwest::NoProxy::from_string(&match listed {
        Some(listed) => format!("{loopback},{listed}"),
        None => loopback.to_owned(),
    })
}

fn certificates(file: &std::path::Path) -> Result<Vec<reqwest::Certificate>, Error> {
    let refused = |reason: String| Error::Settings {
        what: format!("the file of certificates {}", file.display()),
        reason,
    };
    let opened = crate::fs::open(file).map_err(|error| refused(crate::error::in_full(&error)))?;
    let bytes = crate::fs::read_bounded(&opened, file, 16 << 20)
        .map_err(|error| refused(crate::error::in_full(&error)))?;
    let found = reqwest::Certificate::from_pem_bundle(&bytes)
        .map_err(|error| refused(crate::error::in_full(&error)))?;
    if found.is_empty() {
        return Err(refused("it holds no certificate in PEM form".to_owned()));
    }
    Ok(found)
}

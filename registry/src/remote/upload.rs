//! Writing to a registry (opencontainers/distribution-spec, "Push").
//!
//! ```text
//! HEAD  /v2/<repository>/blobs/<digest>                        200: it is there
//! POST  /v2/<repository>/blobs/uploads/[?mount=…&from=…]       201: mounted; 202: `Location` takes the bytes
//! PUT   <location>?digest=…                                    all bytes at once, the usual way
//! PATCH <location>                                             a part, where that is asked for, or the rest after a cut
//! GET   <location>                                             204 with `Range: 0-<last byte that is there>`
//! PUT   /v2/<repository>/manifests/<tag>                       last of all
//! ```
//!
//! A registry of Ollama's takes parts, and may redirect each of them to a separate store (307), which gets no credentials.
//!
//! A broken upload continues where the registry says how much it has; else the blob starts again. Both are bounded.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RANGE,
};
use reqwest::{Method, StatusCode, Url};

use super::{Auth, stated_digest};
use crate::error::push::Error;
use crate::http::{Body, Client, Error as HttpError, FilePart, Request, Response, shown};
use crate::store::UploadNote;
use crate::{Digest, Progress, Reporter, Stage};

/// Most retries of one blob.
const MOST_FAILURES: u32 = 5;
/// How long bytes are held back after a broken connection: its cause may be a refusal whose response was lost.
const HOLD: Duration = Duration::from_secs(1);
/// Longest wait that a registry gets when it asks for one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Most challenges in a row.
const MOST_CHALLENGES: usize = 3;
/// Longest response to a manifest.
const ANSWER_MAX: u64 = 64 << 10;
/// Sizes of the parts that a registry of Ollama's takes: a sixteenth of the blob, within these.
const PART_MIN: u64 = 100_000_000;
const PART_MAX: u64 = 1_000_000_000;
/// Where a registry of Ollama takes the next part, when it redirects this one.
const NEXT: HeaderName = HeaderName::from_static("docker-upload-location");
/// Smallest part that a registry takes.
const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");
const REDIRECT_UPLOADS: HeaderName = HeaderName::from_static("x-redirect-uploads");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A repository that is written to.
pub(crate) struct Upload<'a> {
    /// The one HTTP client.
    pub(crate) client: &'a Client,
    /// The credentials for the registry.
    pub(crate) auth: Auth,
    /// Scheme, host and port, and a path that all requests begin with.
    pub(crate) base: Url,
    /// The repository.
    pub(crate) repository: String,
    /// Whether it is a registry of Ollama.
    pub(crate) is_ollama: bool,
}

/// A blob to upload.
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) bytes: Content,
}

/// Where the bytes of a blob are.
pub(crate) enum Content {
    /// In an open file of the store.
    File(Arc<File>, PathBuf),
    /// In memory.
    Memory(Bytes),
}

/// How the registry got a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was there.
    Present,
    /// It was mounted from another repository.
    Mounted,
    /// Its bytes were sent.
    Bytes,
}

/// The state of an upload.
struct State {
    /// Where it continues.
    location: Option<Url>,
    /// How long bytes are held back after the head of a request.
    hold: Duration,
    /// The registry refused a part.
    no_parts: bool,
    /// A try has failed.
    has_failed: bool,
    /// The repository that the blob can be mounted from.
    from: Option<String>,
}

/// A blob on its way.
struct Sending<'a> {
    blob: &'a Blob,
    note: &'a UploadNote,
    gauge: Arc<Gauge>,
}

/// The outcome of one try.
enum Outcome {
    Done(Sent),
    /// Another try may succeed.
    Again(Error),
}

impl Upload<'_> {
    /// The URL that identifies the repository.
    pub(crate) fn place(&self) -> Url {
        self.url(&[])
    }

    /// Uploads a blob, unless it is there. `from` is another repository of the registry that may have it.
    ///
    /// # Errors
    /// [`Error`], after retries.
    pub(crate) async fn blob(
        &self,
        blob: &Blob,
        from: Option<String>,
        note: &UploadNote,
        reporter: &Reporter,
    ) -> Result<Sent, Error> {
        let sending = Sending {
            blob,
            note,
            gauge: Gauge::new(blob, reporter),
        };
        if self.has(&blob.digest).await? {
            sending.gauge.over();
            return Ok(Sent::Present);
        }
        let mut state = State {
            location: note.read().filter(|url| self.is_of_registry(url)),
            hold: Duration::ZERO,
            no_parts: false,
            has_failed: false,
            from,
        };
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(300))
            .with_max_delay(Duration::from_secs(10))
            .with_max_times(MOST_FAILURES as usize)
            .build();
        loop {
            let error = match self.attempt(&sending, &mut state).await {
                Ok(Outcome::Done(sent)) => {
                    let _ = note.remove();
                    sending.gauge.over();
                    return Ok(sent);
                }
                Ok(Outcome::Again(error)) => error,
                Err(Error::Http(error)) if error.is_transient() => {
                    if matches!(error, HttpError::Broken { .. }) {
                        state.hold = HOLD;
                    }
                    Error::Http(error)
                }
                Err(Error::Http(error)) => return Err(self.refused(error)),
                Err(error) => return Err(error),
            };
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            // A longer wait is reported.
            let pause = match &error {
                Error::Http(HttpError::Status {
                    retry_after: Some(wait),
                    ..
                }) if *wait > LONGEST_WAIT => return Err(error),
                Error::Http(HttpError::Status {
                    retry_after: Some(wait),
                    ..
                }) => pause.max(*wait),
                _ => pause,
            };
            tracing::info!(
                blob = %blob.digest.short(),
                error = crate::error::in_full(&error),
                "an upload goes on after a failure"
            );
            tokio::time::sleep(pause).await;
            state.has_failed = true;
        }
    }

    /// Publishes a manifest under a tag; returns the digest that the registry states.
    ///
    /// # Errors
    /// When the registry refuses it, or states another digest afterwards.
    pub(crate) async fn manifest(
        &self,
        tag: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let digest = Digest::of(&bytes);
        let url = self.url(&["manifests", tag]);
        let kind = HeaderValue::from_str(media_type).map_err(|_| Error::MediaType)?;
        let request = Request::new(Method::PUT, url)
            .with(CONTENT_TYPE, kind)
            .sending(Body::Bytes(bytes));
        let put = || async {
            let response = self.ask(&request).await?;
            response.document(ANSWER_MAX).await
        };
        let (_, headers) = self
            .client
            .repeated(put)
            .await
            .map_err(|error| self.refused(error))?;
        match stated_digest(&headers) {
            Some(found) if found != digest => Err(Error::OtherManifest {
                host: shown(&self.base),
                expected: digest,
                found,
            }),
            _ => Ok(()),
        }
    }

    /// Whether the registry has a blob.
    async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let url = self.url(&["blobs", &digest.to_string()]);
        let request = Request::new(Method::HEAD, url);
        let look = || async {
            let response = self.ask(&request).await?;
            match response.status() {
                status if status.is_success() => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                // A response to HEAD has no body.
                _ => Err(response.refused().await),
            }
        };
        let found = self.client.repeated(look).await;
        found.map_err(|error| self.refused(error))
    }

    /// One try: continues where the last one ended, or starts.
    async fn attempt(&self, sending: &Sending<'_>, state: &mut State) -> Result<Outcome, Error> {
        let Sending { blob, gauge, .. } = sending;
        let mut here = 0;
        let mut part = None;
        let resumed = match state.location.clone() {
            Some(url) => self.there(&url, blob.size).await?,
            None => None,
        };
        state.location = None;
        let url = match resumed {
            Some((url, there)) if there == 0 || !state.no_parts => {
                here = there;
                url
            }
            // The registry may have the blob, and only its response was lost.
            _ if state.has_failed && self.has(&blob.digest).await? => {
                return Ok(Outcome::Done(Sent::Bytes));
            }
            _ => match self.begin(&blob.digest, state.from.take()).await? {
                UploadStart::Mounted => return Ok(Outcome::Done(Sent::Mounted)),
                UploadStart::At(url, smallest) => {
                    part = smallest.map(|smallest| smallest.max(PART_MIN));
                    url
                }
            },
        };
        self.remember(state, sending.note, &url);
        gauge.at(here);
        let size = if self.is_ollama {
            Some((blob.size / 16).clamp(PART_MIN, PART_MAX))
        } else if here > 0 || (part.is_some() && !state.no_parts) {
            Some(part.unwrap_or(u64::MAX))
        } else {
            None
        };
        if let Some(size) = size {
            return self.in_parts(sending, here, size, url, state).await;
        }
        let request =
            finishing(url, blob, None).sending(blob.part(0, blob.size, state.hold, gauge, None));
        let response = self.ask(&request).await?;
        self.finished(response, state).await
    }

    /// Sends a blob in parts from an offset on, and then finishes it.
    async fn in_parts(
        &self,
        sending: &Sending<'_>,
        mut here: u64,
        most: u64,
        mut url: Url,
        state: &mut State,
    ) -> Result<Outcome, Error> {
        let Sending { blob, note, gauge } = sending;
        // The ETag of the upload at Ollama: the hash over the hashes of the parts. Known only if all parts were sent here.
        let mut sums = (here == 0).then(Vec::new);
        while here < blob.size {
            let length = most.min(blob.size - here);
            let sum = Arc::new(Mutex::new(Md5::new()));
            let hashed = self.is_ollama.then(|| sum.clone());
            let mut request = Request::new(Method::PATCH, url.clone())
                .with(CONTENT_TYPE, OCTETS)
                .with(CONTENT_RANGE, range(here, length))
                .sending(blob.part(here, length, state.hold, gauge, hashed));
            if self.is_ollama {
                request = request
                    .with(REDIRECT_UPLOADS, HeaderValue::from_static("1"))
                    .without_redirects();
            }
            let response = self.ask(&request).await?;
            let status = response.status();
            let next = match status {
                StatusCode::TEMPORARY_REDIRECT => {
                    let next = next_location(&response).ok_or_else(|| self.no_location())?;
                    let to = location(&response, LOCATION).ok_or_else(|| self.no_location())?;
                    self.elsewhere(sending, here, length, to, &sum).await?;
                    next
                }
                status if status.is_success() => next_location(&response).unwrap_or(url),
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                    state.no_parts = true;
                    state.location = None;
                    return Ok(Outcome::Again(self.refused(response.refused().await)));
                }
                _ => return self.again(response, state).await,
            };
            url = self.safe(next)?;
            self.remember(state, note, &url);
            let after = here + length;
            // A registry may state that it kept fewer bytes. `0-0` may be one byte.
            here = match answer_range(response.headers()) {
                Some(there) if there < after && after > 1 && !self.is_ollama => {
                    if there <= here {
                        let host = shown(&self.base);
                        return Ok(Outcome::Again(Error::NothingKept { host }));
                    }
                    sums = None;
                    there
                }
                _ => after,
            };
            if let Some(sums) = &mut sums {
                let sum = std::mem::take(&mut *sum.lock().unwrap_or_else(PoisonError::into_inner));
                sums.push(sum.finalize());
            }
            gauge.at(here);
        }
        let tag = sums.filter(|_| self.is_ollama).map(|sums| {
            let mut whole = Md5::new();
            sums.iter().for_each(|sum| whole.update(sum));
            let hex = whole
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>();
            format!("{hex}-{}", sums.len())
        });
        let request = finishing(url, blob, tag).with(CONTENT_LENGTH, HeaderValue::from(0));
        let response = self.ask(&request).await?;
        self.finished(response, state).await
    }

    /// Sends a part to the store that a registry of Ollama redirects to, without credentials.
    async fn elsewhere(
        &self,
        sending: &Sending<'_>,
        here: u64,
        length: u64,
        to: Url,
        sum: &Arc<Mutex<Md5>>,
    ) -> Result<(), Error> {
        let Sending { blob, gauge, .. } = sending;
        let to = self.safe(to)?;
        // The part starts again, and its hash with it.
        *sum.lock().unwrap_or_else(PoisonError::into_inner) = Md5::new();
        gauge.at(here);
        let request = Request::new(Method::PUT, to)
            .with(CONTENT_TYPE, OCTETS)
            .sending(blob.part(here, length, Duration::ZERO, gauge, Some(sum.clone())));
        let response = self.client.send(&request).await?;
        response.good().await?;
        Ok(())
    }

    /// Starts an upload, or mounts the blob from another repository. After a refused mount, an upload is started alone.
    async fn begin(&self, digest: &Digest, from: Option<String>) -> Result<UploadStart, Error> {
        let place = self.url(&["blobs", "uploads", ""]);
        let mounted = match from {
            Some(from) => {
                let mut url = place.clone();
                url.query_pairs_mut()
                    .append_pair("mount", &digest.to_string())
                    .append_pair("from", &from);
                match self.post(url).await {
                    Ok(response) if response.status() == StatusCode::CREATED => {
                        return Ok(UploadStart::Mounted);
                    }
                    Err(error) if is_refusal(&error) => None,
                    response => Some(response),
                }
            }
            None => None,
        };
        let response = match mounted {
            Some(response) => response,
            None => self.post(place).await,
        };
        let response = response.map_err(|error| self.refused(error))?;
        let next = next_location(&response).ok_or_else(|| self.no_location())?;
        let smallest = response
            .headers()
            .get(CHUNK_MIN)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Ok(UploadStart::At(self.safe(next)?, smallest))
    }

    async fn post(&self, url: Url) -> Result<Response, HttpError> {
        let request = Request::new(Method::POST, url).with(CONTENT_LENGTH, HeaderValue::from(0));
        self.ask(&request).await?.good().await
    }

    /// How much of an upload is there, and where it continues; `None` where the registry has forgotten it.
    async fn there(&self, url: &Url, size: u64) -> Result<Option<(Url, u64)>, Error> {
        let response = self.ask(&Request::get(url.clone())).await?;
        let status = response.status();
        if status.is_server_error() {
            return Err(self.refused(response.refused().await));
        }
        if !status.is_success() {
            return Ok(None);
        }
        let next = location(&response, LOCATION).unwrap_or_else(|| url.clone());
        let there = answer_range(response.headers()).unwrap_or(0);
        Ok((there <= size).then_some((self.safe(next)?, there)))
    }

    /// The outcome of the request that finishes a blob.
    async fn finished(&self, response: Response, state: &mut State) -> Result<Outcome, Error> {
        match response.status() {
            status if status.is_success() => Ok(Outcome::Done(Sent::Bytes)),
            _ => self.again(response, state).await,
        }
    }

    /// Whether another try may help after this response.
    async fn again(&self, response: Response, state: &mut State) -> Result<Outcome, Error> {
        let status = response.status();
        // The registry has forgotten this upload, or does not take this range; then it is asked how much it has.
        if status == StatusCode::NOT_FOUND {
            state.location = None;
        }
        let refusal = response.refused().await;
        let is_worth_it = matches!(
            status,
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND
        ) || refusal.is_transient();
        let error = self.refused(refusal);
        match is_worth_it {
            true => Ok(Outcome::Again(error)),
            false => Err(error),
        }
    }

    /// Sends a request, and answers challenges. Credentials go to the registry alone.
    async fn ask(&self, request: &Request) -> Result<Response, HttpError> {
        let auth = match self.is_of_registry(&request.url) {
            true => &self.auth,
            false => &Auth::default(),
        };
        auth.send(self.client, request, MOST_CHALLENGES).await
    }

    fn is_of_registry(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    fn remember(&self, state: &mut State, note: &UploadNote, url: &Url) {
        state.location = Some(url.clone());
        if let Err(error) = note.write(url) {
            tracing::warn!(%error, "an upload could not be noted down; after a crash it begins anew");
        }
    }

    /// A location that a registry states, if it is as safe as the registry. A registry behind a TLS proxy often states `http`.
    fn safe(&self, mut url: Url) -> Result<Url, Error> {
        if self.base.scheme() == "https" && url.scheme() == "http" {
            if url.host_str() != self.base.host_str() {
                return Err(HttpError::Downgrade {
                    host: shown(&self.base),
                    to: shown(&url),
                }
                .into());
            }
            let port = self.base.port();
            if url.set_scheme("https").is_err() || url.set_port(port).is_err() {
                return Err(self.no_location());
            }
        }
        Ok(url)
    }

    fn no_location(&self) -> Error {
        HttpError::Location {
            host: shown(&self.base),
        }
        .into()
    }

    /// A refusal as an error of the push.
    fn refused(&self, error: HttpError) -> Error {
        let HttpError::Status { status, said, .. } = &error else {
            return error.into();
        };
        match *status {
            StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge {
                host: shown(&self.base),
                said: said.clone(),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Forbidden {
                repository: format!("{}/{}", shown(&self.base), self.repository),
                source: error,
            },
            _ => error.into(),
        }
    }

    fn url(&self, rest: &[&str]) -> Url {
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        // Repositories, tags and digests need no escapes.
        url.set_path(&format!("{base}/v2/{}/{}", self.repository, rest.join("/")));
        url
    }
}

/// Whether a registry refuses the request itself, and not because it is busy.
fn is_refusal(error: &HttpError) -> bool {
    matches!(error, HttpError::Status { status, .. } if status.is_client_error())
        && !error.is_transient()
}

/// A started upload.
enum UploadStart {
    Mounted,
    At(Url, Option<u64>),
}

impl Blob {
    /// A part of it, as the body of a request.
    fn part(
        &self,
        start: u64,
        length: u64,
        hold: Duration,
        gauge: &Arc<Gauge>,
        sum: Option<Arc<Mutex<Md5>>>,
    ) -> Body {
        let gauge = gauge.clone();
        let tap = move |piece: &[u8]| {
            if let Some(sum) = &sum {
                sum.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .update(piece);
            }
            gauge.add(piece.len() as u64);
        };
        match &self.bytes {
            Content::File(file, path) => Body::File(FilePart {
                file: file.clone(),
                path: path.clone(),
                start,
                length,
                hold,
                tap: Arc::new(tap),
            }),
            Content::Memory(bytes) => {
                let end = usize::try_from(start + length).unwrap_or(bytes.len());
                let piece = bytes.slice(usize::try_from(start).unwrap_or(end)..end);
                tap(&piece);
                Body::Bytes(piece)
            }
        }
    }
}

/// The progress of a blob; it never goes back. The first report is the offset at which the upload continues, so
/// that bytes that the registry had do not count as sent.
struct Gauge {
    reporter: Reporter,
    digest: Digest,
    total: u64,
    /// The byte that is sent next, and the byte of the last report.
    position: Mutex<(u64, Option<u64>)>,
}

impl Gauge {
    /// Bytes between two reports.
    const STRIDE: u64 = 4 << 20;

    fn new(blob: &Blob, reporter: &Reporter) -> Arc<Self> {
        Arc::new(Self {
            reporter: reporter.clone(),
            digest: blob.digest,
            total: blob.size,
            position: Mutex::new((0, None)),
        })
    }

    fn at(&self, position: u64) {
        self.change(|now| *now = position);
    }

    fn add(&self, bytes: u64) {
        self.change(|now| *now += bytes);
    }

    fn over(&self) {
        self.at(self.total);
    }

    fn change(&self, change: impl FnOnce(&mut u64)) {
        let told = {
            let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut position.0);
            let (now, told) = (position.0.min(self.total), position.1);
            let is_due = told
                .is_none_or(|told| now >= told + Self::STRIDE || (now == self.total && now > told));
            if is_due {
                position.1 = Some(now);
            }
            is_due.then_some(now)
        };
        if let Some(now) = told {
            self.report(now);
        }
    }

    fn report(&self, completed: u64) {
        self.reporter.report(Progress {
            stage: Stage::Pushing(self.digest),
            digest: Some(self.digest),
            total: self.total,
            completed,
        });
    }
}

/// The request that finishes a blob. A registry may hash all of it before it answers.
fn finishing(mut url: Url, blob: &Blob, tag: Option<String>) -> Request {
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("digest", &blob.digest.to_string());
        query.extend_pairs(tag.map(|tag| ("etag", tag)));
    }
    Request::new(Method::PUT, url)
        .with(CONTENT_TYPE, OCTETS)
        .keeping(blob.size)
}

/// `Content-Range` of a part, which the protocol writes without a unit.
fn range(start: u64, length: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("{start}-{}", start + length - 1)).expect("digits")
}

/// How many bytes there are by `Range: 0-<last>`. An upload without bytes says `0-0`, as one with one byte does.
fn answer_range(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let (first, last) = text.trim().trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    match (first.trim(), last) {
        ("0", 0) => Some(0),
        ("0", last) => last.checked_add(1),
        _ => None,
    }
}

/// Where the next bytes of an upload are taken.
fn next_location(response: &Response) -> Option<Url> {
    location(response, NEXT).or_else(|| location(response, LOCATION))
}

/// The address in a header, absolute or not. Its query is kept as it is.
fn location(response: &Response, name: HeaderName) -> Option<Url> {
    let text = response.headers().get(name)?.to_str().ok()?;
    let url = response.url.join(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    is_web.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_place_is_kept_and_a_large_blob_gets_time() {
        let blob = Blob {
            digest: Digest::of(b""),
            size: 40_000_000_000,
            bytes: Content::Memory(Bytes::new()),
        };
        let url =
            Url::parse("https://reg.example/v2/a/blobs/uploads/1?state=a%2Fb").expect("a URL");
        let request = finishing(url, &blob, Some("x-1".to_owned()));
        assert!(request.patience > Duration::from_secs(2000));
        let query = request.url.query().expect("it has one");
        assert!(
            query.starts_with("state=a%2Fb&digest=sha256%3Ae3b0c4"),
            "{query}"
        );
        assert!(query.ends_with("&etag=x-1"), "{query}");
    }

    #[test]
    fn what_is_there_is_read_from_the_range() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().expect("a header"));
            answer_range(&headers)
        };
        assert_eq!(read("0-99"), Some(100));
        assert_eq!(read("bytes=0-99"), Some(100));
        assert_eq!(read("0-0"), Some(0));
        for text in ["", "5-9", "0-", "0-x", "0-18446744073709551615"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

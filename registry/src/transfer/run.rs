//! Runs the plan: opens connections, and hands their bytes to the thread that writes and hashes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap, HeaderValue};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::connections::{ConnectionPermit, Connections, TransferConnections};
use super::plan::{Ended, GivenUp, Id, LONGEST_WAIT, Next, PATIENCE, Plan};
use super::{Error, TICK};
use crate::http::{Client, Request, Response, shown};
use crate::remote::Endpoint;
use crate::store::{Partial, Wanted};
use crate::{Digest, Progress, Registry, Reporter, Result, Stage};

/// Pieces that are queued between the connections and the driver, and between the driver and the disk.
const PIECES: usize = 8;
/// Bytes of earlier runs that are hashed between two pieces, so that writing and hashing take turns.
const CATCH_UP: u64 = 8 << 20;
/// Most refusals of a signed address before the transfer fails.
const MOST_REFUSED: u32 = 3;
/// Bytes between two reports, and the longest time between them while bytes come.
const STRIDE: u64 = 4 << 20;
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// A blob to fetch.
#[derive(Debug)]
pub(crate) struct Fetch<'a> {
    /// The client of this pull.
    pub(crate) client: &'a Client,
    /// Where the bytes are.
    pub(crate) endpoint: &'a Endpoint,
    /// The blob.
    pub(crate) wanted: Wanted,
    /// The connections of all transfers.
    pub(crate) connections: Connections,
    /// Where progress is reported.
    pub(crate) reporter: &'a Reporter,
}

/// An event of a connection.
#[derive(Debug)]
enum Event {
    /// The response began.
    Opened {
        id: Id,
        /// The whole file comes, from its first byte.
        whole: bool,
        /// How long the file is, where the response tells.
        size: Option<u64>,
        /// Where the response came from, if a redirect was followed.
        direct: Option<reqwest::Url>,
    },
    Piece {
        id: Id,
        bytes: Bytes,
    },
    Over {
        id: Id,
        how: Result<(), Failed>,
    },
}

/// Why a request failed.
#[derive(Debug)]
enum Failed {
    /// Another request may succeed.
    Again(Error),
    /// The server asks for a wait.
    Later(Duration, Error),
    /// The address of an earlier redirect is refused now.
    Old,
    /// The address of a redirect is refused.
    Expired(Error),
    /// Another request would fail too.
    Never(Error),
}

/// A connection as the driver sees it.
struct Connection {
    task: AbortHandle,
    /// Where its range ends.
    end: u64,
    /// Whether the rate cap holds it back now.
    held: Arc<AtomicBool>,
    _permit: ConnectionPermit,
}

impl Registry {
    /// Fetches a blob, publishes it and returns its digest; it is leased for a day. Bytes of earlier transfers are used.
    ///
    /// Dropping the future ends the transfer; the received bytes are kept.
    ///
    /// # Errors
    /// [`Error`] as [`crate::Error::Transfer`]; [`crate::Error::NoSpace`] before a byte is asked for, or when the disk fills up.
    pub(crate) async fn fetch_blob(&self, fetch: Fetch<'_>) -> Result<Digest> {
        let wanted = fetch.wanted.clone();
        let one = self.fetching(&wanted.key);
        let alone = match one.clone().try_lock_owned() {
            Ok(alone) => alone,
            Err(_) => {
                fetch.reporter.stage(Stage::WaitingForPull(wanted.key));
                one.lock_owned().await
            }
        };
        // Each blocking step holds the lock too, because it goes on when the transfer is dropped.
        let alone = Arc::new(alone);
        if let Some(digest) = wanted.digest
            && self.has_blob(&digest).await?
        {
            return Ok(digest);
        }
        // Without a digest and without an entity tag, older bytes may be of another version of the file.
        let is_known = wanted.digest.is_some() || fetch.endpoint.validator.is_some();
        let goes_on = wanted.size.is_some() && is_known;
        let held = alone.clone();
        let opened = self.on_disk(move |store| {
            let _held = held;
            let mut partial = store.partial(wanted)?;
            if !goes_on {
                partial.clear()?;
            }
            Ok(partial)
        });
        let mut partial = opened.await?;
        for again in [true, false] {
            partial = fetch.bring(partial, alone.clone()).await?;
            let found = partial.digest();
            let Some(expected) = fetch.wanted.digest.filter(|digest| *digest != found) else {
                break;
            };
            let held = alone.clone();
            let looked_at = self.on_disk(move |_| {
                let _held = held;
                partial.hash_again()?;
                let is_good = partial.digest() == expected;
                if !is_good {
                    partial.clear()?;
                }
                Ok((partial, is_good))
            });
            let is_good;
            (partial, is_good) = looked_at.await?;
            if is_good {
                tracing::warn!(blob = %expected, "its bytes were damaged on their way to the disk and are right there; is this machine's memory sound?");
                break;
            }
            if !again {
                return Err(Error::Digest {
                    host: fetch.endpoint.shown(),
                    expected,
                    found,
                }
                .into());
            }
            tracing::warn!(blob = %expected, %found, from = fetch.endpoint.shown(), "other bytes came; they are fetched once more");
            fetch.reporter.stage(Stage::PullingAgain);
        }
        self.detached(|registry| async move {
            let _alone = alone;
            let temp = registry.on_disk(move |_| partial.finish()).await?;
            let digest = temp.digest;
            registry.publish_blob(temp).await?;
            Ok(digest)
        })
        .await
    }
}

impl Fetch<'_> {
    /// Fetches every byte, and returns the hashed file.
    ///
    /// The writing thread holds the lock for fetching the blob too, because it outlives a dropped transfer: no
    /// other transfer may begin, and publish the file, while pieces are left.
    async fn bring(&self, partial: Partial, alone: Arc<OwnedMutexGuard<()>>) -> Result<Partial> {
        let size = self.wanted.size;
        let plan = Plan::new(size, partial.written().clone(), Instant::now());
        let (writer, pieces) = mpsc::channel(PIECES);
        let writing = tokio::task::spawn_blocking(move || {
            let written = write(partial, pieces);
            drop(alone);
            written
        });
        let brought = self.drive(plan, writer).await;
        let written = writing.await.map_err(crate::Error::Task)?;
        // An error of the disk goes first: it is the cause of the driver's error.
        let partial = written?;
        brought?;
        Ok(partial)
    }

    /// Runs connections until every byte has been handed to the writer.
    async fn drive(&self, mut plan: Plan, writer: mpsc::Sender<(u64, Bytes)>) -> Result<()> {
        let (sender, mut events) = mpsc::channel(PIECES);
        let mut driver = Driver {
            fetch: self,
            host: host_of(self.endpoint),
            sender,
            tasks: JoinSet::new(),
            lines: HashMap::new(),
            transfer: self.connections.transfer(),
            direct: None,
            refused: 0,
            failure: None,
            reported: None,
            crowded: false,
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        driver.report(&plan, true);
        loop {
            if driver.open(&mut plan) {
                driver.report(&plan, true);
                return Ok(());
            }
            tokio::select! {
                _ = tick.tick() => driver.tick(&mut plan)?,
                event = events.recv() => {
                    let event = event.expect("the driver holds a sender itself");
                    if let Some((at, bytes)) = driver.hear(&mut plan, event)? {
                        let begun = Instant::now();
                        if writer.send((at, bytes)).await.is_err() {
                            // The result of the writer says why.
                            return Ok(());
                        }
                        plan.waited(begun.elapsed());
                        driver.report(&plan, false);
                    }
                }
            }
            while driver.tasks.try_join_next().is_some() {}
        }
    }
}

/// Writes pieces and hashes the contiguous front. At the end all of the file is hashed.
fn write(mut partial: Partial, mut pieces: mpsc::Receiver<(u64, Bytes)>) -> Result<Partial> {
    let mut work = || -> Result<()> {
        while let Some((at, bytes)) = pieces.blocking_recv() {
            partial.put(at, &bytes)?;
            partial.hash_on(CATCH_UP)?;
        }
        // The note is written in any case; the rest is hashed only if every byte is there.
        partial.write_note()?;
        while partial.is_whole() && partial.hash_on(u64::MAX)? > 0 {}
        Ok(())
    };
    work()?;
    Ok(partial)
}

/// Host and port of an endpoint.
fn host_of(endpoint: &Endpoint) -> String {
    let url = &endpoint.url;
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

struct Driver<'a> {
    fetch: &'a Fetch<'a>,
    /// Host and port of the endpoint.
    host: String,
    sender: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
    lines: HashMap<Id, Connection>,
    transfer: TransferConnections,
    /// Where the endpoint redirected to the last time.
    direct: Option<reqwest::Url>,
    /// Refusals of that address since the last byte.
    refused: u32,
    failure: Option<Error>,
    /// Bytes of the last report, and when it was.
    reported: Option<(u64, Instant)>,
    /// Other transfers have all allowed connections.
    crowded: bool,
}

impl Driver<'_> {
    /// Opens as many connections as the plan and the limit allow. True when every byte has come.
    fn open(&mut self, plan: &mut Plan) -> bool {
        if let Some(until) = self
            .fetch
            .connections
            .quiet_until(&self.host, Instant::now())
        {
            plan.leave_alone(until);
        }
        loop {
            // The plan is asked only when there is a permit, because its answer reserves a range.
            let permit = self.transfer.permit(self.lines.is_empty());
            self.crowded = permit.is_none() && self.lines.is_empty();
            let Some(permit) = permit else {
                // Without an open connection, every byte may be there.
                return plan.is_whole();
            };
            match plan.next(Instant::now()) {
                Next::Done => return true,
                Next::At(_) | Next::Wait => return false,
                Next::Open { id, range } => self.start(plan, id, range, permit),
            }
        }
    }

    fn start(&mut self, plan: &Plan, id: Id, range: Range<u64>, permit: ConnectionPermit) {
        let asked = RangeRequest {
            client: self.fetch.client.clone(),
            endpoint: self.fetch.endpoint.clone(),
            direct: self.direct.clone(),
            range: range.clone(),
            size: plan.size(),
            connections: self.fetch.connections.clone(),
            held: Arc::default(),
        };
        let held = asked.held.clone();
        let sender = self.sender.clone();
        let task = self.tasks.spawn(async move {
            let how = asked.bring(id, &sender).await;
            let _ = sender.send(Event::Over { id, how }).await;
        });
        let line = Connection {
            task,
            end: range.end,
            held,
            _permit: permit,
        };
        self.lines.insert(id, line);
    }

    fn tick(&mut self, plan: &mut Plan) -> Result<(), Error> {
        let now = Instant::now();
        self.fetch.connections.tick(now);
        if self.crowded {
            plan.waited(TICK);
        }
        let held = self.lines.iter().filter_map(|(id, line)| {
            let is_held = line.held.load(Ordering::Relaxed);
            is_held.then_some(*id)
        });
        plan.held(held, TICK, now);
        self.report(plan, false);
        match plan.tick(now) {
            Ok(bad) => {
                for id in bad {
                    tracing::debug!(
                        blob = self.fetch.wanted.key.short(),
                        "a stalled or slow connection is replaced"
                    );
                    self.drop_line(id);
                    self.direct = None;
                }
                Ok(())
            }
            Err(given_up) => Err(self.give_up(given_up)),
        }
    }

    fn drop_line(&mut self, id: Id) {
        if let Some(line) = self.lines.remove(&id) {
            line.task.abort();
        }
    }

    /// Handles an event of a connection. Returns bytes to write, with their offset.
    fn hear(&mut self, plan: &mut Plan, event: Event) -> Result<Option<(u64, Bytes)>, Error> {
        match event {
            Event::Opened {
                id,
                whole,
                size,
                direct,
            } => {
                if !self.lines.contains_key(&id) {
                    return Ok(None);
                }
                if let Some(size) = size
                    && plan.size().is_none()
                {
                    plan.sized(size);
                    if let Some(line) = self.lines.get_mut(&id) {
                        line.end = line.end.min(size);
                    }
                }
                plan.opened(id, Instant::now());
                if direct.is_some() {
                    self.direct = direct;
                }
                if whole {
                    plan.whole_only(id);
                    let others: Vec<Id> = self
                        .lines
                        .keys()
                        .copied()
                        .filter(|other| *other != id)
                        .collect();
                    for other in others {
                        self.drop_line(other);
                    }
                    if let Some(line) = self.lines.get_mut(&id) {
                        line.end = plan.size().unwrap_or(u64::MAX);
                    }
                }
                Ok(None)
            }
            Event::Piece { id, bytes } => {
                let Some(line) = self.lines.get(&id) else {
                    return Ok(None);
                };
                let end = line.end;
                let now = Instant::now();
                let taken = plan.took(id, bytes.len() as u64, now);
                self.fetch.connections.took(taken.keep);
                self.refused = 0;
                if taken.over {
                    let _ = plan.ended(id, Ended::Well, now);
                    // A finished request ends by itself, and its connection is reused.
                    if taken.at + taken.keep != end {
                        self.drop_line(id);
                    }
                    self.lines.remove(&id);
                }
                let keep = usize::try_from(taken.keep).unwrap_or(bytes.len());
                Ok((keep > 0).then(|| (taken.at, bytes.slice(..keep.min(bytes.len())))))
            }
            Event::Over { id, how } => {
                if self.lines.remove(&id).is_none() {
                    return Ok(None);
                }
                self.over(plan, id, how)?;
                Ok(None)
            }
        }
    }

    fn over(&mut self, plan: &mut Plan, id: Id, how: Result<(), Failed>) -> Result<(), Error> {
        let now = Instant::now();
        let host = self.fetch.endpoint.shown();
        let (how, error) = match how {
            Ok(()) => match plan.open_end(id) {
                Some(end) => {
                    plan.sized(end);
                    let _ = plan.ended(id, Ended::Well, now);
                    return Ok(());
                }
                // The body ended before the run did.
                None => (Ended::Badly, Error::Short { host, times: 1 }),
            },
            Err(Failed::Again(error)) => {
                self.fetch.connections.refused(now);
                // The target of the redirect may be broken.
                self.direct = None;
                (Ended::Badly, error)
            }
            Err(Failed::Later(wait, error)) => {
                self.fetch.connections.refused(now);
                if wait <= LONGEST_WAIT {
                    self.fetch.connections.leave_alone(&self.host, now + wait);
                }
                (Ended::Later(wait), error)
            }
            // An address that was good before: its origin is asked for a new one. A refusal of that counts.
            Err(Failed::Old) => {
                self.direct = None;
                let _ = plan.ended(id, Ended::Well, now);
                return Ok(());
            }
            Err(Failed::Expired(error)) => {
                self.direct = None;
                self.refused += 1;
                if self.refused >= MOST_REFUSED {
                    return Err(error);
                }
                (Ended::Badly, error)
            }
            Err(Failed::Never(error)) => return Err(error),
        };
        tracing::debug!(blob = self.fetch.wanted.key.short(), %error, "a connection ended too early");
        self.failure = Some(error);
        plan.ended(id, how, now)
            .map_err(|given_up| self.give_up(given_up))
    }

    fn give_up(&mut self, given_up: GivenUp) -> Error {
        let host = self.fetch.endpoint.shown();
        match (given_up, self.failure.take()) {
            (GivenUp::TooLong(wait), _) => Error::Busy {
                host,
                seconds: wait.as_secs(),
            },
            (GivenUp::Failures, Some(error)) => match error {
                Error::Short { host, .. } => Error::Short {
                    host,
                    times: super::plan::MOST_FAILURES,
                },
                error => error,
            },
            // A repeated error of the server says more than a stall does.
            (GivenUp::Stalled, Some(error @ Error::Http(_))) => error,
            (GivenUp::Stalled | GivenUp::Failures, _) => Error::Stalled {
                host,
                seconds: PATIENCE.as_secs(),
            },
        }
    }

    fn report(&mut self, plan: &Plan, always: bool) {
        let (completed, now) = (plan.bytes(), Instant::now());
        let due = self.reported.is_none_or(|(reported, at)| {
            let is_late = now.saturating_duration_since(at) >= REPORT_AFTER;
            completed >= reported + STRIDE || (is_late && completed != reported)
        });
        if !(due || always) {
            return;
        }
        self.reported = Some((completed, now));
        self.fetch.reporter.report(Progress {
            stage: Stage::Pulling(self.fetch.wanted.key),
            digest: self.fetch.wanted.digest,
            total: plan.size().unwrap_or(0),
            completed,
        });
    }
}

/// One request for a part of a file.
struct RangeRequest {
    client: Client,
    endpoint: Endpoint,
    direct: Option<reqwest::Url>,
    range: Range<u64>,
    size: Option<u64>,
    connections: Connections,
    /// Set while the rate cap holds the connection back.
    held: Arc<AtomicBool>,
}

impl RangeRequest {
    /// Whether the whole file is asked for.
    fn is_all(&self) -> bool {
        self.range.start == 0 && self.size.is_none_or(|size| size == self.range.end)
    }

    async fn bring(&self, id: Id, sender: &mpsc::Sender<Event>) -> Result<(), Failed> {
        let response = self.ask().await?;
        let (whole, size) = self.judge(&response)?;
        // The same origin is asked again each time, because it may need the credentials.
        let is_elsewhere = response.url.origin() != self.endpoint.url.origin();
        let direct = is_elsewhere.then(|| response.url.clone());
        let opened = Event::Opened {
            id,
            whole,
            size,
            direct,
        };
        if sender.send(opened).await.is_err() {
            return Ok(());
        }
        let mut pieces = std::pin::pin!(response.stream());
        while let Some(piece) = pieces.next().await {
            let bytes = piece.map_err(|error| Failed::Again(error.into()))?;
            let count = bytes.len();
            if sender.send(Event::Piece { id, bytes }).await.is_err() {
                return Ok(());
            }
            self.connections.pay(count, &self.held).await;
        }
        Ok(())
    }

    /// Asks the address of the last redirect, or the endpoint itself.
    async fn ask(&self) -> Result<Response, Failed> {
        let is_direct = self.direct.is_some();
        let url = self.direct.as_ref().unwrap_or(&self.endpoint.url);
        let mut request = Request::get(url.clone());
        if !self.is_all() {
            let range = match self.range.end {
                u64::MAX => format!("bytes={}-", self.range.start),
                end => format!("bytes={}-{}", self.range.start, end - 1),
            };
            let range = HeaderValue::from_str(&range).expect("digits");
            request = request.with(header::RANGE, range);
        }
        let again = |error: crate::http::Error| {
            if error.is_transient() {
                Failed::Again(error.into())
            } else {
                Failed::Never(error.into())
            }
        };
        let sent = match is_direct {
            true => self.client.send(&request).await,
            false => self.endpoint.auth.send(&self.client, &request, 1).await,
        };
        let response = sent.map_err(again)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, wait) = (response.status(), response.retry_after());
        let signed = response.is_redirected();
        let is_busy =
            status == StatusCode::REQUEST_TIMEOUT || status == StatusCode::TOO_MANY_REQUESTS;
        if is_direct && status.is_client_error() && !is_busy {
            return Err(Failed::Old);
        }
        let error = response.refused().await;
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => {
                Failed::Later(wait.unwrap_or_default(), error.into())
            }
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::GONE
                if signed =>
            {
                Failed::Expired(error.into())
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Failed::Never(Error::Part {
                host: shown(url),
                reason: format!("it says that nothing is at byte {}", self.range.start),
            }),
            _ => again(error),
        })
    }

    /// Checks that a response has the requested range. Returns whether it is the whole file instead, and the size of the file.
    fn judge(&self, response: &Response) -> Result<(bool, Option<u64>), Failed> {
        let host = shown(&response.url);
        let wrong = |reason: String| {
            Failed::Never(Error::Part {
                host: host.clone(),
                reason,
            })
        };
        let headers = response.headers();
        let length = length(headers);
        let encoding = text(headers, header::CONTENT_ENCODING);
        if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
            return Err(wrong(format!(
                "it packs the bytes as {encoding:?}, which was not asked for"
            )));
        }
        if let (Some(pinned), Some(found)) = (&self.endpoint.validator, text(headers, header::ETAG))
            && pinned != found
        {
            return Err(Failed::Never(Error::Replaced { host }));
        }
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let Some(part) = text(headers, header::CONTENT_RANGE) else {
                let asked = self.range.end.checked_sub(self.range.start);
                if length.is_some() && length == asked {
                    return Ok((false, None));
                }
                return Err(wrong("a part comes without saying which one".to_owned()));
            };
            let (start, total) =
                content_range(part).ok_or_else(|| wrong(format!("it calls the part {part:?}")))?;
            if start != self.range.start {
                return Err(wrong(format!(
                    "the part begins at byte {start}, not at {}",
                    self.range.start
                )));
            }
            self.fits(total).map_err(wrong)?;
            return Ok((false, total));
        }
        let is_page = text(headers, header::CONTENT_TYPE)
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"));
        if is_page && (self.size.is_none() || length != self.size) {
            return Err(Failed::Never(Error::Page {
                host,
                title: String::new(),
            }));
        }
        self.fits(length).map_err(wrong)?;
        Ok((!self.is_all(), length))
    }

    /// Whether the length is that of the requested file.
    fn fits(&self, found: Option<u64>) -> Result<(), String> {
        match (self.size, found) {
            (Some(size), Some(found)) if size != found => {
                Err(format!("the file has {found} bytes, not {size}"))
            }
            _ => Ok(()),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_LENGTH)?.parse().ok()
}

/// First byte and length of the whole of `bytes 0-99/1000` (RFC 9110, 14.4); the length may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (part, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = part.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    let whole = match whole {
        "*" => None,
        digits => Some(digits.parse::<u64>().ok()?),
    };
    (start <= end && whole.is_none_or(|whole| end < whole)).then_some((start, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for text in [
            "",
            "5-9/10",
            "bytes 5-9",
            "bytes */10",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes -1-9/10",
            "bytes 5-9/x",
        ] {
            assert_eq!(content_range(text), None, "{text:?}");
        }
    }
}

//! One answer, correct or a lie.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};

use crate::store::Item;
use crate::{Lie, RecordedRequest, Shared, lock};

/// Bytes of one frame of a body.
const PIECE: usize = 64 << 10;

type Piece = Result<Frame<Bytes>, std::io::Error>;
pub(crate) type Body = StreamBody<BoxStream<'static, Piece>>;

pub(crate) fn answer(state: &Shared, request: &Request<Incoming>, port: u16) -> Response<Body> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let text = |name| {
        let value = request.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let range = text(header::RANGE);
    let (lie, item) = {
        let mut state = lock(state);
        state.log.push(RecordedRequest {
            method: request.method().to_string(),
            path: path.clone(),
            range: range.clone(),
            authorization: text(header::AUTHORIZATION),
            port,
        });
        let rule = state
            .rules
            .iter_mut()
            .find(|rule| rule.left > 0 && path.contains(&rule.part));
        let lie = rule.map(|rule| {
            rule.left -= 1;
            rule.lie.clone()
        });
        (lie, state.store.find(&unescaped(request.uri().path())))
    };
    if path == "/-/sent" {
        let sent = Bytes::from(lock(state).sent.to_string());
        return finish(
            Response::builder(),
            stream::once(async { Ok(Frame::data(sent)) }).boxed(),
        );
    }
    match (lie, item) {
        (Some(Lie::Status(status, headers, body)), _) => {
            let mut answer = Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(name, value);
            }
            let body =
                stream::once(async move { Ok(Frame::data(Bytes::from_static(body.as_bytes()))) });
            finish(answer, body.boxed())
        }
        (Some(Lie::Redirect(status, to)), _) => {
            let answer = Response::builder()
                .status(status)
                .header(header::LOCATION, format!("{to}{path}"));
            finish(answer, stream::empty().boxed())
        }
        (_, None) => finish(
            Response::builder().status(StatusCode::NOT_FOUND),
            stream::empty().boxed(),
        ),
        (lie, Some(item)) => file(
            state,
            &item,
            range.as_deref(),
            request.method() == Method::HEAD,
            lie,
        ),
    }
}

/// The path without its escapes; tests escape only blanks.
fn unescaped(path: &str) -> String {
    path.replace("%20", " ")
}

pub(crate) fn finish(
    answer: http::response::Builder,
    body: BoxStream<'static, Piece>,
) -> Response<Body> {
    answer
        .body(StreamBody::new(body))
        .expect("headers of tests are good")
}

/// Start and end of `bytes=a-b` or `bytes=a-` in a file of that length.
fn asked(range: &str, length: u64) -> Option<(u64, u64)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    let end = match end {
        "" => length,
        digits => digits.parse::<u64>().ok()?.checked_add(1)?.min(length),
    };
    Some((start, end))
}

fn file(
    state: &Shared,
    item: &Item,
    range: Option<&str>,
    is_head: bool,
    lie: Option<Lie>,
) -> Response<Body> {
    let length = item.bytes.len() as u64;
    let range = range.filter(|_| !matches!(lie, Some(Lie::NoRanges | Lie::FlipAll(_))));
    let mut answer = Response::builder();
    let is_other = matches!(lie, Some(Lie::Etag(_)));
    for (name, value) in item
        .headers
        .iter()
        .filter(|(name, _)| *name != "etag" || !is_other)
    {
        answer = answer.header(*name, value);
    }
    let (mut start, mut end) = (0, length);
    if let Some(text) = range {
        match asked(text, length) {
            Some((from, to)) if from < to => (start, end) = (from, to),
            _ => {
                let answer = answer
                    .status(StatusCode::RANGE_NOT_SATISFIABLE)
                    .header(header::CONTENT_RANGE, format!("bytes */{length}"));
                return finish(answer, stream::empty().boxed());
            }
        }
        if let Some(Lie::Earlier(by)) = &lie {
            (start, end) = (start.saturating_sub(*by), end - by.min(&start));
        }
        answer = answer.status(StatusCode::PARTIAL_CONTENT);
        if !matches!(lie, Some(Lie::NoContentRange)) {
            let part = format!("bytes {start}-{}/{length}", end - 1);
            answer = answer.header(header::CONTENT_RANGE, part);
        }
    }
    if !matches!(lie, Some(Lie::NoLength)) {
        answer = answer.header(header::CONTENT_LENGTH, end - start);
    }
    if let Some(Lie::Etag(tag)) = &lie {
        answer = answer.header(header::ETAG, tag);
    }
    if let Some(Lie::Header(name, value)) = &lie {
        answer = answer.header(*name, value);
    }
    if is_head {
        return finish(answer, stream::empty().boxed());
    }
    let mut bytes = item.bytes.clone();
    if let Some(Lie::Flip(at) | Lie::FlipAll(at)) = lie {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        bytes = flipped.into();
    }
    let (from, to) = (
        usize::try_from(start).expect("it is in memory"),
        usize::try_from(end).expect("it is in memory"),
    );
    finish(answer, pieces(state, &bytes.slice(from..to), lie))
}

fn pieces(state: &Shared, bytes: &Bytes, lie: Option<Lie>) -> BoxStream<'static, Piece> {
    let (piece, pause) = match lie {
        Some(Lie::Trickle(count, milliseconds)) => {
            (count, Some(Duration::from_millis(milliseconds)))
        }
        _ => (PIECE, None),
    };
    let shown = match lie {
        Some(Lie::Cut(count) | Lie::Silence(count)) => bytes.slice(..count.min(bytes.len())),
        _ => bytes.clone(),
    };
    let counted = state.clone();
    let parts: Vec<Bytes> = (0..shown.len())
        .step_by(piece.max(1))
        .map(|at| shown.slice(at..(at + piece).min(shown.len())))
        .collect();
    let honest = stream::iter(parts).then(move |part| {
        let state = counted.clone();
        async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            lock(&state).sent += part.len() as u64;
            Ok::<_, Infallible>(part)
        }
    });
    let honest = honest.map(|part| match part {
        Ok(part) => Ok(Frame::data(part)),
    });
    match lie {
        Some(Lie::Cut(_)) => {
            let cut = stream::once(async {
                // The bytes before must leave first.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut on purpose"))
            });
            honest.chain(cut).boxed()
        }
        Some(Lie::Silence(_)) => honest.chain(stream::pending()).boxed(),
        _ => honest.boxed(),
    }
}

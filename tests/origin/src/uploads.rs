//! A registry's answers to a push (opencontainers/distribution-spec, "Push"), and lies about it.
//!
//! The location of an upload is relative, and has a query that the client must send back unchanged.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream;
use futures::stream::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, header};

use crate::answer::{Body, finish};
use crate::{Lie, RecordedRequest, Shared, digest, lock};

/// Uploads in progress.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    bytes: BTreeMap<u64, Vec<u8>>,
    count: u64,
    /// The current request of an upload: the last one that started. Late bytes of an older connection are discarded.
    turns: BTreeMap<u64, u64>,
    /// Bytes of received bodies.
    pub(crate) received: u64,
    /// Parts sent to the object store of an Ollama registry.
    pub(crate) behind: Vec<Vec<u8>>,
}

/// The connection ends in the middle.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Whether a request is one of a push.
pub(crate) fn is_push(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    path.contains("/blobs/uploads/")
        || path.starts_with("/-/behind/")
        || (request.method() == Method::PUT && path.contains("/manifests/"))
}

/// Answers it.
pub(crate) async fn answer(
    state: &Shared,
    request: Request<Incoming>,
    port: u16,
) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let whole = head.uri.to_string();
    let text = |name| {
        let value = head.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let lie = {
        let mut state = lock(state);
        state.log.push(RecordedRequest {
            method: head.method.to_string(),
            path: whole.clone(),
            range: text(header::CONTENT_RANGE),
            authorization: text(header::AUTHORIZATION),
            port,
        });
        let asked = format!("{} {whole}", head.method);
        let rule = state
            .rules
            .iter_mut()
            .find(|rule| rule.left > 0 && asked.contains(&rule.part));
        rule.map(|rule| {
            rule.left -= 1;
            rule.lie.clone()
        })
    };
    if let Some(Lie::Status(status, headers, body)) = lie {
        let answer = headers.into_iter().fold(
            Response::builder().status(status),
            |answer, (name, value)| answer.header(name, value),
        );
        return Ok(text_answer(answer, body));
    }
    if let Some(Lie::Redirect(status, to)) = lie {
        let number = path.rsplit('/').next().unwrap_or_default();
        let answer = Response::builder()
            .status(status)
            .header(header::LOCATION, format!("{to}/-/behind/{number}"))
            .header("docker-upload-location", location(&path, number));
        return Ok(text_answer(answer, ""));
    }
    // Reads at most this many bytes.
    let most = match lie {
        Some(Lie::Cut(most) | Lie::Keep(most)) => most,
        _ => usize::MAX,
    };
    let number = path
        .rsplit('/')
        .next()
        .and_then(|text| text.parse::<u64>().ok());
    let pace = match lie {
        Some(Lie::Trickle(bytes, pause)) => Some((bytes, pause)),
        _ => None,
    };
    let number_of_upload = number.filter(|_| head.method != Method::POST);
    let (sent, is_whole) = read(state, body, most, pace, number_of_upload).await;
    // The bytes of a cut body are kept, without any other effect.
    if !is_whole || matches!(lie, Some(Lie::Cut(_))) {
        return Err(Cut);
    }
    let mut state = lock(state);
    let of = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    if path.starts_with("/-/behind/") {
        state.uploads.behind.push(sent);
        return Ok(text_answer(Response::builder().status(200), ""));
    }
    if let Some((before, tag)) = path.split_once("/manifests/") {
        let name = before.trim_start_matches("/v2/");
        let found = state.store.manifest(&format!("{name}:{tag}"), sent);
        return Ok(text_answer(
            Response::builder()
                .status(201)
                .header("docker-content-digest", found),
            "",
        ));
    }
    let unknown = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}"#;
    let Some(number) = number else {
        state.uploads.count += 1;
        let number = state.uploads.count;
        state.uploads.bytes.insert(number, Vec::new());
        let answer = Response::builder()
            .status(202)
            .header(header::LOCATION, location(&path, &number.to_string()))
            .header(header::RANGE, "0-0");
        let answer = match lie {
            Some(Lie::Header(name, value)) => answer.header(name, value),
            _ => answer,
        };
        return Ok(text_answer(answer, ""));
    };
    if of("_state") != Some("a%2Fb") {
        return Ok(text_answer(
            Response::builder().status(400),
            "the state is lost",
        ));
    }
    let Some(bytes) = state.uploads.bytes.get(&number).cloned() else {
        return Ok(text_answer(Response::builder().status(404), unknown));
    };
    let answer = Response::builder()
        .header(header::LOCATION, location(&path, &number.to_string()))
        .header(
            header::RANGE,
            format!("0-{}", bytes.len().saturating_sub(1)),
        );
    Ok(match head.method {
        Method::GET => text_answer(answer.status(204), ""),
        Method::PATCH => match lie {
            Some(Lie::As(status)) => text_answer(answer.status(status), ""),
            _ => text_answer(answer.status(202), ""),
        },
        _ => {
            let wanted = of("digest").unwrap_or_default().replace("%3A", ":");
            state.uploads.bytes.remove(&number);
            // The object store has the bytes, not this server.
            if of("etag").is_none() && digest(&bytes) != wanted {
                return Ok(text_answer(
                    Response::builder().status(400),
                    r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#,
                ));
            }
            state.store.blob(bytes);
            if matches!(lie, Some(Lie::NoAnswer)) {
                return Err(Cut);
            }
            text_answer(answer.status(201), "")
        }
    })
}

/// Reads a body, at the given pace, and returns whether it was complete. The bytes of an upload are kept as they arrive.
async fn read(
    state: &Shared,
    mut body: Incoming,
    most: usize,
    pace: Option<(usize, u64)>,
    number: Option<u64>,
) -> (Vec<u8>, bool) {
    let turn = number.map(|number| {
        let mut state = lock(state);
        let turn = state.uploads.turns.entry(number).or_default();
        *turn += 1;
        *turn
    });
    let mut sent = Vec::new();
    let mut unpaid = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return (sent, false);
        };
        if let Some((bytes, pause)) = pace
            && unpaid >= bytes
        {
            unpaid = 0;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        let Ok(data) = frame.into_data() else {
            continue;
        };
        unpaid += data.len();
        let mut state = lock(state);
        if number.and_then(|number| state.uploads.turns.get(&number)) != turn.as_ref() {
            return (sent, false);
        }
        state.uploads.received += data.len() as u64;
        let room = most.saturating_sub(sent.len()).min(data.len());
        if let Some(upload) = number.and_then(|number| state.uploads.bytes.get_mut(&number)) {
            upload.extend_from_slice(&data[..room]);
        }
        sent.extend_from_slice(&data[..room]);
        drop(state);
        if sent.len() >= most && most < usize::MAX {
            return (sent, true);
        }
    }
    (sent, true)
}

/// The location for the rest of an upload.
fn location(path: &str, number: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{number}?_state=a%2Fb")
}

fn text_answer(answer: http::response::Builder, text: &'static str) -> Response<Body> {
    let answer = answer.header(header::CONTENT_LENGTH, text.len());
    finish(
        answer,
        stream::once(async move { Ok(Frame::data(text.into())) }).boxed(),
    )
}

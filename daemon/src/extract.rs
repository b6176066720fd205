//! Reads requests: bodies of JSON within limits of size and time, and parameters of the path and of the query.
//!
//! The content type does not matter, because many clients of Ollama's API send none. [`crate::origin_check`] has refused web
//! pages before.

mod encoding;
mod surrogates;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use futures::StreamExt;
use http::request::Parts;
use registry::catalog::VariantName;
use registry::{Digest, ModelName, Reference};
use serde::de::DeserializeOwned;

use crate::blocking;
use crate::budget::Share;
use crate::error::Error;
use crate::ignored::{self, IgnoredFields};
use encoding::Encoding;

/// Most bytes of a request without a conversation.
pub const SMALL: usize = 1 << 20;
/// Most bytes of a request with a conversation.
pub const LARGE: usize = 32 << 20;

/// Longest time for a JSON body to arrive.
const DEADLINE: Duration = Duration::from_secs(30);

/// A JSON body of at most `LIMIT` bytes.
pub struct Json<T, const LIMIT: usize>(
    /// The parsed body.
    pub T,
);

impl<T: DeserializeOwned + Send + 'static, S: Sync, const LIMIT: usize> FromRequest<S>
    for Json<T, LIMIT>
{
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let encoding = Encoding::of(request.headers())?;
        let share = request.extensions().get::<Share>().cloned();
        let ignored = request.extensions().get::<IgnoredFields>().cloned();
        let body = read(request.into_body(), LIMIT, share.clone());
        let body = tokio::time::timeout(DEADLINE, body)
            .await
            .map_err(|_| Error::SlowBody(DEADLINE))??;
        let bytes = match encoding {
            Encoding::Identity => body,
            _ => blocking::run(move || encoding.decode(body, LIMIT, share.as_ref())).await??,
        };
        if bytes.is_empty() {
            return Err(Error::Invalid("missing request body".into()));
        }
        let (body, unknown) = blocking::run_sized(bytes.len(), move || parse(bytes)).await??;
        if let Some(ignored) = ignored {
            ignored.add(unknown);
        }
        Ok(Self(body))
    }
}

/// Parameters of the path. As with a body, an error has the form of the dialect.
pub struct Path<T>(
    /// The parameters.
    pub T,
);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0))
            .map_err(|error| Error::Invalid(error.body_text()))
    }
}

/// Parameters of the query. As with a body, an error has the form of the dialect.
pub struct Query<T>(
    /// The parameters.
    pub T,
);

impl<T: DeserializeOwned + Send, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query
            .map(|query| Self(query.0))
            .map_err(|error| Error::Invalid(error.body_text()))
    }
}

/// Parses JSON, and names the fields that `T` does not have. The error for a value of the wrong type names its field.
fn parse<T: DeserializeOwned>(mut bytes: Vec<u8>) -> Result<(T, Vec<String>), Error> {
    surrogates::replace_lone(&mut bytes);
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let mut unknown = Vec::new();
    let read = serde_ignored::deserialize(tracked, |path| ignored::name(&path, &mut unknown));
    let value = read.map_err(|why| {
        let field = track.path().to_string();
        match why.is_data() && field != "." {
            true => Error::field(shortened(&field), plain(&why)),
            false => Error::Invalid(not_expected(&why)),
        }
    })?;
    json.end()
        .map_err(|error| Error::Invalid(not_expected(&error)))?;
    Ok((value, unknown))
}

fn not_expected(error: &serde_json::Error) -> String {
    format!(
        "the request body is not what is expected here: {}",
        plain(error)
    )
}

/// A path in the body can have names that the client chose, so it is cut.
fn shortened(path: &str) -> String {
    let clean = path.chars().filter(|character| !character.is_control());
    clean.take(120).collect()
}

/// The error about a value, with names of JSON types in place of Rust types.
pub(crate) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (Some(at), true) = (text.rfind("expected "), error.is_data()) else {
        return text;
    };
    let (before, expected) = text.split_at(at + "expected ".len());
    let (kind, place) = match expected.find(" at line ") {
        Some(end) => expected.split_at(end),
        None => (expected, ""),
    };
    let kind = match kind {
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "true or false",
        "f32" | "f64" => "a number",
        "u32" | "u64" | "usize" => "a whole number from 0",
        "i32" | "i64" => "a whole number",
        kind if kind.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{}{kind}{place}", found(before))
}

/// The same for the value that was found.
fn found(text: &str) -> String {
    let starts = ["invalid type: ", "invalid value: "];
    let Some(start) = starts.iter().find(|start| text.starts_with(**start)) else {
        return text.to_owned();
    };
    let rest = &text[start.len()..];
    let rest = [
        ("sequence", "a list"),
        ("map", "an object"),
        ("string", "text"),
        ("integer", "number"),
        ("floating point", "number"),
        ("boolean ", ""),
    ]
    .into_iter()
    .find_map(|(word, plain)| Some(format!("{plain}{}", rest.strip_prefix(word)?)))
    .unwrap_or_else(|| rest.to_owned());
    format!("{start}{rest}")
}

/// Reads a whole body, and takes its bytes beyond [`UNCOUNTED`] from the budget.
async fn read(body: Body, limit: usize, share: Option<Share>) -> Result<Vec<u8>, Error> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Error::BrokenBody)?;
        if bytes.len() + piece.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        if let Some(share) = &share {
            share.grow(bytes.len(), bytes.len() + piece.len())?;
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads the name of a model in a request.
///
/// # Errors
/// [`Error::Invalid`] for a missing or invalid name.
pub fn model_name(text: &str) -> Result<ModelName, Error> {
    // An address stands for the model that was pulled from it.
    Ok(reference(text)?.name)
}

/// Reads the reference of a model in a request: a name or an address.
///
/// # Errors
/// [`Error::Invalid`] for a missing or invalid reference.
pub fn reference(text: &str) -> Result<Reference, Error> {
    if text.is_empty() {
        return Err(Error::Invalid("model is required".into()));
    }
    Reference::parse(text).map_err(|error| Error::Invalid(error.to_string()))
}

/// The same reference with the variant of the request, if it has one.
///
/// # Errors
/// [`Error::Invalid`] for a text that is no name of a variant.
pub fn variant_of(reference: Reference, variant: Option<&str>) -> Result<Reference, Error> {
    match variant.filter(|text| !text.is_empty()) {
        None => Ok(reference),
        Some(text) => match VariantName::parse(text) {
            Ok(variant) => Ok(reference.with_variant(variant)),
            Err(error) => Err(Error::Invalid(error.to_string())),
        },
    }
}

/// Reads the digest of a blob in a request.
///
/// # Errors
/// When it is not a digest.
pub(crate) fn digest_of(text: &str) -> Result<Digest, Error> {
    Digest::parse(text).map_err(|error| registry::Error::from(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, UNCOUNTED};
    use axum::body::Bytes;
    use std::convert::Infallible;

    async fn extract(body: Body) -> Result<Vec<u32>, Error> {
        let request = Request::post("/").body(body).unwrap();
        Json::<Vec<u32>, 16>::from_request(request, &())
            .await
            .map(|json| json.0)
    }

    #[tokio::test]
    async fn json_needs_no_content_type() {
        assert_eq!(extract(Body::from("[1,2]")).await.unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn a_bad_body_is_an_error_with_the_reason() {
        assert_eq!(
            extract(Body::empty()).await.unwrap_err().to_string(),
            "missing request body"
        );
        let error = extract(Body::from("[1,")).await.unwrap_err().to_string();
        assert!(error.contains("line 1 column 3"), "{error}");
        let error = extract(Body::from("[\"x\"]"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected a whole number"), "{error}");
        assert!(matches!(
            extract(Body::from("[1,2,3,4,5,6,7,8]")).await,
            Err(Error::TooLarge { limit: 16 })
        ));
    }

    #[tokio::test]
    async fn a_long_body_beyond_the_budget_is_refused_and_a_short_one_is_not() {
        let budget = Budget::of(UNCOUNTED);
        let extract = |bytes: usize| {
            let share = budget.share();
            async move {
                let text = format!("\"{}\"", "x".repeat(bytes));
                let mut request = Request::post("/").body(Body::from(text)).unwrap();
                request.extensions_mut().insert(share.clone());
                let json = Json::<String, SMALL>::from_request(request, &()).await;
                json.map(|_| share)
            }
        };
        let held = extract(2 * UNCOUNTED - 2).await.unwrap();
        let error = extract(UNCOUNTED).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 503);
        extract(UNCOUNTED - 2).await.unwrap();
        drop(held);
        extract(UNCOUNTED).await.unwrap();
    }

    #[tokio::test]
    async fn nesting_is_bounded() {
        let deep = "[".repeat(10_000);
        let request = Request::post("/").body(Body::from(deep)).unwrap();
        let error = Json::<serde_json::Value, SMALL>::from_request(request, &()).await;
        assert!(error.is_err_and(|error| error.to_string().contains("recursion limit")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_times_out() {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>());
        assert!(matches!(extract(body).await, Err(Error::SlowBody(_))));
    }

    #[tokio::test]
    async fn a_compressed_body_is_decoded() {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let body = ruzstd::encoding::compress_to_vec(&b"[1,2]"[..], level);
        let request = |encoding: &str| {
            let request = Request::post("/").header("content-encoding", encoding);
            request.body(Body::from(body.clone())).unwrap()
        };
        let read = async |encoding: &str| {
            let json = Json::<Vec<u32>, 32>::from_request(request(encoding), &()).await;
            json.map(|json| json.0).map_err(|error| error.status())
        };
        assert_eq!(read("zstd").await.unwrap(), [1, 2]);
        assert_eq!(read("gzip").await.unwrap_err(), 400);
        assert_eq!(read("br").await.unwrap_err(), 415);
    }
}

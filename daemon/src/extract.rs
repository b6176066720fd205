//! Bodies of requests: JSON within limits of size and time.
//!
//! Any content type is taken, because many clients of Ollama's API send none; what a web page could send that way was
//! refused before ([`crate::guard`]).

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use futures::StreamExt;
use http::header::{self, HeaderValue};
use registry::ModelName;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Most bytes of an ordinary request.
pub const SMALL: usize = 1 << 20;
/// Most bytes of a request with a conversation.
pub const LARGE: usize = 32 << 20;

/// Longest time for a JSON body to arrive.
const DEADLINE: Duration = Duration::from_secs(30);

/// A JSON body of at most `LIMIT` bytes.
pub struct Json<T, const LIMIT: usize>(
    /// What it says.
    pub T,
);

impl<T: DeserializeOwned, S: Sync, const LIMIT: usize> FromRequest<S> for Json<T, LIMIT> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        refuse_encoding(&request)?;
        let bytes = tokio::time::timeout(DEADLINE, read(request.into_body(), LIMIT))
            .await
            .map_err(|_| Error::SlowBody(DEADLINE))??;
        if bytes.is_empty() {
            return Err(Error::Invalid("missing request body".into()));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Error::Invalid(format!(
                "the request body is not what is expected here: {error}"
            ))
        })
    }
}

/// Compressed bodies would get round the limits.
fn refuse_encoding(request: &Request) -> Result<(), Error> {
    match request
        .headers()
        .get(header::CONTENT_ENCODING)
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"identity") => Ok(()),
        Some(_) => Err(Error::Unsupported("a compressed request body".into())),
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Error::BrokenBody)?;
        if bytes.len() + piece.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// Reads the name of a model as a request gives it.
///
/// # Errors
/// When it is missing or no name.
pub fn model_name(text: &str) -> Result<ModelName, Error> {
    if text.is_empty() {
        return Err(Error::Invalid("model is required".into()));
    }
    Ok(ModelName::parse(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn extract(body: Body) -> Result<Vec<u32>, Error> {
        let request = Request::post("/").body(body).unwrap();
        Json::<Vec<u32>, 16>::from_request(request, &())
            .await
            .map(|json| json.0)
    }

    #[tokio::test]
    async fn json_within_the_limit_is_taken_without_a_content_type() {
        assert_eq!(extract(Body::from("[1,2]")).await.unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_body_is_said() {
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
        assert!(error.contains("expected u32"), "{error}");
        assert!(matches!(
            extract(Body::from("[1,2,3,4,5,6,7,8]")).await,
            Err(Error::TooLarge { limit: 16 })
        ));
    }

    #[tokio::test]
    async fn nesting_is_bounded() {
        let deep = "[".repeat(10_000);
        let request = Request::post("/").body(Body::from(deep)).unwrap();
        let error = Json::<serde_json::Value, SMALL>::from_request(request, &()).await;
        assert!(error.is_err_and(|error| error.to_string().contains("recursion limit")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>());
        assert!(matches!(extract(body).await, Err(Error::SlowBody(_))));
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused() {
        let request = Request::post("/")
            .header(header::CONTENT_ENCODING, "zstd")
            .body(Body::from("[1]"))
            .unwrap();
        let taken = Json::<Vec<u32>, 16>::from_request(request, &()).await;
        assert!(matches!(taken, Err(Error::Unsupported(_))));
    }
}

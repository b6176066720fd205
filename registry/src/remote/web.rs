//! A single GGUF file at a URL.

use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::{Auth, Endpoint, Error, Recipe, RemoteFile, RemoteModel};
use crate::Digest;
use crate::http::{Client, Request, shown};

/// A file on the web.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    /// Its address.
    pub(crate) url: Url,
    /// The digest that it must have.
    pub(crate) digest: Option<Digest>,
}

impl Web {
    /// Asks for the file's size and state, without its bytes.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotFound`] when the server does not have the file.
    pub(crate) async fn find(&self, client: &Client) -> Result<RemoteModel, Error> {
        let mut request = Request::get(self.url.clone());
        request.method = Method::HEAD;
        let mut response = client.repeated(|| client.send(&request)).await?;
        if !response.status().is_success() && response.status() != StatusCode::NOT_FOUND {
            // Signed addresses are often for GET alone.
            let first = HeaderValue::from_static("bytes=0-0");
            response = client
                .send(&Request::get(self.url.clone()).with(RANGE, first))
                .await?;
        }
        if response.status() == StatusCode::NOT_FOUND {
            return Err(Error::NotFound {
                host: self.url.host_str().unwrap_or_default().to_owned(),
                what: self.url.path().to_owned(),
            });
        }
        let response = response.good().await?;
        let headers = response.headers();
        let size = size(response.status(), headers);
        let validator = headers
            .get(ETAG)
            .and_then(|value| value.to_str().ok())
            .filter(|tag| !tag.starts_with("W/"))
            .map(str::to_owned);
        let title = self
            .url
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let told = match self.digest {
            Some(digest) => format!("its digest must be {digest}"),
            None => "no digest was given, so it is told afterwards".to_owned(),
        };
        Ok(RemoteModel {
            place: shown(&self.url),
            steps: vec![format!("{} is a file; {told}", shown(&self.url))],
            files: vec![RemoteFile {
                title,
                size,
                digest: self.digest,
                git_id: None,
                endpoint: Endpoint {
                    url: self.url.clone(),
                    auth: Auth::default(),
                    validator,
                },
            }],
            recipe: Recipe::Files(Box::default()),
        })
    }
}

/// The size of the whole file by a response to HEAD, or to a request for its first byte.
fn size(status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let range = text(reqwest::header::CONTENT_RANGE)?;
        return range.rsplit_once('/')?.1.parse().ok();
    }
    text(CONTENT_LENGTH)?.parse().ok()
}

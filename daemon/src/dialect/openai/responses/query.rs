//! Reads the query of an address, with errors of this API.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// The parameters of a query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let read = axum::extract::Query::try_from_uri(&parts.uri);
        let wrong = |why: axum::extract::rejection::QueryRejection| Error::Invalid(why.body_text());
        read.map(|query| Self(query.0)).map_err(wrong)
    }
}

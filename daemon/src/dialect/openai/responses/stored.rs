//! Routes of saved responses: get, delete, cancel and the items of the request.

use api::openai::ErrorAnswer;
use api::openai::responses::{DeletedResponse, ItemList, ItemsQuery, Response, RetrieveQuery};
use axum::extract::State;

use super::page::page;
use crate::app::App;
use crate::error::Error;
use crate::extract::{Path, Query};

/// A saved response.
///
/// *Detach*: there is no work to end.
#[utoipa::path(
    get,
    path = "/v1/responses/{response_id}",
    params(("response_id" = String, Path, description = "Its id"), RetrieveQuery),
    responses(
        (status = 200, description = "The response", body = Response),
        (status = 400, description = "A parameter is wrong", body = ErrorAnswer),
        (status = 404, description = "No saved response has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<RetrieveQuery>,
) -> Result<axum::Json<Response>, Error> {
    if query.stream == Some(true) || query.starting_after.is_some() {
        let reason = "must be false: the events of a saved response are not kept";
        return Err(Error::field("stream", reason));
    }
    Ok(axum::Json(app.responses.get(&id).await?.response))
}

/// Removes a saved response.
///
/// *Detach*: the response is removed.
#[utoipa::path(
    delete,
    path = "/v1/responses/{response_id}",
    params(("response_id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "It is removed", body = DeletedResponse),
        (status = 404, description = "No saved response has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<axum::Json<DeletedResponse>, Error> {
    app.responses.remove(&id).await?;
    Ok(axum::Json(DeletedResponse {
        id,
        object: "response".to_owned(),
        deleted: true,
    }))
}

/// Cancels a response in the background.
///
/// *Detach*: the response is cancelled. A response that has ended stays as it is.
#[utoipa::path(
    post,
    path = "/v1/responses/{response_id}/cancel",
    params(("response_id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The response", body = Response),
        (status = 400, description = "It is not in the background", body = ErrorAnswer),
        (status = 404, description = "No saved response has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<axum::Json<Response>, Error> {
    let response = app.responses.get(&id).await?.response;
    if !response.background {
        let reason =
            "names a response that is not in the background; only such a response can be cancelled";
        return Err(Error::field("response_id", reason));
    }
    if !response.status.is_open() {
        return Ok(axum::Json(response));
    }
    app.responses.cancel(&id).await;
    Ok(axum::Json(app.responses.get(&id).await?.response))
}

/// Lists the items of the request of a saved response.
///
/// *Detach*: there is no work to end.
#[utoipa::path(
    get,
    path = "/v1/responses/{response_id}/input_items",
    params(("response_id" = String, Path, description = "Id of the response"), ItemsQuery),
    responses(
        (status = 200, description = "The items of its request", body = ItemList),
        (status = 400, description = "A parameter is wrong", body = ErrorAnswer),
        (status = 404, description = "No saved response has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn input_items(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<ItemsQuery>,
) -> Result<axum::Json<ItemList>, Error> {
    let kept = app.responses.get(&id).await?;
    page(kept.input().await?, &query).map(axum::Json)
}

/// Refused: slm does not compact a context.
#[utoipa::path(
    post,
    path = "/v1/responses/compact",
    responses((status = 400, description = "slm does not compact a context", body = ErrorAnswer)),
    tag = "OpenAI"
)]
pub(crate) async fn compact() -> Error {
    Error::Unsupported("compacting a context".into())
}

//! `POST /v1/messages/count_tokens`: the number of tokens of a prompt.

use api::anthropic::{CountTokensRequest, Error as ErrorBody, TokenCount};
use axum::Json;
use axum::extract::State;
use tokio::time::Instant;

use super::request;
use crate::app::App;
use crate::error::Error;
use crate::extract::{self, LARGE};
use crate::ignored::IgnoredFields;
use crate::serve;

/// Counts the tokens of a prompt.
///
/// Loads the model, whose template and vocabulary decide. Images count with a typical number of tokens. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::COUNT_TOKENS,
    tag = "Anthropic",
    request_body = CountTokensRequest,
    responses(
        (status = 200, body = TokenCount, description = "The number."),
        (status = "4XX", body = ErrorBody, description = "The request is wrong, or names a model that is not here."),
        (status = "5XX", body = ErrorBody, description = "The model failed; 529 when the server is busy."),
    )
)]
pub(super) async fn post(
    State(app): State<App>,
    ignored: IgnoredFields,
    extract::Json(request): extract::Json<CountTokensRequest, LARGE>,
) -> Result<Json<TokenCount>, Error> {
    let ask = request::prompt_ask(Instant::now(), request, &ignored).await?;
    let input_tokens = serve::prompt(&app, ask).await?.count();
    Ok(Json(TokenCount { input_tokens }))
}

//! `POST /slm/v1/tokenize`, `detokenize` and `apply-template`: what the model reads.

use api::{
    ChatRequest, DetokenizeRequest, DetokenizeResponse, ErrorBody, KeepAlive, TemplateResponse,
    TokenizeRequest, TokenizeResponse,
};
use axum::Json;
use axum::extract::State;
use runner_protocol::Tokenize;
use tokio::time::Instant;

use crate::app::App;
use crate::ask::Target;
use crate::dialect::{fields, ollama};
use crate::error::Error;
use crate::extract::{self, LARGE};
use crate::serve;

/// The tokens of a text.
///
/// Loads the model, whose vocabulary decides. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::TOKENIZE,
    request_body = TokenizeRequest,
    responses(
        (status = 200, description = "The tokens", body = TokenizeResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, or failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn tokenize(
    State(app): State<App>,
    extract::Json(request): extract::Json<TokenizeRequest, LARGE>,
) -> Result<Json<TokenizeResponse>, Error> {
    let target = target(&request.model, request.keep_alive.as_ref())?;
    let text = Tokenize {
        text: request.text,
        add_special: request.add_special.unwrap_or(false),
        parse_special: request.parse_special.unwrap_or(true),
        literal: Vec::new(),
    };
    let with_pieces = request.with_pieces == Some(true);
    let (tokens, pieces) = serve::tokenize(&app, &target, text, with_pieces).await?;
    Ok(Json(TokenizeResponse {
        model: target.model.to_string(),
        count: tokens.len(),
        tokens,
        pieces,
    }))
}

/// The text of tokens.
///
/// Loads the model, whose vocabulary decides. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::DETOKENIZE,
    request_body = DetokenizeRequest,
    responses(
        (status = 200, description = "The text", body = DetokenizeResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, or failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn detokenize(
    State(app): State<App>,
    extract::Json(request): extract::Json<DetokenizeRequest, LARGE>,
) -> Result<Json<DetokenizeResponse>, Error> {
    let target = target(&request.model, request.keep_alive.as_ref())?;
    let text = serve::detokenize(&app, &target, request.tokens).await?;
    Ok(Json(DetokenizeResponse {
        model: target.model.to_string(),
        text,
    }))
}

/// The prompt that the model would read for a body of `/api/chat`.
///
/// Nothing is generated. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::APPLY_TEMPLATE,
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The prompt", body = TemplateResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, or failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn apply_template(
    State(app): State<App>,
    extract::Json(request): extract::Json<ChatRequest, LARGE>,
) -> Result<Json<TemplateResponse>, Error> {
    let (ask, _) = ollama::read_chat(Instant::now(), request).await?;
    if ask.turns.is_empty() {
        return Err(Error::field("messages", "a message is required"));
    }
    let model = ask.target.model.to_string();
    let prompt = serve::prompt(&app, ask).await?;
    Ok(Json(TemplateResponse {
        model,
        count: prompt.count(),
        prompt: prompt.text,
        tokens: prompt.tokens,
    }))
}

fn target(model: &str, keep_alive: Option<&KeepAlive>) -> Result<Target, Error> {
    fields::target(Instant::now(), model, None, keep_alive)
}

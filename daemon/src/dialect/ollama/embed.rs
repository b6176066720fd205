//! `POST /api/embed` and the older `POST /api/embeddings`: embeddings of texts.

use api::{EmbedRequest, EmbedResponse, EmbeddingsRequest, EmbeddingsResponse, ErrorBody};
use axum::extract::State;
use runner_protocol::Input;
use tokio::time::Instant;

use crate::app::App;
use crate::ask::EmbedAsk;
use crate::dialect::fields;
use crate::duration::nanos;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::serve;

/// Embeds texts; without any it loads the model.
///
/// *Cancel*: the request leaves the queue, or its calls are cancelled.
#[utoipa::path(
    post,
    path = api::routes::EMBED,
    request_body = EmbedRequest,
    responses(
        (status = 200, description = "The vectors", body = EmbedResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, its runner failed, or the server is busy", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<EmbedRequest, LARGE>,
) -> Result<axum::Json<EmbedResponse>, Error> {
    let ask = EmbedAsk {
        target: fields::target(
            Instant::now(),
            &request.model,
            request.options.as_ref(),
            request.keep_alive.as_ref(),
        )?,
        inputs: Vec::from(request.input)
            .into_iter()
            .map(Input::Text)
            .collect(),
        // Clients send 0 for all dimensions.
        dimensions: request.dimensions.filter(|dimensions| *dimensions > 0),
        normalize: true,
        truncate: request.truncate != Some(false),
    };
    let (embeddings, timings) = serve::embed(&app, ask).await?;
    Ok(axum::Json(EmbedResponse {
        model: request.model,
        embeddings: embeddings.vectors,
        total_duration: nanos(timings.total),
        load_duration: nanos(timings.load),
        prompt_eval_count: embeddings.prompt_tokens,
        truncated_inputs: embeddings.truncated,
    }))
}

/// Embeds one text.
///
/// *Cancel*, as above.
#[utoipa::path(
    post,
    path = api::routes::EMBEDDINGS,
    request_body = EmbeddingsRequest,
    responses(
        (status = 200, description = "The vector", body = EmbeddingsResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, its runner failed, or the server is busy", body = ErrorBody),
    ),
    tag = "Ollama"
)]
pub(crate) async fn post_one(
    State(app): State<App>,
    Json(request): Json<EmbeddingsRequest, LARGE>,
) -> Result<axum::Json<EmbeddingsResponse>, Error> {
    let ask = EmbedAsk {
        target: fields::target(
            Instant::now(),
            &request.model,
            request.options.as_ref(),
            request.keep_alive.as_ref(),
        )?,
        inputs: Some(request.prompt)
            .filter(|prompt| !prompt.is_empty())
            .map(Input::Text)
            .into_iter()
            .collect(),
        dimensions: None,
        normalize: false,
        truncate: true,
    };
    let (embeddings, _) = serve::embed(&app, ask).await?;
    Ok(axum::Json(EmbeddingsResponse {
        embedding: embeddings.vectors.into_iter().next().unwrap_or_default(),
    }))
}

//! `POST /v1/embeddings`: the vectors of texts.

use api::openai::{
    EmbeddingItem, EmbeddingVector, EmbeddingsAnswer, EmbeddingsRequest, ErrorAnswer,
};
use axum::Json as JsonBody;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_protocol::Input;

use super::inputs;
use super::sampling::{self, TargetFields};
use crate::app::App;
use crate::ask::EmbedAsk;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::serve;

/// Computes embeddings.
///
/// *Cancel*: the request leaves the queue, or its calls are cancelled.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    request_body = EmbeddingsRequest,
    responses(
        (status = 200, description = "The vectors", body = EmbeddingsAnswer),
        (status = 400, description = "A field is wrong, or an input does not fit the context", body = ErrorAnswer),
        (status = 404, description = "No model has this name", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
        (status = 500, description = "The model cannot be loaded, or its runner failed", body = ErrorAnswer),
        (status = 503, description = "The server is busy", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<EmbeddingsRequest, LARGE>,
) -> Result<JsonBody<EmbeddingsAnswer>, Error> {
    let model = request.model.clone().unwrap_or_default();
    let encode = encoding(request.encoding_format.as_deref())?;
    let context = request.num_ctx.as_ref();
    let ask = EmbedAsk {
        target: sampling::target(TargetFields {
            model: request.model.as_deref(),
            options: request.options.as_ref(),
            keep_alive: request.keep_alive.as_ref(),
            parameters: Vec::from_iter(context.map(|value| ("num_ctx", "num_ctx", value))),
            stop: None,
        })?,
        dimensions: sampling::whole("dimensions", request.dimensions.as_ref(), 1..=u32::MAX)?,
        inputs: inputs::read("input", request.input)?,
        normalize: true,
        truncate: request.truncate == Some(true),
    };
    let has_tokens = matches!(ask.inputs.first(), Some(Input::Tokens(_)));
    let embedded = serve::embed(&app, ask).await;
    let (embeddings, _) = embedded.map_err(|error| match has_tokens {
        true => with_remedy(error),
        false => error,
    })?;
    let items = embeddings.vectors.into_iter().enumerate();
    let items = items.map(|(index, vector)| EmbeddingItem {
        object: "embedding",
        index,
        embedding: encode(vector),
    });
    Ok(JsonBody(EmbeddingsAnswer {
        object: "list",
        data: items.collect(),
        model,
        usage: api::Usage {
            prompt_tokens: embeddings.prompt_tokens,
            total_tokens: embeddings.prompt_tokens,
        },
    }))
}

fn encoding(name: Option<&str>) -> Result<fn(Vec<f32>) -> EmbeddingVector, Error> {
    match name {
        None | Some("float") => Ok(EmbeddingVector::Numbers),
        Some("base64") => Ok(base64),
        Some(_) => Err(Error::field("encoding_format", "must be float or base64")),
    }
}

fn base64(vector: Vec<f32>) -> EmbeddingVector {
    let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
    EmbeddingVector::Base64(STANDARD.encode(bytes))
}

/// The error of tokens that the model does not have. LangChain sends the tokens of another vocabulary unless it is told not to.
fn with_remedy(error: Error) -> Error {
    match error.code() {
        "invalid_request" => Error::field(
            "input",
            format!(
                "{error}; token ids must be those of the model: send texts, in LangChain by check_embedding_ctx_length=False"
            ),
        ),
        _ => error,
    }
}

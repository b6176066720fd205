//! `POST /v1/responses/input_tokens`: counts the tokens of the prompt.

use api::openai::ErrorAnswer;
use api::openai::responses::{InputTokens, InputTokensRequest, ResponseRequest};
use axum::extract::State;

use super::request;
use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::serve;

/// Counts the tokens of a prompt.
///
/// *Cancel*: the request leaves the queue.
#[utoipa::path(
    post,
    path = "/v1/responses/input_tokens",
    request_body = InputTokensRequest,
    responses(
        (status = 200, description = "The number of tokens", body = InputTokens),
        (status = 400, description = "A field is wrong", body = ErrorAnswer),
        (status = 404, description = "No model or conversation has this name", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
        (status = 503, description = "The server is busy", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<InputTokensRequest, LARGE>,
) -> Result<axum::Json<InputTokens>, Error> {
    let request = ResponseRequest {
        model: request.model,
        input: request.input,
        instructions: request.instructions,
        previous_response_id: request.previous_response_id,
        conversation: request.conversation,
        tools: request.tools,
        tool_choice: request.tool_choice,
        parallel_tool_calls: request.parallel_tool_calls,
        text: request.text,
        reasoning: request.reasoning,
        truncation: request.truncation,
        keep_alive: request.keep_alive,
        options: request.options,
        ..ResponseRequest::default()
    };
    let plan = request::read(&app, request).await?;
    let prompt = serve::prompt(&app, plan.ask).await?;
    Ok(axum::Json(InputTokens {
        object: "response.input_tokens".to_owned(),
        input_tokens: prompt.count() as u64,
    }))
}

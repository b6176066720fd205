//! `POST /v1/embeddings`: the vectors of texts.

use api::openai::{Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage, Vector};
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_protocol::Input;
use serde_json::Value;
use tokio::time::Instant;

use crate::app::App;
use crate::ask::EmbedAsk;
use crate::dialect::fields;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::serve;

const INPUT: &str = "must be a text, a list of texts, a list of tokens or a list of such lists";

/// Embeds texts. *Cancel*: the request leaves the queue, or its calls are cancelled.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "OpenAI",
    request_body = EmbeddingRequest,
    responses(
        (status = 200, description = "The vectors", body = EmbeddingList),
        (status = 400, description = "A field is wrong, a text is too long, or the model makes no embeddings"),
        (status = 404, description = "No model has this name"),
        (status = 413, description = "The body is too large"),
        (status = 500, description = "The model cannot be loaded, or its runner failed"),
        (status = 503, description = "The server is busy"),
    )
)]
pub(super) async fn post(
    State(app): State<App>,
    Json(request): Json<EmbeddingRequest, LARGE>,
) -> Result<axum::Json<EmbeddingList>, Error> {
    let model = request.model.unwrap_or_default();
    let encode = encoding(request.encoding_format.as_deref())?;
    let inputs = inputs(request.input.unwrap_or_default())?;
    let has_tokens = inputs.iter().any(|input| matches!(input, Input::Tokens(_)));
    let ask = EmbedAsk {
        target: fields::target(
            Instant::now(),
            &model,
            request.options.as_ref(),
            request.keep_alive.as_ref(),
        )?,
        inputs,
        dimensions: request.dimensions.filter(|dimensions| *dimensions > 0),
        normalize: true,
        truncate: request.truncate == Some(true),
    };
    let embedded = serve::embed(&app, ask).await;
    let (embeddings, _) = embedded.map_err(|error| match has_tokens {
        true => of_tokens(error),
        false => error,
    })?;
    let data = embeddings.vectors.into_iter().enumerate();
    Ok(axum::Json(EmbeddingList {
        object: "list",
        data: data
            .map(|(index, vector)| Embedding {
                object: "embedding",
                index,
                embedding: encode(vector),
            })
            .collect(),
        model,
        usage: EmbeddingUsage {
            prompt_tokens: embeddings.prompt_tokens,
            total_tokens: embeddings.prompt_tokens,
        },
    }))
}

/// Clients that tokenize by themselves do it by the vocabulary of OpenAI's models.
fn of_tokens(error: Error) -> Error {
    match error.status().as_u16() {
        400 => Error::field(
            "input",
            format!(
                "{}; tokens must be those of the model's own vocabulary, so send text (in LangChain, check_embedding_ctx_length=False)",
                error.message()
            ),
        ),
        _ => error,
    }
}

fn encoding(format: Option<&str>) -> Result<fn(Vec<f32>) -> Vector, Error> {
    match format {
        None | Some("float") => Ok(Vector::Float),
        Some("base64") => Ok(base64),
        Some(_) => Err(Error::field("encoding_format", "must be float or base64")),
    }
}

fn base64(vector: Vec<f32>) -> Vector {
    let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
    Vector::Base64(STANDARD.encode(bytes))
}

fn inputs(given: Value) -> Result<Vec<Input>, Error> {
    let inputs = match given {
        Value::String(text) => vec![text_input(text, "input")?],
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            vec![tokens(&items, "input")?]
        }
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            let read = items.map(|(index, item)| {
                let field = format!("input[{index}]");
                match item {
                    Value::String(text) => text_input(text, &field),
                    Value::Array(items) => tokens(&items, &field),
                    _ => Err(Error::field(field, "must be a text or a list of tokens")),
                }
            });
            read.collect::<Result<_, _>>()?
        }
        _ => Vec::new(),
    };
    match inputs.is_empty() {
        true => Err(Error::field("input", INPUT)),
        false => Ok(inputs),
    }
}

fn text_input(text: String, field: &str) -> Result<Input, Error> {
    match text.is_empty() {
        true => Err(Error::field(field, "must not be empty")),
        false => Ok(Input::Text(text)),
    }
}

fn tokens(items: &[Value], field: &str) -> Result<Input, Error> {
    let token = |item: &Value| i32::try_from(item.as_i64()?).ok();
    let tokens: Option<Vec<i32>> = items.iter().map(token).collect();
    tokens
        .filter(|tokens| !tokens.is_empty())
        .map(Input::Tokens)
        .ok_or_else(|| Error::field(field, "must be whole numbers, at least one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_input_has_one_of_four_forms() {
        let text = |text: &str| Input::Text(text.into());
        assert_eq!(inputs(json!("a")).unwrap(), [text("a")]);
        assert_eq!(inputs(json!(["a", "b"])).unwrap(), [text("a"), text("b")]);
        assert_eq!(inputs(json!([1, 2])).unwrap(), [Input::Tokens(vec![1, 2])]);
        let two = [Input::Tokens(vec![1]), Input::Tokens(vec![2, 3])];
        assert_eq!(inputs(json!([[1], [2, 3]])).unwrap(), two);
        for (wrong, field) in [
            (json!(null), "input"),
            (json!([]), "input"),
            (json!({}), "input"),
            (json!(""), "input"),
            (json!(["a", ""]), "input[1]"),
            (json!([[]]), "input[0]"),
            (json!([1.5]), "input"),
            (json!([1, "a"]), "input"),
            (json!([5_000_000_000_u64]), "input"),
            (json!([true]), "input[0]"),
        ] {
            let error = inputs(wrong.clone()).unwrap_err();
            assert_eq!(error.param(), Some(field), "{wrong}");
        }
    }

    #[test]
    fn base64_has_little_endian_floats() {
        let Vector::Base64(text) = base64(vec![1.0, -2.0]) else {
            panic!("not base64");
        };
        assert_eq!(
            STANDARD.decode(text).unwrap(),
            [0, 0, 128, 63, 0, 0, 0, 192]
        );
    }
}

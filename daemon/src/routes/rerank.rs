//! `POST /v1/rerank` and `POST /slm/v1/rerank`: ranks documents by their relevance to a query.

use api::{Document, ErrorBody, RankedDocument, RerankRequest, RerankResponse, Usage};
use axum::extract::State;
use tokio::time::Instant;

use crate::app::App;
use crate::ask::RerankAsk;
use crate::dialect::fields;
use crate::error::Error;
use crate::extract::{Json, LARGE};
use crate::serve;

/// Ranks documents by their relevance to a query.
///
/// *Cancel*: the request leaves the queue, or its calls are cancelled.
#[utoipa::path(
    post,
    path = api::routes::RERANK,
    request_body = RerankRequest,
    responses(
        (status = 200, description = "The documents by relevance", body = RerankResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, its runner failed, or the server is busy", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<RerankRequest, LARGE>,
) -> Result<axum::Json<RerankResponse>, Error> {
    let documents: Vec<String> = request.documents.into_iter().map(String::from).collect();
    let ask = RerankAsk {
        target: fields::target(
            Instant::now(),
            &request.model,
            request.options.as_ref(),
            request.keep_alive.as_ref(),
        )?,
        query: request.query,
        documents: documents.clone(),
        truncate: request.truncate != Some(false),
    };
    let scores = serve::rerank(&app, ask).await?;
    let mut results = ranked(&scores.scores, request.top_n);
    if request.return_documents == Some(true) {
        for result in &mut results {
            result.document = documents
                .get(result.index)
                .map(|text| Document::Object { text: text.clone() });
        }
    }
    Ok(axum::Json(RerankResponse {
        model: request.model,
        results,
        usage: Usage {
            prompt_tokens: scores.prompt_tokens,
            total_tokens: scores.prompt_tokens,
        },
    }))
}

/// The same under the path of other rerank services.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::RERANK_V1,
    request_body = RerankRequest,
    responses(
        (status = 200, description = "The documents by relevance", body = RerankResponse),
        (status = "4XX", description = "A field is wrong, or no model has this name", body = ErrorBody),
        (status = "5XX", description = "The model cannot be loaded, its runner failed, or the server is busy", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post_v1(
    state: State<App>,
    request: Json<RerankRequest, LARGE>,
) -> Result<axum::Json<RerankResponse>, Error> {
    post(state, request).await
}

/// The documents by score, best first; equal scores keep the order of the request.
fn ranked(scores: &[f32], top: Option<u32>) -> Vec<RankedDocument> {
    let mut results: Vec<_> = scores
        .iter()
        .enumerate()
        .map(|(index, &relevance_score)| RankedDocument {
            index,
            relevance_score,
            document: None,
        })
        .collect();
    results.sort_by(|one, other| other.relevance_score.total_cmp(&one.relevance_score));
    results.truncate(top.map_or(usize::MAX, |top| top as usize));
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_documents_come_first_and_the_others_are_cut() {
        let order = |top| {
            let results = ranked(&[0.5, -1.0, 7.0, 0.5], top);
            results.iter().map(|it| it.index).collect::<Vec<_>>()
        };
        assert_eq!(order(None), [2, 0, 3, 1]);
        assert_eq!(order(Some(2)), [2, 0]);
        assert_eq!(order(Some(0)), [0_usize; 0]);
    }
}

//! Embeddings and reranking.

use futures::{StreamExt, TryStreamExt};
use registry::Capability;
use runner_protocol::{Embed, Embeddings, Input, MAX_INPUTS, Rerank, Scores};

use super::ResolvedModel;
use super::adapters;
use crate::answer::{RequestTimes, Timings};
use crate::app::App;
use crate::ask::{EmbedAsk, RerankAsk};
use crate::error::Error;

/// Most inputs of one request, so that its answer fits in memory.
const MAX_REQUEST_INPUTS: usize = 4096;

/// Calls to the runner at a time: when one ends, the runner has the next already.
const CALLS: usize = 4;

/// The vectors of all inputs, in order.
///
/// # Errors
/// When there are too many inputs, the model is no embedding model, or the load or a call fails.
pub async fn embed(app: &App, ask: EmbedAsk) -> Result<(Embeddings, Timings), Error> {
    check_count("inputs", ask.inputs.len())?;
    let resolved = ResolvedModel::find(app, Capability::Embedding, &ask.target).await?;
    let adapters = adapters::scales(&resolved.model, None)?;
    let lease = resolved.lease(app).await?;
    let times = RequestTimes::loaded(ask.target.arrived);
    let call = |batch: Vec<Input>| {
        lease.runner().embed(Embed {
            inputs: batch,
            dimensions: ask.dimensions,
            normalize: ask.normalize,
            truncate: ask.truncate,
            context: Some(resolved.options.load.context),
            adapters: adapters.clone(),
        })
    };
    let mut all = Embeddings::default();
    for batch in in_batches(ask.inputs, call, &resolved).await? {
        all.vectors.extend(batch.vectors);
        all.prompt_tokens = all.prompt_tokens.saturating_add(batch.prompt_tokens);
        all.truncated += batch.truncated;
    }
    Ok((all, times.timings()))
}

/// The scores of all documents for the query, in order.
///
/// # Errors
/// When the request is not valid, the model is no reranker, or the load or a call fails.
pub async fn rerank(app: &App, ask: RerankAsk) -> Result<Scores, Error> {
    if ask.query.is_empty() {
        return Err(Error::Invalid("query is required".into()));
    }
    check_count("documents", ask.documents.len())?;
    let resolved = ResolvedModel::find(app, Capability::Rerank, &ask.target).await?;
    let adapters = adapters::scales(&resolved.model, None)?;
    let lease = resolved.lease(app).await?;
    let call = |batch| {
        lease.runner().rerank(Rerank {
            query: ask.query.clone(),
            documents: batch,
            truncate: ask.truncate,
            context: Some(resolved.options.load.context),
            adapters: adapters.clone(),
        })
    };
    let mut all = Scores::default();
    for batch in in_batches(ask.documents, call, &resolved).await? {
        all.scores.extend(batch.scores);
        all.prompt_tokens = all.prompt_tokens.saturating_add(batch.prompt_tokens);
        all.truncated += batch.truncated;
    }
    Ok(all)
}

/// Refuses more than [`MAX_REQUEST_INPUTS`].
fn check_count(what: &str, found: usize) -> Result<(), Error> {
    if found > MAX_REQUEST_INPUTS {
        return Err(Error::Invalid(format!(
            "there are {found} {what}, and a request may have {MAX_REQUEST_INPUTS}; send them in several"
        )));
    }
    Ok(())
}

/// The results of calls with at most [`MAX_INPUTS`] inputs each, in order.
async fn in_batches<I, T, F>(
    inputs: Vec<I>,
    call: impl Fn(Vec<I>) -> F,
    resolved: &ResolvedModel,
) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<T, supervisor::Error>>,
{
    let mut inputs = inputs.into_iter();
    let batches = std::iter::from_fn(|| {
        let batch: Vec<I> = inputs.by_ref().take(MAX_INPUTS).collect();
        (!batch.is_empty()).then_some(batch)
    });
    futures::stream::iter(batches.map(call))
        .buffered(CALLS)
        .map_err(|error| Error::runner(&resolved.model.name, error))
        .try_collect()
        .await
}

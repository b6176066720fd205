//! `POST /api/embed` and the older `POST /api/embeddings`: turn texts into vectors.

use api::{EmbedRequest, EmbedResponse, EmbeddingsRequest, EmbeddingsResponse, KeepAlive};
use axum::Json as Body;
use axum::extract::State;
use futures::{StreamExt, TryStreamExt};
use registry::{Capability, ModelName};
use runner_protocol::{Embed, Embeddings, Input, MAX_INPUTS};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::answer::Clock;
use crate::app::{App, Chosen};
use crate::duration::Stay;
use crate::error::Error;
use crate::extract::{Json, LARGE, model_name};
use crate::options;
use crate::scheduler::Lease;

/// Most inputs of one request, so that the answer fits memory.
const MOST_INPUTS: usize = 4096;

/// Calls to the runner at a time: enough that one is always there when another ends.
pub(super) const CALLS: usize = 4;

/// *Cancel*: a client that leaves stops the model, or gives up its place in the queue.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<EmbedRequest, LARGE>,
) -> Result<Body<EmbedResponse>, Error> {
    let arrived = Instant::now();
    let name = model_name(&request.model)?;
    let inputs = Vec::from(request.input);
    few_enough("inputs", inputs.len())?;
    let chosen = choose(
        &app,
        &name,
        Capability::Embedding,
        request.options.as_ref(),
        request.keep_alive.as_ref(),
        arrived,
    )
    .await?;
    let lease = app.lease(&chosen).await?;
    let clock = Clock::loaded(&chosen);
    let like = Embed {
        inputs: Vec::new(),
        // Clients that want all send 0.
        dimensions: request.dimensions.filter(|dimensions| *dimensions > 0),
        normalize: true,
        truncate: request.truncate != Some(false),
        context: Some(chosen.options.load.context),
    };
    let embeddings = embed(&chosen, &lease, inputs, &like).await?;
    let timings = clock.timings();
    Ok(Body(EmbedResponse {
        model: request.model,
        embeddings: embeddings.vectors,
        total_duration: timings.total_duration,
        load_duration: timings.load_duration,
        prompt_eval_count: embeddings.prompt_tokens,
        truncated_inputs: embeddings.truncated,
    }))
}

/// *Cancel*: as above.
pub(crate) async fn post_one(
    State(app): State<App>,
    Json(request): Json<EmbeddingsRequest, LARGE>,
) -> Result<Body<EmbeddingsResponse>, Error> {
    let arrived = Instant::now();
    let name = model_name(&request.model)?;
    let chosen = choose(
        &app,
        &name,
        Capability::Embedding,
        request.options.as_ref(),
        request.keep_alive.as_ref(),
        arrived,
    )
    .await?;
    let lease = app.lease(&chosen).await?;
    let inputs = match request.prompt {
        prompt if prompt.is_empty() => Vec::new(),
        prompt => vec![prompt],
    };
    let like = Embed {
        inputs: Vec::new(),
        dimensions: None,
        normalize: false,
        truncate: true,
        context: Some(chosen.options.load.context),
    };
    let embeddings = embed(&chosen, &lease, inputs, &like).await?;
    Ok(Body(EmbeddingsResponse {
        embedding: embeddings.vectors.into_iter().next().unwrap_or_default(),
    }))
}

/// Finds a model that can do this, and reads what a request wants of it.
pub(super) async fn choose(
    app: &App,
    name: &ModelName,
    capability: Capability,
    options: Option<&Map<String, Value>>,
    keep_alive: Option<&KeepAlive>,
    arrived: Instant,
) -> Result<Chosen, Error> {
    let parameters = options::read(options)?;
    let keep_alive = keep_alive
        .map(Stay::read)
        .transpose()
        .map_err(Error::Invalid)?;
    app.choose_for(capability, name, &parameters, keep_alive, arrived)
        .await
}

/// Refuses what would be too much at once.
pub(super) fn few_enough(what: &str, found: usize) -> Result<(), Error> {
    if found > MOST_INPUTS {
        return Err(Error::Invalid(format!(
            "there are {found} {what}, and a request may have {MOST_INPUTS}; send them in several"
        )));
    }
    Ok(())
}

/// The vectors of all inputs, in order, with the settings of `like`.
async fn embed(
    chosen: &Chosen,
    lease: &Lease,
    inputs: Vec<String>,
    like: &Embed,
) -> Result<Embeddings, Error> {
    let calls = parts(inputs).map(|part| {
        let call = Embed {
            inputs: part.into_iter().map(Input::Text).collect(),
            ..like.clone()
        };
        lease.runner().embed(call)
    });
    let none = Embeddings {
        vectors: Vec::new(),
        prompt_tokens: 0,
        truncated: 0,
    };
    futures::stream::iter(calls)
        .buffered(CALLS)
        .map_err(|error| Error::runner(&chosen.model.name, error))
        .try_fold(none, async |mut all, part| {
            all.vectors.extend(part.vectors);
            all.prompt_tokens = all.prompt_tokens.saturating_add(part.prompt_tokens);
            all.truncated += part.truncated;
            Ok(all)
        })
        .await
}

/// Parts that one call takes.
pub(super) fn parts(inputs: Vec<String>) -> impl Iterator<Item = Vec<String>> {
    let mut inputs = inputs.into_iter();
    std::iter::from_fn(move || {
        let part: Vec<String> = inputs.by_ref().take(MAX_INPUTS).collect();
        (!part.is_empty()).then_some(part)
    })
}

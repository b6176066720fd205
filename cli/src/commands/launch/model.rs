//! The model of an agent: the named one, or the only one on disk.

use api::{ShowRequest, TagsResponse, routes};
use serde::Deserialize;

use super::agents::Agent;
use crate::context::Context;
use crate::error::Failure;

/// The smallest context in which an agent's system prompt and tools leave room for work, in tokens.
const LEAST_CONTEXT: u64 = 16_000;

/// A model on disk.
#[derive(Debug)]
pub(super) struct Model {
    /// Its name.
    pub(super) name: String,
    /// The context of its requests in tokens, if the daemon states it.
    pub(super) context: Option<u64>,
    /// Whether it can call tools.
    has_tools: bool,
}

/// The part of a model's description that matters here.
#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(default)]
    capabilities: Vec<String>,
}

/// The part of an entry of the list of models that matters here.
#[derive(Debug, Deserialize)]
struct Listed {
    context_length: u64,
}

impl Model {
    /// The model `named`, which must be on disk; without a name, the only model on disk.
    pub(super) async fn find(context: &Context, named: Option<&str>) -> anyhow::Result<Self> {
        let name = match named {
            Some(name) => name.to_owned(),
            None => only_one(context).await?,
        };
        let request = ShowRequest {
            model: name.clone(),
            ..ShowRequest::default()
        };
        let shown: Shown = context.client.post(routes::SHOW, &request).await?;
        let path = format!("/v1/models/{name}");
        // An agent also starts without this number.
        let listed: Option<Listed> = context.client.get(&path).await.ok();
        Ok(Self {
            has_tools: shown.capabilities.iter().any(|it| it == "tools"),
            context: listed.map(|listed| listed.context_length),
            name,
        })
    }

    /// Warns about a model with which the agent cannot do its work.
    pub(super) fn warn(&self, context: &Context, agent: &Agent) {
        let (name, agent_name) = (&self.name, agent.name);
        if !agent.uses_tools {
            return;
        }
        if !self.has_tools {
            context.out.warn(&format!(
                "`{name}` cannot call tools, and `{agent_name}` reads and changes files by calling them"
            ));
        }
        if let Some(tokens) = self.context.filter(|tokens| *tokens < LEAST_CONTEXT) {
            context.out.warn(&format!(
                "`{name}` has a context of {tokens} tokens, and `{agent_name}` needs {LEAST_CONTEXT} or more; \
                 the setting `context_length` or the parameter `num_ctx` of the model raises it"
            ));
        }
    }
}

async fn only_one(context: &Context) -> anyhow::Result<String> {
    let tags: TagsResponse = context.client.get(routes::TAGS).await?;
    let names: Vec<&str> = tags
        .models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    match names.as_slice() {
        [] => Err(Failure::new("no model is on disk")
            .hint("`slm pull NAME` fetches one; an agent needs a model that can call tools")
            .into()),
        [only] => Ok((*only).to_owned()),
        _ => Err(
            Failure::usage("--model must name one of the models on disk")
                .hint(format!("on disk: {}", names.join(", ")))
                .into(),
        ),
    }
}

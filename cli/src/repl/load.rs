//! `/load`, and what a conversation begins with: a model that is ready to answer.

use api::{ChatEvent, ChatRequest, ShowResponse, Think, routes};

use super::Session;
use crate::commands::pull::fetch_missing;
use crate::context::Context;
use crate::error::Failure;

/// The word for thoughts among what a model can do.
const THINKING: &str = "thinking";

impl Session {
    /// Loads a model, which begins a new conversation. When that fails, the old one goes on.
    pub(super) async fn load(&mut self, model: &str) -> anyhow::Result<()> {
        let Context { client, out, .. } = &self.context;
        let request = ChatRequest {
            model: model.to_owned(),
            options: self.conversation.options(),
            keep_alive: self.keep_alive(),
            stream: Some(false),
            ..ChatRequest::default()
        };
        let load = async || {
            let _spinner = out.spinner(&format!("loading {model}"));
            client.post::<ChatEvent>(routes::CHAT, &request).await
        };
        match load().await {
            Err(error) if error.is_missing_model() && !self.args.no_pull => {
                fetch_missing(client, out, model).await?;
                load().await?;
            }
            loaded => {
                loaded?;
            }
        }
        self.conversation.begin_with(model);
        Ok(())
    }

    /// Begins a new conversation with another model. What was set here is kept, and said to be, but for thoughts that
    /// the other model has not.
    pub(super) async fn load_other(&mut self, model: &str) -> anyhow::Result<()> {
        self.load(model).await?;
        let out = self.context.out.clone();
        out.note(&format!("a new conversation with `{model}`"));
        let kept = self.what_is_set();
        if !kept.is_empty() {
            out.note(&format!("kept as set here: {}", kept.join(", ")));
        }
        if self.cannot_think(self.think.as_ref()).await? {
            self.think = None;
            out.note(&format!("`{model}` cannot think, so it is not asked to"));
        }
        Ok(())
    }

    /// What was set here and holds for every model, in words.
    fn what_is_set(&self) -> Vec<String> {
        let mut set = Vec::new();
        if self.conversation.system.is_some() {
            set.push("the system prompt".to_owned());
        }
        set.extend(self.conversation.parameters().to_json().keys().cloned());
        if self.format.is_some() {
            set.push("the form of answers".to_owned());
        }
        set
    }

    /// Refuses to ask a model for thoughts that it has not.
    ///
    /// # Errors
    /// The model cannot think, or the daemon cannot be asked.
    pub(super) async fn check_thinking(&self, think: Option<&Think>) -> anyhow::Result<()> {
        if !self.cannot_think(think).await? {
            return Ok(());
        }
        let model = &self.conversation.model;
        let failure = Failure::new(format!("`{model}` cannot think before it answers"));
        Err(failure
            .hint(format!("`slm show {model}` lists what it can do"))
            .into())
    }

    /// Whether thoughts are asked of a model that has none.
    async fn cannot_think(&self, think: Option<&Think>) -> anyhow::Result<bool> {
        if matches!(think, None | Some(Think::Switch(false))) {
            return Ok(false);
        }
        Ok(!can_think(&self.ask_about_model().await?))
    }
}

/// Whether a model thinks; a model without a list of capabilities is taken to.
fn can_think(shown: &ShowResponse) -> bool {
    let capabilities = &shown.capabilities;
    capabilities.is_empty() || capabilities.iter().any(|word| word == THINKING)
}

//! `/load`, and the start of a conversation: the model is loaded before the first question.

use api::{ChatEvent, ChatRequest, ShowResponse, Think, routes};

use super::Session;
use crate::context::Context;
use crate::error::Failure;
use crate::fetch::fetch_missing;

/// The capability of models that think.
const THINKING: &str = "thinking";

impl Session {
    /// Loads a model and begins a new conversation. On failure, the old one stays.
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

    /// Begins a new conversation with another model. Settings are kept, with a note, except thinking if the other model
    /// cannot think.
    pub(super) async fn load_other(&mut self, model: &str) -> anyhow::Result<()> {
        self.load(model).await?;
        let out = self.context.out.clone();
        out.note(&format!("a new conversation with `{model}`"));
        let kept = self.what_is_set();
        if !kept.is_empty() {
            out.note(&format!("kept settings: {}", kept.join(", ")));
        }
        if self.cannot_think(self.think.as_ref()).await? {
            self.think = None;
            out.note(&format!("`{model}` cannot think, so thinking is off"));
        }
        Ok(())
    }

    /// The settings that every model keeps, in words.
    fn what_is_set(&self) -> Vec<String> {
        let mut set = Vec::new();
        if self.conversation.system.is_some() {
            set.push("the system prompt".to_owned());
        }
        set.extend(self.conversation.parameters().to_json().keys().cloned());
        if self.format.is_some() {
            set.push("the format".to_owned());
        }
        set
    }

    /// Refuses thinking for a model that cannot think.
    ///
    /// # Errors
    /// The model cannot think, or the daemon does not answer.
    pub(super) async fn check_thinking(&self, think: Option<&Think>) -> anyhow::Result<()> {
        if !self.cannot_think(think).await? {
            return Ok(());
        }
        let model = &self.conversation.model;
        let failure = Failure::new(format!("`{model}` cannot think before it answers"));
        Err(failure
            .hint(format!("`slm show {model}` lists its capabilities"))
            .into())
    }

    /// Whether `think` asks for thinking and the model has none.
    async fn cannot_think(&self, think: Option<&Think>) -> anyhow::Result<bool> {
        if matches!(think, None | Some(Think::Switch(false))) {
            return Ok(false);
        }
        Ok(!can_think(&self.ask_about_model().await?))
    }
}

/// Whether a model can think; a model without a list of capabilities counts as able.
fn can_think(shown: &ShowResponse) -> bool {
    let capabilities = &shown.capabilities;
    capabilities.is_empty() || capabilities.iter().any(|word| word == THINKING)
}

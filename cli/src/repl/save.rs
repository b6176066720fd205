//! `/save`: saves the conversation as a model that starts with it.

use api::{CreateRequest, Message, Progress, routes};

use super::Session;
use crate::context::Context;
use crate::replaced::{NameTarget, with_replaced};

impl Session {
    /// Creates the model. Saved under the name of the current model, the messages become the model's own, and the
    /// conversation drops them, because the next request would send them twice.
    pub(super) async fn save(&mut self, name: &str) -> anyhow::Result<()> {
        let Context { client, out, .. } = &self.context;
        let conversation = &self.conversation;
        let messages = self.messages_to_save().await?;
        let request = CreateRequest {
            model: name.to_owned(),
            from: Some(conversation.model.clone()),
            system: conversation.system.clone(),
            parameters: conversation.options(),
            messages: messages.clone(),
            ..CreateRequest::default()
        };
        let before = NameTarget::of(client, name).await;
        let mut events = client.stream::<Progress>(routes::CREATE, &request).await?;
        while events.next().await?.is_some() {}
        let replaced = before.replaced(client).await;
        out.note(&with_replaced(
            &format!("saved as `{name}`"),
            replaced.as_deref(),
        ));
        // A model can have several spellings of its name, so the daemon tells whether the current one changed.
        if let Some(saved) = messages
            && same(&self.ask_about_model().await?.messages, &saved)
        {
            self.conversation.clear();
        }
        Ok(())
    }

    /// The model's messages and those of the conversation, because given messages replace the model's.
    /// `None` for an empty conversation.
    async fn messages_to_save(&self) -> anyhow::Result<Option<Vec<Message>>> {
        let said = self.conversation.messages();
        if said.is_empty() {
            return Ok(None);
        }
        let mut messages = self.ask_about_model().await?.messages;
        messages.extend_from_slice(said);
        if messages.iter().any(|message| message.images.is_some()) {
            self.context
                .out
                .note("images are not saved with the conversation");
        }
        // A model keeps only roles and texts.
        for message in &mut messages {
            message.thinking = None;
            message.images = None;
        }
        Ok(Some(messages))
    }
}

fn same(left: &[Message], right: &[Message]) -> bool {
    let texts = |messages: &[Message]| -> Vec<(String, String)> {
        let text = |message: &Message| (message.role.clone(), message.content.clone());
        messages.iter().map(text).collect()
    };
    texts(left) == texts(right)
}

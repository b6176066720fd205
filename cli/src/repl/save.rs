//! `/save`: makes a model that begins where the conversation is.

use api::{CreateRequest, Message, Progress, routes};

use super::Session;
use crate::commands::replaced::{NameTarget, with_replaced};
use crate::context::Context;

impl Session {
    /// Makes the model. Saved under the name of the one that is talked to, the conversation is the model's own from
    /// then on: said again in front of the next question, it would stand there twice.
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
        // One model can be called by several names, so the daemon is asked which one was changed.
        if let Some(saved) = messages
            && same(&self.ask_about_model().await?.messages, &saved)
        {
            self.conversation.clear();
        }
        Ok(())
    }

    /// The model's own messages and those of the conversation, for given ones replace its own.
    /// `None` when nothing was said.
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
        // A model keeps roles and texts.
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

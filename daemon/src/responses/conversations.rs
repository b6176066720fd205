//! Saved conversations and their items.

use std::sync::Arc;

use api::openai::responses::{Conversation, OutputItem};
use registry::{ItemQuery, SavedConversation, SavedItem};
use serde_json::Value;

use super::{Responses, now, parsed, text, value};
use crate::blocking;
use crate::error::Error;

impl Responses {
    /// Saves a new conversation.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when nothing is saved, and when the index cannot be written.
    pub async fn save_conversation(&self, conversation: &Conversation) -> Result<(), Error> {
        if !self.is_on() {
            return Err(Error::Unsupported(
                "a conversation with `responses: off`".into(),
            ));
        }
        let saved = SavedConversation {
            id: conversation.id.clone(),
            record: text(conversation)?,
            bytes: 0,
        };
        self.0.registry.save_conversation(&saved, now()).await?;
        self.count(&saved.id, saved.record.len()).await;
        Ok(())
    }

    /// Saves a conversation again, and keeps its items.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`] when it was removed, and when the index cannot be written.
    pub async fn update_conversation(&self, conversation: &Conversation) -> Result<(), Error> {
        let (id, record) = (&conversation.id, text(conversation)?);
        let updated = self.0.registry.update_conversation(id, &record, now());
        if !updated.await? {
            return Err(Error::conversation_not_found(id));
        }
        self.count(id, record.len()).await;
        Ok(())
    }

    /// The conversation of this id.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be read.
    pub async fn conversation(&self, id: &str) -> Result<Conversation, Error> {
        parsed(&self.saved_conversation(id).await?.record)
    }

    /// The items of a conversation of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], [`Error::Field`] for a longer one, and when the index cannot be read.
    pub async fn items(&self, id: &str, limit: usize) -> Result<Vec<Value>, Error> {
        let conversation = self.saved_conversation(id).await?;
        if conversation.bytes > i64::try_from(limit).unwrap_or(i64::MAX) {
            let reason = format!("has more than {} MiB; begin a new one", limit >> 20);
            return Err(Error::field("conversation", reason));
        }
        read(self.0.registry.items(id).await?).await
    }

    /// A page of the items of a conversation, and whether items follow; `None` if it has no item `after`.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be read.
    pub async fn page(
        &self,
        id: &str,
        query: ItemQuery<'_>,
    ) -> Result<Option<(Vec<Value>, bool)>, Error> {
        self.saved_conversation(id).await?;
        match self.0.registry.item_page(id, query).await? {
            Some(page) => Ok(Some((read(page.items).await?, page.has_more))),
            None => Ok(None),
        }
    }

    /// An item of a conversation.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], [`Error::ItemNotFound`], and when the index cannot be read.
    pub async fn item(&self, conversation: &str, id: &str) -> Result<Value, Error> {
        self.saved_conversation(conversation).await?;
        let item = self.0.registry.item(conversation, id).await?;
        let mut items = read(Vec::from_iter(item)).await?;
        items.pop().ok_or_else(|| Error::item_not_found(id))
    }

    /// Adds items to a conversation, and then the output of a response.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], [`Error::Field`] when the conversation would exceed the budget, and when the index cannot be
    /// written.
    pub async fn add_items(
        &self,
        id: &str,
        items: &Arc<Vec<Value>>,
        output: Vec<OutputItem>,
    ) -> Result<(), Error> {
        let items = Arc::clone(items);
        let write = move || {
            let input = items.iter().map(saved_item);
            let output = output.iter().map(|item| saved_item(&value(item)?));
            input.chain(output).collect::<Result<Vec<_>, Error>>()
        };
        let saved = blocking::run(write).await??;
        let (registry, budget) = (&self.0.registry, self.budget());
        let added = registry.add_items(id, &saved, budget, self.oldest(), now());
        if !added.await? {
            self.saved_conversation(id).await?;
            let reason = format!(
                "would make the conversation longer than {budget} bytes, the limit of `responses`; begin a new one"
            );
            return Err(Error::field("items", reason));
        }
        let bytes = saved.iter().map(|item| item.record.len()).sum();
        self.count(id, bytes).await;
        Ok(())
    }

    /// Removes an item of a conversation. Returns whether it was there.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be written.
    pub async fn remove_item(&self, conversation: &str, id: &str) -> Result<bool, Error> {
        self.saved_conversation(conversation).await?;
        Ok(self.0.registry.remove_item(conversation, id).await?)
    }

    /// Removes a conversation with its items.
    ///
    /// # Errors
    /// [`Error::ConversationNotFound`], and when the index cannot be written.
    pub async fn remove_conversation(&self, id: &str) -> Result<(), Error> {
        self.saved_conversation(id).await?;
        self.0.registry.remove_conversation(id).await?;
        Ok(())
    }

    async fn saved_conversation(&self, id: &str) -> Result<SavedConversation, Error> {
        let found = match self.is_on() {
            true => self.0.registry.conversation(id, self.oldest()).await?,
            false => None,
        };
        found.ok_or_else(|| Error::conversation_not_found(id))
    }
}

/// Reads items on a thread where that may take time.
async fn read(items: Vec<SavedItem>) -> Result<Vec<Value>, Error> {
    let bytes = items.iter().map(|item| item.record.len()).sum();
    let read = move || items.iter().map(|item| parsed(&item.record)).collect();
    blocking::run_sized(bytes, read).await?
}

fn saved_item(item: &Value) -> Result<SavedItem, Error> {
    Ok(SavedItem {
        id: item["id"].as_str().unwrap_or_default().to_owned(),
        record: text(item)?,
    })
}

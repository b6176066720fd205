//! Conversations and their items.

use crate::error::Result;
use crate::registry::{SavedConversation, SavedItem};

use super::Index;
use super::responses::length;

impl Index {
    /// Saves a conversation, and keeps its items.
    pub(crate) async fn save_conversation(
        &self,
        conversation: &SavedConversation,
        now: i64,
    ) -> Result<()> {
        let SavedConversation { id, record, .. } = conversation;
        let bytes = length(&[record]);
        self.execute(sqlx::query!(
            "INSERT INTO conversation (id, saved_at, bytes, record) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET
                saved_at = ?2, bytes = bytes - octet_length(record) + ?3, record = ?4",
            id,
            now,
            bytes,
            record
        ))
        .await
    }

    /// The conversation of this id, if it was changed at `oldest` or later.
    pub(crate) async fn conversation(
        &self,
        id: &str,
        oldest: i64,
    ) -> Result<Option<SavedConversation>> {
        sqlx::query_as!(
            SavedConversation,
            "SELECT id, record, bytes FROM conversation WHERE id = ? AND saved_at >= ?",
            id,
            oldest
        )
        .fetch_optional(&self.reader)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Removes a conversation with its items. Returns whether it was there.
    pub(crate) async fn remove_conversation(&self, id: &str) -> Result<bool> {
        let removed = sqlx::query!("DELETE FROM conversation WHERE id = ?", id)
            .execute(&self.writer)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(removed.rows_affected() > 0)
    }

    /// Adds the items that a conversation does not have to its end. Returns whether the conversation was there.
    pub(crate) async fn add_items(
        &self,
        conversation: &str,
        items: &[SavedItem],
        now: i64,
    ) -> Result<bool> {
        let failed = |source| self.failed(source);
        let mut transaction = self.begin().await?;
        let changed = sqlx::query!(
            "UPDATE conversation SET saved_at = ? WHERE id = ?",
            now,
            conversation
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        let mut bytes = 0;
        for SavedItem { id, record } in items {
            let added = sqlx::query!(
                "INSERT OR IGNORE INTO conversation_item (conversation, id, record) VALUES (?, ?, ?)",
                conversation,
                id,
                record
            )
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            if added.rows_affected() > 0 {
                bytes += length(&[record]);
            }
        }
        sqlx::query!(
            "UPDATE conversation SET bytes = bytes + ? WHERE id = ?",
            bytes,
            conversation
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// The items of a conversation, in order.
    pub(crate) async fn items(&self, conversation: &str) -> Result<Vec<SavedItem>> {
        sqlx::query_as!(
            SavedItem,
            "SELECT id, record FROM conversation_item WHERE conversation = ? ORDER BY number",
            conversation
        )
        .fetch_all(&self.reader)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Removes an item of a conversation. Returns whether it was there.
    pub(crate) async fn remove_item(&self, conversation: &str, id: &str) -> Result<bool> {
        let failed = |source| self.failed(source);
        let mut transaction = self.begin().await?;
        sqlx::query!(
            "UPDATE conversation SET bytes = bytes - coalesce(
                (SELECT octet_length(record) FROM conversation_item WHERE conversation = ?1 AND id = ?2), 0
             ) WHERE id = ?1",
            conversation,
            id
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        let removed = sqlx::query!(
            "DELETE FROM conversation_item WHERE conversation = ? AND id = ?",
            conversation,
            id
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(removed.rows_affected() > 0)
    }
}

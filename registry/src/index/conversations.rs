//! Conversations and their items.

use crate::error::Result;
use crate::registry::{ItemPage, ItemQuery, SavedConversation, SavedItem};

use super::Index;
use super::responses::length;

impl Index {
    /// Saves a new conversation.
    pub(crate) async fn save_conversation(
        &self,
        conversation: &SavedConversation,
        now: i64,
    ) -> Result<()> {
        let SavedConversation { id, record, .. } = conversation;
        let bytes = length(&[record]);
        self.execute(sqlx::query!(
            "INSERT INTO conversation (id, saved_at, bytes, record) VALUES (?, ?, ?, ?)",
            id,
            now,
            bytes,
            record
        ))
        .await
    }

    /// Replaces the record of a conversation, and keeps its items. Returns whether the conversation was there.
    pub(crate) async fn update_conversation(
        &self,
        id: &str,
        record: &str,
        now: i64,
    ) -> Result<bool> {
        let bytes = length(&[record]);
        let updated = sqlx::query!(
            "UPDATE conversation SET saved_at = ?1, bytes = bytes - octet_length(record) + ?2, record = ?3 WHERE id = ?4",
            now,
            bytes,
            record,
            id
        )
        .execute(&self.writer)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(updated.rows_affected() > 0)
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

    /// Adds the items that a conversation does not have to its end, if it was changed at `oldest` or later and has at most `most` bytes
    /// then. Returns whether they are added.
    pub(crate) async fn add_items(
        &self,
        conversation: &str,
        items: &[SavedItem],
        most: i64,
        oldest: i64,
        now: i64,
    ) -> Result<bool> {
        let failed = |source| self.failed(source);
        let mut transaction = self.begin().await?;
        let is_there = sqlx::query_scalar!(
            "SELECT id FROM conversation WHERE id = ? AND saved_at >= ?",
            conversation,
            oldest
        )
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?
        .is_some();
        if !is_there {
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
        let changed = sqlx::query!(
            "UPDATE conversation SET saved_at = ?1, bytes = bytes + ?2 WHERE id = ?3 AND bytes + ?2 <= ?4",
            now,
            bytes,
            conversation,
            most
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        // Without a commit the items are not added.
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
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

    /// An item of a conversation.
    pub(crate) async fn item(&self, conversation: &str, id: &str) -> Result<Option<SavedItem>> {
        sqlx::query_as!(
            SavedItem,
            "SELECT id, record FROM conversation_item WHERE conversation = ? AND id = ?",
            conversation,
            id
        )
        .fetch_optional(&self.reader)
        .await
        .map_err(|source| self.failed(source))
    }

    /// A page of the items of a conversation; `None` if it has no item `after`. Only the records of the page are read.
    pub(crate) async fn item_page(
        &self,
        conversation: &str,
        query: ItemQuery<'_>,
    ) -> Result<Option<ItemPage>> {
        let failed = |source| self.failed(source);
        // Numbers of the items grow; those of a page with the newest items first have the other sign.
        let sign = if query.newest_first { -1 } else { 1 };
        let mut place = i64::MIN;
        if let Some(after) = query.after {
            let number = sqlx::query_scalar!(
                "SELECT number FROM conversation_item WHERE conversation = ? AND id = ?",
                conversation,
                after
            )
            .fetch_optional(&self.reader)
            .await
            .map_err(failed)?;
            match number {
                Some(number) => place = sign * number,
                None => return Ok(None),
            }
        }
        let rows = sqlx::query!(
            "SELECT number, id, record FROM conversation_item WHERE number IN (
                SELECT number FROM (
                    SELECT number, sum(octet_length(record)) OVER (ORDER BY ?1 * number) - octet_length(record) AS before
                    FROM conversation_item WHERE conversation = ?2 AND ?1 * number > ?3 ORDER BY ?1 * number LIMIT ?4
                ) WHERE before < ?5
             ) ORDER BY ?1 * number",
            sign,
            conversation,
            place,
            query.count,
            query.bytes
        )
        .fetch_all(&self.reader)
        .await
        .map_err(failed)?;
        let last = rows.last().map_or(place, |row| sign * row.number);
        let more = sqlx::query_scalar!(
            "SELECT number FROM conversation_item WHERE conversation = ?1 AND ?2 * number > ?3 LIMIT 1",
            conversation,
            sign,
            last
        )
        .fetch_optional(&self.reader)
        .await
        .map_err(failed)?;
        let items = rows.into_iter().map(|row| SavedItem {
            id: row.id,
            record: row.record,
        });
        Ok(Some(ItemPage {
            items: items.collect(),
            has_more: more.is_some(),
        }))
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

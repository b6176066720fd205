//! Saved responses, and the budget that they share with conversations.

use crate::error::Result;
use crate::registry::SavedResponse;

use super::Index;

impl Index {
    /// Saves a response, and replaces an earlier one of the same id.
    pub(crate) async fn save_response(&self, response: &SavedResponse, now: i64) -> Result<()> {
        let SavedResponse { id, input, record } = response;
        let bytes = length(&[input, record]);
        self.execute(sqlx::query!(
            "INSERT OR REPLACE INTO response (id, saved_at, bytes, input, record) VALUES (?, ?, ?, ?, ?)",
            id,
            now,
            bytes,
            input,
            record
        ))
        .await
    }

    /// Replaces the record of a saved response, if both its texts have at most `most` bytes then. Returns whether it is replaced.
    pub(crate) async fn update_response(
        &self,
        id: &str,
        record: &str,
        most: i64,
        now: i64,
    ) -> Result<bool> {
        let bytes = length(&[record]);
        let updated = sqlx::query!(
            "UPDATE response SET saved_at = ?1, bytes = octet_length(input) + ?2, record = ?3
             WHERE id = ?4 AND octet_length(input) + ?2 <= ?5",
            now,
            bytes,
            record,
            id,
            most
        )
        .execute(&self.writer)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(updated.rows_affected() > 0)
    }

    /// The response of this id, if it was saved at `oldest` or later.
    pub(crate) async fn response(&self, id: &str, oldest: i64) -> Result<Option<SavedResponse>> {
        sqlx::query_as!(
            SavedResponse,
            "SELECT id, input, record FROM response WHERE id = ? AND saved_at >= ?",
            id,
            oldest
        )
        .fetch_optional(&self.reader)
        .await
        .map_err(|source| self.failed(source))
    }

    /// Removes a response. Returns whether it was there.
    pub(crate) async fn remove_response(&self, id: &str) -> Result<bool> {
        let removed = sqlx::query!("DELETE FROM response WHERE id = ?", id)
            .execute(&self.writer)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(removed.rows_affected() > 0)
    }

    /// Removes what was saved before `oldest`, and then the oldest responses and conversations until `most` bytes are left.
    /// Returns how many bytes are left.
    pub(crate) async fn trim_responses(&self, most: i64, oldest: i64) -> Result<i64> {
        let failed = |source| self.failed(source);
        let mut transaction = self.begin().await?;
        // The moment from which on everything fits the budget.
        let start = sqlx::query_scalar!(
            r#"SELECT min(saved_at) AS "start: i64" FROM (
                SELECT saved_at, sum(bytes) OVER (ORDER BY saved_at DESC) AS total FROM (
                    SELECT saved_at, bytes FROM response UNION ALL SELECT saved_at, bytes FROM conversation
                )
            ) WHERE total <= ? AND saved_at >= ?"#,
            most,
            oldest
        )
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        let start = start.unwrap_or(i64::MAX);
        sqlx::query!("DELETE FROM response WHERE saved_at < ?", start)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query!("DELETE FROM conversation WHERE saved_at < ?", start)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let left = sqlx::query_scalar!(
            r#"SELECT coalesce((SELECT sum(bytes) FROM response), 0) + coalesce((SELECT sum(bytes) FROM conversation), 0) AS "left!: i64""#
        )
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(left)
    }
}

/// The bytes of these texts together.
pub(super) fn length(texts: &[&str]) -> i64 {
    let bytes = texts.iter().map(|text| text.len()).sum::<usize>();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

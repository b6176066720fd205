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
    /// Those of the ids in `kept` stay, and the newest one unless `most` is 0. Returns how many bytes are left.
    pub(crate) async fn trim_responses(
        &self,
        most: i64,
        oldest: i64,
        kept: &[String],
    ) -> Result<i64> {
        let failed = |source| self.failed(source);
        let kept = serde_json::to_string(kept).expect("ids are texts");
        let mut transaction = self.begin().await?;
        // The oldest row that stays. Rows that were saved in the same millisecond are ordered by id.
        let start = sqlx::query!(
            r#"SELECT saved_at AS "saved_at!: i64", id AS "id!: String" FROM (
                SELECT *, sum(bytes) OVER newest AS total, row_number() OVER newest AS place FROM (
                    SELECT *, id IN (SELECT value FROM json_each(?3)) AS is_kept FROM (
                        SELECT id, saved_at, bytes FROM response UNION ALL SELECT id, saved_at, bytes FROM conversation
                    )
                ) WINDOW newest AS (ORDER BY is_kept DESC, saved_at DESC, id DESC)
            ) WHERE (total <= ?1 OR place = 1 AND ?1 > 0) AND saved_at >= ?2 AND NOT is_kept
            ORDER BY saved_at, id LIMIT 1"#,
            most,
            oldest,
            kept
        )
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        let (saved_at, id) = match start {
            Some(start) => (start.saved_at, start.id),
            None => (i64::MAX, String::new()),
        };
        sqlx::query!(
            "DELETE FROM response WHERE (saved_at, id) < (?, ?) AND id NOT IN (SELECT value FROM json_each(?))",
            saved_at,
            id,
            kept
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        sqlx::query!(
            "DELETE FROM conversation WHERE (saved_at, id) < (?, ?) AND id NOT IN (SELECT value FROM json_each(?))",
            saved_at,
            id,
            kept
        )
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

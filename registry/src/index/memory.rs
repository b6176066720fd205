//! What models took when they were loaded.

use jiff::Timestamp;

use crate::error::Result;

use super::Index;

/// Rows that are kept; the oldest go first.
const MOST: i64 = 4096;

impl Index {
    /// The predicted and the measured bytes of the last load.
    pub(crate) async fn memory(&self, model: &str, settings: &str) -> Result<Option<(u64, u64)>> {
        let row = sqlx::query!(
            "SELECT predicted, measured FROM memory WHERE model = ? AND settings = ?",
            model,
            settings
        )
        .fetch_optional(&self.reader)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(row.map(|row| (row.predicted.cast_unsigned(), row.measured.cast_unsigned())))
    }

    /// Records the bytes of a load.
    pub(crate) async fn record_memory(
        &self,
        model: &str,
        settings: &str,
        predicted: u64,
        measured: u64,
    ) -> Result<()> {
        let (predicted, measured) = (predicted.cast_signed(), measured.cast_signed());
        let now = Timestamp::now().as_second();
        self.execute(sqlx::query!(
            "INSERT OR REPLACE INTO memory (model, settings, predicted, measured, measured_at) VALUES (?, ?, ?, ?, ?)",
            model,
            settings,
            predicted,
            measured,
            now
        ))
        .await?;
        self.execute(sqlx::query!(
            "DELETE FROM memory WHERE measured_at < (SELECT measured_at FROM memory ORDER BY measured_at DESC LIMIT 1 OFFSET ?)",
            MOST
        ))
        .await
    }
}

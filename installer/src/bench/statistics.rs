//! Medians and spreads of a handful of runs.

/// What was measured several times.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one measurement.
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The middle one; of an even number, the mean of the two in the middle; not a number where there is none.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        }
    }

    /// Median, smallest and largest for a table: `163.2 (160.9 to 164.0)`.
    pub(super) fn spread(&self, decimals: usize) -> String {
        let sorted = self.sorted();
        let (smallest, largest) = (
            sorted.first().copied().unwrap_or(f64::NAN),
            sorted.last().copied().unwrap_or(f64::NAN),
        );
        format!(
            "{:.decimals$} ({smallest:.decimals$} to {largest:.decimals$})",
            self.median()
        )
    }

    fn sorted(&self) -> Vec<f64> {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        values
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_the_order_and_the_outlier() {
        let odd: Samples = [100.0, 1.0, 2.0].into_iter().collect();
        assert_eq!(odd.spread(1), "2.0 (1.0 to 100.0)");
        let even: Samples = [4.0, 1.0, 2.0, 3.0].into_iter().collect();
        assert_eq!(even.spread(1), "2.5 (1.0 to 4.0)");
    }
}

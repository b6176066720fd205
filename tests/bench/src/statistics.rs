//! Medians and spreads of a handful of runs.

/// Repeated measurements.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one measurement.
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The median; for an even number, the mean of the two in the middle; NaN without measurements.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        }
    }

    /// The smallest value that `percent` percent do not exceed; NaN without measurements.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let sorted = self.sorted();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// The smallest; NaN without measurements.
    pub(super) fn smallest(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    /// The largest; NaN without measurements.
    pub(super) fn largest(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }

    /// Median, smallest and largest for a table: `163.2 (160.9 to 164.0)`.
    pub(super) fn spread(&self, decimals: usize) -> String {
        format!(
            "{:.decimals$} ({:.decimals$} to {:.decimals$})",
            self.median(),
            self.smallest(),
            self.largest()
        )
    }

    fn sorted(&self) -> Vec<f64> {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        values
    }
}

impl Extend<f64> for Samples {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        self.0.extend(values);
    }
}

impl IntoIterator for Samples {
    type Item = f64;
    type IntoIter = std::vec::IntoIter<f64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
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
    #[test]
    fn a_percentile_is_one_of_the_values() {
        let hundred: Samples = (1..=100).map(f64::from).collect();
        assert_eq!(hundred.percentile(95), 95.0);
        assert_eq!(hundred.percentile(100), 100.0);
        let few: Samples = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!(few.percentile(95), 3.0);
        assert_eq!(few.percentile(1), 1.0);
        assert!(Samples::default().percentile(95).is_nan());
    }
}

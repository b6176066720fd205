//! The results of a part: figures of slm, each compared with other programs'.

use super::statistics::Samples;

/// The outcome of one part on one model.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Figures with notes.
    Measured {
        /// One row per thing that was measured.
        rows: Vec<Row>,
        /// Notes, one sentence each.
        notes: Vec<String>,
    },
    /// The feature does not exist yet, or not on this machine; the sentence names it.
    NotThere(String),
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    /// Rates.
    More,
    /// Times and sizes.
    Less,
}

/// One figure of slm.
#[derive(Debug)]
pub(super) struct Row {
    /// What it is, with its unit at the end: `one stream, tokens/s`.
    pub(super) what: String,
    /// Digits behind the point.
    pub(super) decimals: usize,
    /// Which way is better.
    pub(super) better: Better,
    /// Ours.
    pub(super) slm: Samples,
    /// What it is compared with.
    pub(super) beside: Vec<Beside>,
}

/// The same figure of another program.
#[derive(Debug)]
pub(super) struct Beside {
    /// The program.
    pub(super) name: &'static str,
    /// The figure.
    pub(super) samples: Samples,
    /// The target ratio of slm to it.
    pub(super) reach: Option<f64>,
}

impl Row {
    /// A figure that is compared with nothing yet.
    pub(super) fn new(
        what: impl Into<String>,
        decimals: usize,
        better: Better,
        slm: Samples,
    ) -> Self {
        Self {
            what: what.into(),
            decimals,
            better,
            slm,
            beside: Vec::new(),
        }
    }

    /// Adds a comparison, unless there are no samples; `reach` is the target ratio.
    #[must_use]
    pub(super) fn beside(
        mut self,
        name: &'static str,
        samples: Samples,
        reach: Option<f64>,
    ) -> Self {
        if !samples.is_empty() {
            self.beside.push(Beside {
                name,
                samples,
                reach,
            });
        }
        self
    }

    /// Compares with a fixed value that is not to be exceeded.
    #[must_use]
    pub(super) fn at_most(self, limit: f64) -> Self {
        self.beside("the target", [limit].into_iter().collect(), Some(1.0))
    }

    /// The ratio of the medians.
    pub(super) fn ratio(&self, beside: &Beside) -> f64 {
        self.slm.median() / beside.samples.median()
    }

    /// The target and whether it is reached: `≥ 1.05: yes`.
    pub(super) fn verdict(&self, beside: &Beside) -> String {
        let Some(reach) = beside.reach else {
            return String::new();
        };
        let ratio = self.ratio(beside);
        let (sign, reached) = match self.better {
            Better::More => ('≥', ratio >= reach),
            Better::Less => ('≤', ratio <= reach),
        };
        format!("{sign} {reach:.2}: {}", if reached { "yes" } else { "no" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(value: f64) -> Samples {
        [value].into_iter().collect()
    }

    #[test]
    fn a_ratio_is_good_on_the_side_that_is_better() {
        let verdict = |better, slm, other| {
            let row = Row::new("x", 0, better, samples(slm)).beside("y", samples(other), Some(0.8));
            row.verdict(&row.beside[0])
        };
        assert_eq!(verdict(Better::More, 9.0, 10.0), "≥ 0.80: yes");
        assert_eq!(verdict(Better::More, 7.0, 10.0), "≥ 0.80: no");
        assert_eq!(verdict(Better::Less, 9.0, 10.0), "≤ 0.80: no");
        assert_eq!(verdict(Better::Less, 7.0, 10.0), "≤ 0.80: yes");
    }

    #[test]
    fn a_fixed_target_is_a_comparison() {
        let row = Row::new("x", 0, Better::Less, samples(0.5)).at_most(1.0);
        assert_eq!(row.verdict(&row.beside[0]), "≤ 1.00: yes");
        let row = Row::new("x", 0, Better::Less, samples(1.5)).at_most(1.0);
        assert_eq!(row.verdict(&row.beside[0]), "≤ 1.00: no");
    }

    #[test]
    fn nothing_is_compared_with_what_was_not_measured() {
        let row =
            Row::new("x", 0, Better::More, samples(1.0)).beside("y", Samples::default(), None);
        assert!(row.beside.is_empty());
    }
}

//! What a part of the measurement found: figures of ours, each beside those of others.

use super::statistics::Samples;

/// What measuring one part on one model gave.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Figures, and sentences that belong to them.
    Measured {
        /// One row per thing that was measured.
        rows: Vec<Row>,
        /// What a reader has to know besides; one sentence each.
        notes: Vec<String>,
    },
    /// What is to be measured does not exist yet, or not here; the sentence says what is missing.
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

/// One figure of ours.
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

/// The same figure of something else.
#[derive(Debug)]
pub(super) struct Beside {
    /// Of what.
    pub(super) name: &'static str,
    /// The figure.
    pub(super) samples: Samples,
    /// The ratio of ours to it that is to be reached.
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

    /// Compares it, where there is something to compare with; `reach` is the ratio to reach.
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

    /// Ours by theirs, of the medians.
    pub(super) fn ratio(&self, beside: &Beside) -> f64 {
        self.slm.median() / beside.samples.median()
    }

    /// What is to be reached, and whether it is: `≥ 1.05: yes`.
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
    fn nothing_is_compared_with_what_was_not_measured() {
        let row =
            Row::new("x", 0, Better::More, samples(1.0)).beside("y", Samples::default(), None);
        assert!(row.beside.is_empty());
    }
}

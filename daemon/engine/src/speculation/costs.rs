//! The measured time of a step, by the number of its tokens.
//!
//! A processor that waits for memory computes a few tokens in the time of one, and one that does not takes longer for each.
//! That depends on machine, model, types and load, so every step is timed,
//! and what was measured long ago is forgotten.

use std::time::Duration;

/// The latest measurements of a size that count.
const KEPT: usize = 5;

/// Steps of more tokens are not told apart.
const MOST: usize = 256;

/// A size is forgotten when it did not come for so many steps.
const LIFE: u64 = 1024;

/// What is younger than so many steps need not be measured again.
const FRESH: u64 = 256;

/// What steps took.
#[derive(Debug)]
pub(super) struct Costs {
    /// By number of tokens.
    sizes: Vec<Size>,
    /// Steps that were timed.
    steps: u64,
}

/// Steps of one number of tokens.
#[derive(Debug, Clone, Default)]
struct Size {
    /// What the latest of them took, in seconds, the very latest last.
    times: Vec<f64>,
    /// Which step the latest was.
    step: u64,
}

impl Costs {
    /// Nothing measured.
    pub(super) fn new() -> Self {
        Self {
            sizes: vec![Size::default(); MOST + 1],
            steps: 0,
        }
    }

    /// A step of so many tokens took so long.
    pub(super) fn learn(&mut self, tokens: usize, took: Duration) {
        self.steps += 1;
        let Some(size) = self.sizes.get_mut(tokens) else {
            return;
        };
        if self.steps - size.step > LIFE {
            size.times.clear();
        }
        if size.times.len() == KEPT {
            size.times.remove(0);
        }
        size.times.push(took.as_secs_f64());
        size.step = self.steps;
    }

    /// Whether a step of exactly so many tokens was timed lately.
    pub(super) fn is_fresh(&self, tokens: usize) -> bool {
        let fresh = |size: &Size| !size.times.is_empty() && self.steps - size.step <= FRESH;
        self.sizes.get(tokens).is_some_and(fresh)
    }

    /// The largest size that is known.
    pub(super) fn largest(&self) -> usize {
        let known = |size: &usize| self.known(*size).is_some();
        (0..=MOST).rev().find(known).unwrap_or(0)
    }

    /// About how many seconds a step of so many tokens takes; `None` when nothing was measured.
    ///
    /// Of sizes that were not measured, it lies between the nearest ones that were. Beyond the largest it goes on as before,
    /// and where nothing says how that is, it is hoped that more tokens cost nothing: trying shows.
    pub(super) fn of(&self, tokens: usize) -> Option<f64> {
        let tokens = tokens.min(MOST);
        let known = |size: usize| Some((size, self.known(size)?));
        let mut below = (0..=tokens).rev().filter_map(known);
        let above = (tokens + 1..=MOST).find_map(known);
        match (below.next(), above) {
            (Some((size, cost)), _) if size == tokens => Some(cost),
            (Some(below), Some(above)) => Some(on_line(below, above, tokens)),
            (Some(last), None) => Some(match below.next() {
                Some(before) => on_line(before, last, tokens).max(last.1),
                None => last.1,
            }),
            (None, above) => above.map(|(_, cost)| cost),
        }
    }

    fn known(&self, tokens: usize) -> Option<f64> {
        let size = self.sizes.get(tokens)?;
        typical(&size.times).filter(|_| self.steps - size.step <= LIFE)
    }
}

/// The median, which a step that was held up does not move. Of two the shorter one.
fn typical(times: &[f64]) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len().checked_sub(1)? / 2).copied()
}

/// What the line through two points says at a third place.
fn on_line((x0, y0): (usize, f64), (x1, y1): (usize, f64), x: usize) -> f64 {
    y0 + (y1 - y0) * (x as f64 - x0 as f64) / (x1 as f64 - x0 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(measured: &[(usize, u64)]) -> Costs {
        let mut costs = Costs::new();
        for &(tokens, milliseconds) in measured {
            costs.learn(tokens, Duration::from_millis(milliseconds));
        }
        costs
    }

    fn milliseconds(costs: &Costs, tokens: usize) -> Option<u64> {
        costs
            .of(tokens)
            .map(|seconds| (seconds * 1000.0).round() as u64)
    }

    #[test]
    fn what_was_not_measured_lies_between_what_was() {
        let costs = costs(&[(1, 10), (5, 30), (9, 40)]);
        let found: Vec<_> = [1, 3, 5, 7, 9, 13]
            .map(|tokens| milliseconds(&costs, tokens).unwrap())
            .into();
        assert_eq!(found, [10, 20, 30, 35, 40, 50]);
    }

    #[test]
    fn what_nobody_knows_is_hoped_for() {
        assert_eq!(milliseconds(&Costs::new(), 1), None);
        assert_eq!(milliseconds(&costs(&[(2, 10)]), 8), Some(10));
        assert_eq!(milliseconds(&costs(&[(2, 10)]), 1), Some(10));
        // More tokens are never taken to be cheaper than fewer, whatever noise says.
        assert_eq!(milliseconds(&costs(&[(1, 12), (2, 10)]), 8), Some(10));
    }

    #[test]
    fn a_step_that_was_held_up_does_not_count() {
        let mut costs = costs(&[(1, 10), (1, 500)]);
        assert_eq!(milliseconds(&costs, 1), Some(10));
        for _ in 0..3 {
            costs.learn(1, Duration::from_millis(20));
        }
        assert_eq!(milliseconds(&costs, 1), Some(20));
    }

    #[test]
    fn what_was_measured_long_ago_is_forgotten() {
        let mut costs = costs(&[(1, 10), (9, 400)]);
        assert!(costs.is_fresh(1) && costs.is_fresh(9) && !costs.is_fresh(5));
        assert_eq!(costs.largest(), 9);
        for _ in 0..=FRESH {
            costs.learn(1, Duration::from_millis(10));
        }
        assert!(costs.is_fresh(1) && !costs.is_fresh(9));
        assert_eq!(milliseconds(&costs, 9), Some(400));
        for _ in 0..LIFE {
            costs.learn(1, Duration::from_millis(10));
        }
        assert_eq!((milliseconds(&costs, 9), costs.largest()), (Some(10), 1));
        costs.learn(9, Duration::from_millis(30));
        assert_eq!(milliseconds(&costs, 9), Some(30));
    }

    #[test]
    fn steps_that_are_too_large_are_no_matter() {
        let mut costs = costs(&[(MOST, 10)]);
        costs.learn(MOST + 1, Duration::from_secs(1));
        assert_eq!(milliseconds(&costs, 100_000), Some(10));
    }
}

//! How often draft tokens are accepted, by what they were drafted from.

/// What a token was drafted from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Grounds {
    /// So many tokens before it stand in the text already, followed by the same one.
    Run(usize),
    /// A smaller model gives it this probability.
    Probability(f32),
    /// A smaller model is to be asked, and has not said anything yet.
    Unasked,
}

/// Grounds that are about as good as each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(usize);

/// Initial estimates for each level: runs from short to long, probabilities from low to high, and not yet drafted.
const USUAL: [f64; 9] = [0.3, 0.5, 0.7, 0.9, 0.3, 0.6, 0.8, 0.95, 0.6];

/// Results of all sequences count as much as so many of this one.
const WEIGHT: f64 = 3.0;

/// What is left of an observation when the next one comes, of one sequence.
const MEMORY: f64 = 0.97;

/// The same for all sequences together.
const LONG_MEMORY: f64 = 0.995;

impl Level {
    /// Whether a smaller model made it.
    pub(super) fn is_of_model(self) -> bool {
        self >= Grounds::Probability(0.0).level()
    }
}

impl Grounds {
    pub(super) fn level(self) -> Level {
        let above = |limits: [f32; 3], value: f32| {
            limits.into_iter().filter(|limit| value >= *limit).count()
        };
        Level(match self {
            Self::Run(tokens) => above([5.0, 8.0, 16.0], tokens as f32),
            Self::Probability(probability) => 4 + above([0.4, 0.7, 0.9], probability),
            Self::Unasked => 8,
        })
    }
}

/// Counts of guesses that were tried and that were right, on one level.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    right: f64,
    tried: f64,
}

/// How often guesses turned out right.
#[derive(Debug, Clone)]
pub(super) struct Odds {
    counts: [Count; USUAL.len()],
    memory: f64,
}

impl Odds {
    /// Of one sequence.
    pub(super) fn of_one() -> Self {
        Self {
            counts: [Count::default(); USUAL.len()],
            memory: MEMORY,
        }
    }

    /// Of all of them.
    pub(super) fn of_all() -> Self {
        Self {
            counts: USUAL.map(|share| Count {
                right: share * WEIGHT,
                tried: WEIGHT,
            }),
            memory: LONG_MEMORY,
        }
    }

    /// Learns how a guess turned out.
    pub(super) fn learn(&mut self, Level(level): Level, right: bool) {
        let count = &mut self.counts[level];
        count.right = count.right * self.memory + f64::from(u8::from(right));
        count.tried = count.tried * self.memory + 1.0;
    }

    /// How likely a guess is right, by what this sequence and all of them have seen; more than 0 and less than 1.
    pub(super) fn chance(&self, all: &Self, Level(level): Level) -> f64 {
        let (own, others) = (self.counts[level], all.counts[level]);
        let usual = (others.right + 0.01) / (others.tried + 0.02);
        (own.right + WEIGHT * usual) / (own.tried + WEIGHT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_grounds_are_better_levels() {
        let runs = [3, 5, 8, 16, 32].map(|run| Grounds::Run(run).level());
        assert!(runs.is_sorted() && runs[0] < runs[3] && runs[3] == runs[4]);
        let sure = [0.0, 0.5, 0.7, 1.0].map(|share| Grounds::Probability(share).level());
        assert!(sure.is_sorted_by(|a, b| a < b));
        assert!(runs[4] < sure[0] && sure[3] < Grounds::Unasked.level());
        assert!(sure[0].is_of_model() && !runs[4].is_of_model());
        assert_eq!(Grounds::Probability(f32::NAN).level(), sure[0]);
    }

    #[test]
    fn a_sequence_believes_others_at_first_and_itself_later() {
        let level = Grounds::Run(20).level();
        let (mut own, mut all) = (Odds::of_one(), Odds::of_all());
        assert!((own.chance(&all, level) - 0.9).abs() < 0.01);
        for _ in 0..100 {
            all.learn(level, false);
        }
        assert!(own.chance(&all, level) < 0.1);
        for _ in 0..20 {
            own.learn(level, true);
        }
        assert!(own.chance(&all, level) > 0.8);
        for _ in 0..1000 {
            own.learn(level, true);
            all.learn(level, true);
        }
        assert!(own.chance(&all, level) < 1.0);
    }

    #[test]
    fn levels_are_told_apart() {
        let (mut own, all) = (Odds::of_one(), Odds::of_all());
        let long = Grounds::Run(20).level();
        for _ in 0..50 {
            own.learn(Grounds::Run(3).level(), false);
        }
        assert!(own.chance(&all, Grounds::Run(3).level()) < 0.1);
        assert!(own.chance(&all, long) > 0.8);
    }
}

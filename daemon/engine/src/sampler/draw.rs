//! The draw: samples one of the remaining tokens.

use runner_protocol::{Adaptive, Sampling};

use super::{candidates::Candidates, random::Random};

/// How many of the likeliest tokens tell how steep a choice is; the number of the paper's own program.
const MIROSTAT_HEAD: usize = 100;

/// Height, steepness and width of the curve around the target, as llama.cpp has them.
const ADAPTIVE_PEAK: f32 = 5.0;
const ADAPTIVE_STEEPNESS: f32 = 10.0;
const ADAPTIVE_WIDTH: f32 = 0.3;

/// How a token is drawn.
#[derive(Debug, Clone)]
pub(super) enum Draw {
    /// By the probabilities.
    Plain,
    /// With a level surprise.
    Mirostat(Mirostat),
    /// With a level probability.
    Adaptive(Level),
}

/// Mirostat, as Basu, Ramachandran, Keskar and Varshney describe it (arXiv 2007.14966); version 2 needs no estimate.
#[derive(Debug, Clone)]
pub(super) struct Mirostat {
    version: u8,
    tau: f32,
    eta: f32,
    /// Most surprise that a token may have at present, in bits.
    most: f32,
}

/// What was drawn so far: sums that forget.
#[derive(Debug, Clone)]
pub(super) struct Level {
    target: f32,
    decay: f32,
    probabilities: f32,
    weights: f32,
}

impl Draw {
    pub(super) fn new(sampling: &Sampling) -> Self {
        if let Some(mirostat) = sampling.mirostat {
            return Self::Mirostat(Mirostat {
                version: mirostat.version,
                tau: mirostat.tau,
                eta: mirostat.eta,
                most: 2.0 * mirostat.tau,
            });
        }
        match sampling.adaptive {
            Some(Adaptive { target, decay }) => Self::Adaptive(Level {
                target,
                decay,
                // As if all before had met the target.
                probabilities: target / (1.0 - decay),
                weights: 1.0 / (1.0 - decay),
            }),
            None => Self::Plain,
        }
    }

    /// Draws one; `None` when there is none.
    pub(super) fn draw(
        &mut self,
        candidates: &mut Candidates,
        vocabulary: usize,
        random: &mut Random,
    ) -> Option<i32> {
        match self {
            Self::Plain => {
                candidates.weigh();
                let place = by_probability(candidates, random)?;
                Some(candidates.list[place].token)
            }
            Self::Mirostat(mirostat) => mirostat.draw(candidates, vocabulary, random),
            Self::Adaptive(level) => level.draw(candidates, random),
        }
    }
}

impl Mirostat {
    fn draw(
        &mut self,
        candidates: &mut Candidates,
        vocabulary: usize,
        random: &mut Random,
    ) -> Option<i32> {
        candidates.weigh();
        if self.version == 1 {
            let kept = self.kept(candidates, vocabulary);
            candidates.keep_top(kept);
        } else {
            self.cut(candidates);
        }
        candidates.weigh();
        let place = by_probability(candidates, random)?;
        let surprise = -candidates.list[place].p.log2();
        self.most -= self.eta * (surprise - self.tau);
        Some(candidates.list[place].token)
    }

    /// Drops what would surprise too much; the likeliest always stays.
    fn cut(&self, candidates: &mut Candidates) {
        let most = self.most;
        if candidates.list.iter().any(|it| -it.p.log2() <= most) {
            candidates.retain(|candidate| -candidate.p.log2() <= most);
        } else {
            candidates.keep_top(1);
        }
    }

    /// How many tokens surprise as much as is wanted, if their probabilities fall by Zipf's law.
    fn kept(&self, candidates: &mut Candidates, vocabulary: usize) -> usize {
        candidates.sort_head(MIROSTAT_HEAD);
        let head = &candidates.list[..candidates.list.len().min(MIROSTAT_HEAD)];
        let (mut products, mut squares) = (0.0f32, 0.0f32);
        for (rank, pair) in (1..).zip(head.windows(2)) {
            let steps = ((rank + 1) as f32 / rank as f32).ln();
            products += steps * (pair[0].logit - pair[1].logit);
            squares += steps * steps;
        }
        let slope = products / squares;
        let excess = slope - 1.0;
        let kept = (excess * self.most.exp2() / (1.0 - (vocabulary as f32).powf(-excess)))
            .powf(1.0 / slope);
        // A level choice has no slope, and then no number.
        if kept.is_finite() {
            (kept as usize).max(1)
        } else {
            candidates.list.len()
        }
    }
}

impl Level {
    fn draw(&mut self, candidates: &mut Candidates, random: &mut Random) -> Option<i32> {
        candidates.weigh();
        let before: Vec<f32> = candidates
            .list
            .iter()
            .map(|candidate| candidate.p)
            .collect();
        let target = (2.0 * self.target - self.probabilities / self.weights).clamp(0.0, 1.0);
        candidates.rescore(|candidate| {
            let distance = ((candidate.p - target) / ADAPTIVE_WIDTH).abs();
            ADAPTIVE_PEAK - ADAPTIVE_STEEPNESS * distance * distance / (1.0 + distance)
        });
        candidates.weigh();
        let place = by_probability(candidates, random)?;
        self.probabilities = before[place] + self.decay * self.probabilities;
        self.weights = 1.0 + self.decay * self.weights;
        Some(candidates.list[place].token)
    }
}

/// A place of the list, each as often as its probability says.
fn by_probability(candidates: &Candidates, random: &mut Random) -> Option<usize> {
    let list = &candidates.list;
    let sum: f64 = list.iter().map(|candidate| f64::from(candidate.p)).sum();
    let mut left = random.share() * sum;
    let place = list.iter().position(|candidate| {
        left -= f64::from(candidate.p);
        left < 0.0
    });
    // Rounding may leave a rest behind the last one.
    place.or_else(|| list.iter().rposition(|candidate| candidate.p > 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scores: &[f32]) -> Candidates {
        let mut candidates = Candidates::default();
        candidates.take_all(scores, f32::NEG_INFINITY);
        candidates
    }

    fn mirostat(version: u8, tau: f32) -> Draw {
        Draw::new(&Sampling {
            mirostat: Some(runner_protocol::Mirostat {
                version,
                tau,
                eta: 0.1,
            }),
            ..Sampling::default()
        })
    }

    /// Scores that fall as words of a language do.
    fn zipf(count: usize) -> Vec<f32> {
        (1..=count).map(|rank| -(rank as f32).ln() * 1.1).collect()
    }

    #[test]
    fn tokens_come_as_often_as_their_probability_says() {
        let scores: Vec<f32> = [0.5f32, 0.3, 0.2].iter().map(|p| p.ln()).collect();
        let mut random = Random::new(5);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            let token = Draw::Plain
                .draw(&mut list(&scores), 3, &mut random)
                .unwrap();
            counts[token as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([5000i32, 3000, 2000]) {
            assert!(
                (expected - 200..expected + 200).contains(&count),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn nothing_comes_of_nothing() {
        for mut draw in [Draw::Plain, mirostat(1, 5.0), mirostat(2, 5.0)] {
            assert_eq!(draw.draw(&mut list(&[]), 3, &mut Random::new(1)), None);
        }
    }

    /// The mean surprise of many draws, after the start.
    fn surprise(mut draw: Draw) -> f32 {
        let scores = zipf(5000);
        let mut all = list(&scores);
        all.weigh();
        let probabilities: Vec<f32> = all.list.iter().map(|candidate| candidate.p).collect();
        let mut random = Random::new(11);
        let mut sum = 0.0;
        for round in 0..1500 {
            let token = draw
                .draw(&mut list(&scores), scores.len(), &mut random)
                .unwrap();
            if round >= 500 {
                sum += -probabilities[token as usize].log2();
            }
        }
        sum / 1000.0
    }

    #[test]
    fn the_surprise_follows_what_is_asked() {
        for version in [1, 2] {
            let low = surprise(mirostat(version, 2.0));
            let high = surprise(mirostat(version, 5.0));
            // Measured against all tokens, and the draw measures against those that are left: so it lies somewhat above.
            assert!((1.5..4.5).contains(&low), "{version}: {low}");
            assert!((4.5..7.5).contains(&high), "{version}: {high}");
        }
    }

    #[test]
    fn a_level_choice_and_a_single_token_are_no_trouble() {
        for version in [1, 2] {
            let mut random = Random::new(2);
            let mut draw = mirostat(version, 3.0);
            assert_eq!(draw.draw(&mut list(&[1.0]), 1, &mut random), Some(0));
            for _ in 0..50 {
                assert!(draw.draw(&mut list(&[0.0; 64]), 64, &mut random).is_some());
            }
        }
    }

    #[test]
    fn what_is_drawn_stays_near_the_target_probability() {
        let scores: Vec<f32> = [0.4f32, 0.3, 0.15, 0.1, 0.05]
            .iter()
            .map(|p| p.ln())
            .collect();
        let mean = |target| {
            let mut draw = Draw::new(&Sampling {
                adaptive: Some(Adaptive { target, decay: 0.9 }),
                ..Sampling::default()
            });
            let mut random = Random::new(9);
            let drawn = (0..2000).map(|_| {
                let token = draw.draw(&mut list(&scores), 5, &mut random).unwrap();
                scores[token as usize].exp()
            });
            drawn.sum::<f32>() / 2000.0
        };
        assert!((0.1..0.2).contains(&mean(0.15)), "{}", mean(0.15));
        assert!((0.3..0.4).contains(&mean(0.38)), "{}", mean(0.38));
    }
}

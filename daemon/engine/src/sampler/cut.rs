//! Cuts: which tokens are left to choose from.
//!
//! Names, order and meaning are those of llama.cpp, so that a setting found elsewhere does the same here;
//! a test compares with llama.cpp itself. At least one token is always left.

use runner_protocol::Sampling;

use super::{candidates::Candidates, random::Random};

/// From this threshold on nothing is likely twice.
const XTC_OFF: f32 = 0.5;

/// All cuts of a request.
#[derive(Debug, Clone)]
pub(super) struct Cuts {
    /// `None` keeps all.
    top_k: Option<usize>,
    top_n_sigma: f32,
    typical_p: f32,
    top_p: f32,
    min_p: f32,
    xtc_probability: f32,
    xtc_threshold: f32,
}

impl Cuts {
    pub(super) fn new(sampling: &Sampling) -> Self {
        Self {
            top_k: (sampling.top_k > 0).then_some(sampling.top_k as usize),
            top_n_sigma: sampling.top_n_sigma,
            typical_p: sampling.typical_p,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            xtc_probability: sampling.xtc_probability,
            xtc_threshold: sampling.xtc_threshold,
        }
    }

    /// Fills the list with what is left of all tokens.
    pub(super) fn make(&self, scores: &[f32], candidates: &mut Candidates, random: &mut Random) {
        let floor = sigma_floor(scores, self.top_n_sigma);
        match self.top_k {
            Some(k) if k < scores.len() => candidates.take_top(scores, k, floor),
            _ => candidates.take_all(scores, floor),
        }
        typical(candidates, self.typical_p);
        if self.top_p < 1.0 {
            candidates.keep_share(self.top_p);
        }
        min_p(candidates, self.min_p);
        if self.xtc_probability > 0.0 && self.xtc_threshold <= XTC_OFF {
            // A number is drawn whatever comes of it, so that the ones after it stay the same.
            let chance = random.share() as f32;
            if chance <= self.xtc_probability {
                exclude_top(candidates, self.xtc_threshold);
            }
        }
    }
}

/// The score that lies `n` standard deviations below the highest.
fn sigma_floor(scores: &[f32], n: f32) -> f32 {
    if n <= 0.0 {
        return f32::NEG_INFINITY;
    }
    let finite = || scores.iter().copied().filter(|score| score.is_finite());
    let (mut count, mut sum, mut highest) = (0.0f64, 0.0f64, f32::NEG_INFINITY);
    for score in finite() {
        count += 1.0;
        sum += f64::from(score);
        highest = highest.max(score);
    }
    let mean = sum / count;
    let variance = finite()
        .map(|score| (f64::from(score) - mean).powi(2))
        .sum::<f64>()
        / count;
    (f64::from(highest) - f64::from(n) * variance.sqrt()) as f32
}

/// Keeps the tokens whose information is nearest to the entropy, until their probabilities exceed `share`.
fn typical(candidates: &mut Candidates, share: f32) {
    if share >= 1.0 {
        return;
    }
    candidates.sort();
    candidates.weigh();
    let entropy = candidates.entropy();
    let distance: Vec<f32> = candidates
        .list
        .iter()
        .map(|candidate| (-candidate.p.ln() - entropy).abs())
        .collect();
    let mut places: Vec<usize> = (0..distance.len()).collect();
    places.sort_by(|&a, &b| distance[a].total_cmp(&distance[b]));
    let mut sum = 0.0;
    let kept = places
        .iter()
        .position(|&place| {
            sum += candidates.list[place].p;
            sum > share
        })
        .map_or(places.len(), |last| last + 1);
    candidates.pick(&places[..kept]);
}

/// Keeps what has at least this share of the likeliest one's probability.
fn min_p(candidates: &mut Candidates, share: f32) {
    if share <= 0.0 {
        return;
    }
    let highest = candidates
        .list
        .iter()
        .map(|candidate| candidate.logit)
        .fold(f32::NEG_INFINITY, f32::max);
    let floor = highest + share.ln();
    candidates.retain(|candidate| candidate.logit >= floor);
}

/// Takes away all tokens that reach the threshold but the least likely of them.
fn exclude_top(candidates: &mut Candidates, threshold: f32) {
    candidates.sort();
    candidates.weigh();
    let likely = candidates
        .list
        .iter()
        .take_while(|candidate| candidate.p >= threshold)
        .count();
    if likely > 1 {
        candidates.drop_head(likely - 1);
    }
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::{
        sampling::LlamaSampler,
        token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
    };
    use proptest::prelude::*;

    use super::*;

    fn off() -> Sampling {
        Sampling {
            top_k: 0,
            top_p: 1.0,
            ..Sampling::default()
        }
    }

    /// What is left, likeliest first.
    fn left(sampling: &Sampling, scores: &[f32]) -> Vec<i32> {
        let mut candidates = Candidates::default();
        Cuts::new(sampling).make(scores, &mut candidates, &mut Random::new(1));
        candidates.sort();
        candidates.list.iter().map(|it| it.token).collect()
    }

    /// What llama.cpp leaves.
    fn theirs(chain: Vec<LlamaSampler>, scores: &[f32]) -> Vec<i32> {
        let data = (0..)
            .zip(scores)
            .map(|(token, &logit)| LlamaTokenData::new(LlamaToken::new(token), logit, 0.0))
            .collect();
        let mut array = LlamaTokenDataArray::new(data, false);
        for mut sampler in chain {
            array.apply_sampler(&mut sampler);
        }
        let mut left: Vec<(i32, f32)> = array
            .data
            .iter()
            .map(|it| (it.id().0, it.logit()))
            .filter(|(_, logit)| *logit > f32::NEG_INFINITY)
            .collect();
        left.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        left.into_iter().map(|(token, _)| token).collect()
    }

    /// Scores of which no two are alike, so that there is one right order.
    fn scores() -> impl Strategy<Value = Vec<f32>> {
        // Millionths below 12 are further apart than neighbouring numbers of single precision are.
        proptest::collection::btree_set(-12_000_000i32..12_000_000, 2..600)
            .prop_map(|millionths| millionths.into_iter().map(|it| it as f32 / 1e6).collect())
            .prop_shuffle()
    }

    /// How far a score may lie from [`sigma_floor`] where llama.cpp, which adds in single precision, errs about it.
    const ROUNDING: f32 = 1e-4;

    proptest! {
        #[test]
        fn cuts_are_those_of_llama_cpp(scores in scores(), k in 1i32..100, share in 0.05f32..0.99, low in 0.001f32..0.5, sigma in 0.1f32..3.0) {
            let with = |change: fn(&mut Sampling, i32, f32)| {
                let mut sampling = off();
                change(&mut sampling, k, share);
                left(&sampling, &scores)
            };
            prop_assert_eq!(with(|s, k, _| s.top_k = k as u32), theirs(vec![LlamaSampler::top_k(k)], &scores));
            prop_assert_eq!(with(|s, _, p| s.top_p = p), theirs(vec![LlamaSampler::top_p(share, 1)], &scores));
            prop_assert_eq!(
                with(|s, k, p| (s.top_k, s.top_p) = (k as u32, p)),
                theirs(vec![LlamaSampler::top_k(k), LlamaSampler::top_p(share, 1)], &scores)
            );
            prop_assert_eq!(left(&Sampling { min_p: low, ..off() }, &scores), theirs(vec![LlamaSampler::min_p(low, 1)], &scores));
            let floor = sigma_floor(&scores, sigma);
            let clear = |mut tokens: Vec<i32>| {
                tokens.retain(|&token| (scores[token as usize] - floor).abs() > ROUNDING);
                tokens
            };
            prop_assert_eq!(
                clear(left(&Sampling { top_n_sigma: sigma, ..off() }, &scores)),
                clear(theirs(vec![LlamaSampler::top_n_sigma(sigma)], &scores))
            );
            prop_assert_eq!(
                left(&Sampling { xtc_probability: 1.0, xtc_threshold: low, ..off() }, &scores),
                theirs(vec![LlamaSampler::xtc(1.0, low, 1, 0)], &scores)
            );
            // A sum that just reaches the share may end one place off with another order of adding.
            let (typical, other) = (
                left(&Sampling { typical_p: share, ..off() }, &scores),
                theirs(vec![LlamaSampler::typical(share, 1)], &scores),
            );
            prop_assert!(typical.len().abs_diff(other.len()) <= 1);
            let shorter = if typical.len() < other.len() { &typical } else { &other };
            prop_assert!(shorter.iter().all(|token| typical.contains(token) && other.contains(token)));
        }
    }

    /// A mean of 5 and a deviation of 2 that need no rounding, however the numbers are added.
    #[test]
    fn a_score_just_at_the_floor_is_left() {
        let scores = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, f32::NEG_INFINITY, 9.0];
        assert_eq!(sigma_floor(&scores, 2.0), 5.0);
        let sampling = Sampling {
            top_n_sigma: 2.0,
            ..off()
        };
        assert_eq!(left(&sampling, &scores), [8, 6, 4, 5]);
        assert_eq!(
            theirs(vec![LlamaSampler::top_n_sigma(2.0)], &scores),
            [8, 6, 4, 5]
        );
    }

    #[test]
    fn at_least_one_is_left() {
        let sampling = Sampling {
            top_k: 1,
            top_p: 0.0,
            min_p: 1.0,
            typical_p: 0.0,
            top_n_sigma: 0.001,
            xtc_probability: 1.0,
            xtc_threshold: 0.0,
            ..Sampling::default()
        };
        assert_eq!(left(&sampling, &[0.5, 3.0, 2.0]), [1]);
    }

    #[test]
    fn likely_tokens_are_left_out_only_by_chance() {
        let scores = [3.0, 2.9, 2.8, -9.0];
        let sampling = |xtc_probability| Sampling {
            xtc_probability,
            xtc_threshold: 0.1,
            ..off()
        };
        assert_eq!(left(&sampling(1.0), &scores), [2, 3]);
        assert_eq!(left(&sampling(0.0), &scores), [0, 1, 2, 3]);
        let mut random = Random::new(3);
        let mut seen = [0; 2];
        for _ in 0..1000 {
            let mut candidates = Candidates::default();
            Cuts::new(&sampling(0.3)).make(&scores, &mut candidates, &mut random);
            seen[usize::from(candidates.list.len() == 4)] += 1;
        }
        assert!((250..350).contains(&seen[0]), "{seen:?}");
    }
}

//! Temperature: how far the choice spreads.

use runner_protocol::Sampling;

use super::candidates::Candidates;

/// A temperature, or a range of them.
#[derive(Debug, Clone)]
pub(super) struct Temperature {
    middle: f32,
    range: f32,
    exponent: f32,
}

impl Temperature {
    pub(super) fn new(sampling: &Sampling) -> Self {
        Self {
            middle: sampling.temperature,
            range: sampling.dynatemp_range,
            exponent: sampling.dynatemp_exponent,
        }
    }

    /// The temperature without its range. It is above 0: a choice without spread needs no list.
    pub(super) fn middle(&self) -> f32 {
        self.middle
    }

    /// Spreads or narrows the choice.
    pub(super) fn apply(&self, candidates: &mut Candidates) {
        let degrees = if self.range > 0.0 && candidates.list.len() > 1 {
            self.dynamic(candidates)
        } else {
            self.middle
        };
        if degrees > 0.0 {
            candidates.divide(degrees);
        } else {
            candidates.keep_top(1);
        }
    }

    /// The more open the choice, the higher: the lower end of the range for a certain token, the upper one for a dice.
    fn dynamic(&self, candidates: &mut Candidates) -> f32 {
        candidates.weigh();
        let most = (candidates.list.len() as f32).ln();
        let openness = candidates.entropy() / most;
        let low = (self.middle - self.range).max(0.0);
        let high = self.middle + self.range;
        low + (high - low) * openness.powf(self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::{
        sampling::LlamaSampler,
        token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
    };

    use super::*;

    #[test]
    fn temperatures_are_those_of_llama_cpp() {
        let scores = [2.0f32, 1.5, 0.0, -1.0];
        for (middle, range, exponent) in [
            (0.8, 0.0, 1.0),
            (1.0, 0.7, 1.0),
            (0.5, 0.9, 2.0),
            (3.0, 1.0, 0.5),
        ] {
            let data = (0..)
                .zip(scores)
                .map(|(token, logit)| LlamaTokenData::new(LlamaToken::new(token), logit, 0.0))
                .collect();
            let mut theirs = LlamaTokenDataArray::new(data, false);
            theirs.apply_sampler(&mut LlamaSampler::temp_ext(middle, range, exponent));

            let mut candidates = Candidates::default();
            candidates.take_all(&scores, f32::NEG_INFINITY);
            let sampling = Sampling {
                temperature: middle,
                dynatemp_range: range,
                dynatemp_exponent: exponent,
                ..Sampling::default()
            };
            Temperature::new(&sampling).apply(&mut candidates);
            for (ours, theirs) in candidates.list.iter().zip(&theirs.data) {
                assert_eq!(ours.token, theirs.id().0);
                let difference = (ours.logit - theirs.logit()).abs();
                assert!(
                    difference < 1e-4,
                    "{} is not {}",
                    ours.logit,
                    theirs.logit()
                );
            }
        }
    }

    #[test]
    fn a_range_down_to_nothing_takes_the_likeliest_of_a_sure_choice() {
        let mut candidates = Candidates::default();
        candidates.take_all(&[0.0, 200.0], f32::NEG_INFINITY);
        let sampling = Sampling {
            temperature: 0.5,
            dynatemp_range: 0.5,
            ..Sampling::default()
        };
        Temperature::new(&sampling).apply(&mut candidates);
        assert_eq!(candidates.list.len(), 1);
        assert_eq!(candidates.list[0].token, 1);
    }
}

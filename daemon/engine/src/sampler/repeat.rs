//! Penalties of tokens that were used before.

use std::collections::{HashMap, VecDeque};

use runner_protocol::Sampling;

/// What was used in the last tokens, and what that costs.
#[derive(Debug, Clone)]
pub(super) struct Penalties {
    repeat: f32,
    frequency: f32,
    presence: f32,
    last_n: usize,
    window: VecDeque<i32>,
    counts: HashMap<i32, u32>,
}

impl Penalties {
    /// `None` when nothing is penalised. `context` is what −1 means for how far to look back.
    pub(super) fn new(sampling: &Sampling, context: usize) -> Option<Self> {
        let last_n = look_back(sampling.repeat_last_n, context);
        let on = sampling.repeat_penalty != 1.0
            || sampling.presence_penalty != 0.0
            || sampling.frequency_penalty != 0.0;
        (on && last_n > 0).then(|| Self {
            repeat: sampling.repeat_penalty,
            frequency: sampling.frequency_penalty,
            presence: sampling.presence_penalty,
            last_n,
            window: VecDeque::new(),
            counts: HashMap::new(),
        })
    }

    /// Remembers a token.
    pub(super) fn accept(&mut self, token: i32) {
        if self.window.len() == self.last_n
            && let Some(oldest) = self.window.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
        self.window.push_back(token);
        *self.counts.entry(token).or_default() += 1;
    }

    /// Lowers the scores of what was used.
    pub(super) fn apply(&self, scores: &mut [f32]) {
        for (&token, &count) in &self.counts {
            let score = &mut scores[token as usize];
            // A negative score that were divided would become likelier.
            *score = if *score <= 0.0 {
                *score * self.repeat
            } else {
                *score / self.repeat
            };
            *score -= count as f32 * self.frequency + self.presence;
        }
    }
}

/// Tokens to look back on; −1 is the context.
pub(super) fn look_back(last_n: i32, context: usize) -> usize {
    usize::try_from(last_n).map_or(context, |tokens| tokens.min(context))
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::{
        sampling::LlamaSampler,
        token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
    };
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn penalties_are_those_of_llama_cpp(
            used in proptest::collection::vec(0i32..8, 0..40),
            last_n in 1i32..30,
            repeat in 0.5f32..2.0,
            frequency in -1.0f32..1.0,
            presence in -1.0f32..1.0,
        ) {
            let scores: Vec<f32> = (0..8).map(|token| token as f32 - 3.5).collect();
            let sampling = Sampling {
                repeat_last_n: last_n,
                repeat_penalty: repeat,
                frequency_penalty: frequency,
                presence_penalty: presence,
                ..Sampling::default()
            };
            let mut ours = scores.clone();
            let mut penalties = Penalties::new(&sampling, 1000).unwrap();
            used.iter().for_each(|&token| penalties.accept(token));
            penalties.apply(&mut ours);

            let data = (0..).zip(&scores).map(|(token, &logit)| LlamaTokenData::new(LlamaToken::new(token), logit, 0.0)).collect();
            let mut theirs = LlamaTokenDataArray::new(data, false);
            let used: Vec<LlamaToken> = used.into_iter().map(LlamaToken::new).collect();
            let mut sampler = LlamaSampler::penalties(8, last_n, repeat, frequency, presence).with_tokens(&used);
            theirs.apply_sampler(&mut sampler);
            for (ours, theirs) in ours.iter().zip(&theirs.data) {
                prop_assert!((ours - theirs.logit()).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn nothing_is_penalised_when_nothing_says_so() {
        let off = Sampling::default();
        assert!(Penalties::new(&off, 100).is_none());
        let blind = Sampling {
            repeat_penalty: 1.5,
            repeat_last_n: 0,
            ..off
        };
        assert!(Penalties::new(&blind, 100).is_none());
        assert_eq!(
            [look_back(-1, 100), look_back(5, 100), look_back(500, 100)],
            [100, 5, 100]
        );
    }
}

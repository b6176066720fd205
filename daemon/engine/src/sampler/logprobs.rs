//! Log probabilities of the model for one token, before any sampler changes them.

use runner_protocol::{Likelihood, Logprob};

use super::candidates::{Candidates, highest};

use crate::vocabulary::Vocabulary;

/// Reported for a token with probability 0: JSON has no infinity, and other services report this number.
const NEVER: f32 = -9999.0;

/// Log probabilities of the chosen token and of the most likely ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TokenLogprobs {
    chosen: (i32, f32),
    top: Vec<(i32, f32)>,
}

impl TokenLogprobs {
    /// Of the chosen token and the `top` most likely ones.
    pub(super) fn new(
        logits: &[f32],
        chosen: i32,
        top: usize,
        candidates: &mut Candidates,
    ) -> Self {
        let highest = highest(logits);
        let sum: f64 = logits
            .iter()
            .filter(|logit| !logit.is_nan())
            .map(|&logit| f64::from((logit - highest).exp()))
            .sum();
        let logarithm = sum.ln() as f32;
        let of = |logit: f32| {
            let logprob = logit - highest - logarithm;
            if logprob.is_nan() {
                NEVER
            } else {
                logprob.clamp(NEVER, 0.0)
            }
        };
        let top = if top == 0 {
            Vec::new()
        } else {
            candidates.take_top(logits, top, f32::NEG_INFINITY);
            let list = candidates.list.iter();
            list.map(|it| (it.token, of(it.logit))).collect()
        };
        Self {
            chosen: (chosen, of(logits[chosen as usize])),
            top,
        }
    }

    /// As the daemon is told, with the tokens' texts.
    pub(crate) fn told(&self, vocabulary: &impl Vocabulary) -> Logprob {
        let likelihood = |&(token, logprob): &(i32, f32)| Likelihood {
            token,
            bytes: vocabulary.spell(token),
            logprob,
        };
        Logprob {
            chosen: likelihood(&self.chosen),
            top: self.top.iter().map(likelihood).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::tests::Letters;

    #[test]
    fn probabilities_add_up_and_the_likeliest_come_first() {
        let logits = [1.0, 3.0, -2.0, 0.5];
        let opinion = TokenLogprobs::new(&logits, 2, 4, &mut Candidates::default());
        let sum: f32 = opinion.top.iter().map(|(_, logprob)| logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        let order: Vec<i32> = opinion.top.iter().map(|(token, _)| *token).collect();
        assert_eq!(order, [1, 0, 3, 2]);
        assert_eq!(opinion.chosen, opinion.top[3]);
        let ratio = opinion.top[0].1 - opinion.top[1].1;
        assert!((ratio - 2.0).abs() < 1e-5, "{ratio}");
    }

    #[test]
    fn what_cannot_come_has_a_number_all_the_same() {
        let logits = [0.0, f32::NEG_INFINITY, f32::NAN];
        for chosen in [1, 2] {
            let opinion = TokenLogprobs::new(&logits, chosen, 0, &mut Candidates::default());
            assert_eq!(opinion.chosen.1, NEVER);
            assert!(opinion.top.is_empty());
        }
        assert_eq!(
            TokenLogprobs::new(&logits, 0, 3, &mut Candidates::default()).top,
            [(0, 0.0)]
        );
    }

    #[test]
    fn tokens_are_told_with_their_bytes() {
        let opinion = TokenLogprobs::new(&[0.0; 128], 97, 1, &mut Candidates::default());
        let told = opinion.told(&Letters);
        assert_eq!(
            (told.chosen.token, told.chosen.bytes.as_slice()),
            (97, b"a".as_slice())
        );
        assert_eq!(told.top[0].token, 0);
    }
}

//! The tokens that a constraint permits at one position.

use llguidance::toktrie::SimpleVob;

/// A set of tokens.
#[derive(Debug, Clone)]
pub(crate) struct Mask(SimpleVob);

impl From<SimpleVob> for Mask {
    fn from(bits: SimpleVob) -> Self {
        Self(bits)
    }
}

impl Mask {
    /// Sets the logits of all other tokens to −∞.
    pub(crate) fn apply(&self, scores: &mut [f32]) {
        // Most words have only ones or only zeros.
        for (word, scores) in self.0.as_slice().iter().zip(scores.chunks_mut(32)) {
            match *word {
                u32::MAX => {}
                0 => scores.fill(f32::NEG_INFINITY),
                word => {
                    for (bit, score) in scores.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *score = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
        // A set may be shorter than the vocabulary.
        let known = (self.0.as_slice().len() * 32).min(scores.len());
        scores[known..].fill(f32::NEG_INFINITY);
    }

    /// The token of a set with one token.
    pub(crate) fn only(&self) -> Option<i32> {
        (self.0.num_set() == 1)
            .then(|| self.first())
            .flatten()
            .and_then(|token| i32::try_from(token).ok())
    }

    /// Removes a token.
    pub(crate) fn forbid(&mut self, token: u32) {
        self.0.disallow_token(token);
    }

    /// Keeps the tokens for which this is true.
    pub(crate) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        let out: Vec<u32> = self.0.iter().filter(|token| !stays(*token)).collect();
        out.into_iter().for_each(|token| self.forbid(token));
    }

    /// The first token of the set.
    pub(crate) fn first(&self) -> Option<usize> {
        self.0.first_bit_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(size: usize, tokens: &[u32]) -> Mask {
        let mut bits = SimpleVob::alloc(size);
        tokens.iter().for_each(|&token| bits.allow_token(token));
        Mask(bits)
    }

    #[test]
    fn only_tokens_of_the_mask_keep_their_logits() {
        let all: Vec<u32> = (32..64).collect();
        let mut tokens = vec![1, 31];
        tokens.extend(&all);
        tokens.extend([100, 129]);
        let mut scores = vec![1.0f32; 140];
        mask(130, &tokens).apply(&mut scores);
        let kept: Vec<u32> = (0u32..)
            .zip(&scores)
            .filter(|(_, score)| **score == 1.0)
            .map(|(token, _)| token)
            .collect();
        assert_eq!(kept, tokens);
    }

    #[test]
    fn a_mask_with_one_token_returns_it() {
        assert_eq!(mask(100, &[70]).only(), Some(70));
        assert_eq!(mask(100, &[70, 71]).only(), None);
        assert_eq!(mask(100, &[]).only(), None);
        assert_eq!(mask(100, &[70, 71]).first(), Some(70));
    }
}

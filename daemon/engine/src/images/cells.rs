//! Placeholders for an image among the tokens of a sequence.
//!
//! An image takes cells of the KV cache, but has no tokens. In its place stand negative numbers, which are tokens of no vocabulary,
//! made of the hash of the image. So code that compares prefixes of sequences finds the same image equal and another one different,
//! without knowing about images. Each number has 31 bits of the hash, and an image has several of them.
//!
//! The lowest bit marks the first cell of an image: an image is decoded as a whole, so a common prefix of two sequences never ends
//! within one.

use llama_cpp_2::token::LlamaToken;
use sha2::{Digest, Sha256};

/// Fewest cells whose numbers identify an image; one with fewer gets numbers that no other has.
const TELLING: usize = 4;

/// The cells of an image with this hash; `number` is unique for each image.
pub(crate) fn of(hash: &[u8; 32], cells: usize, number: u64) -> Vec<LlamaToken> {
    let mut hasher = Sha256::new();
    hasher.update(hash);
    if cells < TELLING {
        hasher.update(number.to_le_bytes());
    }
    let seed = hasher.finalize();
    let cell = |at: usize| {
        let mut hasher = Sha256::new();
        hasher.update(seed);
        hasher.update((at as u64).to_le_bytes());
        let hash = hasher.finalize();
        let bits = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
        let follows = u32::from(at > 0);
        // Negative, so it is no token.
        LlamaToken::new(((bits & !1) | follows | (1 << 31)).cast_signed())
    };
    (0..cells).map(cell).collect()
}

/// Whether this is a cell of an image.
pub(crate) fn is_cell(token: LlamaToken) -> bool {
    token.0 < 0
}

/// Whether there is an image among these.
pub(crate) fn any(tokens: &[LlamaToken]) -> bool {
    tokens.iter().any(|token| is_cell(*token))
}

/// Whether this is a cell of an image, and not its first.
pub(crate) fn follows(token: LlamaToken) -> bool {
    is_cell(token) && token.0 & 1 == 1
}

/// How many of the first `alike` tokens can be shared: all, or those before the image in which they end.
pub(crate) fn whole(tokens: &[LlamaToken], alike: usize) -> usize {
    let within = |at: &usize| tokens.get(*at).copied().is_some_and(follows);
    let mut at = alike;
    while within(&at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cell_cache::common_prefix;

    fn token(number: i32) -> LlamaToken {
        LlamaToken::new(number)
    }

    #[test]
    fn the_same_image_is_alike_and_another_is_not() {
        let (one, two) = (of(&[1; 32], 16, 0), of(&[2; 32], 16, 1));
        assert_eq!(one, of(&[1; 32], 16, 7));
        assert_eq!(common_prefix(&one, &two), 0);
        assert!(one.iter().all(|cell| is_cell(*cell)));
        assert!(!follows(one[0]) && one[1..].iter().all(|cell| follows(*cell)));
        assert!(!is_cell(token(0)) && !follows(token(5)));
    }

    #[test]
    fn images_of_few_cells_are_alike_to_none() {
        assert_ne!(of(&[1; 32], 3, 0), of(&[1; 32], 3, 1));
        assert_eq!(of(&[1; 32], 4, 0), of(&[1; 32], 4, 1));
    }

    #[test]
    fn what_is_shared_ends_before_or_behind_an_image() {
        let mut tokens = vec![token(5), token(6)];
        tokens.extend(of(&[1; 32], 4, 0));
        tokens.push(token(7));
        let shared = |alike| whole(&tokens, alike);
        assert_eq!([0, 1, 2].map(shared), [0, 1, 2]);
        assert_eq!([3, 4, 5].map(shared), [2, 2, 2]);
        assert_eq!([6, 7].map(shared), [6, 7]);
        // Two images with nothing between them.
        let mut both = of(&[1; 32], 4, 0);
        both.extend(of(&[2; 32], 4, 0));
        assert_eq!([4, 5].map(|alike| whole(&both, alike)), [4, 4]);
    }
}

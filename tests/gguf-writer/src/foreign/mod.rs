//! Tiny models with random weights, each twice: in the layout of Ollama's own engine, and in llama.cpp's.
//!
//! Both files of a pair have the same values, so a translation of the one must give the other, and an engine must compute the same
//! results with both. The differences are written by hand, from Ollama's converters (`convert/convert_*.go`) and llama.cpp's loaders
//! (`src/models/*.cpp`, `tools/mtmd/clip.cpp`).
//! Pairs with `runs` are complete, so that an engine can load them; the others have only the differing tensors and keys, and a few more.

mod dense;
mod gemma;
mod glm;
mod gptoss;
mod llama4;
mod mistral3;
mod qwen;
mod sketches;
mod twins;

use crate::Writer;

/// One model in two layouts.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The architecture that Ollama's file states.
    pub name: &'static str,
    /// In Ollama's layout.
    pub ollama: Writer,
    /// The weights in llama.cpp's layout; `None` if the file is a projector.
    pub weights: Option<Writer>,
    /// The projector in llama.cpp's layout, if Ollama's file contains one.
    pub projector: Option<Writer>,
    /// Whether an engine can load it.
    pub runs: bool,
}

/// Every pair, with weights that come from `seed`.
#[must_use]
pub fn pairs(seed: u64) -> Vec<Pair> {
    let mut pairs = vec![
        gemma::gemma3(seed),
        gemma::embedding(seed),
        gptoss::gptoss(seed),
        mistral3::mistral3(seed),
        qwen::qwen25vl(seed),
        qwen::qwen3vl(seed),
        qwen::qwen35(seed),
        llama4::llama4(seed),
        glm::glmocr(seed),
        glm::glm4moelite(seed),
    ];
    pairs.extend(sketches::all(seed));
    pairs
}

/// The pair with this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn pair(name: &str, seed: u64) -> Pair {
    let found = pairs(seed).into_iter().find(|pair| pair.name == name);
    found.unwrap_or_else(|| panic!("there is no pair {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_small_pairs() {
        let (one, same, other) = (pairs(1), pairs(1), pairs(2));
        for ((one, same), other) in one.iter().zip(&same).zip(&other) {
            assert_eq!(one.ollama, same.ollama);
            assert_ne!(one.ollama, other.ollama, "{}", one.name);
            let bytes = one.ollama.to_bytes().len();
            assert!(bytes < 2_000_000, "{}: {bytes} bytes", one.name);
        }
    }
}

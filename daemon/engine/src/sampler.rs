//! How the next token is chosen from the model's opinion.

use std::hash::{BuildHasher, Hasher, RandomState};

use llama_cpp_2::{
    sampling::LlamaSampler,
    token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
};
use runner::protocol::Sampling;

use crate::error::Error;

/// llama.cpp reads this seed as "take a random one", which would not be reproducible.
const LLAMA_RANDOM_SEED: u32 = u32::MAX;

/// Chooses the tokens of one sequence.
#[derive(Debug)]
pub(crate) struct Chooser {
    how: How,
    seed: u32,
}

#[derive(Debug)]
enum How {
    /// The likeliest token of untouched opinions: no copy of the vocabulary is needed.
    Likeliest,
    Chain(LlamaSampler),
}

impl Chooser {
    /// Checks the settings and builds the chain: penalties, `top_k`, typical, `top_p`, `min_p`, temperature, and the draw.
    ///
    /// `prompt` is what the penalties look back on at first; `context` is what −1 means for how far.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the setting that is out of its range.
    pub(crate) fn new(
        sampling: &Sampling,
        vocabulary: i32,
        context: usize,
        prompt: &[LlamaToken],
    ) -> Result<Self, Error> {
        check(sampling)?;
        let seed = sampling.seed.unwrap_or_else(random_seed);
        let look_back = match usize::try_from(sampling.repeat_last_n) {
            Ok(tokens) => tokens.min(context),
            Err(_) => context,
        };
        let penalties = look_back > 0
            && (sampling.repeat_penalty != 1.0
                || sampling.presence_penalty != 0.0
                || sampling.frequency_penalty != 0.0);
        let greedy = sampling.temperature == 0.0;
        if greedy && !penalties {
            return Ok(Self {
                how: How::Likeliest,
                seed,
            });
        }

        let mut chain = Vec::new();
        if penalties {
            let last_n = i32::try_from(look_back).expect("a context has at most 2^20 cells");
            let seen = &prompt[prompt.len().saturating_sub(look_back)..];
            chain.push(
                LlamaSampler::penalties(
                    vocabulary,
                    last_n,
                    sampling.repeat_penalty,
                    sampling.frequency_penalty,
                    sampling.presence_penalty,
                )
                .with_tokens(seen),
            );
        }
        if greedy {
            chain.push(LlamaSampler::greedy());
        } else {
            chain.extend(drawing(sampling, seed));
        }
        Ok(Self {
            how: How::Chain(LlamaSampler::chain(chain, true)),
            seed,
        })
    }

    /// The seed in use.
    pub(crate) fn seed(&self) -> u32 {
        self.seed
    }

    /// Chooses from the logits of all words, and remembers the choice.
    pub(crate) fn choose(&mut self, logits: &[f32]) -> LlamaToken {
        match &mut self.how {
            How::Likeliest => likeliest(logits),
            How::Chain(chain) => {
                let words = (0..).zip(logits);
                let words =
                    words.map(|(id, &logit)| LlamaTokenData::new(LlamaToken::new(id), logit, 0.0));
                let mut words = LlamaTokenDataArray::from_iter(words, false);
                chain.apply(&mut words);
                let chosen = words
                    .selected_token()
                    .expect("every chain ends in a choice");
                chain.accept(chosen);
                chosen
            }
        }
    }
}

/// Everything after the penalties, for a temperature above 0. What is off is left out.
fn drawing(sampling: &Sampling, seed: u32) -> Vec<LlamaSampler> {
    let mut chain = Vec::new();
    if sampling.top_k > 0 {
        chain.push(LlamaSampler::top_k(
            i32::try_from(sampling.top_k).unwrap_or(i32::MAX),
        ));
    }
    if sampling.typical_p < 1.0 {
        chain.push(LlamaSampler::typical(sampling.typical_p, 1));
    }
    if sampling.top_p < 1.0 {
        chain.push(LlamaSampler::top_p(sampling.top_p, 1));
    }
    if sampling.min_p > 0.0 {
        chain.push(LlamaSampler::min_p(sampling.min_p, 1));
    }
    chain.push(LlamaSampler::temp(sampling.temperature));
    let seed = if seed == LLAMA_RANDOM_SEED {
        LLAMA_RANDOM_SEED - 1
    } else {
        seed
    };
    chain.push(LlamaSampler::dist(seed));
    chain
}

fn check(sampling: &Sampling) -> Result<(), Error> {
    let ranges = [
        ("temperature", sampling.temperature, 0.0..=100.0),
        ("top_p", sampling.top_p, 0.0..=1.0),
        ("min_p", sampling.min_p, 0.0..=1.0),
        ("typical_p", sampling.typical_p, 0.0..=1.0),
        ("repeat_penalty", sampling.repeat_penalty, 0.01..=100.0),
        (
            "presence_penalty",
            sampling.presence_penalty,
            -100.0..=100.0,
        ),
        (
            "frequency_penalty",
            sampling.frequency_penalty,
            -100.0..=100.0,
        ),
    ];
    for (name, value, range) in ranges {
        // NaN is in no range.
        if !range.contains(&value) {
            return Err(Error::Invalid(format!(
                "{name} is {value}, but must lie between {} and {}",
                range.start(),
                range.end()
            )));
        }
    }
    if sampling.repeat_last_n < -1 {
        return Err(Error::Invalid(format!(
            "repeat_last_n is {}, but must be −1 or more",
            sampling.repeat_last_n
        )));
    }
    Ok(())
}

/// The first of the likeliest; the same rule as llama.cpp's own greedy sampler.
fn likeliest(logits: &[f32]) -> LlamaToken {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in (0..).zip(logits) {
        if logit > best.1 {
            best = (token, logit);
        }
    }
    LlamaToken::new(best.0)
}

/// Taken from the keys that the standard library draws from the system for its hash maps.
fn random_seed() -> u32 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 32) as u32 ^ bits as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_likeliest_is_chosen() {
        assert_eq!(likeliest(&[0.5, 2.0, -1.0, 2.0]).0, 1);
        assert_eq!(likeliest(&[f32::NAN, -3.0]).0, 1);
        assert_eq!(likeliest(&[f32::NAN, f32::NAN]).0, 0);
    }

    /// Makes one setting wrong.
    type Spoil = fn(&mut Sampling);

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong: [(&str, Spoil); 9] = [
            ("temperature", |s| s.temperature = f32::NAN),
            ("temperature", |s| s.temperature = -0.1),
            ("top_p", |s| s.top_p = 1.1),
            ("min_p", |s| s.min_p = f32::INFINITY),
            ("typical_p", |s| s.typical_p = -1.0),
            ("repeat_penalty", |s| s.repeat_penalty = 0.0),
            ("presence_penalty", |s| {
                s.presence_penalty = f32::NEG_INFINITY
            }),
            ("frequency_penalty", |s| s.frequency_penalty = f32::NAN),
            ("repeat_last_n", |s| s.repeat_last_n = -2),
        ];
        for (name, spoil) in wrong {
            let mut sampling = Sampling::default();
            spoil(&mut sampling);
            let error = Chooser::new(&sampling, 10, 16, &[]).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn edges_of_the_ranges_are_accepted() {
        let sampling = Sampling {
            top_p: 0.0,
            min_p: 1.0,
            typical_p: 0.0,
            top_k: u32::MAX,
            repeat_last_n: i32::MAX,
            repeat_penalty: 1.1,
            ..Sampling::default()
        };
        assert!(Chooser::new(&sampling, 10, 16, &[LlamaToken::new(3)]).is_ok());
    }

    #[test]
    fn a_given_seed_is_reported_and_random_ones_differ() {
        let seed = |seed| {
            Chooser::new(
                &Sampling {
                    seed,
                    ..Sampling::default()
                },
                10,
                16,
                &[],
            )
            .unwrap()
            .seed()
        };
        assert_eq!(seed(Some(7)), 7);
        assert_eq!(seed(Some(u32::MAX)), u32::MAX);
        assert!((0..8).any(|_| seed(None) != seed(None)));
    }
}

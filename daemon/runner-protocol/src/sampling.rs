//! Parameters of the sampler.

use serde::{Deserialize, Serialize};

/// Most logit biases of one request.
pub const MAX_BIASES: usize = 1024;

/// Most sequence breakers of the DRY penalty.
pub const MAX_BREAKERS: usize = 64;

/// Longest sequence breaker, in bytes.
pub const MAX_BREAKER_BYTES: usize = 1024;

/// Parameters of the sampler. Units and defaults are those of the Modelfile's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Seed of the random numbers; `None` draws one. [`Done::seed`](crate::Done::seed) reports it. Seeds above 2³²−1 are mixed
    /// down to 32 bits.
    pub seed: Option<u64>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep the k likeliest; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest up to this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the top probability; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling; 1 is off.
    pub typical_p: f32,
    /// Window of the penalties in tokens; 0 for none, −1 for the context.
    pub repeat_last_n: i32,
    /// 1 is off.
    pub repeat_penalty: f32,
    /// 0 is off.
    pub presence_penalty: f32,
    /// 0 is off.
    pub frequency_penalty: f32,
    /// Keep logits within this many standard deviations of the top one; 0 keeps all.
    pub top_n_sigma: f32,
    /// Probability that XTC removes all tokens above the threshold but the least likely; 0 is off.
    pub xtc_probability: f32,
    /// Threshold of XTC; above 0.5 is off.
    pub xtc_threshold: f32,
    /// Range of the dynamic temperature, which grows with the entropy; 0 is off.
    pub dynatemp_range: f32,
    /// Exponent from entropy to temperature; 1 is linear.
    pub dynatemp_exponent: f32,
    /// DRY penalty.
    pub dry: Option<Dry>,
    /// Mirostat sampling, in place of the other cuts.
    pub mirostat: Option<Mirostat>,
    /// Adaptive-p sampling.
    pub adaptive: Option<Adaptive>,
    /// Logit biases, at most [`MAX_BIASES`].
    pub logit_bias: Vec<Bias>,
}

/// DRY: penalty of a token that extends a repetition of earlier tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dry {
    /// Penalty of the shortest repetition that is not allowed; 0 is off.
    pub multiplier: f32,
    /// Factor of the penalty for each further token; at least 1.
    pub base: f32,
    /// Longest repetition without a penalty, in tokens.
    pub allowed_length: u32,
    /// Window in tokens; 0 for none, −1 for the context.
    pub last_n: i32,
    /// Sequence breakers, at most [`MAX_BREAKERS`], each of 1 to [`MAX_BREAKER_BYTES`] bytes.
    pub breakers: Vec<String>,
}

/// Mirostat sampling: keeps the surprise of the tokens level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mirostat {
    /// 1 or 2.
    pub version: u8,
    /// Target surprise in bits.
    pub tau: f32,
    /// Learning rate, 0 to 1.
    pub eta: f32,
}

/// Adaptive-p sampling: keeps the probability of the chosen tokens near a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Target probability, 0 to 1.
    pub target: f32,
    /// Decay of the moving average, 0 to 0.99.
    pub decay: f32,
}

/// A logit bias.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bias {
    /// The token; out-of-range ids are refused.
    pub token: i32,
    /// Added to its logit, −1000 to 1000; −∞ bans it.
    pub shift: f32,
}

impl Sampling {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            seed: None,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.0,
            typical_p: 1.0,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            dry: None,
            mirostat: None,
            adaptive: None,
            logit_bias: Vec::new(),
        }
    }
}

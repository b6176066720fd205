//! How the next token is sampled from the logits.
//!
//! ```text
//! scores ─► shifts and penalties ─► the constraint's mask ─► cuts ─► temperature ─► draw
//! ```
//! Names, meaning and order are those of llama.cpp, whose own samplers the tests compare with.
//! The code is ours for the sake of time: a vocabulary has up to some hundred thousand tokens, and the usual request needs one pass
//! over their scores, no copy and no sorting of all.
//! What is off costs nothing.

mod candidates;
mod check;
mod cut;
mod draw;
mod dry;
mod logprobs;
mod random;
mod repeat;
mod temperature;

use llama_cpp_2::token::LlamaToken;
use runner_protocol::Sampling;

use self::{
    candidates::Candidates, cut::Cuts, draw::Draw, dry::Dry, random::Random, repeat::Penalties,
    temperature::Temperature,
};
use crate::{
    constraint::{Constraint, Mask},
    error::Error,
    vocabulary::Vocabulary,
};

pub(crate) use self::logprobs::TokenLogprobs;

/// Buffers for one choice, used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    scores: Vec<f32>,
    candidates: Candidates,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) token: LlamaToken,
    /// How likely it was, where the request asks for it.
    pub(crate) logprobs: Option<TokenLogprobs>,
}

/// Chooses the tokens of one sequence.
#[derive(Debug)]
pub(crate) struct Chooser {
    seed: u64,
    random: Random,
    /// Tokens and what is added to their scores.
    shifts: Vec<(i32, f32)>,
    penalties: Option<Penalties>,
    dry: Option<Dry>,
    constraint: Option<Constraint>,
    how: How,
    /// Number of top logprobs to report, if any.
    logprobs: Option<usize>,
}

#[derive(Debug)]
enum How {
    /// The likeliest token.
    Likeliest,
    Drawn {
        cuts: Cuts,
        temperature: Temperature,
        draw: Draw,
    },
}

/// Everything that decides how the tokens of one answer are chosen.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) sampling: &'a Sampling,
    /// Number of top logprobs to report, if any.
    pub(crate) logprobs: Option<u32>,
    pub(crate) constraint: Option<Constraint>,
    /// Tokens that fit the context: what −1 means for how far to look back.
    pub(crate) context: usize,
    /// What penalties look back on at first.
    pub(crate) prompt: &'a [LlamaToken],
}

impl Chooser {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the setting that is out of its range.
    pub(crate) fn new(rules: Rules<'_>, vocabulary: &impl Vocabulary) -> Result<Self, Error> {
        let Rules {
            sampling,
            logprobs,
            constraint,
            context,
            prompt,
        } = rules;
        check::sampling(sampling, vocabulary.count())?;
        check::logprobs(logprobs)?;
        let seed = sampling.seed.unwrap_or_else(|| u64::from(random::seed()));
        let biases = sampling.logit_bias.iter();
        let never = vocabulary.suppressed().into_iter();
        let mut shifts: Vec<(i32, f32)> = biases.map(|it| (it.token, it.shift)).collect();
        shifts.extend(never.map(|token| (token, f32::NEG_INFINITY)));

        let mut penalties = Penalties::new(sampling, context);
        let mut dry = Dry::new(sampling.dry.as_ref(), context);
        for token in prompt {
            if let Some(penalties) = &mut penalties {
                penalties.accept(token.0);
            }
            if let Some(dry) = &mut dry {
                dry.accept(token.0, vocabulary);
            }
        }
        let how = if sampling.temperature == 0.0 {
            How::Likeliest
        } else {
            How::Drawn {
                cuts: Cuts::new(sampling),
                temperature: Temperature::new(sampling),
                draw: Draw::new(sampling),
            }
        };
        Ok(Self {
            seed,
            random: Random::new(seed),
            shifts,
            penalties,
            dry,
            constraint,
            how,
            logprobs: logprobs.map(|top| top as usize),
        })
    }

    /// The seed in use.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Chooses from the scores of all tokens of the model. Nothing is remembered before [`Chooser::accept`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when a constraint turns out to be too complex to follow, or leaves nothing to choose.
    pub(crate) fn choose(
        &mut self,
        logits: &[f32],
        scratch: &mut Scratch,
    ) -> Result<Choice, Error> {
        let token = match self.constraint.take() {
            None => self.pick(logits, None, scratch),
            Some(mut constraint) => {
                let token = self.constrained(logits, &mut constraint, scratch);
                self.constraint = Some(constraint);
                token?
            }
        };
        let logprobs = self
            .logprobs
            .map(|top| TokenLogprobs::new(logits, token, top, &mut scratch.candidates));
        Ok(Choice {
            token: LlamaToken::new(token),
            logprobs,
        })
    }

    /// Remembers a token as part of the answer.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the constraint does not allow it.
    pub(crate) fn accept(
        &mut self,
        token: LlamaToken,
        vocabulary: &impl Vocabulary,
    ) -> Result<(), Error> {
        if let Some(penalties) = &mut self.penalties {
            penalties.accept(token.0);
        }
        if let Some(dry) = &mut self.dry {
            dry.accept(token.0, vocabulary);
        }
        match &mut self.constraint {
            Some(constraint) => constraint.accept(token.0, vocabulary),
            None => Ok(()),
        }
    }

    /// Whether the constraint is met and nothing more can follow.
    pub(crate) fn is_over(&self) -> bool {
        self.constraint.as_ref().is_some_and(Constraint::is_over)
    }

    /// A choice that the constraint allows.
    ///
    /// Where the free choice can be tried without leaving a trace, and following the constraint takes time, it is tried first:
    /// mostly it is allowed, and to know this of one token is much less work than of all.
    fn constrained(
        &mut self,
        logits: &[f32],
        constraint: &mut Constraint,
        scratch: &mut Scratch,
    ) -> Result<i32, Error> {
        let try_first = match &self.how {
            How::Likeliest => true,
            How::Drawn { draw, .. } => constraint.is_costly() && matches!(draw, Draw::Plain),
        };
        if try_first {
            let token = self.pick(logits, None, scratch);
            if constraint.allows(token)? {
                return Ok(token);
            }
        }
        let mut mask = constraint.mask()?;
        loop {
            let token = mask
                .only()
                .unwrap_or_else(|| self.pick(logits, Some(&mask), scratch));
            if constraint.leads_on(token)? {
                return Ok(token);
            }
            constraint.narrow(&mut mask, token)?;
        }
    }

    fn pick(&mut self, logits: &[f32], mask: Option<&Mask>, scratch: &mut Scratch) -> i32 {
        let Scratch { scores, candidates } = scratch;
        let free = mask.is_none()
            && self.shifts.is_empty()
            && self.penalties.is_none()
            && self.dry.is_none();
        let scores: &[f32] = if free {
            logits
        } else {
            scores.clear();
            scores.extend_from_slice(logits);
            self.edit(scores);
            if let Some(mask) = mask {
                mask.apply(scores);
            }
            scores
        };
        let drawn = match &mut self.how {
            How::Likeliest => None,
            How::Drawn {
                cuts,
                temperature,
                draw,
            } => {
                if matches!(draw, Draw::Mirostat(_)) {
                    // It makes a cut of its own.
                    candidates.take_all(scores, f32::NEG_INFINITY);
                    candidates.divide(temperature.middle());
                } else {
                    cuts.make(scores, candidates, &mut self.random);
                    temperature.apply(candidates);
                }
                draw.draw(candidates, scores.len(), &mut self.random)
            }
        };
        // Where no score is a number there is nothing to draw.
        drawn.unwrap_or_else(|| likeliest(scores, mask))
    }

    fn edit(&self, scores: &mut [f32]) {
        for &(token, shift) in &self.shifts {
            scores[token as usize] += shift;
        }
        if let Some(penalties) = &self.penalties {
            penalties.apply(scores);
        }
        if let Some(dry) = &self.dry {
            dry.apply(scores);
        }
    }
}

/// The first of the likeliest, which is also llama.cpp's rule; where no score is a number, the first that is allowed.
fn likeliest(scores: &[f32], mask: Option<&Mask>) -> i32 {
    let highest = candidates::highest(scores);
    let place = if highest > f32::NEG_INFINITY {
        scores.iter().position(|score| *score == highest)
    } else {
        mask.and_then(Mask::first)
    };
    i32::try_from(place.unwrap_or(0)).expect("a vocabulary has at most 2^31 tokens")
}

#[cfg(test)]
pub(crate) mod tests {
    use runner_protocol::Bias;

    use super::*;

    /// A vocabulary of all bytes, of which the first ends an answer.
    #[derive(Debug)]
    pub(crate) struct Letters;

    impl Vocabulary for Letters {
        fn count(&self) -> usize {
            256
        }

        fn piece(&self, token: i32) -> Vec<u8> {
            if token == 0 {
                Vec::new()
            } else {
                vec![token as u8]
            }
        }

        fn spell(&self, token: i32) -> Vec<u8> {
            match token {
                0 => b"<end>".to_vec(),
                token => vec![token as u8],
            }
        }

        fn ends(&self, token: i32) -> bool {
            token == 0
        }

        fn suppressed(&self) -> Vec<i32> {
            Vec::new()
        }
    }

    /// A vocabulary of which one token must never come.
    #[derive(Debug)]
    struct Suppressing(i32);

    impl Vocabulary for Suppressing {
        fn count(&self) -> usize {
            Letters.count()
        }

        fn piece(&self, token: i32) -> Vec<u8> {
            Letters.piece(token)
        }

        fn spell(&self, token: i32) -> Vec<u8> {
            Letters.spell(token)
        }

        fn ends(&self, token: i32) -> bool {
            Letters.ends(token)
        }

        fn suppressed(&self) -> Vec<i32> {
            vec![self.0]
        }
    }

    fn chooser(sampling: &Sampling) -> Chooser {
        chooser_of(sampling, &Letters)
    }

    fn chooser_of(sampling: &Sampling, vocabulary: &impl Vocabulary) -> Chooser {
        let rules = Rules {
            sampling,
            logprobs: None,
            constraint: None,
            context: 1000,
            prompt: &[],
        };
        Chooser::new(rules, vocabulary).unwrap()
    }

    /// Scores of 256 tokens that differ from step to step.
    fn scores(step: u32) -> Vec<f32> {
        let mut random = Random::new(u64::from(step));
        (0..256).map(|_| (random.share() * 8.0) as f32).collect()
    }

    fn answer(sampling: &Sampling) -> Vec<i32> {
        let mut chooser = chooser(sampling);
        (0..40)
            .map(|step| {
                let token = chooser
                    .choose(&scores(step), &mut Scratch::default())
                    .unwrap()
                    .token;
                chooser.accept(token, &Letters).unwrap();
                token.0
            })
            .collect()
    }

    #[test]
    fn the_first_of_the_likeliest_is_chosen() {
        assert_eq!(likeliest(&[0.5, 2.0, -1.0, 2.0], None), 1);
        assert_eq!(likeliest(&[f32::NAN, -3.0], None), 1);
        assert_eq!(likeliest(&[f32::NAN, f32::NAN], None), 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_answer_and_another_seed_another() {
        let with = |seed| Sampling {
            seed: Some(seed),
            temperature: 2.0,
            ..Sampling::default()
        };
        let everything = |seed| Sampling {
            typical_p: 0.95,
            min_p: 0.001,
            xtc_probability: 0.5,
            dynatemp_range: 0.5,
            repeat_penalty: 1.1,
            ..with(seed)
        };
        let mirostat = |seed| Sampling {
            mirostat: Some(runner_protocol::Mirostat {
                version: 2,
                tau: 5.0,
                eta: 0.1,
            }),
            ..with(seed)
        };
        let kinds: [&dyn Fn(u64) -> Sampling; 3] = [&with, &everything, &mirostat];
        for kind in kinds {
            assert_eq!(answer(&kind(7)), answer(&kind(7)));
            assert_ne!(answer(&kind(7)), answer(&kind(8)));
            assert_eq!(answer(&kind(u64::MAX)), answer(&kind(u64::MAX)));
        }
    }

    #[test]
    fn a_given_seed_is_reported_and_random_ones_differ() {
        let seed = |seed| {
            chooser(&Sampling {
                seed,
                ..Sampling::default()
            })
            .seed()
        };
        assert_eq!(seed(Some(7)), 7);
        assert_eq!(seed(Some(u64::MAX)), u64::MAX);
        assert!((0..8).any(|_| seed(None) != seed(None)));
    }

    #[test]
    fn scores_can_be_shifted_and_tokens_banned() {
        let biased = |token, shift| Sampling {
            logit_bias: vec![Bias { token, shift }],
            ..Sampling::greedy()
        };
        let scores = scores(1);
        let best = chooser(&Sampling::greedy())
            .choose(&scores, &mut Scratch::default())
            .unwrap()
            .token
            .0;
        let other = (best + 1) % 256;
        assert_eq!(
            chooser(&biased(other, 100.0))
                .choose(&scores, &mut Scratch::default())
                .unwrap()
                .token
                .0,
            other
        );
        assert_ne!(
            chooser(&biased(best, f32::NEG_INFINITY))
                .choose(&scores, &mut Scratch::default())
                .unwrap()
                .token
                .0,
            best
        );
        let kept = chooser_of(&Sampling::greedy(), &Suppressing(best));
        assert_ne!(
            { kept }
                .choose(&scores, &mut Scratch::default())
                .unwrap()
                .token
                .0,
            best
        );
    }

    #[test]
    fn what_was_said_is_penalised_also_when_it_is_the_likeliest() {
        let sampling = Sampling {
            presence_penalty: 50.0,
            ..Sampling::greedy()
        };
        let mut chooser = chooser(&sampling);
        let scores = scores(1);
        let mut seen = Vec::new();
        for _ in 0..20 {
            let token = chooser
                .choose(&scores, &mut Scratch::default())
                .unwrap()
                .token;
            chooser.accept(token, &Letters).unwrap();
            assert!(!seen.contains(&token.0));
            seen.push(token.0);
        }
    }

    #[test]
    fn a_choice_alone_leaves_no_trace() {
        let sampling = Sampling {
            presence_penalty: 50.0,
            ..Sampling::greedy()
        };
        let mut chooser = chooser(&sampling);
        let scores = scores(1);
        let first = chooser.choose(&scores, &mut Scratch::default()).unwrap();
        assert_eq!(
            chooser.choose(&scores, &mut Scratch::default()).unwrap(),
            first
        );
    }

    #[test]
    fn scores_that_are_no_numbers_do_no_harm() {
        for sampling in [Sampling::greedy(), Sampling::default()] {
            let token = chooser(&sampling)
                .choose(&[f32::NAN; 256], &mut Scratch::default())
                .unwrap()
                .token;
            assert_eq!(token.0, 0);
        }
    }

    #[test]
    fn likelihoods_come_when_asked_for() {
        let rules = Rules {
            sampling: &Sampling::greedy(),
            logprobs: Some(2),
            constraint: None,
            context: 10,
            prompt: &[],
        };
        let mut chooser = Chooser::new(rules, &Letters).unwrap();
        let choice = chooser.choose(&scores(3), &mut Scratch::default()).unwrap();
        let told = choice.logprobs.unwrap().told(&Letters);
        assert_eq!(told.chosen.token, choice.token.0);
        assert_eq!(told.top[0], told.chosen);
        assert_eq!(told.top.len(), 2);
    }
}

//! DRY, "don't repeat yourself": the penalty of a token that would go on with a run which stands in the text before.
//!
//! Its maker's description (p-e-w, text-generation-webui pull request 5677) says: when the last tokens stand somewhere before as well,
//! the token that came after them there is penalised, and the more of them there are, the more.
//! Texts such as a newline are breakers: what comes before one does not count, so that the form of a list is no repetition.

use std::collections::HashMap;

use runner_protocol as protocol;

use super::repeat::look_back;
use crate::vocabulary::Vocabulary;

/// A penalty beyond this forbids the token already.
const MAX_PENALTY: f32 = 1e9;

/// What was said, and what going on with it costs.
#[derive(Debug, Clone)]
pub(super) struct Dry {
    multiplier: f32,
    base: f32,
    allowed_length: usize,
    last_n: usize,
    breakers: Vec<Vec<u8>>,
    /// All tokens, and whether a breaker stands whole in each; those are never penalised.
    said: Vec<(i32, bool)>,
    /// Tokens since the last breaker, which may stand across several tokens.
    since_breaker: usize,
    /// The end of the text, in which a breaker may have begun.
    tail: Vec<u8>,
}

impl Dry {
    /// `None` when nothing is penalised. `context` is what −1 means for how far to look back.
    pub(super) fn new(dry: Option<&protocol::Dry>, context: usize) -> Option<Self> {
        let dry = dry.filter(|dry| dry.multiplier > 0.0)?;
        let last_n = look_back(dry.last_n, context);
        (last_n > 0).then(|| Self {
            multiplier: dry.multiplier,
            base: dry.base,
            allowed_length: dry.allowed_length as usize,
            last_n,
            breakers: dry
                .breakers
                .iter()
                .map(|text| text.clone().into_bytes())
                .collect(),
            said: Vec::new(),
            since_breaker: 0,
            tail: Vec::new(),
        })
    }

    /// Remembers a token.
    pub(super) fn accept(&mut self, token: i32, vocabulary: &impl Vocabulary) {
        let bytes = vocabulary.spell(token);
        let whole = self.breakers.iter().any(|text| holds(&bytes, text));
        self.tail.extend_from_slice(&bytes);
        if self.breakers.iter().any(|text| holds(&self.tail, text)) {
            self.since_breaker = 0;
            // The same breaker must not be found again.
            self.tail.clear();
        } else {
            self.since_breaker += 1;
            let longest = self.breakers.iter().map(Vec::len).max().unwrap_or(0);
            let kept = self.tail.len().min(longest.saturating_sub(1));
            self.tail.drain(..self.tail.len() - kept);
        }
        self.said.push((token, whole));
    }

    /// Lowers the scores of what would go on with a repeated run.
    pub(super) fn apply(&self, scores: &mut [f32]) {
        for (token, run) in self.runs() {
            let power = i32::try_from(run - self.allowed_length).unwrap_or(i32::MAX);
            let penalty = self.multiplier * self.base.powi(power);
            scores[token as usize] -= penalty.min(MAX_PENALTY);
        }
    }

    /// The tokens that would go on with a run that is too long, and how long the longest of their runs is.
    fn runs(&self) -> HashMap<i32, usize> {
        let said = &self.said[self.said.len().saturating_sub(self.last_n)..];
        let longest = self.since_breaker.min(said.len());
        let mut runs: HashMap<i32, usize> = HashMap::new();
        if longest < self.allowed_length.max(1) {
            return runs;
        }
        let backwards: Vec<i32> = said.iter().rev().map(|(token, _)| *token).collect();
        let matches = matches_of_the_start(&backwards);
        // Backwards, the token that came after a run is the one before it.
        for place in 1..backwards.len() {
            let run = matches[place].min(longest);
            let (token, breaks) = said[said.len() - place];
            if run >= self.allowed_length.max(1) && !breaks {
                let known = runs.entry(token).or_default();
                *known = (*known).max(run);
            }
        }
        runs
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// For each place how many tokens from there on are the same as from the start on. This is the Z algorithm: the time grows
/// with the length alone.
fn matches_of_the_start(tokens: &[i32]) -> Vec<usize> {
    let mut matches = vec![0; tokens.len()];
    // The match that reaches farthest.
    let (mut from, mut to) = (0, 0);
    for place in 1..tokens.len() {
        let known = if place < to {
            matches[place - from].min(to - place)
        } else {
            0
        };
        let rest = tokens[known..].iter().zip(&tokens[place + known..]);
        let length = known + rest.take_while(|(a, b)| a == b).count();
        matches[place] = length;
        if place + length > to {
            (from, to) = (place, place + length);
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::tests::Letters;

    fn dry(last_n: i32, breakers: &[&str]) -> Dry {
        let dry = protocol::Dry {
            multiplier: 0.5,
            base: 2.0,
            allowed_length: 2,
            last_n,
            breakers: breakers.iter().map(|text| String::from(*text)).collect(),
        };
        Dry::new(Some(&dry), 1000).unwrap()
    }

    /// Letters are tokens.
    fn runs(dry: &mut Dry, text: &str) -> Vec<(char, usize)> {
        text.bytes()
            .for_each(|letter| dry.accept(i32::from(letter), &Letters));
        let mut runs: Vec<(char, usize)> = dry
            .runs()
            .into_iter()
            .map(|(token, run)| (char::from(token as u8), run))
            .collect();
        runs.sort_unstable();
        runs
    }

    #[test]
    fn what_goes_on_with_a_run_is_penalised_by_the_length_of_the_run() {
        assert_eq!(runs(&mut dry(-1, &[]), "abccbcyabc"), [('c', 3), ('y', 2)]);
        let mut scores = [0.0; 256];
        let mut dry = dry(-1, &[]);
        runs(&mut dry, "abccbcyabc");
        dry.apply(&mut scores);
        assert_eq!((scores['c' as usize], scores['y' as usize]), (-1.0, -0.5));
        assert_eq!(scores.iter().filter(|score| **score != 0.0).count(), 2);
    }

    #[test]
    fn short_runs_are_allowed_and_old_ones_forgotten() {
        assert_eq!(runs(&mut dry(-1, &[]), "axbya"), []);
        assert_eq!(runs(&mut dry(-1, &[]), "abcxyzab"), [('c', 2)]);
        assert_eq!(runs(&mut dry(7, &[]), "abcxyzab"), []);
    }

    #[test]
    fn what_comes_before_a_breaker_does_not_count() {
        assert_eq!(
            runs(&mut dry(-1, &[]), "- ab\n- cd\n- "),
            [('a', 2), ('c', 3)]
        );
        assert_eq!(
            runs(&mut dry(-1, &["\n"]), "- ab\n- cd\n- "),
            [('a', 2), ('c', 2)]
        );
        assert_eq!(runs(&mut dry(-1, &["\n- "]), "- ab\n- cd\n- "), []);
        // A breaker itself is never penalised.
        assert_eq!(runs(&mut dry(-1, &["x"]), "abxab"), []);
    }

    #[test]
    fn a_long_run_costs_much_but_not_more_than_a_number_can_say() {
        let mut dry = dry(-1, &[]);
        runs(&mut dry, &"a".repeat(500));
        let mut scores = [0.0f32; 256];
        dry.apply(&mut scores);
        assert_eq!(scores['a' as usize], -MAX_PENALTY);
    }

    proptest! {
        #[test]
        fn the_fast_way_finds_what_comparing_all_finds(tokens in proptest::collection::vec(0i32..3, 0..60)) {
            let fast = matches_of_the_start(&tokens);
            for place in 1..tokens.len() {
                let plain = tokens.iter().zip(&tokens[place..]).take_while(|(a, b)| a == b).count();
                prop_assert_eq!(fast[place], plain);
            }
        }
    }
}

//! Prompts of a known number of tokens, without common prefixes.

use std::cell::Cell;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::stream;

const ADJECTIVES: [&str; 16] = [
    "old", "quiet", "bright", "narrow", "heavy", "green", "distant", "broken", "warm", "hollow",
    "silver", "patient", "careful", "sudden", "gentle", "rough",
];
const NOUNS: [&str; 16] = [
    "river", "lantern", "garden", "captain", "bridge", "letter", "mountain", "teacher", "window",
    "harbour", "forest", "painter", "market", "engine", "village", "winter",
];
const VERBS: [&str; 16] = [
    "follows",
    "remembers",
    "carries",
    "crosses",
    "watches",
    "repairs",
    "answers",
    "leaves",
    "finds",
    "covers",
    "measures",
    "warns",
    "opens",
    "gathers",
    "paints",
    "keeps",
];
const PLACES: [&str; 16] = [
    "by the sea",
    "after the rain",
    "in the morning",
    "near the wall",
    "under the roof",
    "before the feast",
    "at the gate",
    "along the road",
    "in the valley",
    "without a word",
    "for the last time",
    "against the wind",
    "on the hill",
    "with great care",
    "behind the mill",
    "at the end of the day",
];

/// Cuts texts to a length in tokens, counted by llama-server; both sides have the same count.
#[derive(Debug)]
pub(super) struct Ruler<'a> {
    agent: ureq::Agent,
    url: String,
    /// Number of the next text.
    next: &'a Cell<u64>,
}

impl<'a> Ruler<'a> {
    /// A ruler that counts with the llama-server at this address. `next` numbers the texts, so that none is repeated.
    pub(super) fn new(base: &str, next: &'a Cell<u64>) -> Self {
        Self {
            agent: stream::agent(),
            url: format!("{base}/tokenize"),
            next,
        }
    }

    /// The longest text in whole words with at most `tokens` tokens.
    ///
    /// # Errors
    /// The server does not count.
    pub(super) fn text(&self, tokens: usize) -> Result<String> {
        let number = self.next.replace(self.next.get() + 1);
        // A word has at least one token.
        let words: Vec<String> = words(number).take(tokens).collect();
        let (mut fits, mut too_long) = (1, words.len() + 1);
        while too_long - fits > 1 {
            let middle = usize::midpoint(fits, too_long);
            if self.count(&words[..middle].join(" "))? <= tokens {
                fits = middle;
            } else {
                too_long = middle;
            }
        }
        Ok(words[..fits].join(" "))
    }

    fn count(&self, text: &str) -> Result<usize> {
        let answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(json!({"content": text, "add_special": true}).to_string())
            .with_context(|| format!("no answer from {}", self.url))?
            .into_body()
            .into_reader();
        let answer: Value = serde_json::from_reader(answer)?;
        answer["tokens"]
            .as_array()
            .map(Vec::len)
            .with_context(|| format!("{} gives no tokens", self.url))
    }
}

/// `count` different short sentences.
pub(super) fn sentences(count: u64) -> Vec<String> {
    (0..count)
        .map(|number| sentence(&mut Dice(number.wrapping_mul(0x5851_F42D_4C95_7F2D))))
        .collect()
}

/// An endless plain story. Stories with different numbers differ from the second word on.
fn words(number: u64) -> impl Iterator<Item = String> {
    let mut dice = Dice(number);
    let title = format!("Chapter {number}.");
    std::iter::once(title)
        .chain(std::iter::from_fn(move || Some(sentence(&mut dice))))
        .flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

fn sentence(dice: &mut Dice) -> String {
    format!(
        "The {} {} {} the {} {} {}.",
        dice.pick(&ADJECTIVES),
        dice.pick(&NOUNS),
        dice.pick(&VERBS),
        dice.pick(&ADJECTIVES),
        dice.pick(&NOUNS),
        dice.pick(&PLACES)
    )
}

/// A linear congruential generator, whose high bits are good enough to choose words.
struct Dice(u64);

impl Dice {
    fn pick<'words>(&mut self, words: &[&'words str; 16]) -> &'words str {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        words[(self.0 >> 60) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_stories_part_at_the_second_word() {
        let begin = |number| words(number).take(2).collect::<Vec<_>>();
        assert_eq!(begin(7), ["Chapter", "7."]);
        assert_ne!(begin(7), begin(8));
    }

    #[test]
    fn the_same_number_gives_the_same_story() {
        let story = |number| words(number).take(500).collect::<Vec<_>>();
        assert_eq!(story(3), story(3));
        assert_ne!(story(3)[2..], story(4)[2..]);
    }

    #[test]
    fn a_thousand_sentences_are_a_thousand() {
        let different: HashSet<String> = sentences(1000).into_iter().collect();
        assert_eq!(different.len(), 1000);
    }
}

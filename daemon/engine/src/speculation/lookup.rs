//! Prompt lookup: drafts from the text itself, by what followed the same tokens before.
//!
//! Answers repeat what they are about: names, code that is edited, a text that is quoted. Where the last tokens stand in the text already,
//! what followed them there is a draft that costs next to nothing.
//!
//! Tables say for a run of tokens where it last stood, so to add a token takes the same short time however long the text is.
//! They hold no tokens, only hashes and places in the text; what is found is compared.

use std::collections::HashMap;

use llama_cpp_2::token::LlamaToken;

use super::{Draft, odds::Grounds};

/// Lengths of the runs that are looked for, longest first: a long one is more likely to go on in the same way.
const RUNS: [usize; 2] = [8, 3];

/// Longer runs are not measured; they are as good as this.
const LONGEST: usize = 32;

/// Where the runs of a text stand.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    tables: [Table; RUNS.len()],
    /// So many tokens of the text have been seen.
    seen: usize,
}

impl Lookup {
    /// Guesses how a text goes on, by at most so many tokens. It is the text of the call before with more tokens at its end.
    pub(super) fn draft(&mut self, text: &[LlamaToken], most: usize) -> Draft {
        self.see(text);
        let found = self
            .tables
            .iter()
            .zip(RUNS)
            .find_map(|(table, run)| table.find(text, run));
        match found {
            Some((next, run)) => go_on(text, next, run, most),
            None => Draft::default(),
        }
    }

    /// Notes all runs that something follows.
    fn see(&mut self, text: &[LlamaToken]) {
        for (table, run) in self.tables.iter_mut().zip(RUNS) {
            table.see(text, self.seen, run);
        }
        self.seen = text.len();
    }
}

/// Copies what stands at `next`; where that reaches the end of the text, it goes on with the copy.
fn go_on(text: &[LlamaToken], next: usize, run: usize, most: usize) -> Draft {
    let mut draft = Draft::default();
    for at in next..next + most {
        let token = match text.get(at) {
            Some(&token) => token,
            None => draft.tokens[at - text.len()],
        };
        // Where the tokens before turn out right, the run has become longer.
        draft.push(token, Grounds::Run(run + draft.tokens.len()));
    }
    draft
}

/// Where runs of one length stand: by hash of the run, the place behind where it last stood.
#[derive(Debug, Default)]
struct Table(HashMap<u64, u32>);

impl Table {
    /// Notes the runs that end between `from` and the last token of the text; a run at its end has no continuation yet.
    fn see(&mut self, text: &[LlamaToken], from: usize, run: usize) {
        for end in from.max(run)..text.len() {
            let place = u32::try_from(end).expect("a context has at most 2^20 tokens");
            self.0.insert(hash(&text[end - run..end]), place);
        }
    }

    /// Where the run at the end of the text stood before: the place behind it, and how many tokens before that are alike.
    fn find(&self, text: &[LlamaToken], run: usize) -> Option<(usize, usize)> {
        let last = &text[text.len().checked_sub(run)?..];
        let next = *self.0.get(&hash(last))? as usize;
        let alike = text[..next].iter().rev().zip(text.iter().rev());
        let alike = alike.take(LONGEST).take_while(|(a, b)| a == b).count();
        (alike >= run).then_some((next, alike))
    }
}

fn hash(run: &[LlamaToken]) -> u64 {
    let mix = |hash: u64, token: &LlamaToken| {
        (hash ^ u64::from(token.0.cast_unsigned()))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(23)
    };
    run.iter().fold(0, mix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes()
            .map(|byte| LlamaToken::new(byte.into()))
            .collect()
    }

    fn text(tokens: &[LlamaToken]) -> String {
        tokens
            .iter()
            .map(|token| char::from(token.0 as u8))
            .collect()
    }

    fn guess(before: &str, most: usize) -> String {
        text(&Lookup::default().draft(&tokens(before), most).tokens)
    }

    #[test]
    fn what_followed_the_same_run_before_is_guessed() {
        assert_eq!(guess("the cat sat. the ", 4), "cat ");
        assert_eq!(guess("the cat sat. a dog ", 4), "");
        assert_eq!(guess("", 4), "");
        assert_eq!(guess("ab", 4), "");
        assert_eq!(guess("the cat sat. the ", 0), "");
    }

    #[test]
    fn the_latest_place_counts_unless_an_earlier_one_is_longer() {
        assert_eq!(guess("xyz1 xyz2 xyz", 1), "2");
        assert_eq!(guess("long run 1, our run 2, long run ", 1), "1");
    }

    #[test]
    fn a_loop_goes_on_for_ever() {
        assert_eq!(guess("abcabc", 8), "abcabcab");
        assert_eq!(guess("aaaa", 5), "aaaaa");
    }

    #[test]
    fn longer_runs_are_surer() {
        let levels = |before: &str| Lookup::default().draft(&tokens(before), 9).levels;
        let short = levels("abc0123456789, abc");
        let long = levels("zyxwvutabc0123456789, zyxwvutabc");
        assert!(short[0] < long[0]);
        assert!(short.is_sorted() && short[0] < short[8]);
    }

    #[test]
    fn much_text_that_is_unlike_is_not_found() {
        let mut lookup = Lookup::default();
        let all: Vec<LlamaToken> = (0..20_000).map(LlamaToken::new).collect();
        for length in (1..all.len()).step_by(97) {
            assert_eq!(lookup.draft(&all[..length], 4), Draft::default());
        }
    }

    /// The same by comparing with every place.
    fn plain(text: &[LlamaToken], most: usize) -> Option<Vec<LlamaToken>> {
        let (next, _) = RUNS.into_iter().find_map(|run| {
            let last = text.get(text.len().checked_sub(run)?..)?;
            let ends = (run..text.len()).rev();
            ends.map(|end| (end, run))
                .find(|(end, run)| text[end - run..*end] == *last)
        })?;
        let mut whole = text.to_vec();
        (next..next + most).for_each(|at| whole.push(whole[at]));
        Some(whole.split_off(text.len()))
    }

    proptest! {
        #[test]
        fn the_tables_find_what_comparing_with_every_place_finds(
            letters in proptest::collection::vec(0_i32..4, 0..150),
            steps in proptest::collection::vec(1_usize..9, 1..40),
            most in 0_usize..12,
        ) {
            let text: Vec<LlamaToken> = letters.into_iter().map(LlamaToken::new).collect();
            let mut lookup = Lookup::default();
            let mut length = 0;
            for step in steps {
                length = (length + step).min(text.len());
                let text = &text[..length];
                let draft = lookup.draft(text, most);
                prop_assert!(draft.tokens.len() <= most);
                prop_assert_eq!(draft.tokens, plain(text, most).unwrap_or_default());
            }
        }
    }
}

//! BERT's own tokenizer, WordPiece.
//!
//! A vector is only right for the tokens that the model was trained with, and llama.cpp's tokenizer of this kind is close but not the same:
//! of letters that Unicode takes apart it keeps one part, which loses most of Korean, and it knows no longest word.
//! This one does what `BertNormalizer`, `BertPreTokenizer` and `WordPiece` of the package `tokenizers` do.
//!
//! ```text
//! text ─► without control characters, Han apart ─► without accents ─► lower case ─► words and punctuation ─► longest pieces first
//! ```

use std::collections::HashMap;

use llama_cpp_2::token::LlamaToken;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::prompt::seams::Seams;

/// How a piece at the start of a word begins in a GGUF file; one inside has no mark.
const START: char = '\u{2581}';

/// A word of more characters is not looked up.
const LONGEST_WORD: usize = 100;

/// What is a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of a word.
    Piece,
    /// A mark such as the one that ends a text, which is found before anything else is done.
    Mark,
}

/// What distinguishes one tokenizer of this kind from another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Puts texts in lower case.
    pub(super) lowercase: bool,
    /// Takes accents away.
    pub(super) strip_accents: bool,
    /// Stands for a word that no pieces make.
    pub(super) unknown: LlamaToken,
}

/// The tokenizer of one model.
#[derive(Debug)]
pub(super) struct WordPiece {
    settings: Settings,
    /// Pieces that begin a word, without the mark.
    starts: HashMap<Box<str>, LlamaToken>,
    /// Pieces inside a word.
    inside: HashMap<Box<str>, LlamaToken>,
    marks: HashMap<Box<str>, LlamaToken>,
    places: Seams,
    /// Bytes of the longest piece.
    longest: usize,
}

impl WordPiece {
    /// Takes the tokens with their texts as the file has them.
    pub(super) fn new<'t>(
        settings: Settings,
        tokens: impl Iterator<Item = (LlamaToken, &'t str, Kind)>,
    ) -> Self {
        let (mut starts, mut inside, mut marks) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (token, text, kind) in tokens {
            let (table, text) = match (kind, text.strip_prefix(START)) {
                (Kind::Mark, _) => (&mut marks, text),
                (Kind::Piece, Some(word)) => (&mut starts, word),
                (Kind::Piece, None) => (&mut inside, text),
            };
            table.insert(Box::<str>::from(text), token);
        }
        let texts = starts.keys().chain(inside.keys());
        Self {
            settings,
            longest: texts.map(|text| text.len()).max().unwrap_or(0),
            places: Seams::new(marks.keys().map(|text| text.as_bytes().into())),
            starts,
            inside,
            marks,
        }
    }

    /// The tokens of a text. Marks written out in it count as such where `special` says so, and are text otherwise.
    pub(super) fn tokens(&self, text: &str, special: bool) -> Vec<LlamaToken> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while special && let Some(place) = self.places.first(rest) {
            self.vocabulary(&rest[..place.start], &mut tokens);
            tokens.push(self.marks[&rest[place.clone()]]);
            rest = &rest[place.end..];
        }
        self.vocabulary(rest, &mut tokens);
        tokens
    }

    /// Appends the tokens of a text without marks.
    fn vocabulary(&self, text: &str, tokens: &mut Vec<LlamaToken>) {
        let mut word = String::new();
        for letter in self.letters(text) {
            let alone = is_punctuation(letter);
            if alone || letter.is_whitespace() {
                self.word(&word, tokens);
                word.clear();
            }
            if alone {
                self.word(letter.encode_utf8(&mut [0; 4]), tokens);
            } else if !letter.is_whitespace() {
                word.push(letter);
            }
        }
        self.word(&word, tokens);
    }

    /// The characters that are left of a text, with Han characters standing alone.
    fn letters<'t>(&self, text: &'t str) -> Box<dyn Iterator<Item = char> + 't> {
        let kept = text.chars().filter(|letter| !is_dropped(*letter));
        let apart = kept.flat_map(|letter| {
            let space = is_han(letter).then_some(' ');
            space.into_iter().chain([letter]).chain(space)
        });
        let mut letters: Box<dyn Iterator<Item = char>> = Box::new(apart);
        if self.settings.strip_accents {
            let without_drafts =
                |letter: &char| letter.general_category() != GeneralCategory::NonspacingMark;
            letters = Box::new(letters.nfd().filter(without_drafts));
        }
        if self.settings.lowercase {
            letters = Box::new(letters.flat_map(char::to_lowercase));
        }
        letters
    }

    /// Appends the tokens of a word: the longest piece that it begins with, and so on.
    fn word(&self, word: &str, tokens: &mut Vec<LlamaToken>) {
        let before = tokens.len();
        let unknown = word.chars().nth(LONGEST_WORD).is_some();
        let (mut rest, mut table) = (word, &self.starts);
        while !unknown && !rest.is_empty() {
            let most = rest.len().min(self.longest);
            let lengths = (1..=most).rev().filter(|at| rest.is_char_boundary(*at));
            let mut pieces = lengths.map(|length| rest.split_at(length));
            let Some((token, after)) =
                pieces.find_map(|(piece, after)| Some((*table.get(piece)?, after)))
            else {
                break;
            };
            tokens.push(token);
            (rest, table) = (after, &self.inside);
        }
        if !rest.is_empty() {
            tokens.truncate(before);
            tokens.push(self.settings.unknown);
        }
    }
}

/// What is not seen in a text, and no space either.
fn is_dropped(letter: char) -> bool {
    match letter {
        '\t' | '\n' | '\r' => false,
        '\u{FFFD}' => true,
        _ => matches!(
            letter.general_category(),
            GeneralCategory::Control | GeneralCategory::Format | GeneralCategory::PrivateUse
        ),
    }
}

fn is_punctuation(letter: char) -> bool {
    letter.is_ascii_punctuation()
        || letter.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// Characters that are words by themselves. The fifth range begins where it does in `tokenizers`.
fn is_han(letter: char) -> bool {
    matches!(
        letter,
        '\u{4E00}'..='\u{9FFF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{20000}'..='\u{2A6DF}'
            | '\u{2A700}'..='\u{2B73F}'
            | '\u{2B740}'..='\u{2B81F}'
            | '\u{2B920}'..='\u{2CEAF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{2F800}'..='\u{2FA1F}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [(&str, Kind); 19] = [
        ("[UNK]", Kind::Mark),
        ("[SEP]", Kind::Mark),
        ("▁cafe", Kind::Piece),
        ("s", Kind::Piece),
        ("▁un", Kind::Piece),
        ("aff", Kind::Piece),
        ("able", Kind::Piece),
        ("▁,", Kind::Piece),
        ("▁中", Kind::Piece),
        ("▁文", Kind::Piece),
        ("▁ᄒ", Kind::Piece),
        ("ᅡ", Kind::Piece),
        ("ᆫ", Kind::Piece),
        ("▁a", Kind::Piece),
        ("a", Kind::Piece),
        ("▁[", Kind::Piece),
        ("▁]", Kind::Piece),
        ("▁sep", Kind::Piece),
        ("▁Cafe", Kind::Piece),
    ];

    fn wordpiece(lowercase: bool, strip_accents: bool) -> WordPiece {
        let settings = Settings {
            lowercase,
            strip_accents,
            unknown: LlamaToken::new(0),
        };
        let tokens = (0..).zip(TOKENS);
        let tokens = tokens.map(|(id, (text, kind))| (LlamaToken::new(id), text, kind));
        WordPiece::new(settings, tokens)
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(
            shown(&wordpiece(true, true), text, true),
            expected,
            "{text:?}"
        );
    }

    fn shown(wordpiece: &WordPiece, text: &str, special: bool) -> String {
        let tokens = wordpiece.tokens(text, special).into_iter();
        let texts = tokens.map(|token| TOKENS[token.0 as usize].0.replace(START, "_"));
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_longest_piece_comes_first() {
        check("unaffable", "_un aff able");
        check("cafes,cafe", "_cafe s _, _cafe");
        check("unaffables?", "_un aff able s [UNK]");
        check("unaffix a", "[UNK] _a");
        check(" \t\n\u{3000}\u{a0} ", "");
        check("", "");
    }

    #[test]
    fn accents_case_and_what_cannot_be_seen_go() {
        check("CAFÉ Cafe\u{301}s", "_cafe _cafe s");
        check("ca\u{0}f\u{200b}\u{ad}e\u{fffd}\u{e000}", "_cafe");
        check("a\u{b}a", "_a a");
        let cased = wordpiece(false, false);
        assert_eq!(shown(&cased, "Cafe cafe Café", true), "_Cafe _cafe [UNK]");
        assert_eq!(shown(&wordpiece(false, true), "Café", true), "_Cafe");
    }

    #[test]
    fn han_stands_alone_and_hangul_falls_apart() {
        check("中文cafe", "_中 _文 _cafe");
        check("한", "_ᄒ ᅡ ᆫ");
    }

    #[test]
    fn marks_are_found_in_a_text_where_they_count() {
        check("a[SEP]a [sep]", "_a [SEP] _a _[ _sep _]");
        assert_eq!(
            shown(&wordpiece(true, true), "a[SEP]", false),
            "_a _[ _sep _]"
        );
    }

    #[test]
    fn a_word_of_more_than_a_hundred_letters_is_unknown() {
        let word = "a".repeat(LONGEST_WORD);
        assert_eq!(
            wordpiece(true, true).tokens(&word, true).len(),
            LONGEST_WORD
        );
        check(&format!("{word}a a"), "[UNK] _a");
        let long = "a".repeat(1 << 20);
        check(&long, "[UNK]");
    }
}

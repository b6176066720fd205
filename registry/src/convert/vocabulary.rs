//! The vocabulary of a WordPiece tokenizer: `tokenizer.json`, or else `vocab.txt`, and `tokenizer_config.json` beside it.
//!
//! What such a tokenizer does is fixed but for two switches, case and accents; a file that asks for anything else is refused,
//! because texts would be read as other tokens than the model was trained with.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::config::{MOST_TOKENS, TOKENIZER_CONFIG};
use super::error::Error;
use super::folder::{Folder, shown, wrong};

const TOKENIZER: &str = "tokenizer.json";
const LIST: &str = "vocab.txt";
/// Largest of either file, in bytes; multilingual vocabularies have 5 MiB.
const LONGEST: u64 = 64 << 20;
/// How a piece inside a word begins in these files.
const INSIDE: &str = "##";
/// How a piece at the start of a word begins in GGUF files, where one inside has no mark.
const START: char = '\u{2581}';

/// The type of a token, by the numbers of `enum llama_token_type` in llama.cpp's `llama.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Kind {
    /// A piece of a word.
    Normal = 1,
    /// A special token.
    Control = 3,
    /// An unused row of the embedding table.
    Unused = 5,
}

/// Every token, and how texts are prepared for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vocabulary {
    /// The tokens as GGUF files write them, by id; no text stands twice.
    pub(super) tokens: Vec<(String, Kind)>,
    /// Ids of the special tokens.
    pub(super) marks: SpecialTokens,
    /// Whether texts are put in lower case.
    pub(super) lowercase: bool,
    /// Whether accents are taken away.
    pub(super) strip_accents: bool,
}

/// Ids of special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpecialTokens {
    /// Unknown word.
    pub(super) unknown: u32,
    /// Begin of text.
    pub(super) begin: u32,
    /// End of text, or separator.
    pub(super) separator: u32,
    /// Padding.
    pub(super) padding: Option<u32>,
    /// Masked word.
    pub(super) mask: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Tokenizer {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<Typed>,
    model: WordPiece,
}

#[derive(Debug, Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Debug, Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default = "yes")]
    clean_text: bool,
    #[serde(default = "yes")]
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    #[serde(default = "yes")]
    lowercase: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct WordPiece {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: HashMap<String, u32>,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    do_basic_tokenize: Option<bool>,
    unk_token: Option<Mark>,
    cls_token: Option<Mark>,
    sep_token: Option<Mark>,
    pad_token: Option<Mark>,
    mask_token: Option<Mark>,
}

/// A token, alone or with how it is matched.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Mark {
    Text(String),
    Object { content: String },
}

impl Mark {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

impl Vocabulary {
    /// Reads the vocabulary of a model whose table has `size` rows.
    pub(super) fn read(folder: &mut Folder, size: u32) -> Result<Self, Error> {
        let settings: Settings = folder.description(TOKENIZER_CONFIG)?.unwrap_or_default();
        settings.check()?;
        let (source, ids, normalizer) = match folder.json::<Tokenizer>(TOKENIZER, LONGEST)? {
            Some(tokenizer) => {
                tokenizer.check()?;
                (TOKENIZER, tokenizer.ids()?, tokenizer.normalizer)
            }
            None => (LIST, listed(folder)?, None),
        };
        let by_id = by_id(source, &ids, size)?;
        let mark = |mark: &Option<Mark>, usual| {
            let text = mark.as_ref().map_or(usual, Mark::text);
            (text.to_owned(), ids.get(text).copied())
        };
        let needed = |(text, id): (String, Option<u32>)| {
            id.ok_or_else(|| {
                wrong(
                    source,
                    format!("the vocabulary has no token `{}`", shown(&text)),
                )
            })
        };
        let marks = SpecialTokens {
            unknown: needed(mark(&settings.unk_token, "[UNK]"))?,
            begin: needed(mark(&settings.cls_token, "[CLS]"))?,
            separator: needed(mark(&settings.sep_token, "[SEP]"))?,
            padding: mark(&settings.pad_token, "[PAD]").1,
            mask: mark(&settings.mask_token, "[MASK]").1,
        };
        // What stands beside the tokenizer goes over what stands in it.
        let (lowercase, strip) = match &normalizer {
            Some(normalizer) => (normalizer.lowercase, normalizer.strip_accents),
            None => (true, None),
        };
        let lowercase = settings.do_lower_case.unwrap_or(lowercase);
        Ok(Self {
            tokens: written(source, by_id, marks)?,
            marks,
            lowercase,
            strip_accents: settings.strip_accents.or(strip).unwrap_or(lowercase),
        })
    }
}

impl Settings {
    fn check(&self) -> Result<(), Error> {
        if self.tokenize_chinese_chars == Some(false) {
            return Err(unsupported(
                TOKENIZER_CONFIG,
                "a tokenizer that keeps Chinese words whole",
            ));
        }
        if self.do_basic_tokenize == Some(false) {
            return Err(unsupported(
                TOKENIZER_CONFIG,
                "a tokenizer that does not split at punctuation",
            ));
        }
        Ok(())
    }
}

impl Tokenizer {
    fn check(&self) -> Result<(), Error> {
        let model = &self.model;
        let kind = model.kind.as_deref().unwrap_or("WordPiece");
        if kind != "WordPiece" {
            return Err(unsupported(
                TOKENIZER,
                &format!("a tokenizer of the type `{}`", shown(kind)),
            ));
        }
        let prefix = model.continuing_subword_prefix.as_deref().unwrap_or(INSIDE);
        if prefix != INSIDE {
            return Err(unsupported(
                TOKENIZER,
                &format!("a vocabulary with the prefix `{}`", shown(prefix)),
            ));
        }
        if let Some(most) = model.max_input_chars_per_word.filter(|most| *most != 100) {
            return Err(unsupported(
                TOKENIZER,
                &format!("a limit of {most} characters for a word"),
            ));
        }
        if let Some(splitter) = &self.pre_tokenizer
            && splitter.kind != "BertPreTokenizer"
        {
            return Err(unsupported(
                TOKENIZER,
                &format!("a splitter of the type `{}`", shown(&splitter.kind)),
            ));
        }
        if let Some(normalizer) = &self.normalizer
            && (normalizer.kind != "BertNormalizer"
                || !normalizer.clean_text
                || !normalizer.handle_chinese_chars)
        {
            let what = format!(
                "a normalizer of the type `{}` with its settings",
                shown(&normalizer.kind)
            );
            return Err(unsupported(TOKENIZER, &what));
        }
        let plain =
            |added: &&Added| !added.special && !self.model.vocab.contains_key(&added.content);
        if let Some(added) = self.added_tokens.iter().find(plain) {
            let what = format!(
                "a tokenizer with the added word `{}`",
                shown(&added.content)
            );
            return Err(unsupported(TOKENIZER, &what));
        }
        Ok(())
    }

    /// The vocabulary, with the tokens that were added to it.
    fn ids(&self) -> Result<HashMap<String, u32>, Error> {
        let mut ids = self.model.vocab.clone();
        for added in &self.added_tokens {
            let before = ids.insert(added.content.clone(), added.id);
            if let Some(before) = before.filter(|before| *before != added.id) {
                let reason = format!(
                    "token `{}` is {before} and {}",
                    shown(&added.content),
                    added.id
                );
                return Err(wrong(TOKENIZER, reason));
            }
        }
        Ok(ids)
    }
}

/// The vocabulary of a list with one token in each line.
fn listed(folder: &mut Folder) -> Result<HashMap<String, u32>, Error> {
    let Some(bytes) = folder.bytes(LIST, LONGEST)? else {
        return Err(Error::Missing {
            file: format!("{TOKENIZER}` or `{LIST}"),
        });
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        wrong(
            LIST,
            format!("it is not UTF-8 at byte {}", error.valid_up_to()),
        )
    })?;
    let mut ids = HashMap::new();
    for (line, token) in text.split_terminator('\n').enumerate() {
        let token = token.strip_suffix('\r').unwrap_or(token);
        let id = u32::try_from(line).unwrap_or(u32::MAX);
        if id >= MOST_TOKENS {
            return Err(wrong(LIST, format!("it has more than {MOST_TOKENS} lines")));
        }
        if let Some(before) = ids.insert(token.to_owned(), id) {
            return Err(wrong(
                LIST,
                format!("tokens {before} and {id} are both `{}`", shown(token)),
            ));
        }
    }
    Ok(ids)
}

/// The tokens in the order of their ids.
fn by_id<'ids>(
    source: &str,
    ids: &'ids HashMap<String, u32>,
    size: u32,
) -> Result<Vec<Option<&'ids str>>, Error> {
    let mut tokens: Vec<Option<&str>> = vec![None; size as usize];
    for (text, &id) in ids {
        let Some(place) = tokens.get_mut(id as usize) else {
            let reason = format!("token `{}` is {id}, and the model has {size}", shown(text));
            return Err(wrong(source, reason));
        };
        if let Some(before) = place.replace(text) {
            // In the order of the alphabet, because a map has none.
            let (first, second) = (shown(before.min(text)), shown(before.max(text)));
            return Err(wrong(
                source,
                format!("`{first}` and `{second}` are both token {id}"),
            ));
        }
    }
    Ok(tokens)
}

/// The tokens as GGUF files have them.
fn written(
    source: &str,
    tokens: Vec<Option<&str>>,
    marks: SpecialTokens,
) -> Result<Vec<(String, Kind)>, Error> {
    let control = [
        Some(marks.unknown),
        Some(marks.begin),
        Some(marks.separator),
        marks.padding,
        marks.mask,
    ];
    let written: Vec<_> = (0_u32..)
        .zip(tokens)
        .map(|(id, token)| match token {
            None => (format!("[PAD{id}]"), Kind::Unused),
            Some(token) if control.contains(&Some(id)) => (token.to_owned(), Kind::Control),
            Some(token) => match token.strip_prefix(INSIDE) {
                Some(piece) => (piece.to_owned(), Kind::Normal),
                None => (format!("{START}{token}"), Kind::Normal),
            },
        })
        .collect();
    let mut seen = HashSet::new();
    let twice = written.iter().find(|(text, _)| !seen.insert(text.as_str()));
    match twice {
        Some((text, _)) => Err(wrong(
            source,
            format!("two tokens are written `{}`", shown(text)),
        )),
        None => Ok(written),
    }
}

fn unsupported(file: &str, what: &str) -> Error {
    Error::Unsupported {
        file: file.to_owned(),
        what: what.to_owned(),
        remedy: "only vocabularies and settings of BERT's own tokenizer are",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::folder::tests::folder;
    use super::*;

    fn tokenizer() -> Value {
        json!({
            "added_tokens": [{"id": 1, "content": "[CLS]", "special": true}],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[SEP]": 2, "cat": 3, "##s": 5}},
        })
    }

    fn read(tokenizer: &Value, settings: &Value) -> Result<Vocabulary, Error> {
        let (tokenizer, settings) = (tokenizer.to_string(), settings.to_string());
        let files = [
            (TOKENIZER, tokenizer.as_bytes()),
            (TOKENIZER_CONFIG, settings.as_bytes()),
        ];
        Vocabulary::read(&mut folder(&files), 6)
    }

    #[test]
    fn tokens_get_the_marks_of_the_other_format() {
        let vocabulary = read(&tokenizer(), &json!({})).expect("a good vocabulary");
        let expected = [
            ("[UNK]", Kind::Control),
            ("[CLS]", Kind::Control),
            ("[SEP]", Kind::Control),
            ("▁cat", Kind::Normal),
            ("[PAD4]", Kind::Unused),
            ("s", Kind::Normal),
        ];
        let expected = expected.map(|(text, kind)| (text.to_owned(), kind));
        assert_eq!(vocabulary.tokens, expected);
        let marks = SpecialTokens {
            unknown: 0,
            begin: 1,
            separator: 2,
            padding: None,
            mask: None,
        };
        assert_eq!(vocabulary.marks, marks);
        assert!(vocabulary.lowercase && vocabulary.strip_accents);
    }

    #[test]
    fn a_list_is_as_good() {
        let list = "[UNK]\n[CLS]\r\n[SEP]\ncat\n[PAD]\n##s\n";
        let vocabulary = Vocabulary::read(&mut folder(&[(LIST, list.as_bytes())]), 6);
        let vocabulary = vocabulary.expect("a good list");
        assert_eq!(vocabulary.tokens[3].0, "▁cat");
        assert_eq!(vocabulary.marks.padding, Some(4));
        for (list, reason) in [
            ("a\na\n", "tokens 0 and 1 are both `a`"),
            ("[CLS]\n[SEP]\n", "no token `[UNK]`"),
            ("a\nb\nc\nd\ne\nf\ng\n", "`g` is 6, and the model has 6"),
        ] {
            let error = Vocabulary::read(&mut folder(&[(LIST, list.as_bytes())]), 6);
            let message = error.expect_err(reason).to_string();
            assert!(message.contains(reason), "{message}");
        }
        assert!(Vocabulary::read(&mut folder(&[(LIST, b"\xff")]), 6).is_err());
        let none = Vocabulary::read(&mut folder(&[]), 6).expect_err("no file");
        assert_eq!(
            none.to_string(),
            "`tokenizer.json` or `vocab.txt` is missing from the model's files"
        );
    }

    #[test]
    fn case_and_accents_are_settings() {
        let both = |settings| {
            let vocabulary = read(&tokenizer(), &settings).expect("a good vocabulary");
            (vocabulary.lowercase, vocabulary.strip_accents)
        };
        assert_eq!(both(json!({"do_lower_case": false})), (false, false));
        assert_eq!(both(json!({"strip_accents": false})), (true, false));
        assert_eq!(
            both(json!({"do_lower_case": false, "strip_accents": true})),
            (false, true)
        );
        assert_eq!(
            both(json!({"cls_token": {"content": "[CLS]"}})),
            (true, true)
        );
    }

    #[test]
    fn what_would_be_read_otherwise_is_refused() {
        let change = |path: &str, value: Value| {
            let mut tokenizer = tokenizer();
            *tokenizer.pointer_mut(path).expect("a place") = value;
            tokenizer
        };
        for (tokenizer, reason) in [
            (
                change("/model", json!({"type": "BPE", "vocab": {}})),
                "type `BPE`",
            ),
            (
                change(
                    "/model",
                    json!({"vocab": {}, "continuing_subword_prefix": "@"}),
                ),
                "prefix `@`",
            ),
            (
                change(
                    "/model",
                    json!({"vocab": {}, "max_input_chars_per_word": 50}),
                ),
                "50 characters",
            ),
            (
                change("/model", json!({"vocab": [["a", -1.0]]})),
                "invalid type",
            ),
            (
                change("/model/vocab", json!({"a": 0, "b": 0})),
                "`a` and `b` are both token 0",
            ),
            (change("/model/vocab", json!({"a": 6})), "`a` is 6"),
            (change("/model/vocab", json!({"a": -1})), "invalid value"),
            (change("/model/vocab", json!({"[CLS]": 0})), "is 0 and 1"),
            (change("/model/vocab", json!({})), "no token `[UNK]`"),
            (
                change(
                    "/model/vocab",
                    json!({"[UNK]": 0, "[SEP]": 2, "▁a": 3, "##▁▁a": 4}),
                ),
                "two tokens are written",
            ),
            (change("/normalizer/type", json!("NFC")), "normalizer"),
            (change("/normalizer/clean_text", json!(false)), "normalizer"),
            (
                change("/pre_tokenizer/type", json!("Whitespace")),
                "splitter",
            ),
            (
                change("/added_tokens/0/special", json!(false)),
                "added word",
            ),
        ] {
            let message = read(&tokenizer, &json!({})).expect_err(reason).to_string();
            assert!(message.contains(reason), "{reason}: {message}");
        }
        for settings in [
            json!({"tokenize_chinese_chars": false}),
            json!({"do_basic_tokenize": false}),
        ] {
            assert!(matches!(
                read(&tokenizer(), &settings),
                Err(Error::Unsupported { .. })
            ));
        }
    }
}

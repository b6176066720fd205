//! A loaded model: its words, its end, and how it wants conversations written.

pub(crate) mod accelerators;
pub(crate) mod adapters;
pub(crate) mod backend;
pub(crate) mod kernels;
pub(crate) mod modules;

use std::{collections::HashSet, sync::Arc};

use llama_cpp_2::{model::LlamaModel, token::LlamaToken, token_type::LlamaTokenAttr};

use crate::{
    chat::renderer::Source,
    error::Error,
    ffi::pooled::Pooling,
    prompt::{
        marks::{self, Controls},
        seams::Seams,
    },
    vocabulary::Vocabulary,
};

/// Architectures that read text and turn it into vectors; llama.cpp has no next token for them.
const ENCODERS: [&str; 9] = [
    "bert",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
];

/// Architectures that neither continue a text nor give a vector for it.
const NEITHER: [&str; 3] = ["t5", "t5encoder", "wavtokenizer-dec"];

/// What control tokens are that are written out in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// Text.
    Text,
    /// Control tokens.
    Tokens,
    /// Control tokens, but for those with this mark in them; see [`crate::prompt::marks`].
    Unmarked(char),
}

impl Special {
    /// Whether they count as such.
    pub(crate) fn parsed(parsed: bool) -> Self {
        match parsed {
            true => Self::Tokens,
            false => Self::Text,
        }
    }

    /// What they are in a text that may have marks.
    pub(crate) fn of(mark: Option<char>) -> Self {
        mark.map_or(Self::Tokens, Self::Unmarked)
    }
}

/// A model and its chat template.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) llama: LlamaModel,
    /// How it turns texts into vectors, if it does that instead of writing.
    pub(crate) pooling: Option<Pooling>,
    /// Jinja source, if there is any.
    template: Option<String>,
    /// Where text can be cut in which control tokens count as such.
    seams: Seams,
    /// Where other text can be cut.
    plain_seams: Seams,
    /// Control tokens as they are written.
    pub(crate) controls: Arc<Controls>,
    longest_piece: usize,
}

impl Model {
    /// Takes a loaded model; `template` replaces its own chat template.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it has no words, or neither writes nor embeds.
    pub(crate) fn new(llama: LlamaModel, template: Option<String>) -> Result<Self, Error> {
        let architecture = llama
            .meta_val_str("general.architecture")
            .unwrap_or_default();
        if NEITHER.contains(&architecture.as_str()) {
            return Err(Error::Unsupported(format!(
                "models of the architecture '{architecture}' neither generate text nor embed it"
            )));
        }
        let pooling = pooling(&llama, &architecture)?;
        let vocabulary = llama
            .meta_val_str("tokenizer.ggml.model")
            .unwrap_or_default();
        if llama.n_vocab() < 1 || vocabulary.is_empty() || vocabulary == "no_vocab" {
            return Err(Error::Unsupported("it has no vocabulary".into()));
        }
        let own = || llama.meta_val_str("tokenizer.chat_template").ok();
        let template = template
            .or_else(own)
            .filter(|source| !source.trim().is_empty());
        Ok(Self {
            seams: seams(
                &llama,
                &[
                    LlamaTokenAttr::Control,
                    LlamaTokenAttr::Unknown,
                    LlamaTokenAttr::UserDefined,
                ],
            ),
            plain_seams: seams(&llama, &[LlamaTokenAttr::UserDefined]),
            controls: Arc::new(controls(&llama)),
            longest_piece: longest_piece(&llama),
            pooling,
            llama,
            template,
        })
    }

    /// Bytes of the longest piece that a token stands for.
    pub(crate) fn longest_piece(&self) -> usize {
        self.longest_piece
    }

    /// Number of words.
    pub(crate) fn vocabulary(&self) -> i32 {
        self.llama.n_vocab()
    }

    /// Context length that it was trained with; 0 when it does not say.
    pub(crate) fn trained_context(&self) -> u32 {
        // Read as text, because a file may hold a number that llama.cpp's own type cannot.
        let architecture = self
            .llama
            .meta_val_str("general.architecture")
            .unwrap_or_default();
        let said = self
            .llama
            .meta_val_str(&format!("{architecture}.context_length"))
            .unwrap_or_default();
        said.parse::<u64>()
            .map_or(0, |length| u32::try_from(length).unwrap_or(u32::MAX))
    }

    /// Whether the model has a chat template.
    pub(crate) fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Text to tokens. `special` says what control tokens written out in it are;
    /// `begin` puts the beginning-of-sequence token first where the model wants one and it is not there already.
    pub(crate) fn tokenize(&self, text: &str, special: Special, begin: bool) -> Vec<LlamaToken> {
        let vocab = self.llama.vocab();
        let mut tokens = match special {
            Special::Text => self.parts(text, &self.plain_seams, false),
            Special::Tokens => self.parts(text, &self.seams, true),
            Special::Unmarked(mark) if !text.contains(mark) => self.parts(text, &self.seams, true),
            Special::Unmarked(mark) => self.unmarked(text, mark),
        };
        if begin
            && vocab.should_add_bos()
            && let Some(bos) = self.existing(vocab.bos())
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        tokens
    }

    fn parts(&self, text: &str, seams: &Seams, special: bool) -> Vec<LlamaToken> {
        let vocab = self.llama.vocab();
        let parts = seams.parts(text);
        parts
            .flat_map(|part| vocab.tokenize(part.as_bytes(), false, special))
            .collect()
    }

    /// The tokens of a text without its marks. What has one in it is text, and what stands between two control tokens is turned
    /// into tokens as a whole, as it is where none looks like one.
    fn unmarked(&self, text: &str, mark: char) -> Vec<LlamaToken> {
        let (text, marks) = marks::taken_out(text, mark);
        let (mut tokens, mut begun, mut at) = (Vec::new(), 0, 0);
        let mut marks = marks.into_iter().peekable();
        while at < text.len() {
            while marks.next_if(|mark| *mark <= at).is_some() {}
            let token = self.controls.token(&text.as_bytes()[at..]);
            match token {
                Some(length) if marks.peek().is_none_or(|mark| *mark >= at + length) => {
                    self.between(&text[begun..at], &text[at..at + length], &mut tokens);
                    at += length;
                    begun = at;
                }
                _ => at = text.ceil_char_boundary(at + 1),
            }
        }
        tokens.extend(self.parts(&text[begun..], &self.plain_seams, false));
        tokens
    }

    /// Adds a text, and a control token behind it.
    fn between(&self, text: &str, control: &str, tokens: &mut Vec<LlamaToken>) {
        let vocab = self.llama.vocab();
        let control = vocab.tokenize(control.as_bytes(), false, true);
        let has = |token: Option<&LlamaToken>, attribute| {
            token.is_some_and(|token| vocab.attr(*token).contains(attribute))
        };
        // Some take the space around them along.
        let text = match has(tokens.last(), LlamaTokenAttr::RStrip) {
            true => text.trim_start(),
            false => text,
        };
        let text = match has(control.first(), LlamaTokenAttr::LStrip) {
            true => text.trim_end(),
            false => text,
        };
        tokens.extend(self.parts(text, &self.plain_seams, false));
        tokens.extend(control);
    }

    /// Checks tokens that come from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the first that the model does not have.
    pub(crate) fn checked(&self, tokens: &[i32]) -> Result<Vec<LlamaToken>, Error> {
        let checked = |&token: &i32| {
            self.existing(LlamaToken::new(token)).ok_or_else(|| {
                Error::Invalid(format!(
                    "token {token} is none of the model's {}",
                    self.vocabulary()
                ))
            })
        };
        tokens.iter().map(checked).collect()
    }

    /// Tokens to text, control tokens included.
    pub(crate) fn detokenize(&self, tokens: &[LlamaToken]) -> String {
        if tokens.is_empty() {
            return String::new();
        }
        String::from_utf8_lossy(&self.llama.vocab().detokenize(tokens, false, true)).into_owned()
    }

    /// Appends the bytes of a token of an answer. Control tokens have none, unless they are spelled out.
    pub(crate) fn piece(&self, token: LlamaToken, spelled: bool, bytes: &mut Vec<u8>) {
        self.llama
            .vocab()
            .token_to_piece_into(token, bytes, spelled, None);
    }

    /// The tokens that texts stand for which are one token each; the others are ordinary text.
    pub(crate) fn single_tokens(&self, texts: &[String]) -> HashSet<LlamaToken> {
        let single = |text: &String| match self.tokenize(text, Special::Tokens, false).as_slice() {
            [token] => Some(*token),
            _ => None,
        };
        texts.iter().filter_map(single).collect()
    }

    /// Whether the token ends an answer.
    pub(crate) fn ends(&self, token: LlamaToken) -> bool {
        self.llama.vocab().is_eog(token)
    }

    /// Whether the token is the beginning-of-sequence token.
    pub(crate) fn begins(&self, token: LlamaToken) -> bool {
        self.llama.vocab().bos() == token
    }

    /// What its conversations are rendered with.
    pub(crate) fn chat_source(&self) -> Source {
        let vocab = self.llama.vocab();
        let written = |token| match self.existing(token) {
            Some(token) => {
                String::from_utf8_lossy(&vocab.token_to_piece(token, true, None)).into_owned()
            }
            None => String::new(),
        };
        Source {
            template: self.template.clone(),
            bos: written(vocab.bos()),
            eos: written(vocab.eos()),
            controls: Arc::clone(&self.controls),
        }
    }

    /// The token, if the model has it. Files may name tokens that they do not have.
    pub(crate) fn existing(&self, token: LlamaToken) -> Option<LlamaToken> {
        (0..self.vocabulary()).contains(&token.0).then_some(token)
    }
}

impl Vocabulary for Model {
    fn count(&self) -> usize {
        usize::try_from(self.vocabulary()).unwrap_or(0)
    }

    fn piece(&self, token: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        Self::piece(self, LlamaToken::new(token), false, &mut bytes);
        bytes
    }

    fn spell(&self, token: i32) -> Vec<u8> {
        let token = LlamaToken::new(token);
        self.llama.vocab().token_to_piece(token, true, None)
    }

    fn ends(&self, token: i32) -> bool {
        Self::ends(self, LlamaToken::new(token))
    }

    fn suppressed(&self) -> Vec<i32> {
        let vocab = self.llama.vocab();
        // A file may name tokens that it does not have.
        let named = vocab.suppress_tokens().iter().copied();
        let existing = named.filter_map(|token| self.existing(token));
        existing.map(|token| token.0).collect()
    }
}

/// How the model pools, from its file: `enum llama_pooling_type` of llama.cpp's `llama.h`, which ends the process on others.
fn pooling(llama: &LlamaModel, architecture: &str) -> Result<Option<Pooling>, Error> {
    let said = llama.meta_val_str(&format!("{architecture}.pooling_type"));
    Ok(match said.as_deref() {
        Ok("1") => Some(Pooling::Mean),
        Ok("2") => Some(Pooling::First),
        Ok("3") => Some(Pooling::Last),
        Ok("4") => Some(Pooling::Rank),
        // A model that only gives vectors, and leaves open how, is asked for their mean.
        Ok("0") | Err(_) => ENCODERS.contains(&architecture).then_some(Pooling::Mean),
        Ok(other) => {
            return Err(Error::Unsupported(format!(
                "its pooling type {other} is unknown"
            )));
        }
    })
}

/// The places where tokens of these kinds begin. A token that takes the space before it along is none.
fn seams(llama: &LlamaModel, kinds: &[LlamaTokenAttr]) -> Seams {
    let vocab = llama.vocab();
    let texts = vocab.tokens().filter_map(|token| {
        let attributes = vocab.attr(token);
        let begins = kinds.iter().any(|&kind| attributes.contains(kind))
            && !attributes.contains(LlamaTokenAttr::LStrip);
        let text = vocab.text(token).filter(|_| begins)?;
        Some(text.to_bytes().into())
    });
    Seams::new(texts)
}

/// Control tokens of at least two characters: a single one is what texts are made of.
fn controls(llama: &LlamaModel) -> Controls {
    let vocab = llama.vocab();
    let texts = vocab.tokens().filter_map(|token| {
        let attributes = vocab.attr(token);
        let is_control = attributes.intersects(LlamaTokenAttr::Control | LlamaTokenAttr::Unknown);
        let text = vocab.text(token).filter(|_| is_control)?;
        let is_long = text.to_str().is_ok_and(|text| text.chars().count() > 1);
        is_long.then(|| text.to_bytes().into())
    });
    Controls::new(texts)
}

fn longest_piece(llama: &LlamaModel) -> usize {
    let vocab = llama.vocab();
    let mut piece = Vec::new();
    let lengths = vocab.tokens().map(|token| {
        piece.clear();
        vocab.token_to_piece_into(token, &mut piece, true, None);
        piece.len()
    });
    lengths.max().unwrap_or(0)
}

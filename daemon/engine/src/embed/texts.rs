//! From texts to tokens that fit: with the tokens around them that the model was trained with, and cut where that is allowed.

use llama_cpp_2::{token::LlamaToken, token_type::LlamaTokenAttr};
use runner_protocol::{Input, Rerank, Tokenize};

use crate::{
    error::Error,
    model::{Model, Special},
};

use super::{
    job::Text,
    wordpiece::{Kind, Settings, WordPiece},
};

/// Bytes that are read of a text for each token that fits; far more than any text of words has.
const BYTES_PER_TOKEN: usize = 64;

/// Bytes that are always read.
const LEAST_BYTES: usize = 64 * 1024;

/// Reads texts for one model.
#[derive(Debug)]
pub(super) struct Texts<'m> {
    model: &'m Model,
    /// The tokenizer of models that have BERT's; llama.cpp has all others.
    wordpiece: Option<WordPiece>,
    /// Most tokens of one text, or of a pair.
    longest: usize,
}

impl<'m> Texts<'m> {
    /// Reads texts of at most so many tokens.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a vocabulary without the tokens that every text needs.
    pub(super) fn new(model: &'m Model, longest: usize) -> Result<Self, Error> {
        let tokenizer = model.llama.meta_val_str("tokenizer.ggml.model");
        let has_wordpiece = tokenizer.is_ok_and(|name| name == "bert");
        let wordpiece = has_wordpiece.then(|| wordpiece(model)).transpose()?;
        Ok(Self {
            model,
            wordpiece,
            longest,
        })
    }

    /// Most tokens of one text.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The tokens of one text to embed, `longest` at most; `at` is its place among others, from 0.
    pub(super) fn input(
        &self,
        at: usize,
        input: &Input,
        longest: usize,
        truncate: bool,
    ) -> Result<Text, Error> {
        let what = format!("input {at}");
        let text = match input {
            Input::Tokens(tokens) => {
                let tokens = self.model.checked(tokens)?;
                self.fit(what, tokens, longest, truncate)?
            }
            Input::Text(text) => {
                let (part, cut) = part(&what, text, longest, truncate)?;
                let tokens = self.vocabulary(part, true, true)?;
                let text = self.fit(what, tokens, longest, truncate)?;
                Text {
                    cut: cut || text.cut,
                    ..text
                }
            }
        };
        if text.tokens.is_empty() {
            return Err(Error::Invalid(format!("input {at} has no tokens")));
        }
        Ok(text)
    }

    /// Query and document, for each document: `begin query end separator document end`, as far as the model has these tokens.
    pub(super) fn pairs(&self, rerank: &Rerank, longest: usize) -> Result<Vec<Text>, Error> {
        let vocab = self.model.llama.vocab();
        let known = |token, wanted| self.model.existing(token).filter(|_| wanted);
        let begin = known(vocab.bos(), vocab.should_add_bos());
        let separator = known(vocab.sep(), vocab.should_add_sep());
        let end = known(vocab.eos(), vocab.should_add_eos());
        if separator.is_none() && end.is_none() {
            return Err(Error::Unsupported(
                "its vocabulary has no token between query and document, and judging by a written question is not supported".into(),
            ));
        }
        // Control tokens written out in either text are text, or a document could end itself and claim to be the query.
        let (query, _) = part("the query", &rerank.query, longest, false)?;
        let query = self.vocabulary(query, false, false)?;
        let mut head: Vec<LlamaToken> = begin.into_iter().collect();
        head.extend(query);
        head.extend(end);
        head.extend(separator);
        let tail = end.or(separator);
        let room = longest.saturating_sub(head.len() + 1);
        if room == 0 {
            return Err(Error::InputTooLong {
                what: "the query".into(),
                tokens: head.len(),
                longest,
            });
        }
        let documents = rerank.documents.iter().enumerate();
        documents
            .map(|(at, document)| {
                let what = || format!("document {at} with the query");
                let (document, shortened) = part(&what(), document, longest, rerank.truncate)?;
                let document = self.vocabulary(document, false, false)?;
                let cut = shortened || document.len() > room;
                if cut && !rerank.truncate {
                    return Err(Error::InputTooLong {
                        what: what(),
                        tokens: head.len() + document.len() + 1,
                        longest,
                    });
                }
                let mut tokens = head.clone();
                tokens.extend(document.into_iter().take(room));
                tokens.extend(tail);
                Ok(Text { tokens, cut })
            })
            .collect()
    }

    /// What a call to tokenize is answered.
    pub(super) fn tokens(&self, tokenize: &Tokenize) -> Result<Vec<i32>, Error> {
        let (text, _) = part("the text", &tokenize.text, self.longest, false)?;
        let tokens = self.vocabulary(text, tokenize.add_special, tokenize.parse_special)?;
        Ok(tokens.into_iter().map(|token| token.0).collect())
    }

    /// What a call to detokenize is answered.
    pub(super) fn text(&self, tokens: &[i32]) -> Result<String, Error> {
        if tokens.len() > self.longest {
            return Err(Error::Invalid(format!(
                "{} tokens are more than the {} that the model reads",
                tokens.len(),
                self.longest
            )));
        }
        let tokens = self.model.checked(tokens)?;
        Ok(self.model.detokenize(&tokens))
    }

    /// The tokens of a text; `around` adds those that stand before and behind every text.
    fn vocabulary(
        &self,
        text: &str,
        around: bool,
        special: bool,
    ) -> Result<Vec<LlamaToken>, Error> {
        let vocab = self.model.llama.vocab();
        let (mut tokens, begin, end) = match &self.wordpiece {
            Some(wordpiece) => (
                wordpiece.tokens(text, special),
                Some(vocab.bos()),
                Some(vocab.sep()),
            ),
            None => (
                self.model.tokenize(text, Special::parsed(special), false),
                Some(vocab.bos()).filter(|_| vocab.should_add_bos()),
                Some(vocab.eos()).filter(|_| vocab.should_add_eos()),
            ),
        };
        if around {
            tokens.splice(0..0, begin);
            tokens.extend(end);
        }
        // A file may name tokens around every text that it does not have.
        match tokens
            .iter()
            .find(|&&token| self.model.existing(token).is_none())
        {
            Some(token) => Err(Error::Unsupported(format!(
                "it puts token {token} around every text and has only {}",
                self.model.vocabulary()
            ))),
            None => Ok(tokens),
        }
    }

    fn fit(
        &self,
        what: String,
        mut tokens: Vec<LlamaToken>,
        longest: usize,
        truncate: bool,
    ) -> Result<Text, Error> {
        let length = tokens.len();
        if length <= longest {
            return Ok(Text { tokens, cut: false });
        }
        if !truncate {
            return Err(Error::InputTooLong {
                what,
                tokens: length,
                longest,
            });
        }
        let vocab = self.model.llama.vocab();
        // The token that ends every text stays at the end.
        let last = tokens[length - 1];
        tokens.truncate(longest);
        if (last == vocab.sep() || last == vocab.eos())
            && let Some(end) = tokens.last_mut()
        {
            *end = last;
        }
        Ok(Text { tokens, cut: true })
    }
}

/// The part of a text that is tokenized, and whether that is not all.
///
/// # Errors
/// [`Error::InputFarTooLong`] for one that is not all, and must not be cut.
fn part<'t>(
    what: &str,
    text: &'t str,
    longest: usize,
    truncate: bool,
) -> Result<(&'t str, bool), Error> {
    let most = (longest * BYTES_PER_TOKEN).max(LEAST_BYTES);
    if text.len() <= most {
        return Ok((text, false));
    }
    if !truncate {
        return Err(Error::InputFarTooLong {
            what: what.to_owned(),
            bytes: text.len(),
            longest,
        });
    }
    Ok((&text[..text.floor_char_boundary(most)], true))
}

/// The tokenizer of a model that has BERT's.
fn wordpiece(model: &Model) -> Result<WordPiece, Error> {
    let llama = &model.llama;
    let vocab = llama.vocab();
    // The format's own default, as for the other two.
    let unknown = llama.meta_val_str("tokenizer.ggml.unknown_token_id");
    let unknown = unknown.ok().and_then(|id| id.parse().ok()).unwrap_or(100);
    let unknown = LlamaToken::new(unknown);
    for (token, what) in [
        (vocab.bos(), "the beginning of a text"),
        (vocab.sep(), "the end of a text"),
        (unknown, "what is unknown"),
    ] {
        if model.existing(token).is_none() {
            return Err(Error::Unsupported(format!(
                "its vocabulary has no token for {what}"
            )));
        }
    }
    let said = |key: &str| {
        let said = llama.meta_val_str(&format!("tokenizer.ggml.normalizer.{key}"));
        said.ok().map(|said| said == "true")
    };
    let lowercase = said("lowercase").unwrap_or(true);
    let settings = Settings {
        lowercase,
        strip_accents: said("strip_accents").unwrap_or(lowercase),
        unknown,
    };
    let tokens = vocab.tokens().filter_map(|token| {
        let kind = match vocab.attr(token) {
            unused if unused.contains(LlamaTokenAttr::Unused) => return None,
            mark if mark.intersects(LlamaTokenAttr::Control | LlamaTokenAttr::Unknown) => {
                Kind::Mark
            }
            _ => Kind::Piece,
        };
        Some((token, vocab.text(token)?.to_str().ok()?, kind))
    });
    Ok(WordPiece::new(settings, tokens))
}

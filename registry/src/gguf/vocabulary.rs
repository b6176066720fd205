//! Checks of the vocabulary while its lists are read.
//!
//! The lists are long, so they are not kept; but llama.cpp ends the whole process on a token that stands twice,
//! and has overflowed on tokens that are absurdly long.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Error, Problem, Value, ValueType};

pub(crate) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(crate) const MERGES: &str = "tokenizer.ggml.merges";
/// Real vocabularies have up to some 300,000 tokens.
const MOST_TOKENS: u64 = 1024 * 1024;
/// Real tokens have up to some hundred bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// The tokens that have passed by.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    /// The number of tokens, once their list was there.
    pub(super) size: Option<u64>,
    /// A hash of each token that is not empty, and its id.
    ///
    /// Two different tokens of a real vocabulary meet in 64 bits about once in a billion vocabularies.
    hashes: Vec<(u64, u64)>,
    /// The number of tokens that have passed by, empty ones included.
    seen: u64,
    /// The least and the greatest id in each list of ids; a value that cannot be an id counts as the greatest.
    ids: HashMap<String, (i64, i64)>,
}

/// Whether a key holds a list of tokens or of pairs of them.
pub(super) fn is_list(key: &str) -> bool {
    key == TOKENS || key == MERGES
}

/// Whether a key holds the id of a token, or a list of ids.
pub(super) fn is_token_id(key: &str) -> bool {
    key.strip_prefix("tokenizer.ggml.").is_some_and(|rest| {
        rest.ends_with("token_id") || rest.ends_with("token_ids") || rest == "suppress_tokens"
    })
}

/// The token id in a value. An id beyond `i64` is outside every vocabulary too.
pub(super) fn id(value: &Value) -> i64 {
    value.as_i64().unwrap_or(i64::MAX)
}

/// Refuses a token, or a pair of tokens, that is too long.
pub(super) fn check_length(key: &str, element: u64, found: u64, at: u64) -> Result<(), Error> {
    if found > LONGEST_TOKEN {
        return Err(Problem::TokenLength {
            key: key.to_owned(),
            element,
            found,
            limit: LONGEST_TOKEN,
        }
        .at(at));
    }
    Ok(())
}

impl Vocabulary {
    pub(super) fn begin_list(
        &mut self,
        key: &str,
        kind: ValueType,
        len: u64,
        at: u64,
    ) -> Result<(), Error> {
        if kind != ValueType::String {
            let found = format!("array of {kind}");
            return Err(Problem::wrong_type(key, &found, "array of string").at(at));
        }
        if key == TOKENS {
            if len > MOST_TOKENS {
                return Err(Problem::TooMany {
                    what: format!("the array length of key `{key}`"),
                    found: len,
                    limit: MOST_TOKENS,
                }
                .at(at));
            }
            self.size = Some(len);
            // The bytes that as many tokens take at least are in the file.
            self.hashes.reserve_exact(len as usize);
        }
        Ok(())
    }

    /// Counts the next token; elements of other lists are not tokens.
    pub(super) fn add(&mut self, key: &str, token: &[u8]) {
        if key != TOKENS {
            return;
        }
        // llama.cpp gives each empty token a distinct name, so these cannot clash.
        if !token.is_empty() {
            let mut hasher = DefaultHasher::new();
            token.hash(&mut hasher);
            self.hashes.push((hasher.finish(), self.seen));
        }
        self.seen += 1;
    }

    /// Adds the next id of a list.
    pub(super) fn add_id(&mut self, key: &str, value: &Value) {
        let id = id(value);
        match self.ids.get_mut(key) {
            Some((least, greatest)) => {
                (*least, *greatest) = ((*least).min(id), (*greatest).max(id));
            }
            None => {
                self.ids.insert(key.to_owned(), (id, id));
            }
        }
    }

    /// The least and the greatest id in the list of this key; `None` where it has no number in it.
    pub(super) fn ids(&self, key: &str) -> Option<(i64, i64)> {
        self.ids.get(key).copied()
    }

    /// Checks that no token occurs twice.
    pub(super) fn end_list(&mut self, key: &str, at: u64) -> Result<(), Error> {
        if key != TOKENS {
            return Ok(());
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.sort_unstable();
        let same = hashes.windows(2).find(|pair| pair[0].0 == pair[1].0);
        match same {
            Some(pair) => {
                let (first, second) = (pair[0].1, pair[1].1);
                Err(Problem::SameToken { first, second }.at(at))
            }
            None => Ok(()),
        }
    }
}

//! The compilers of one vocabulary; each sorts it once, when the first request needs it.

use std::{collections::HashSet, time::Instant};

use llama_cpp_2::token::LlamaToken;

use super::Compiler;
use crate::{error::Error, vocabulary::Vocabulary};

/// The compilers that requests have needed so far.
#[derive(Debug, Default)]
pub(crate) struct Compilers {
    /// For constraints of requests.
    plain: Option<Compiler>,
    /// For tool calls, with the control tokens of their markup.
    calls: Option<(Vec<i32>, Compiler)>,
}

impl Compilers {
    /// The compiler of the constraints of requests.
    ///
    /// # Errors
    /// [`Error::Internal`] when the vocabulary cannot be read.
    pub(crate) fn plain(&mut self, vocabulary: &impl Vocabulary) -> Result<&Compiler, Error> {
        let compiler = match self.plain.take() {
            Some(compiler) => compiler,
            None => {
                let began = Instant::now();
                let compiler = Compiler::new(vocabulary, &[])?;
                tracing::debug!(took = ?began.elapsed(), "sorted the vocabulary for constraints");
                compiler
            }
        };
        Ok(self.plain.insert(compiler))
    }

    /// The compiler of grammars for tool calls. These control tokens count as their text, because they are part of the markup.
    ///
    /// # Errors
    /// [`Error::Internal`] when the vocabulary cannot be read.
    pub(crate) fn of_calls(
        &mut self,
        vocabulary: &impl Vocabulary,
        markup: &HashSet<LlamaToken>,
    ) -> Result<&Compiler, Error> {
        let mut spelled: Vec<i32> = markup.iter().map(|token| token.0).collect();
        spelled.retain(|&token| vocabulary.piece(token).is_empty() && !vocabulary.ends(token));
        spelled.sort_unstable();
        let compiler = match self.calls.take().filter(|(known, _)| *known == spelled) {
            Some((_, compiler)) => compiler,
            None => Compiler::new(vocabulary, &spelled)?,
        };
        Ok(&self.calls.insert((spelled, compiler)).1)
    }
}

//! Tokens of a text, and the text of tokens.

use futures::{StreamExt, TryStreamExt};
use runner_protocol::Tokenize;
use supervisor::Runner;

use super::ResolvedModel;
use crate::app::App;
use crate::ask::Target;
use crate::error::Error;
use crate::scheduler::Lease;

/// Most tokens whose texts are told one by one; each is a call to the runner.
const MAX_PIECES: usize = 16_384;

/// Most tokens that are turned into one text.
const MAX_TOKENS: usize = 1 << 20;

/// Calls to the runner at a time.
const CALLS: usize = 16;

/// The tokens of a text, with the text of each token if `with_pieces`.
///
/// # Errors
/// When the model cannot be loaded, its runner fails, or there are too many tokens for `with_pieces`.
pub async fn tokenize(
    app: &App,
    target: &Target,
    text: Tokenize,
    with_pieces: bool,
) -> Result<(Vec<i32>, Option<Vec<String>>), Error> {
    let (lease, label) = leased(app, target).await?;
    let failed = |source| Error::runner(&label, source);
    let tokens = lease.runner().tokenize(text).await.map_err(failed)?;
    if !with_pieces {
        return Ok((tokens, None));
    }
    if tokens.len() > MAX_PIECES {
        let reason = format!(
            "the text has {} tokens, and at most {MAX_PIECES} are allowed with pieces",
            tokens.len()
        );
        return Err(Error::field("with_pieces", reason));
    }
    let pieces = pieces(lease.runner(), &tokens).await.map_err(failed)?;
    Ok((tokens, Some(pieces)))
}

/// The text of each token.
///
/// Some vocabularies drop the space before the first token of a text, so each is turned into text behind another token.
async fn pieces(runner: &Runner, tokens: &[i32]) -> Result<Vec<String>, supervisor::Error> {
    let letter = Tokenize {
        text: "a".to_owned(),
        add_special: false,
        parse_special: false,
        literal: Vec::new(),
    };
    let letter = runner.tokenize(letter).await?;
    let before = runner.detokenize(letter.clone()).await?;
    let calls: Vec<_> = tokens
        .iter()
        .map(|token| runner.detokenize([letter.as_slice(), &[*token]].concat()))
        .collect();
    let texts = futures::stream::iter(calls).buffered(CALLS);
    texts
        .map_ok(|text| text.strip_prefix(&before).unwrap_or(&text).to_owned())
        .try_collect()
        .await
}

/// The text of tokens.
///
/// # Errors
/// As [`tokenize`], and when there are too many tokens or the vocabulary lacks a token.
pub async fn detokenize(app: &App, target: &Target, tokens: Vec<i32>) -> Result<String, Error> {
    if tokens.len() > MAX_TOKENS {
        let reason = format!(
            "has {} tokens, and at most {MAX_TOKENS} are allowed",
            tokens.len()
        );
        return Err(Error::field("tokens", reason));
    }
    let (lease, label) = leased(app, target).await?;
    let text = lease.runner().detokenize(tokens).await;
    text.map_err(|source| Error::runner(&label, source))
}

/// A lease on a model of any capability, and its name for messages.
async fn leased(app: &App, target: &Target) -> Result<(Lease, String), Error> {
    let resolved = ResolvedModel::find(app, None, target).await?;
    Ok((resolved.lease(app).await?, target.label.clone()))
}

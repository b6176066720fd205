//! Tokens of a text, and the text of tokens.

use futures::{StreamExt, TryStreamExt};
use runner_protocol::Tokenize;

use super::ResolvedModel;
use crate::app::App;
use crate::ask::Target;
use crate::error::Error;
use crate::scheduler::Lease;

/// Most tokens whose texts are told one by one; each is a call to the runner.
const MAX_PIECES: usize = 16_384;

/// Calls to the runner at a time.
const CALLS: usize = 16;

/// The tokens of a text.
///
/// # Errors
/// When the model cannot be loaded, or its runner fails.
pub async fn tokenize(app: &App, target: &Target, text: Tokenize) -> Result<Vec<i32>, Error> {
    let (lease, label) = leased(app, target).await?;
    let tokens = lease.runner().tokenize(text).await;
    tokens.map_err(|source| Error::runner(&label, source))
}

/// The text of tokens.
///
/// # Errors
/// As [`tokenize`], and when the vocabulary has no such token.
pub async fn detokenize(app: &App, target: &Target, tokens: Vec<i32>) -> Result<String, Error> {
    let (lease, label) = leased(app, target).await?;
    let text = lease.runner().detokenize(tokens).await;
    text.map_err(|source| Error::runner(&label, source))
}

/// The text of each token.
///
/// # Errors
/// As [`detokenize`], and for too many tokens.
pub async fn pieces(app: &App, target: &Target, tokens: &[i32]) -> Result<Vec<String>, Error> {
    if tokens.len() > MAX_PIECES {
        return Err(Error::field(
            "with_pieces",
            format!(
                "the text has {} tokens, and pieces are told of {MAX_PIECES} at most",
                tokens.len()
            ),
        ));
    }
    let (lease, label) = leased(app, target).await?;
    let runner = lease.runner();
    let calls: Vec<_> = tokens
        .iter()
        .map(|token| runner.detokenize(vec![*token]))
        .collect();
    futures::stream::iter(calls)
        .buffered(CALLS)
        .try_collect()
        .await
        .map_err(|source| Error::runner(&label, source))
}

/// A lease on a model of any capability, and its name for messages.
async fn leased(app: &App, target: &Target) -> Result<(Lease, String), Error> {
    let resolved = ResolvedModel::find(app, None, target).await?;
    Ok((resolved.lease(app).await?, target.label.clone()))
}

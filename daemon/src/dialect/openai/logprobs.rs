//! Logprobs of tokens.

use api::openai::{ChoiceLogprobs, TokenLogprob, TopLogprob};
use runner_protocol::{Likelihood, Logprob, MAX_TOP_LOGPROBS};
use serde_json::Value;

use super::sampling;
use crate::error::Error;

/// The number of top logprobs of a chat, if the request asks for logprobs: by `logprobs` and `top_logprobs`, or by `n_probs`.
///
/// # Errors
/// [`Error::Field`] for a wrong number, and for top logprobs without logprobs.
pub(super) fn wanted(
    logprobs: Option<bool>,
    top: Option<&Value>,
    n_probs: Option<&Value>,
) -> Result<Option<u32>, Error> {
    let top = sampling::whole("top_logprobs", top, 0..=MAX_TOP_LOGPROBS)?;
    let n_probs = sampling::whole("n_probs", n_probs, 0..=MAX_TOP_LOGPROBS)?;
    let n_probs = n_probs.filter(|number| *number > 0);
    match (logprobs, top) {
        (Some(true), top) => Ok(Some(top.or(n_probs).unwrap_or(0))),
        (_, Some(1..)) => Err(Error::field("top_logprobs", "goes with logprobs: true")),
        _ => Ok(n_probs),
    }
}

/// The logprobs of a piece of a chat.
pub(super) fn of_chat(logprobs: Vec<Logprob>) -> ChoiceLogprobs {
    let token = |logprob: Logprob| {
        let TopLogprob {
            token,
            logprob: chosen,
            bytes,
        } = one(logprob.chosen);
        TokenLogprob {
            token,
            logprob: chosen,
            bytes,
            top_logprobs: logprob.top.into_iter().map(one).collect(),
        }
    };
    ChoiceLogprobs {
        content: logprobs.into_iter().map(token).collect(),
        refusal: None,
    }
}

fn one(likelihood: Likelihood) -> TopLogprob {
    TopLogprob {
        token: text(&likelihood),
        logprob: likelihood.logprob,
        bytes: likelihood.bytes,
    }
}

/// The text of a token; U+FFFD stands for an incomplete character.
pub(super) fn text(likelihood: &Likelihood) -> String {
    String::from_utf8_lossy(&likelihood.bytes).into_owned()
}

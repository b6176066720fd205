//! Token counts and times of answers.

use api::openai::{Timings, Usage};

use crate::answer::End;

/// The token counts of all choices of a request. Choices with the same prompt count it once.
pub(super) fn sum<'a>(ends: impl IntoIterator<Item = Choice<'a>>) -> Usage {
    let mut usage = Usage::default();
    for Choice {
        end,
        thinking,
        counts_prompt,
    } in ends
    {
        let counts = &end.usage;
        if counts_prompt {
            usage.prompt_tokens += counts.prompt;
            usage.prompt_tokens_details.cached_tokens += counts.cached;
        }
        usage.completion_tokens += counts.generated;
        let details = &mut usage.completion_tokens_details;
        details.reasoning_tokens += thinking.min(counts.generated);
        details.accepted_prediction_tokens += counts.accepted;
        details.rejected_prediction_tokens += counts.drafted.saturating_sub(counts.accepted);
    }
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
    usage
}

/// One choice of a request.
pub(super) struct Choice<'a> {
    /// Its end.
    pub(super) end: &'a End,
    /// Pieces of thinking.
    pub(super) thinking: u32,
    /// Whether it is the first choice of its prompt.
    pub(super) counts_prompt: bool,
}

/// The times of a choice.
pub(super) fn timings(end: &End) -> Timings {
    let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let per = |what: f64, count: f64| if count > 0.0 { what / count } else { 0.0 };
    let prompt_n = end.usage.prompt.saturating_sub(end.usage.cached);
    let (prompt_ms, predicted_ms) = (millis(end.timings.prefill), millis(end.timings.decode));
    let predicted_n = end.usage.generated;
    Timings {
        cache_n: end.usage.cached,
        prompt_n,
        prompt_ms,
        prompt_per_token_ms: per(prompt_ms, f64::from(prompt_n)),
        prompt_per_second: per(f64::from(prompt_n) * 1e3, prompt_ms),
        predicted_n,
        predicted_ms,
        predicted_per_token_ms: per(predicted_ms, f64::from(predicted_n)),
        predicted_per_second: per(f64::from(predicted_n) * 1e3, predicted_ms),
        draft_n: end.usage.drafted,
        draft_n_accepted: end.usage.accepted,
    }
}

//! Makes a prompt fit the context.

pub(crate) mod length;
pub(crate) mod marks;
pub(crate) mod seams;

use runner_protocol::Overflow;

use crate::error::Error;

/// A prompt that fits, and how many tokens it lost.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fitted<T> {
    /// At least one token, and fewer than the context has cells.
    pub(crate) tokens: Vec<T>,
    /// Tokens that were cut out.
    pub(crate) cut: usize,
}

/// Fits a prompt into `cells`, which must also hold at least one token of the answer.
///
/// A prompt that is too long is refused, or, with [`Overflow::Truncate`], loses tokens after the first ones that are to stay.
/// Then it leaves room for the `wanted` tokens of the answer, at most half of the context; a quarter when the request does not say how many.
/// `anchored` counts the tokens at the start that stay in any case, such as the beginning-of-sequence token.
///
/// # Errors
/// [`Error::ContextOverflow`], and [`Error::Invalid`] for a prompt without tokens.
pub(crate) fn fit<T>(
    mut tokens: Vec<T>,
    cells: usize,
    wanted: Option<usize>,
    overflow: Overflow,
    anchored: usize,
) -> Result<Fitted<T>, Error> {
    if tokens.is_empty() {
        return Err(Error::Invalid("the prompt has no tokens".into()));
    }
    if tokens.len() < cells {
        return Ok(Fitted { tokens, cut: 0 });
    }
    let refused = Error::ContextOverflow {
        prompt: tokens.len(),
        context: cells,
    };
    let Overflow::Truncate { keep } = overflow else {
        return Err(refused);
    };
    let room = wanted.unwrap_or(cells / 4).clamp(1, cells / 2);
    let target = cells - room;
    let keep = usize::try_from(keep).unwrap_or(usize::MAX).max(anchored);
    if keep >= target {
        return Err(refused);
    }
    let cut = tokens.len() - target;
    tokens.drain(keep..keep + cut);
    Ok(Fitted { tokens, cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(count: usize) -> Vec<usize> {
        (0..count).collect()
    }

    #[test]
    fn a_prompt_that_fits_stays_as_it_is() {
        for overflow in [Overflow::Refuse, Overflow::Truncate { keep: 0 }] {
            let fitted = fit(tokens(15), 16, None, overflow, 1).unwrap();
            assert_eq!(
                fitted,
                Fitted {
                    tokens: tokens(15),
                    cut: 0
                }
            );
        }
    }

    #[test]
    fn a_prompt_without_room_for_an_answer_is_refused_with_both_numbers() {
        let error = fit(tokens(16), 16, Some(1), Overflow::Refuse, 0).unwrap_err();
        assert!(matches!(
            error,
            Error::ContextOverflow {
                prompt: 16,
                context: 16
            }
        ));
    }

    #[test]
    fn a_prompt_without_tokens_is_refused() {
        assert!(matches!(
            fit(tokens(0), 16, None, Overflow::Refuse, 0),
            Err(Error::Invalid(_))
        ));
    }

    #[test]
    fn what_is_cut_lies_after_what_stays() {
        let fitted = fit(tokens(20), 16, Some(4), Overflow::Truncate { keep: 2 }, 1).unwrap();
        assert_eq!(fitted.cut, 8);
        assert_eq!(
            fitted.tokens,
            [0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
        );
    }

    #[test]
    fn room_for_the_answer_is_a_quarter_unless_asked_and_half_at_most() {
        let left = |wanted| {
            fit(tokens(100), 16, wanted, Overflow::Truncate { keep: 0 }, 0)
                .unwrap()
                .tokens
                .len()
        };
        assert_eq!(
            (left(None), left(Some(0)), left(Some(1)), left(Some(1000))),
            (12, 15, 15, 8)
        );
    }

    #[test]
    fn the_anchor_stays_and_keeping_too_much_is_refused() {
        let fitted = fit(tokens(20), 16, Some(4), Overflow::Truncate { keep: 0 }, 1).unwrap();
        assert_eq!(fitted.tokens[..2], [0, 9]);
        let error = fit(tokens(20), 16, Some(4), Overflow::Truncate { keep: 12 }, 1).unwrap_err();
        assert!(matches!(error, Error::ContextOverflow { .. }));
    }

    #[test]
    fn the_smallest_context_works() {
        for wanted in [None, Some(0), Some(9)] {
            let fitted = fit(tokens(9), 4, wanted, Overflow::Truncate { keep: 0 }, 1).unwrap();
            assert!((1..4).contains(&fitted.tokens.len()));
        }
    }
}

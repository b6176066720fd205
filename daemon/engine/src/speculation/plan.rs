//! How much of the drafts a step computes.

use super::costs::Costs;

/// A step with drafts must promise so much more tokens per second, or noise decides.
const MARGIN: f64 = 1.02;

/// And so much more for each time that it takes as long as one without: what comes in lumps is read less well.
const PRICE_OF_LUMPS: f64 = 0.3;

/// Steps of so many more tokens than any that was timed are tried, so that what more cost is found out little by little.
const REACH: usize = 4;

/// Drafts may make each token of another sequence at most this much slower.
const PATIENCE: f64 = 1.2;

/// How many tokens of each draft to compute, so that most tokens come per second.
///
/// A draft is given by the probability that each of its tokens is accepted if those before it are. `writers` sequences compute a token
/// in any case, those with drafts among them, and `room` more tokens fit.
///
/// The best tokens are the most probable ones of all drafts; so all numbers of them are tried, and that one is taken
/// which brings most for its cost. With many in decode, or a busy processor, that is none.
pub(super) fn lengths(
    drafts: &[Vec<f64>],
    writers: usize,
    room: usize,
    costs: &Costs,
) -> Vec<usize> {
    let mut best = vec![0; drafts.len()];
    let Some(alone) = costs.of(writers).filter(|cost| *cost > 0.0) else {
        return best;
    };
    let room = room.min((costs.largest() + REACH).saturating_sub(writers));
    let mut best_gain = 1.0;
    let mut lengths = best.clone();
    let mut gains = vec![0.0; drafts.len()];
    let mut tokens = writers as f64;
    for (extra, (draft, chance)) in likeliest(drafts).into_iter().take(room).enumerate() {
        lengths[draft] += 1;
        gains[draft] += chance;
        tokens += chance;
        let Some(cost) = costs.of(writers + extra + 1) else {
            break;
        };
        let others = writers > drafts.len();
        let least = if others {
            0.0
        } else {
            gains.iter().copied().fold(f64::INFINITY, f64::min)
        };
        let (longer, more) = (cost / alone, tokens / writers as f64);
        let gain = more / longer / (MARGIN + PRICE_OF_LUMPS * (longer - 1.0).max(0.0));
        if gain > best_gain && longer <= PATIENCE * (1.0 + least) {
            best_gain = gain;
            best.clone_from(&lengths);
        }
    }
    best
}

/// All drafted tokens, each with the chance that it and all before it are right, the likeliest first; a draft's own tokens stay in order.
fn likeliest(drafts: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let mut all = Vec::new();
    for (index, chances) in drafts.iter().enumerate() {
        let mut whole = 1.0;
        for chance in chances {
            whole *= chance.clamp(0.0, 1.0);
            all.push((index, whole));
        }
    }
    // Stable, so that of two that are equally likely the earlier one stays first.
    all.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A step takes `fixed` and `each` for every token, in milliseconds.
    fn costs(fixed: u64, each: u64) -> Costs {
        let mut costs = Costs::new();
        for tokens in 1..=64 {
            costs.learn(tokens, Duration::from_millis(fixed + each * tokens as u64));
        }
        costs
    }

    #[test]
    fn drafts_are_long_where_tokens_are_cheap_and_none_where_each_costs_the_same() {
        let sure = vec![vec![0.95; 16]];
        assert_eq!(lengths(&sure, 1, 100, &costs(100, 1)), [16]);
        assert_eq!(lengths(&sure, 1, 100, &costs(0, 10)), [0]);
        let some = lengths(&[vec![0.7; 16]], 1, 100, &costs(20, 10))[0];
        assert!((1..6).contains(&some), "{some}");
        assert_eq!(lengths(&[vec![0.05; 16]], 1, 100, &costs(10, 10)), [0]);
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        assert_eq!(lengths(&[vec![0.95; 16]], 1, 3, &costs(100, 1)), [3]);
        assert_eq!(lengths(&[vec![0.95; 16]], 1, 0, &costs(100, 1)), [0]);
        let both = vec![vec![0.9; 8], vec![0.95; 8]];
        let found = lengths(&both, 2, 5, &costs(100, 1));
        assert_eq!(found.iter().sum::<usize>(), 5);
        assert!(found[1] > found[0], "{found:?}");
    }

    #[test]
    fn what_nobody_timed_is_tried_little_by_little() {
        let mut costs = Costs::new();
        let mut lengths = Vec::new();
        for _ in 0..4 {
            let drafted = super::lengths(&[vec![0.95; 16]], 1, 100, &costs)[0];
            costs.learn(1 + drafted, Duration::from_millis(41 + drafted as u64));
            lengths.push(drafted);
        }
        assert_eq!(lengths, [0, 4, 8, 12]);
    }

    #[test]
    fn nothing_is_drafted_before_a_step_was_timed() {
        assert_eq!(lengths(&[vec![0.95; 16]], 1, 100, &Costs::new()), [0]);
        assert_eq!(lengths(&[], 3, 100, &costs(10, 10)), [0; 0]);
    }

    #[test]
    fn nobody_waits_long_for_the_drafts_of_others() {
        // With 3 ms for each token, 16 of them would pay for the sequence with the draft, and double the time of all others.
        let costs = costs(40, 3);
        let alone = lengths(&[vec![0.98; 16]], 1, 100, &costs)[0];
        let beside = lengths(&[vec![0.98; 16]], 4, 100, &costs)[0];
        assert!(alone > 10, "{alone}");
        let longer = (40 + 3 * (4 + beside)) as f64 / 52.0;
        assert!(beside > 0 && longer <= PATIENCE, "{beside}");
        // Sequences that all have drafts may slow each other down.
        let all = lengths(&vec![vec![0.98; 8]; 4], 4, 100, &costs);
        assert!(all.iter().sum::<usize>() > 4 * beside, "{all:?}");
    }

    #[test]
    fn lumps_must_bring_more() {
        // Each token costs nearly as much as those that are written in any case.
        let sure = vec![vec![0.95; 8]; 8];
        assert_eq!(lengths(&sure, 8, 100, &costs(6, 8)), [0; 8]);
        // Alone, nearly all of a step is there already.
        assert_eq!(lengths(&sure[..1], 1, 100, &costs(60, 8)), [8]);
    }

    #[test]
    fn what_follows_an_unlikely_token_is_unlikely() {
        let found = lengths(&[vec![0.9, 0.1, 0.99, 0.99]], 1, 100, &costs(20, 10));
        assert_eq!(found, [1]);
    }
}

//! The tokens that may still be chosen, and what is known of them.
//!
//! A vocabulary has up to some hundred thousand tokens, and most requests need the few likeliest of them.
//! So the list is filled by one pass over the scores, which looks closely only where something can be found.

use std::cmp::Ordering;

/// Logits that are compared together: if none is high enough, all are skipped.
const BLOCK: usize = 256;

/// Comparisons that run side by side.
const LANES: usize = 16;

/// How many tokens of an open choice are put in order at first.
const HEAD: usize = 256;

/// How many times as many are, each time that they are not enough.
const GROWTH: usize = 8;

/// One token that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: i32,
    /// The score: never −∞ and never NaN.
    pub(super) logit: f32,
    /// The probability, once [`Candidates::weigh`] was called.
    pub(super) p: f32,
}

/// Tokens that may be chosen.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    pub(super) list: Vec<Candidate>,
    /// Most likely first; of equal ones, the lower id first.
    sorted: bool,
}

/// The order of a sorted list; there are no two alike.
fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

impl Candidates {
    /// Takes all tokens that score at least `floor`, in the order of their numbers. What scores −∞ or NaN is never taken.
    pub(super) fn take_all(&mut self, scores: &[f32], floor: f32) {
        self.list.clear();
        self.sorted = false;
        let floor = floor.max(f32::MIN);
        let all = (0..).zip(scores).filter(|(_, score)| **score >= floor);
        self.list.extend(all.map(|(token, &logit)| Candidate {
            token,
            logit,
            p: 0.0,
        }));
    }

    /// Takes the `k` most likely tokens with logits of at least `floor`, in order.
    pub(super) fn take_top(&mut self, scores: &[f32], k: usize, floor: f32) {
        self.list.clear();
        let k = k.clamp(1, scores.len().max(1));
        let room = k + k.max(BLOCK);
        let mut bar = floor.max(f32::MIN);
        for (first, block) in (0..).step_by(BLOCK).zip(scores.chunks(BLOCK)) {
            if highest(block) < bar {
                continue;
            }
            for (token, &logit) in (first..).zip(block) {
                if logit >= bar {
                    self.list.push(Candidate {
                        token,
                        logit,
                        p: 0.0,
                    });
                    if self.list.len() == room {
                        self.list.select_nth_unstable_by(k - 1, likelier);
                        self.list.truncate(k);
                        bar = self.list[k - 1].logit;
                    }
                }
            }
        }
        self.list.sort_unstable_by(likelier);
        self.list.truncate(k);
        self.sorted = true;
    }

    /// Puts the likeliest first.
    pub(super) fn sort(&mut self) {
        if !self.sorted {
            self.list.sort_unstable_by(likelier);
            self.sorted = true;
        }
    }

    /// Puts so many of the likeliest first, in order; the rest follows in any order.
    pub(super) fn sort_head(&mut self, head: usize) {
        if self.sorted || head == 0 {
            return;
        }
        if head >= self.list.len() {
            return self.sort();
        }
        self.list.select_nth_unstable_by(head - 1, likelier);
        self.list[..head].sort_unstable_by(likelier);
    }

    /// Puts more of the list in order, of which so many are, and says how many are then.
    fn sort_more(&mut self, ordered: usize) -> usize {
        let next = (ordered * GROWTH).min(self.list.len());
        let rest = &mut self.list[ordered..];
        if next < ordered + rest.len() {
            rest.select_nth_unstable_by(next - ordered, likelier);
        }
        rest[..next - ordered].sort_unstable_by(likelier);
        next
    }

    /// Keeps so many of the likeliest.
    pub(super) fn keep_top(&mut self, k: usize) {
        if k < self.list.len() {
            self.sort_head(k);
            self.list.truncate(k);
            self.sorted = true;
        }
    }

    /// Keeps the shortest head of the list whose probabilities reach `share`.
    pub(super) fn keep_share(&mut self, share: f32) {
        self.weigh();
        let mut ordered = if self.sorted {
            self.list.len()
        } else {
            HEAD.min(self.list.len())
        };
        self.sort_head(ordered);
        let mut sum = 0.0;
        let mut kept = 0;
        while kept < self.list.len() {
            if kept == ordered {
                ordered = self.sort_more(ordered);
            }
            sum += self.list[kept].p;
            kept += 1;
            if sum >= share {
                break;
            }
        }
        self.list.truncate(kept);
        self.sorted = true;
    }

    /// Keeps what the test lets pass, in the order it has.
    pub(super) fn retain(&mut self, pass: impl FnMut(&Candidate) -> bool) {
        self.list.retain(pass);
    }

    /// Replaces the list by these of its places, in this order.
    pub(super) fn pick(&mut self, places: &[usize]) {
        self.list = places.iter().map(|&place| self.list[place]).collect();
        self.sorted = false;
    }

    /// Takes so many of the likeliest away. The list must be sorted.
    pub(super) fn drop_head(&mut self, count: usize) {
        debug_assert!(self.sorted);
        self.list.drain(..count);
    }

    /// Divides all scores by a positive number.
    pub(super) fn divide(&mut self, by: f32) {
        for candidate in &mut self.list {
            candidate.logit /= by;
        }
    }

    /// Replaces all scores; the order is lost.
    pub(super) fn rescore(&mut self, score: impl Fn(&Candidate) -> f32) {
        for candidate in &mut self.list {
            candidate.logit = score(candidate);
        }
        self.sorted = false;
    }

    /// Computes the probabilities, which add up to 1.
    pub(super) fn weigh(&mut self) {
        let highest = self.highest();
        let mut sum = 0.0;
        for candidate in &mut self.list {
            // Two infinite scores have no difference.
            let below = candidate.logit - highest;
            candidate.p = if below.is_nan() { 1.0 } else { below.exp() };
            sum += candidate.p;
        }
        for candidate in &mut self.list {
            candidate.p /= sum;
        }
    }

    /// The entropy of the probabilities, in nats.
    pub(super) fn entropy(&self) -> f32 {
        let part = |candidate: &Candidate| {
            if candidate.p > 0.0 {
                -candidate.p * candidate.p.ln()
            } else {
                0.0
            }
        };
        self.list.iter().map(part).sum()
    }

    fn highest(&self) -> f32 {
        if self.sorted {
            return self.list.first().map_or(0.0, |first| first.logit);
        }
        let logits = self.list.iter().map(|candidate| candidate.logit);
        logits.fold(f32::NEG_INFINITY, f32::max)
    }
}

/// The highest of some scores; −∞ when there is none that is a number.
pub(super) fn highest(scores: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut groups = scores.chunks_exact(LANES);
    for group in &mut groups {
        for (lane, &score) in lanes.iter_mut().zip(group) {
            // Written so that the compiler needs one instruction for all lanes; NaN is never above.
            *lane = if score > *lane { score } else { *lane };
        }
    }
    let rest = groups.remainder().iter();
    lanes.iter().chain(rest).fold(
        f32::NEG_INFINITY,
        |high, &score| {
            if score > high { score } else { high }
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scores() -> impl Strategy<Value = Vec<f32>> {
        let score = prop_oneof![
            20 => -30.0f32..30.0,
            // Many that are alike.
            10 => (-3i8..3).prop_map(f32::from),
            1 => Just(f32::NEG_INFINITY),
            1 => Just(f32::NAN),
        ];
        proptest::collection::vec(score, 1..4000)
    }

    /// What one would write without a thought for time.
    fn plain(scores: &[f32], k: usize, floor: f32) -> Vec<i32> {
        let mut all: Vec<(i32, f32)> = (0..)
            .zip(scores.iter().copied())
            .filter(|(_, score)| *score >= floor.max(f32::MIN))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(k);
        all.into_iter().map(|(token, _)| token).collect()
    }

    fn tokens(candidates: &Candidates) -> Vec<i32> {
        candidates.list.iter().map(|it| it.token).collect()
    }

    proptest! {
        #[test]
        fn the_pass_finds_what_sorting_all_finds(scores in scores(), k in 1usize..600, floor in prop_oneof![Just(f32::NEG_INFINITY), -20.0f32..20.0]) {
            let mut candidates = Candidates::default();
            candidates.take_top(&scores, k, floor);
            prop_assert_eq!(tokens(&candidates), plain(&scores, k, floor));

            candidates.take_all(&scores, floor);
            candidates.keep_top(k);
            candidates.sort();
            prop_assert_eq!(tokens(&candidates), plain(&scores, k, floor));
        }

        #[test]
        fn the_shortest_head_is_kept(scores in scores(), share in 0.0f32..1.0) {
            let mut candidates = Candidates::default();
            candidates.take_all(&scores, f32::NEG_INFINITY);
            let all = candidates.list.len();
            let mut sorted = candidates.clone();
            sorted.sort();
            sorted.weigh();
            candidates.keep_share(share);
            let kept = candidates.list.len();
            prop_assert_eq!(&tokens(&candidates)[..], &tokens(&sorted)[..kept]);
            let sum = |count: usize| sorted.list[..count].iter().map(|it| f64::from(it.p)).sum::<f64>();
            // Sums differ in their last digits with the order of adding.
            prop_assert!(kept == all || sum(kept) >= f64::from(share) - 1e-4);
            prop_assert!(kept <= 1 || sum(kept - 1) < f64::from(share) + 1e-4);
        }

        #[test]
        fn the_highest_is_found(scores in scores()) {
            let plain = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(highest(&scores), plain);
        }
    }

    #[test]
    fn probabilities_add_up_even_for_infinite_scores() {
        let mut candidates = Candidates::default();
        candidates.take_all(&[f32::INFINITY, 1.0, f32::INFINITY], f32::NEG_INFINITY);
        candidates.weigh();
        let p: Vec<f32> = candidates.list.iter().map(|it| it.p).collect();
        assert_eq!(p, [0.5, 0.0, 0.5]);
    }

    #[test]
    fn nothing_is_chosen_of_nothing() {
        let mut candidates = Candidates::default();
        candidates.take_top(&[f32::NAN, f32::NEG_INFINITY], 5, f32::NEG_INFINITY);
        assert!(candidates.list.is_empty());
        candidates.keep_share(0.5);
        assert!(candidates.list.is_empty());
    }
}

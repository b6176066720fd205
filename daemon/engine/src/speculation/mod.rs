//! Speculative decoding: tokens that are drafted before they are sampled.
//!
//! A step of one token reads all weights, and so does a step of a few. So a sequence in decode may bring
//! draft tokens along. The sequence's [`Chooser`](crate::sampler::Chooser) samples at each position in turn,
//! and as long as it samples the draft token, the next position is computed already. The rest is removed.
//! So the text is the same as without drafts: samplers, seeds, constraints and stop texts see the same tokens in the same order.
//! As in any batch, logits may differ in the last digits, and a tie may fall the other way.
//!
//! Drafts only take free room in batch and cache. Each step is timed and each draft token counted, and the part of the drafts
//! is computed that promises most tokens per second for all sequences together ([`plan`]); with many in decode, mostly none.
//! What did not pay is tried again now and then.

mod costs;
mod lookup;
mod model;
mod odds;
mod plan;

use std::time::Duration;

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{MAX_DRAFT, Speculation as Mode};

use self::{
    costs::Costs,
    lookup::Lookup,
    odds::{Grounds, Level, Odds},
};

pub(crate) use self::model::{DraftModel, open};

/// Most tokens of a draft, where the request does not say.
const USUAL: usize = 16;

/// Most tokens of a draft that tests whether drafts pay again.
const PROBE: usize = 4;

/// Steps without drafts before they are tried again; doubled after each failure, up to the second number.
const PATIENCE: [u32; 2] = [16, 1024];

/// A draft of the next tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Draft {
    pub(crate) tokens: Vec<LlamaToken>,
    /// What each token was drafted from.
    levels: Vec<Level>,
}

impl Draft {
    fn push(&mut self, token: LlamaToken, grounds: Grounds) {
        self.tokens.push(token);
        self.levels.push(grounds.level());
    }

    fn truncate(&mut self, tokens: usize) {
        self.tokens.truncate(tokens);
        self.levels.truncate(tokens);
    }
}

/// Draft settings and counts of one sequence.
#[derive(Debug)]
pub(crate) struct Drafting {
    /// Most tokens of a draft.
    most: usize,
    lookup: Lookup,
    odds: Odds,
    /// Numbers of drafted tokens and of accepted tokens.
    counts: (usize, usize),
}

impl Drafting {
    /// For a new sequence, whose drafts have at most `most` tokens.
    pub(crate) fn new(most: Option<u32>) -> Self {
        Self {
            most: most.map_or(USUAL, |most| most.min(MAX_DRAFT) as usize),
            lookup: Lookup::default(),
            odds: Odds::of_one(),
            counts: (0, 0),
        }
    }

    /// Numbers of drafted tokens and of accepted tokens.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.counts
    }
}

/// A sequence in decode.
#[derive(Debug)]
pub(crate) struct Writer<'s> {
    /// Its index among the running sequences.
    pub(crate) index: usize,
    /// Id of its request.
    pub(crate) id: u64,
    /// Prompt and answer.
    pub(crate) text: &'s [LlamaToken],
    /// Longer drafts are of no use, or could not be removed again.
    pub(crate) most: usize,
    pub(crate) drafting: &'s mut Drafting,
}

/// A sequence in decode, and the best draft for it so far.
#[derive(Debug)]
struct Offer<'s> {
    writer: Writer<'s>,
    draft: Draft,
}

impl Offer<'_> {
    /// Probability that each token of the draft is accepted if those before it are.
    fn chances(&self, all: &Odds) -> Vec<f64> {
        let odds = &self.writer.drafting.odds;
        let levels = self.draft.levels.iter();
        levels.map(|level| odds.chance(all, *level)).collect()
    }
}

/// A source of drafts.
trait Drafter: std::fmt::Debug {
    /// Makes drafts for sequences that have none or a worse one.
    fn draft(&mut self, offers: &mut [Offer<'_>], prices: &Prices<'_>);
}

/// What a source needs to see whether a draft pays.
#[derive(Debug)]
struct Prices<'a> {
    /// Tokens per second of all sequences without drafts, and the seconds that each draft token adds to a step.
    /// `None` when that does not matter.
    known: Option<(f64, f64)>,
    /// How often draft tokens of all sequences were accepted.
    all: &'a Odds,
}

impl Prices<'_> {
    /// Whether a draft token that is accepted with this probability is worth so many seconds.
    fn pays(&self, chance: f64, seconds: f64) -> bool {
        self.known
            .is_none_or(|(rate, more)| chance >= rate * (seconds + more))
    }
}

/// Prompt lookup.
#[derive(Debug)]
struct Repeating;

impl Drafter for Repeating {
    fn draft(&mut self, offers: &mut [Offer<'_>], _: &Prices<'_>) {
        for Offer { writer, draft } in offers {
            *draft = writer.drafting.lookup.draft(writer.text, writer.most);
        }
    }
}

/// Makes drafts, and learns whether they pay.
#[derive(Debug)]
pub(crate) struct Speculation<'m> {
    mode: Mode,
    drafters: Vec<Box<dyn Drafter + 'm>>,
    costs: Costs,
    all: Odds,
    /// Steps since the last one with drafts.
    without: u32,
    /// Steps before the next trial.
    patience: u32,
}

impl<'m> Speculation<'m> {
    /// Nothing learned yet.
    pub(crate) fn new(mode: Mode, model: Option<DraftModel<'m>>) -> Self {
        let mut drafters: Vec<Box<dyn Drafter + 'm>> = vec![Box::new(Repeating)];
        if let Some(model) = model {
            drafters.push(Box::new(model));
        }
        Self {
            mode,
            drafters,
            costs: Costs::new(),
            all: Odds::of_all(),
            without: 0,
            patience: PATIENCE[0],
        }
    }

    /// Drafts for the next step, which has these sequences in decode and no prefill, by their indices.
    /// Together they have at most `room` tokens.
    pub(crate) fn draft(&mut self, writers: Vec<Writer<'_>>, room: usize) -> Vec<(usize, Draft)> {
        let count = writers.len();
        let mut offers: Vec<Offer<'_>> = writers
            .into_iter()
            .map(|mut writer| {
                writer.most = writer.most.min(writer.drafting.most);
                let draft = Draft::default();
                Offer { writer, draft }
            })
            .filter(|offer| offer.writer.most > 0)
            .collect();
        if self.mode == Mode::Off || room == 0 || offers.is_empty() {
            return Vec::new();
        }
        let auto = self.mode == Mode::Auto;
        if auto && !self.costs.is_fresh(count) {
            // The cost of a step without drafts has to be measured first.
            return Vec::new();
        }
        let probing = auto && self.without >= self.patience;
        if probing {
            for offer in &mut offers {
                offer.writer.most = offer.writer.most.min(PROBE);
            }
        }
        let prices = Prices {
            known: self.prices(count),
            all: &self.all,
        };
        for drafter in &mut self.drafters {
            drafter.draft(&mut offers, &prices);
        }
        offers.retain(|offer| !offer.draft.tokens.is_empty());
        let lengths = match self.mode {
            Mode::Auto => self.best(&offers, count, room, probing),
            Mode::Always => in_order(&offers, room),
            Mode::Off => Vec::new(),
        };
        let drafts = offers.into_iter().zip(lengths);
        drafts
            .filter(|(_, length)| *length > 0)
            .map(|(Offer { writer, mut draft }, length)| {
                draft.truncate(length);
                (writer.index, draft)
            })
            .collect()
    }

    /// Notes the time of a step without prefill, with so many tokens, drafts included.
    pub(crate) fn timed(&mut self, tokens: usize, took: Duration) {
        self.costs.learn(tokens, took);
    }

    /// Notes that `right` tokens of a draft were accepted, and that the next one was not, if `refuted`; without it that is unknown.
    pub(crate) fn turned_out(
        &mut self,
        drafting: &mut Drafting,
        draft: &Draft,
        right: usize,
        refuted: bool,
    ) {
        drafting.counts.0 += draft.tokens.len();
        drafting.counts.1 += right;
        for (place, &level) in draft.levels.iter().enumerate() {
            if place > right || (place == right && !refuted) {
                break;
            }
            let first_of_model = place == 0 && level.is_of_model();
            let unasked = first_of_model.then(|| Grounds::Unasked.level());
            for level in unasked.into_iter().chain([level]) {
                drafting.odds.learn(level, place < right);
                self.all.learn(level, place < right);
            }
        }
    }

    fn prices(&self, writers: usize) -> Option<(f64, f64)> {
        if self.mode == Mode::Always {
            return None;
        }
        let (one, more) = (self.costs.of(writers)?, self.costs.of(writers + PROBE)?);
        let added = (more - one).max(0.0) / PROBE as f64;
        (one > 0.0).then(|| (writers as f64 / one, added))
    }

    /// The best lengths; now and then one as a trial.
    fn best(
        &mut self,
        offers: &[Offer<'_>],
        writers: usize,
        room: usize,
        probing: bool,
    ) -> Vec<usize> {
        let chances: Vec<Vec<f64>> = offers.iter().map(|it| it.chances(&self.all)).collect();
        let mut lengths = plan::lengths(&chances, writers, room, &self.costs);
        if lengths.iter().any(|length| *length > 0) {
            self.without = 0;
            self.patience = PATIENCE[0];
            return lengths;
        }
        self.without = self.without.saturating_add(1);
        let first = |index: &usize| chances[*index].first().copied().unwrap_or(0.0);
        let likeliest = (0..chances.len()).max_by(|a, b| first(a).total_cmp(&first(b)));
        if probing && let Some(likeliest) = likeliest {
            self.without = 0;
            self.patience = (2 * self.patience).min(PATIENCE[1]);
            lengths[likeliest] = chances[likeliest].len().min(room);
        }
        lengths
    }
}

/// Whole drafts, oldest first, as far as there is room.
fn in_order(offers: &[Offer<'_>], mut room: usize) -> Vec<usize> {
    let lengths = offers.iter().map(|offer| {
        let length = offer.draft.tokens.len().min(room);
        room -= length;
        length
    });
    lengths.collect()
}

#[cfg(test)]
mod tests;

//! Drafts by a smaller model with the same vocabulary.
//!
//! It has a context with one sequence for each that may run, and prefills the text of a sequence when drafts for it first promise to pay,
//! in chunks. All sequences in decode are drafted for together: one decode call adds a token to each draft.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use llama_cpp_2::{
    llama_backend::LlamaBackend,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use runner_protocol::{Load, MemoryKind, MemoryPart};

use super::{Draft, Drafter, Grounds, Offer, Prices, costs::Costs};
use crate::{
    cache::{Memory, cell_cache::common_prefix, slots::Cache},
    error::Error,
    ffi::context::{Batch, DecodeError},
    load,
    model::{Model, backend::devices},
    schedule::pace::{Pace, StepLoad},
    system::{fs, memory},
};

/// How many more tokens one of the vocabularies may have at its end, as in model families with padded tables.
const PADDING: usize = 128;

/// Steps without a draft before one is tried again; doubled after each failure, up to the second number.
const PATIENCE: [u32; 2] = [16, 4096];

/// A trial prefills at most this many tokens.
const SHORT: usize = 256;

/// Larger batches are chunks of prompts.
const GUESSES: usize = 32;

/// A draft from elsewhere whose first token is this likely to be accepted is not replaced.
const SURE: f64 = 0.7;

/// Opens the draft model that comes with a model, if there is one.
///
/// # Errors
/// [`Error::Unsupported`] when it cannot be loaded, or has other words; [`Error::Invalid`] for a descriptor that is no file.
pub(crate) fn open(
    backend: &LlamaBackend,
    load: &Load,
    model: &Model,
) -> Result<Option<Model>, Error> {
    let Some(fd) = load.draft_fd else {
        return Ok(None);
    };
    let (path, size) = fs::descriptor(fd, "draft model")?;
    if !load.settings.mmap {
        memory::check("the draft model", size)?;
    }
    let mut params = LlamaModelParams::default()
        .with_use_mmap(load.settings.mmap)
        .with_main_gpu(load.settings.main_gpu);
    if let Ok(layers) = u32::try_from(load.settings.gpu_layers) {
        params = params.with_n_gpu_layers(layers);
    }
    let unfit = |why: String| Error::Unsupported(format!("its draft model does not fit it: {why}"));
    if let Some(devices) = devices(load.settings.gpu_layers != 0) {
        params = params
            .with_devices(&devices)
            .map_err(|error| unfit(error.to_string()))?;
    }
    crate::ffi::log::take_first_error();
    let llama = LlamaModel::load_from_file(backend, path, &params)
        .map_err(|_| unfit(load::native_reason()))?;
    let draft = Model::new(llama, None).map_err(|error| match error {
        Error::Unsupported(why) => unfit(why),
        other => other,
    })?;
    if draft.llama.is_recurrent() || draft.llama.is_hybrid() {
        return Err(unfit(
            "it keeps a state from which no guess can be taken back".into(),
        ));
    }
    same_words(model, &draft).map_err(unfit)?;
    Ok(Some(draft))
}

/// Whether both models have the same vocabulary; if not, why.
fn same_words(model: &Model, draft: &Model) -> Result<(), String> {
    let remedy = "take a smaller model of the same family";
    let (ours, theirs) = (model.llama.vocab(), draft.llama.vocab());
    let sizes = [ours.n_tokens(), theirs.n_tokens()];
    if sizes[0].abs_diff(sizes[1]) as usize > PADDING {
        return Err(format!(
            "it has {} words, and the model {}; {remedy}",
            sizes[1], sizes[0]
        ));
    }
    let tokens = (0..sizes[0].min(sizes[1])).map(LlamaToken::new);
    match tokens
        .into_iter()
        .find(|token| ours.text(*token) != theirs.text(*token))
    {
        None => Ok(()),
        Some(token) => Err(format!(
            "its word {} is another than that of the model; {remedy}",
            token.0
        )),
    }
}

/// The draft model and its context.
#[derive(Debug)]
pub(crate) struct DraftModel<'m> {
    memory: Memory<'m>,
    /// Used again for each decode call.
    batch: Batch,
    /// Most tokens in it.
    batch_tokens: usize,
    cells: usize,
    /// Tokens below this are in both vocabularies.
    vocabulary: usize,
    /// By sequence number.
    seats: Vec<Seat>,
    pace: Pace,
    costs: Costs,
    /// Steps since the last draft.
    declined: u32,
    /// Steps before the next trial.
    patience: u32,
    /// It failed and is not used any more.
    off: bool,
}

/// What the cache holds of a sequence.
#[derive(Debug, Default)]
struct Seat {
    /// Id of the request.
    owner: Option<u64>,
    tokens: Vec<LlamaToken>,
    /// How many of its tokens are those of the request's text.
    certain: usize,
}

/// A sequence that is drafted for.
#[derive(Debug)]
struct Asked {
    /// Index of its offer.
    offer: usize,
    seat: usize,
    /// Its index in the batch.
    place: i32,
    /// The draft.
    draft: Draft,
    /// The probability that all of it is accepted.
    whole: f64,
}

impl<'m> DraftModel<'m> {
    /// The bytes of the draft model and its context, by device.
    pub(crate) fn memory_parts(&self) -> Vec<MemoryPart> {
        let parts = self.memory.context.memory_parts().into_iter();
        let draft = parts.map(|part| MemoryPart {
            kind: MemoryKind::Draft,
            ..part
        });
        draft.collect()
    }

    /// Makes the context of a draft model for a model.
    ///
    /// # Errors
    /// As [`load::context`].
    pub(crate) fn new(draft: &'m Model, model: &Model, load: &Load) -> Result<Self, Error> {
        // Decode calls of this context are short enough not to be stopped.
        let never = Arc::new(AtomicBool::new(false));
        let memory = load::context_of(draft, load, load.sequences, 1, never)?;
        let vocabulary = model.vocabulary().min(draft.vocabulary());
        let batch_tokens = load.settings.batch.min(memory.context.batch()) as usize;
        Ok(Self {
            memory,
            batch: Batch::new(),
            batch_tokens,
            cells: load.settings.context as usize,
            vocabulary: usize::try_from(vocabulary).unwrap_or(0),
            seats: (0..load.sequences).map(|_| Seat::default()).collect(),
            pace: Pace::new(batch_tokens),
            costs: Costs::new(),
            declined: 0,
            patience: PATIENCE[0],
            off: false,
        })
    }

    fn try_draft(
        &mut self,
        offers: &mut [Offer<'_>],
        prices: &Prices<'_>,
    ) -> Result<(), DecodeError> {
        let mut asked = self.ask(offers, prices)?;
        while !asked.is_empty() {
            self.guess(&mut asked);
            let seconds = self.seconds(asked.len());
            let (go_on, done): (Vec<_>, Vec<_>) = asked
                .into_iter()
                .partition(|it| self.goes_on(it, &offers[it.offer], prices, seconds));
            for Asked { offer, draft, .. } in done {
                offers[offer].draft = draft;
            }
            asked = self.feed(go_on)?;
        }
        Ok(())
    }

    /// Feeds new tokens to the draft model; returns the sequences with logits.
    fn ask(
        &mut self,
        offers: &[Offer<'_>],
        prices: &Prices<'_>,
    ) -> Result<Vec<Asked>, DecodeError> {
        self.batch.clear();
        let mut asked = Vec::new();
        let seconds = self.seconds(offers.len());
        let hopeful = |offer: &Offer<'_>| wants(offer, prices) && pays(offer, prices, seconds);
        let probing = !offers.iter().any(hopeful);
        if probing {
            self.declined = self.declined.saturating_add(1);
            if self.declined < self.patience {
                return Ok(asked);
            }
        } else {
            self.declined = 0;
            self.patience = PATIENCE[0];
        }
        // Drafts begin when all texts are computed.
        let step_load = StepLoad {
            prefilling: 1,
            prefill_tokens: usize::MAX,
            decoding: offers.len(),
        };
        let mut room = self.pace.chunk(step_load).min(self.batch_tokens);
        // Cells for the drafts.
        let mut promised = 0;
        for (index, offer) in offers.iter().enumerate() {
            let text = offer.writer.text;
            let worth = wants(offer, prices) && (probing || pays(offer, prices, seconds));
            if !worth || self.memory.cuttable(text.len()) == 0 {
                continue;
            }
            let seat = self.seat(offers, offer.writer.id, text);
            let known = self.catch_up(seat, text);
            let share = (text.len() - known).min(room);
            if share == 0
                || (probing && text.len() - known > SHORT)
                || !self.knows(&text[known..known + share])
                || !self.make_room(offers, seat, promised + share + offer.writer.most)
            {
                continue;
            }
            room -= share;
            promised += offer.writer.most;
            let end = known + share;
            let mut place = 0;
            for at in known..end {
                let number = u32::try_from(seat).expect("there are at most 256 sequences");
                let last = at + 1 == text.len();
                place = self.batch.push(text[at], at, number, last);
            }
            let held = &mut self.seats[seat];
            held.tokens.extend_from_slice(&text[known..end]);
            held.certain = end;
            if end == text.len() {
                asked.push(Asked {
                    offer: index,
                    seat,
                    place,
                    draft: Draft::default(),
                    whole: 1.0,
                });
            }
        }
        self.decode()?;
        if probing && !asked.is_empty() {
            self.declined = 0;
            self.patience = (2 * self.patience).min(PATIENCE[1]);
        }
        Ok(asked)
    }

    /// Adds the most likely next token to each draft.
    fn guess(&mut self, asked: &mut [Asked]) {
        for it in asked {
            let (token, probability) = likeliest(self.memory.context.logits(it.place));
            it.draft.push(token, Grounds::Probability(probability));
        }
    }

    /// Whether one more draft token pays if it takes this many seconds.
    fn goes_on(&self, asked: &Asked, offer: &Offer<'_>, prices: &Prices<'_>, seconds: f64) -> bool {
        let (draft, writer) = (&asked.draft, &offer.writer);
        let Some((token, level)) = draft.tokens.last().zip(draft.levels.last()) else {
            return false;
        };
        let odds = &writer.drafting.odds;
        let next = odds.chance(prices.all, Grounds::Unasked.level());
        let whole = asked.whole * odds.chance(prices.all, *level);
        let length = writer.text.len() + draft.tokens.len();
        draft.tokens.len() < writer.most
            && self.knows(&[*token])
            && self.memory.cuttable(length) > 0
            && prices.pays(whole * next, seconds)
    }

    /// Computes the latest token of each draft.
    fn feed(&mut self, mut asked: Vec<Asked>) -> Result<Vec<Asked>, DecodeError> {
        self.batch.clear();
        for it in &mut asked {
            let seat = &mut self.seats[it.seat];
            let Some(&token) = it.draft.tokens.last() else {
                continue;
            };
            let number = u32::try_from(it.seat).expect("there are at most 256 sequences");
            it.place = self.batch.push(token, seat.tokens.len(), number, true);
            seat.tokens.push(token);
        }
        self.decode()?;
        Ok(asked)
    }

    fn decode(&mut self) -> Result<(), DecodeError> {
        if self.batch.len() == 0 {
            return Ok(());
        }
        let began = Instant::now();
        self.memory.context.decode(&mut self.batch)?;
        let took = began.elapsed();
        // A chunk of a prompt says nothing about the cost of a draft token.
        if self.batch.len() <= GUESSES {
            self.costs.learn(self.batch.len(), took);
        }
        let alone = StepLoad {
            prefilling: 1,
            prefill_tokens: usize::MAX,
            decoding: 0,
        };
        self.pace.learn(self.batch.len(), alone, took);
        Ok(())
    }

    /// Seconds for one more draft token of this many sequences.
    fn seconds(&self, decoding: usize) -> f64 {
        let together = self.costs.of(decoding).unwrap_or(0.0);
        together / decoding.max(1) as f64
    }

    fn knows(&self, tokens: &[LlamaToken]) -> bool {
        let known =
            |token: &LlamaToken| usize::try_from(token.0).is_ok_and(|it| it < self.vocabulary);
        tokens.iter().all(known)
    }

    /// The sequence of a request; for a new one, that of an idle request with the longest common prefix.
    fn seat(&mut self, offers: &[Offer<'_>], id: u64, text: &[LlamaToken]) -> usize {
        let taken = |owner: Option<u64>| offers.iter().any(|it| Some(it.writer.id) == owner);
        let own = self.seats.iter().position(|seat| seat.owner == Some(id));
        own.unwrap_or_else(|| {
            let free = self.seats.iter().enumerate();
            let (index, _) = free
                .filter(|(_, seat)| !taken(seat.owner))
                .max_by_key(|(_, seat)| common_prefix(&seat.tokens, text))
                .expect("there are as many seats as sequences that run");
            self.seats[index].owner = Some(id);
            self.seats[index].certain = 0;
            index
        })
    }

    /// Removes rejected tokens. Returns how many tokens of a text, never the last, are in the cache.
    fn catch_up(&mut self, seat: usize, text: &[LlamaToken]) -> usize {
        let number = u32::try_from(seat).expect("there are at most 256 sequences");
        let held = &mut self.seats[seat];
        let certain = held.certain.min(text.len() - 1);
        let known =
            certain + common_prefix(&held.tokens[certain..], &text[certain..text.len() - 1]);
        if held.tokens.len() > known {
            held.tokens.truncate(known);
            if !self.memory.cut(number, known) {
                self.memory.remove(number);
                held.tokens.clear();
            }
        }
        held.certain = held.tokens.len();
        held.certain
    }

    /// Whether this many cells are free; evicts idle sequences if need be.
    fn make_room(&mut self, offers: &[Offer<'_>], seat: usize, tokens: usize) -> bool {
        let used = |seats: &[Seat]| seats.iter().map(|it| it.tokens.len()).sum::<usize>();
        let writes = |owner: Option<u64>| offers.iter().any(|it| Some(it.writer.id) == owner);
        for index in 0..self.seats.len() {
            if used(&self.seats) + tokens <= self.cells {
                return true;
            }
            let other = &mut self.seats[index];
            if index != seat && !writes(other.owner) && !other.tokens.is_empty() {
                *other = Seat::default();
                let number = u32::try_from(index).expect("there are at most 256 sequences");
                self.memory.remove(number);
            }
        }
        used(&self.seats) + tokens <= self.cells
    }
}

impl Drafter for DraftModel<'_> {
    fn draft(&mut self, offers: &mut [Offer<'_>], prices: &Prices<'_>) {
        if self.off {
            return;
        }
        if let Err(error) = self.try_draft(offers, prices) {
            tracing::warn!(%error, "the draft model failed, and is not asked again");
            self.off = true;
        }
    }
}

/// Whether there is no good draft yet.
fn wants(offer: &Offer<'_>, prices: &Prices<'_>) -> bool {
    let found = offer.chances(prices.all).first().copied();
    found.is_none_or(|chance| chance < SURE)
}

/// Whether a draft token that takes this many seconds may pay.
fn pays(offer: &Offer<'_>, prices: &Prices<'_>, seconds: f64) -> bool {
    let odds = &offer.writer.drafting.odds;
    prices.pays(odds.chance(prices.all, Grounds::Unasked.level()), seconds)
}

/// The likeliest token and its probability.
fn likeliest(logits: &[f32]) -> (LlamaToken, f32) {
    let (mut best, mut highest) = (0, f32::NEG_INFINITY);
    for (token, &score) in (0..).zip(logits) {
        if score > highest {
            (best, highest) = (token, score);
        }
    }
    let sum: f32 = logits.iter().map(|score| (score - highest).exp()).sum();
    (LlamaToken::new(best), 1.0 / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_token_has_its_probability() {
        let (token, probability) = likeliest(&[0.0, 2.0_f32.ln(), 0.0]);
        assert_eq!(token.0, 1);
        assert!((probability - 0.5).abs() < 1e-6);
        let (token, probability) = likeliest(&[f32::NAN, f32::NAN]);
        assert_eq!(token.0, 0);
        assert!(probability.is_nan());
    }
}

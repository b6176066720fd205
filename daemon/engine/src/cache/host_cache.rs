//! KV states of finished sequences that were evicted from the cells: bytes in memory, or in files that the daemon keeps.
//!
//! Cells are few, because each step reads all of them; a state costs only its bytes.
//! To restore a state takes about as long as to copy it, a small part of the time that it took to compute.

use std::{borrow::Cow, sync::Arc, time::Instant};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{
    StateOutcome,
    state::{Damage, Saved},
};

use crate::{
    cache::{
        cell_cache::{MIN_TOKENS, common_prefix},
        read_ahead::ReadAhead,
        worth::Worth,
    },
    model::adapters::AdapterScales,
};

/// Shorter states are not kept: they are computed again as fast.
const MIN_STORED: usize = 4 * MIN_TOKENS;

/// A state is restored only for a prefix of at least one in so many of its tokens.
const MIN_PART: usize = 32;

/// All states.
#[derive(Debug, Default)]
pub(crate) struct HostCache {
    entries: Vec<Entry>,
    next: u64,
    /// The file whose bytes an admission wants.
    wanted: Option<u64>,
    /// Most bytes in memory.
    budget: usize,
    /// Tokens of the states that were handed out.
    handed_out: Vec<(Vec<LlamaToken>, AdapterScales)>,
    outcomes: Vec<(u32, StateOutcome)>,
}

/// One state.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    /// The tokens that were computed.
    pub(crate) tokens: Vec<LlamaToken>,
    /// Scales of the adapters that they were computed with.
    pub(crate) scales: AdapterScales,
    worth: Worth,
    stored: Stored,
}

#[derive(Debug)]
enum Stored {
    Memory(Vec<u8>),
    File {
        index: u32,
        saved: Arc<Saved>,
        /// Its bytes, if they were asked for.
        ahead: Option<ReadAhead>,
    },
}

/// A state with a common prefix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Which state.
    pub(crate) id: u64,
    /// Tokens of the prefix.
    pub(crate) length: usize,
    /// Tokens of the state.
    pub(crate) whole: usize,
}

impl Entry {
    /// The bytes. Those of a file were read ahead, or are read now.
    ///
    /// # Errors
    /// See [`Damage`].
    pub(crate) fn read(&mut self) -> Result<Cow<'_, [u8]>, Damage> {
        match &mut self.stored {
            Stored::Memory(bytes) => Ok((&*bytes).into()),
            Stored::File { saved, ahead, .. } => {
                let read = ahead.take().and_then(|ahead| ahead.take());
                read.unwrap_or_else(|| saved.read()).map(Cow::Owned)
            }
        }
    }

    /// The bytes of a state in memory.
    pub(crate) fn into_memory(self) -> Option<Vec<u8>> {
        match self.stored {
            Stored::Memory(bytes) => Some(bytes),
            Stored::File { .. } => None,
        }
    }

    /// Bytes that it takes in memory.
    fn bytes(&self) -> usize {
        match &self.stored {
            Stored::Memory(bytes) => bytes.len(),
            Stored::File { .. } => 0,
        }
    }

    fn is_file(&self) -> bool {
        matches!(self.stored, Stored::File { .. })
    }

    fn begins(&self, tokens: &[LlamaToken], scales: &AdapterScales) -> bool {
        self.scales == *scales && tokens.starts_with(&self.tokens)
    }

    fn covers(&self, tokens: &[LlamaToken], scales: &AdapterScales) -> bool {
        self.scales == *scales && self.tokens.starts_with(tokens)
    }
}

impl HostCache {
    /// A cache of at most `budget` bytes in memory; files do not count.
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            budget: usize::try_from(budget).unwrap_or(usize::MAX),
            ..Self::default()
        }
    }

    /// Most bytes of one state in memory.
    pub(crate) fn budget(&self) -> usize {
        self.budget
    }

    /// Most bytes of all states together, with a file that is read.
    pub(crate) fn planned(&self) -> u64 {
        let files = self.entries.iter().filter_map(|entry| match &entry.stored {
            Stored::File { saved, .. } => Some(saved.head().bytes),
            Stored::Memory(_) => None,
        });
        (self.budget as u64).saturating_add(files.max().unwrap_or(0))
    }

    /// Adds a state in a file, computed with these scales, which was last used at `used`, and is being read if `ahead` says so.
    pub(crate) fn add_file(
        &mut self,
        index: u32,
        saved: Arc<Saved>,
        scales: AdapterScales,
        ahead: Option<ReadAhead>,
        used: Instant,
    ) {
        let head = saved.head();
        let tokens = head.tokens.iter().copied().map(LlamaToken::new).collect();
        let stored = Stored::File {
            index,
            saved,
            ahead,
        };
        self.add(tokens, scales, Worth::new(used), stored);
    }

    /// Whether the bytes of a state are in memory. If not, [`Self::read_wanted`] begins to read them. No other file is read any more.
    pub(crate) fn is_read(&mut self, id: u64) -> bool {
        self.forget_ahead(Some(id));
        match self.entries.iter().find(|entry| entry.id == id) {
            Some(Entry {
                stored: Stored::File { ahead, .. },
                ..
            }) => {
                if ahead.is_none() {
                    self.wanted = Some(id);
                }
                ahead.as_ref().is_some_and(ReadAhead::is_ready)
            }
            _ => true,
        }
    }

    /// Begins to read the state that [`Self::is_read`] did not find in memory.
    pub(crate) fn read_wanted(&mut self, start: impl FnOnce(Arc<Saved>) -> ReadAhead) {
        let wanted = self.wanted.take();
        let entry = self.entries.iter_mut().find(|it| Some(it.id) == wanted);
        if let Some(Stored::File { saved, ahead, .. }) = entry.map(|entry| &mut entry.stored) {
            *ahead = Some(start(Arc::clone(saved)));
        }
    }

    /// Whether a state is being read.
    pub(crate) fn is_reading(&self) -> bool {
        let mut ahead = self.entries.iter().filter_map(|entry| match &entry.stored {
            Stored::File { ahead, .. } => ahead.as_ref(),
            Stored::Memory(_) => None,
        });
        ahead.any(|ahead| !ahead.is_ready())
    }

    /// Cancels reads and drops the bytes of files, except of the entry `but`.
    pub(crate) fn forget_ahead(&mut self, but: Option<u64>) {
        self.wanted = None;
        for entry in &mut self.entries {
            if Some(entry.id) == but {
                continue;
            }
            if let Stored::File { ahead, .. } = &mut entry.stored {
                *ahead = None;
            }
        }
    }

    /// Refuses a saved state; the daemon is told.
    pub(crate) fn refuse_file(&mut self, index: u32) {
        self.outcomes.push((index, StateOutcome::Refused));
    }

    /// Whether the state of these tokens is worth to be kept.
    pub(crate) fn wants(&self, tokens: &[LlamaToken], scales: &AdapterScales) -> bool {
        let mut entries = self.entries.iter();
        self.budget > 0
            && tokens.len() >= MIN_STORED
            && !entries.any(|entry| entry.covers(tokens, scales))
    }

    /// Adds a state and removes the states that are a prefix of it; evicts the states with the lowest worth for room.
    pub(crate) fn put(
        &mut self,
        tokens: Vec<LlamaToken>,
        scales: AdapterScales,
        worth: Worth,
        state: Vec<u8>,
        now: Instant,
    ) {
        self.drop_beginnings(&tokens, &scales);
        self.add(tokens, scales, worth, Stored::Memory(state));
        self.make_room(now);
    }

    /// Drops states in memory that are a prefix of these tokens, which are in cells.
    pub(crate) fn drop_beginnings(&mut self, tokens: &[LlamaToken], scales: &AdapterScales) {
        self.entries
            .retain(|entry| entry.is_file() || !entry.begins(tokens, scales));
    }

    /// The state with the longest common prefix, if that is enough longer than the `known` first tokens.
    pub(crate) fn find(
        &self,
        tokens: &[LlamaToken],
        scales: &AdapterScales,
        known: usize,
        fits: impl Fn(&Found) -> bool,
    ) -> Option<Found> {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.scales == *scales)
            .map(|entry| Found {
                id: entry.id,
                length: common_prefix(tokens, &entry.tokens),
                whole: entry.tokens.len(),
            })
            .filter(|found| found.length >= known + MIN_TOKENS.max(found.whole / MIN_PART))
            .filter(fits)
            // Of two with the same prefix, the smaller one is restored sooner.
            .max_by_key(|found| (found.length, std::cmp::Reverse(found.whole)))
    }

    /// Takes out a state, if it is still here.
    pub(crate) fn take(&mut self, id: u64) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.id == id)?;
        Some(self.entries.remove(index))
    }

    /// Returns a state that was restored.
    pub(crate) fn used(&mut self, mut entry: Entry, now: Instant) {
        entry.worth.hit(now);
        if let Stored::File { index, .. } = entry.stored {
            self.outcomes.push((index, StateOutcome::Used));
        }
        self.put_back(entry, now);
    }

    /// Returns a state.
    pub(crate) fn put_back(&mut self, entry: Entry, now: Instant) {
        self.entries.push(entry);
        self.make_room(now);
    }

    /// Drops a state that cannot be restored.
    pub(crate) fn refuse(&mut self, entry: &Entry) {
        if let Stored::File { index, .. } = entry.stored {
            self.refuse_file(index);
        }
    }

    /// What the daemon is to be told about saved states.
    pub(crate) fn take_outcomes(&mut self) -> Vec<(u32, StateOutcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// The state in memory with the highest worth, and how much.
    pub(crate) fn best(&self, now: Instant) -> Option<(u64, f64)> {
        let entries = self.entries.iter().filter(|entry| !entry.is_file());
        let values = entries.map(|entry| (entry.id, entry.worth.value(now)));
        values.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// Whether a saved or exported state serves a request with this prefix as well: the state has all of these tokens, or lacks
    /// fewer than `slack`. A saved state that is a prefix of these tokens does not count, because the conversation went on.
    pub(crate) fn is_saved(
        &self,
        tokens: &[LlamaToken],
        scales: &AdapterScales,
        slack: usize,
    ) -> bool {
        let files = self.entries.iter().filter(|entry| entry.is_file());
        let files = files.map(|entry| (&entry.tokens, &entry.scales));
        let handed_out = self
            .handed_out
            .iter()
            .map(|(tokens, scales)| (tokens, scales));
        files.chain(handed_out).any(|(known, with)| {
            let alike = common_prefix(tokens, known);
            let parts = alike < known.len() && tokens.len() < alike + slack;
            with == scales && (alike == tokens.len() || parts)
        })
    }

    /// Notes that the state of these tokens was handed out.
    pub(crate) fn note_handed_out(&mut self, tokens: &[LlamaToken], scales: &AdapterScales) {
        self.handed_out.push((tokens.to_vec(), scales.clone()));
    }

    /// Files that hold a prefix of these tokens.
    pub(crate) fn replaced(&self, tokens: &[LlamaToken], scales: &AdapterScales) -> Vec<u32> {
        let beginnings = self
            .entries
            .iter()
            .filter(|entry| entry.begins(tokens, scales));
        beginnings
            .filter_map(|entry| match entry.stored {
                Stored::File { index, .. } => Some(index),
                Stored::Memory(_) => None,
            })
            .collect()
    }

    fn add(
        &mut self,
        tokens: Vec<LlamaToken>,
        scales: AdapterScales,
        worth: Worth,
        stored: Stored,
    ) {
        let id = self.next;
        self.next += 1;
        self.entries.push(Entry {
            id,
            tokens,
            scales,
            worth,
            stored,
        });
    }

    fn make_room(&mut self, now: Instant) {
        while self.entries.iter().map(Entry::bytes).sum::<usize>() > self.budget {
            let values = self.entries.iter().enumerate();
            let least = values
                .filter(|(_, entry)| !entry.is_file())
                .min_by(|(_, a), (_, b)| a.worth.value(now).total_cmp(&b.worth.value(now)));
            let Some((index, _)) = least else {
                return;
            };
            self.entries.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tokens(kind: i32, count: usize) -> Vec<LlamaToken> {
        vec![LlamaToken::new(kind); count]
    }

    fn put(host_cache: &mut HostCache, tokens: Vec<LlamaToken>, bytes: usize, now: Instant) {
        let worth = Worth::new(now);
        host_cache.put(tokens, AdapterScales::new(), worth, vec![1; bytes], now);
    }

    fn find(host_cache: &HostCache, tokens: &[LlamaToken], known: usize) -> Option<(usize, usize)> {
        let found = host_cache.find(tokens, &AdapterScales::new(), known, |_| true)?;
        Some((found.length, found.whole))
    }

    #[test]
    fn the_longest_that_is_worth_its_copy_is_found() {
        let now = Instant::now();
        let mut host_cache = HostCache::new(1000);
        put(
            &mut host_cache,
            [tokens(1, 100), tokens(2, 50)].concat(),
            10,
            now,
        );
        put(
            &mut host_cache,
            [tokens(1, 100), tokens(3, 5)].concat(),
            10,
            now,
        );
        put(
            &mut host_cache,
            [tokens(1, 90), tokens(4, 5000)].concat(),
            10,
            now,
        );
        let wanted = tokens(1, 200);
        assert_eq!(find(&host_cache, &wanted, 0), Some((100, 105)));
        assert_eq!(find(&host_cache, &wanted, 84), Some((100, 105)));
        assert_eq!(find(&host_cache, &wanted, 85), None);
        let long = [tokens(1, 90), tokens(4, 40)].concat();
        assert_eq!(
            find(&host_cache, &long, 0),
            Some((90, 105)),
            "130 of 5090 are too few"
        );
        let other = host_cache.find(&wanted, &vec![7], 0, |_| true);
        assert!(other.is_none());
        let none = host_cache.find(&wanted, &AdapterScales::new(), 0, |_| false);
        assert!(none.is_none());
    }

    #[test]
    fn what_is_worth_least_makes_room() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut host_cache = HostCache::new(100);
        for kind in 1..=3 {
            put(&mut host_cache, tokens(kind, 64), 40, at(kind as u64));
        }
        assert_eq!(find(&host_cache, &tokens(1, 64), 0), None);
        assert_eq!(find(&host_cache, &tokens(2, 64), 0), Some((64, 64)));
        let used = host_cache.take(1).expect("the second one is there");
        host_cache.used(used, at(4));
        put(&mut host_cache, tokens(4, 64), 40, at(5));
        assert_eq!(find(&host_cache, &tokens(3, 64), 0), None);
        assert_eq!(find(&host_cache, &tokens(2, 64), 0), Some((64, 64)));
        put(&mut host_cache, tokens(5, 64), 101, at(6));
        assert_eq!(find(&host_cache, &tokens(5, 64), 0), None, "it never fits");
    }

    #[test]
    fn beginnings_are_not_wanted_and_go() {
        let now = Instant::now();
        let scales = AdapterScales::new();
        let mut host_cache = HostCache::new(1000);
        assert!(host_cache.wants(&tokens(1, 64), &scales));
        assert!(!host_cache.wants(&tokens(1, 63), &scales), "too short");
        put(&mut host_cache, tokens(1, 70), 10, now);
        assert!(!host_cache.wants(&tokens(1, 64), &scales));
        assert!(host_cache.wants(&tokens(1, 71), &scales));
        assert!(host_cache.wants(&tokens(1, 64), &vec![1]));
        put(&mut host_cache, tokens(1, 80), 10, now);
        assert_eq!(host_cache.entries.len(), 1);
        host_cache.drop_beginnings(&tokens(1, 90), &scales);
        assert!(host_cache.entries.is_empty());
        assert!(!HostCache::new(0).wants(&tokens(1, 64), &scales));
    }

    #[test]
    fn what_parts_late_from_a_saved_one_is_saved_enough() {
        let scales = AdapterScales::new();
        let mut host_cache = HostCache::new(0);
        let saved = [tokens(1, 100), tokens(2, 10)].concat();
        host_cache.note_handed_out(&saved, &scales);
        let is_saved = |tokens: &[LlamaToken]| host_cache.is_saved(tokens, &scales, 20);
        assert!(is_saved(&saved));
        assert!(is_saved(&tokens(1, 90)), "a beginning");
        assert!(is_saved(&[tokens(1, 100), tokens(3, 19)].concat()));
        assert!(!is_saved(&[tokens(1, 100), tokens(3, 20)].concat()));
        let longer = [&saved[..], &tokens(3, 1)].concat();
        assert!(!is_saved(&longer), "the same conversation, which goes on");
        assert!(!host_cache.is_saved(&saved, &vec![1], 20));
    }
}

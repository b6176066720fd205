//! States of sequences that are over and lost their cells: bytes in memory, or in files that the daemon keeps.
//!
//! The cells of a cache are few, because each step looks at all of them; bytes that lie aside cost nothing but their room.
//! To put a state back takes about as long as to copy it, which is a small part of the time that it took to compute it.

use std::{borrow::Cow, sync::Arc, time::Instant};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::{
    Fate,
    state::{Damage, Saved},
};

use crate::{
    cache::{
        ahead::ReadAhead,
        kept::{MIN_TOKENS, alike},
        worth::Worth,
    },
    model::adapters::Flavour,
};

/// States of fewer tokens are not put here: they are computed again as fast.
const MIN_SHELVED: usize = 4 * MIN_TOKENS;

/// A state is put back only for the sake of at least one in so many of its tokens.
const MIN_PART: usize = 32;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    entries: Vec<Entry>,
    next: u64,
    /// The file whose bytes are wanted.
    wanted: Option<u64>,
    /// Most bytes in memory.
    budget: usize,
    /// Tokens of the states that were handed out.
    handed_out: Vec<(Vec<LlamaToken>, Flavour)>,
    fates: Vec<(u32, Fate)>,
}

/// One state.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    /// The tokens that it is the state after.
    pub(crate) tokens: Vec<LlamaToken>,
    /// With what adapters they were computed.
    pub(crate) flavour: Flavour,
    worth: Worth,
    stored: Stored,
}

#[derive(Debug)]
enum Stored {
    Memory(Vec<u8>),
    File {
        index: u32,
        saved: Arc<Saved>,
        /// Its bytes, once somebody wants them.
        ahead: Option<ReadAhead>,
    },
}

/// A state that begins like somebody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Which.
    pub(crate) id: u64,
    /// So many tokens are alike.
    pub(crate) length: usize,
    /// So many tokens it is the state after.
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

    /// The bytes, of a state in memory.
    pub(crate) fn into_memory(self) -> Option<Vec<u8>> {
        match self.stored {
            Stored::Memory(bytes) => Some(bytes),
            Stored::File { .. } => None,
        }
    }

    /// Bytes in memory.
    fn bytes(&self) -> usize {
        match &self.stored {
            Stored::Memory(bytes) => bytes.len(),
            Stored::File { .. } => 0,
        }
    }

    fn is_file(&self) -> bool {
        matches!(self.stored, Stored::File { .. })
    }

    fn begins(&self, tokens: &[LlamaToken], flavour: &Flavour) -> bool {
        self.flavour == *flavour && tokens.starts_with(&self.tokens)
    }

    fn covers(&self, tokens: &[LlamaToken], flavour: &Flavour) -> bool {
        self.flavour == *flavour && self.tokens.starts_with(tokens)
    }
}

impl Shelf {
    /// Room for so many bytes in memory; files do not count.
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            budget: usize::try_from(budget).unwrap_or(usize::MAX),
            ..Self::default()
        }
    }

    /// Most bytes of one state.
    pub(crate) fn budget(&self) -> usize {
        self.budget
    }

    /// A state in a file, which was last used at this time, and is being read if `ahead` says so.
    pub(crate) fn add_file(
        &mut self,
        index: u32,
        saved: Arc<Saved>,
        ahead: Option<ReadAhead>,
        used: Instant,
    ) {
        let head = saved.head();
        let tokens = head.tokens.iter().copied().map(LlamaToken::new).collect();
        let flavour = head.scales.clone();
        let stored = Stored::File {
            index,
            saved,
            ahead,
        };
        self.add(tokens, flavour, Worth::new(used), stored);
    }

    /// Whether the bytes of a state are there, so that nobody waits for a disk. If not, [`Self::read_wanted`] has them read.
    pub(crate) fn is_read(&mut self, id: u64) -> bool {
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

    /// Begins to read the state that was wanted and not there. `start` does it.
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

    /// Forgets what was read ahead: the request that it was for was let in.
    pub(crate) fn forget_ahead(&mut self) {
        for entry in &mut self.entries {
            if let Stored::File { ahead, .. } = &mut entry.stored {
                *ahead = None;
            }
        }
    }

    /// A saved state that is not to be used. The daemon is to hear of it.
    pub(crate) fn refuse_file(&mut self, index: u32) {
        self.fates.push((index, Fate::Refused));
    }

    /// Whether the state after these tokens is to be put here.
    pub(crate) fn wants(&self, tokens: &[LlamaToken], flavour: &Flavour) -> bool {
        let mut entries = self.entries.iter();
        self.budget > 0
            && tokens.len() >= MIN_SHELVED
            && !entries.any(|entry| entry.covers(tokens, flavour))
    }

    /// Puts a state here, in place of its beginnings; what is worth least makes room for it.
    pub(crate) fn put(
        &mut self,
        tokens: Vec<LlamaToken>,
        flavour: Flavour,
        worth: Worth,
        state: Vec<u8>,
        now: Instant,
    ) {
        self.drop_beginnings(&tokens, &flavour);
        self.add(tokens, flavour, worth, Stored::Memory(state));
        self.make_room(now);
    }

    /// Somebody has the cells of these tokens: what is a beginning of them is of no more use in memory.
    pub(crate) fn drop_beginnings(&mut self, tokens: &[LlamaToken], flavour: &Flavour) {
        self.entries
            .retain(|entry| entry.is_file() || !entry.begins(tokens, flavour));
    }

    /// The state that begins most like these tokens, if it is worth to put it back for somebody who knows `known` of them already.
    pub(crate) fn find(
        &self,
        tokens: &[LlamaToken],
        flavour: &Flavour,
        known: usize,
        fits: impl Fn(&Found) -> bool,
    ) -> Option<Found> {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.flavour == *flavour)
            .map(|entry| Found {
                id: entry.id,
                length: alike(tokens, &entry.tokens),
                whole: entry.tokens.len(),
            })
            .filter(|found| found.length >= known + MIN_TOKENS.max(found.whole / MIN_PART))
            .filter(fits)
            // Of two that spare as much, the one that is copied sooner.
            .max_by_key(|found| (found.length, std::cmp::Reverse(found.whole)))
    }

    /// Takes a state out, if it is still here.
    pub(crate) fn take(&mut self, id: u64) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.id == id)?;
        Some(self.entries.remove(index))
    }

    /// Puts a state back that somebody went on from.
    pub(crate) fn used(&mut self, mut entry: Entry, now: Instant) {
        entry.worth.hit(now);
        if let Stored::File { index, .. } = entry.stored {
            self.fates.push((index, Fate::Used));
        }
        self.put_back(entry, now);
    }

    /// Puts a state back.
    pub(crate) fn put_back(&mut self, entry: Entry, now: Instant) {
        self.entries.push(entry);
        self.make_room(now);
    }

    /// A state is no good, and gone.
    pub(crate) fn refuse(&mut self, entry: &Entry) {
        if let Stored::File { index, .. } = entry.stored {
            self.refuse_file(index);
        }
    }

    /// What is to be told of saved states.
    pub(crate) fn take_fates(&mut self) -> Vec<(u32, Fate)> {
        std::mem::take(&mut self.fates)
    }

    /// The state in memory that is worth most, and how much.
    pub(crate) fn best(&self, now: Instant) -> Option<(u64, f64)> {
        let entries = self.entries.iter().filter(|entry| !entry.is_file());
        let values = entries.map(|entry| (entry.id, entry.worth.value(now)));
        values.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// Whether a file, or what was handed out for one, spares whoever begins like these tokens as much:
    /// it has all of them, or parts from them only at fewer than `slack` before their end.
    /// One that is a beginning of them is no such file: it is the same conversation, and goes on.
    pub(crate) fn is_saved(&self, tokens: &[LlamaToken], flavour: &Flavour, slack: usize) -> bool {
        let files = self.entries.iter().filter(|entry| entry.is_file());
        let files = files.map(|entry| (&entry.tokens, &entry.flavour));
        let handed_out = self
            .handed_out
            .iter()
            .map(|(tokens, flavour)| (tokens, flavour));
        files.chain(handed_out).any(|(known, with)| {
            let alike = alike(tokens, known);
            let parts = alike < known.len() && tokens.len() < alike + slack;
            with == flavour && (alike == tokens.len() || parts)
        })
    }

    /// The state after these tokens was handed out.
    pub(crate) fn note_handed_out(&mut self, tokens: &[LlamaToken], flavour: &Flavour) {
        self.handed_out.push((tokens.to_vec(), flavour.clone()));
    }

    /// Files with beginnings of these tokens.
    pub(crate) fn replaced(&self, tokens: &[LlamaToken], flavour: &Flavour) -> Vec<u32> {
        let beginnings = self
            .entries
            .iter()
            .filter(|entry| entry.begins(tokens, flavour));
        beginnings
            .filter_map(|entry| match entry.stored {
                Stored::File { index, .. } => Some(index),
                Stored::Memory(_) => None,
            })
            .collect()
    }

    fn add(&mut self, tokens: Vec<LlamaToken>, flavour: Flavour, worth: Worth, stored: Stored) {
        let id = self.next;
        self.next += 1;
        self.entries.push(Entry {
            id,
            tokens,
            flavour,
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

    fn put(shelf: &mut Shelf, tokens: Vec<LlamaToken>, bytes: usize, now: Instant) {
        let worth = Worth::new(now);
        shelf.put(tokens, Flavour::new(), worth, vec![1; bytes], now);
    }

    fn find(shelf: &Shelf, tokens: &[LlamaToken], known: usize) -> Option<(usize, usize)> {
        let found = shelf.find(tokens, &Flavour::new(), known, |_| true)?;
        Some((found.length, found.whole))
    }

    #[test]
    fn the_longest_that_is_worth_its_copy_is_found() {
        let now = Instant::now();
        let mut shelf = Shelf::new(1000);
        put(
            &mut shelf,
            [tokens(1, 100), tokens(2, 50)].concat(),
            10,
            now,
        );
        put(&mut shelf, [tokens(1, 100), tokens(3, 5)].concat(), 10, now);
        put(
            &mut shelf,
            [tokens(1, 90), tokens(4, 5000)].concat(),
            10,
            now,
        );
        let wanted = tokens(1, 200);
        assert_eq!(find(&shelf, &wanted, 0), Some((100, 105)));
        assert_eq!(find(&shelf, &wanted, 84), Some((100, 105)));
        assert_eq!(find(&shelf, &wanted, 85), None);
        let long = [tokens(1, 90), tokens(4, 40)].concat();
        assert_eq!(
            find(&shelf, &long, 0),
            Some((90, 105)),
            "130 of 5090 are too few"
        );
        let other = shelf.find(&wanted, &vec![7], 0, |_| true);
        assert!(other.is_none());
        let none = shelf.find(&wanted, &Flavour::new(), 0, |_| false);
        assert!(none.is_none());
    }

    #[test]
    fn what_is_worth_least_makes_room() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut shelf = Shelf::new(100);
        for kind in 1..=3 {
            put(&mut shelf, tokens(kind, 64), 40, at(kind as u64));
        }
        assert_eq!(find(&shelf, &tokens(1, 64), 0), None);
        assert_eq!(find(&shelf, &tokens(2, 64), 0), Some((64, 64)));
        let used = shelf.take(1).expect("the second one is there");
        shelf.used(used, at(4));
        put(&mut shelf, tokens(4, 64), 40, at(5));
        assert_eq!(find(&shelf, &tokens(3, 64), 0), None);
        assert_eq!(find(&shelf, &tokens(2, 64), 0), Some((64, 64)));
        put(&mut shelf, tokens(5, 64), 101, at(6));
        assert_eq!(find(&shelf, &tokens(5, 64), 0), None, "it never fits");
    }

    #[test]
    fn beginnings_are_not_wanted_and_go() {
        let now = Instant::now();
        let flavour = Flavour::new();
        let mut shelf = Shelf::new(1000);
        assert!(shelf.wants(&tokens(1, 64), &flavour));
        assert!(!shelf.wants(&tokens(1, 63), &flavour), "too short");
        put(&mut shelf, tokens(1, 70), 10, now);
        assert!(!shelf.wants(&tokens(1, 64), &flavour));
        assert!(shelf.wants(&tokens(1, 71), &flavour));
        assert!(shelf.wants(&tokens(1, 64), &vec![1]));
        put(&mut shelf, tokens(1, 80), 10, now);
        assert_eq!(shelf.entries.len(), 1);
        shelf.drop_beginnings(&tokens(1, 90), &flavour);
        assert!(shelf.entries.is_empty());
        assert!(!Shelf::new(0).wants(&tokens(1, 64), &flavour));
    }

    #[test]
    fn what_parts_late_from_a_saved_one_is_saved_enough() {
        let flavour = Flavour::new();
        let mut shelf = Shelf::new(0);
        let saved = [tokens(1, 100), tokens(2, 10)].concat();
        shelf.note_handed_out(&saved, &flavour);
        let is_saved = |tokens: &[LlamaToken]| shelf.is_saved(tokens, &flavour, 20);
        assert!(is_saved(&saved));
        assert!(is_saved(&tokens(1, 90)), "a beginning");
        assert!(is_saved(&[tokens(1, 100), tokens(3, 19)].concat()));
        assert!(!is_saved(&[tokens(1, 100), tokens(3, 20)].concat()));
        let longer = [&saved[..], &tokens(3, 1)].concat();
        assert!(!is_saved(&longer), "the same conversation, which goes on");
        assert!(!shelf.is_saved(&saved, &vec![1], 20));
    }
}

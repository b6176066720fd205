//! Finished sequences that stay in the cells of the KV cache, because the next request may have the same prefix.

use std::time::Instant;

use llama_cpp_2::token::LlamaToken;

use crate::{
    cache::{
        cells::{CellList, Cells},
        worth::Worth,
    },
    model::adapters::AdapterScales,
};

/// Shorter prefixes are computed again as fast as they are found.
pub(crate) const MIN_TOKENS: usize = 16;

/// A finished sequence.
#[derive(Debug)]
pub(crate) struct CachedSeq {
    /// Its number in the cache.
    pub(crate) seq: u32,
    /// Its computed tokens, prompt and answer.
    pub(crate) tokens: Vec<LlamaToken>,
    /// Cells of the tokens.
    pub(crate) held: CellList,
    /// Scales of the adapters that they were computed with.
    pub(crate) scales: AdapterScales,
    /// How much it is worth to keep.
    pub(crate) worth: Worth,
}

/// All finished sequences.
#[derive(Debug, Default)]
pub(crate) struct CellCache(Vec<CachedSeq>);

impl CachedSeq {
    /// A sequence that just finished.
    pub(crate) fn new(
        seq: u32,
        tokens: Vec<LlamaToken>,
        held: CellList,
        scales: AdapterScales,
        now: Instant,
    ) -> Self {
        Self {
            seq,
            tokens,
            held,
            scales,
            worth: Worth::new(now),
        }
    }
}

impl CellCache {
    /// Adds a sequence. Returns the cached sequences that are a prefix of it, because the new sequence serves their requests too.
    pub(crate) fn keep(&mut self, cached: CachedSeq) -> Vec<CachedSeq> {
        let (beginnings, others) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|old| old.scales == cached.scales && cached.tokens.starts_with(&old.tokens));
        self.0 = others;
        self.0.push(cached);
        beginnings
    }

    /// All sequences.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CachedSeq> {
        self.0.iter()
    }

    /// A request shared a prefix of this sequence.
    pub(crate) fn hit(&mut self, seq: u32, now: Instant) {
        if let Some(cached) = self.0.iter_mut().find(|cached| cached.seq == seq) {
            cached.worth.hit(now);
        }
    }

    /// Removes the sequence with the lowest worth, except `spare`. With `cells`, sequences that would free no cell are passed over.
    pub(crate) fn evict(
        &mut self,
        now: Instant,
        spare: Option<u32>,
        cells: Option<&Cells>,
    ) -> Option<CachedSeq> {
        let evictable = |cached: &CachedSeq| {
            Some(cached.seq) != spare && cells.is_none_or(|cells| cells.alone(&cached.held) > 0)
        };
        let (index, _) = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, cached)| evictable(cached))
            .min_by(|(_, a), (_, b)| a.worth.value(now).total_cmp(&b.worth.value(now)))?;
        Some(self.0.remove(index))
    }

    /// The sequence with the highest worth, and how much.
    pub(crate) fn best(&self, now: Instant) -> Option<(u32, f64)> {
        let values = self
            .0
            .iter()
            .map(|cached| (cached.seq, cached.worth.value(now)));
        values.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// Takes out a sequence.
    pub(crate) fn take(&mut self, seq: u32) -> Option<CachedSeq> {
        let index = self.0.iter().position(|cached| cached.seq == seq)?;
        Some(self.0.remove(index))
    }

    /// Takes out all sequences.
    pub(crate) fn clear(&mut self) -> Vec<CachedSeq> {
        std::mem::take(&mut self.0)
    }
}

/// Tokens in the common prefix of two sequences.
pub(crate) fn common_prefix(a: &[LlamaToken], b: &[LlamaToken]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::worth::HALF_LIFE;

    fn cached(seq: u32, tokens: &[i32], now: Instant) -> CachedSeq {
        let tokens = tokens.iter().copied().map(LlamaToken::new).collect();
        CachedSeq::new(seq, tokens, CellList::default(), AdapterScales::new(), now)
    }

    fn seqs(cached_seqs: &[CachedSeq]) -> Vec<u32> {
        cached_seqs.iter().map(|cached| cached.seq).collect()
    }

    #[test]
    fn the_oldest_goes_first_and_a_hit_makes_young() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cell_cache = CellCache::default();
        for (seq, token) in [(1, 10), (2, 20), (3, 30)] {
            cell_cache.keep(cached(seq, &[token], at(u64::from(seq))));
        }
        cell_cache.hit(1, at(4));
        assert_eq!(
            cell_cache.evict(at(5), None, None).map(|it| it.seq),
            Some(2)
        );
        assert_eq!(
            cell_cache.evict(at(5), Some(3), None).map(|it| it.seq),
            Some(1)
        );
        assert_eq!(
            cell_cache.evict(at(5), Some(3), None).map(|it| it.seq),
            None
        );
    }

    #[test]
    fn what_was_often_of_use_outlives_what_was_used_a_little_later() {
        let start = Instant::now();
        let mut cell_cache = CellCache::default();
        cell_cache.keep(cached(1, &[1], start));
        for _ in 0..5 {
            cell_cache.hit(1, start);
        }
        let later = start + HALF_LIFE;
        cell_cache.keep(cached(2, &[2], later));
        assert_eq!(
            cell_cache.evict(later, None, None).map(|it| it.seq),
            Some(2)
        );
    }

    #[test]
    fn beginnings_of_a_new_one_come_back() {
        let now = Instant::now();
        let mut cell_cache = CellCache::default();
        assert!(cell_cache.keep(cached(1, &[1, 2], now)).is_empty());
        assert!(cell_cache.keep(cached(2, &[1, 3], now)).is_empty());
        assert_eq!(seqs(&cell_cache.keep(cached(3, &[1, 2, 3], now))), [1]);
        assert_eq!(seqs(&cell_cache.clear()), [2, 3]);
    }

    #[test]
    fn only_those_that_hold_cells_alone_free_some() {
        let now = Instant::now();
        let mut cells = Cells::new(10);
        let mut cell_cache = CellCache::default();
        let mut long = cached(1, &[1, 2, 3], now);
        assert!(cells.take(&mut long.held, 3));
        let mut short = cached(2, &[1, 9], now);
        cells.share(&mut short.held, &long.held, 1);
        cell_cache.keep(short);
        cell_cache.keep(long);
        assert_eq!(
            cell_cache.evict(now, None, Some(&cells)).map(|it| it.seq),
            Some(1)
        );
        assert_eq!(
            cell_cache
                .evict(now, Some(2), Some(&cells))
                .map(|it| it.seq),
            None
        );
    }
}

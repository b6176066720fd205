//! Which sequences decode and which wait: slots that share the cells of one KV cache.
//!
//! A sequence alone may fill the whole cache.
//! With others running, the first in the queue is admitted when its tokens and some room to grow fit beside theirs. The queue is FIFO,
//! so short prompts cannot starve a long one.
//! If the cache fills up all the same, the newest sequence gives its cells back and waits at the front of the queue;
//! its tokens are computed again when there is room. The oldest is never evicted, so there is always progress,
//! and no answer is cut short because of its neighbours.
//!
//! A common prefix of two sequences is computed once:
//! - A sequence that is admitted shares the cells of the running or finished sequence with the longest common prefix.
//! - A sequence whose prompt an older one is computing at the moment waits for it, and then shares its cells.
//!
//! A deterministic sequence is admitted when no other runs, keeps all others waiting, and shares nothing.
//!
//! Finished sequences stay cached in otherwise free cells. A step reads all cells in use, so they may hold at most `spare_cells`;
//! the latest one may hold more until a request without its prefix comes. When a finished sequence is evicted, its KV state is copied to
//! the host cache, from which a later request with the same prefix restores it.

use std::{collections::VecDeque, ops::Range, time::Instant};

use llama_cpp_2::token::LlamaToken;
use runner_protocol::state::Damage;

use crate::{
    cache::{
        cell_cache::{CachedSeq, CellCache, MIN_TOKENS, common_prefix},
        cells::{CellList, Cells},
        host_cache::{Found, HostCache},
    },
    images::cells,
    model::adapters::AdapterScales,
};

/// Most sequences that wait.
pub(crate) const MAX_WAITING: usize = 1024;

/// Most cells that waiting sequences need together. Each is a token in memory; as prompts they are hours of work.
const MAX_WAITING_CELLS: usize = 16 << 20;

/// A sequence that needs cells.
pub(crate) trait Tenant {
    /// All tokens that it wants in the cache before its next step.
    fn tokens(&self) -> &[LlamaToken];
    /// Cells that it will need soon.
    fn growth(&self) -> usize;
    /// Scales of its LoRA adapters; sequences with equal scales may share cells.
    fn scales(&self) -> &AdapterScales;
    /// Whether it runs with no other sequence, in a cache that is empty at first.
    fn alone(&self) -> bool;
    /// This many more of its tokens were found in a cache and need not be computed.
    fn reused(&mut self, tokens: usize);
    /// Its cells were freed for another sequence.
    fn evicted(&mut self);
}

/// The KV cache itself.
pub(crate) trait Cache {
    /// Removes all sequences.
    fn clear(&mut self);
    /// Removes a sequence.
    fn remove(&mut self, seq: u32);
    /// Truncates a sequence. False when the cache cannot; the sequence must be removed then.
    fn cut(&mut self, seq: u32, length: usize) -> bool;
    /// Lets `to`, which holds the tokens before `range`, share those of `from` in `range`. `whole` is the length of `from`.
    /// False when the cache cannot; then `to` holds nothing.
    fn share(&mut self, from: u32, to: u32, range: Range<usize>, whole: usize) -> bool;
    /// Whether the first `length` tokens can be restored from a state of `whole` tokens.
    fn can_restore(&self, length: usize, whole: usize) -> bool;
    /// Copies the state of a sequence of `whole` tokens; `None` when it takes more than `most` bytes or cannot be copied.
    fn save(&mut self, seq: u32, whole: usize, most: usize) -> Option<Vec<u8>>;
    /// Restores the first `length` tokens of a state of `whole` tokens into `to`, which is empty. Needs `whole` free cells for a moment.
    /// False when the cache cannot; then `to` holds nothing.
    fn restore(&mut self, to: u32, state: &[u8], length: usize, whole: usize) -> bool;
}

/// A finished sequence that left the cache for good.
#[derive(Debug)]
pub(crate) struct EvictedSeq {
    /// Its tokens.
    pub(crate) tokens: Vec<LlamaToken>,
    /// Scales of the adapters that they were computed with.
    pub(crate) scales: AdapterScales,
    /// Its KV state.
    pub(crate) state: Vec<u8>,
    /// Indices of saved states that hold a prefix of it.
    pub(crate) instead_of: Vec<u32>,
}

/// A running sequence and its place in the cache.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// Its number in the cache.
    pub(crate) seq: u32,
    /// The sequence.
    pub(crate) tenant: T,
    /// Cells of its computed tokens.
    held: CellList,
    /// The cache failed to share cells with it; to try again would cost it its own.
    apart: bool,
}

/// All sequences of one cache.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    cells: Cells,
    size: usize,
    waiting: VecDeque<T>,
    /// Oldest first.
    running: Vec<Slot<T>>,
    /// Most sequences that run at a time.
    limit: usize,
    cell_cache: CellCache,
    /// States of sequences that were evicted from the cells.
    pub(crate) host_cache: HostCache,
    /// Most cells of finished sequences, except the latest.
    spare_cells: usize,
    free: Vec<u32>,
    /// The cache turned out to be full with the running sequences, although cells are counted as free; none is admitted.
    closed: bool,
}

impl<T: Tenant> Slot<T> {
    /// Computed tokens.
    pub(crate) fn computed(&self) -> usize {
        self.held.len()
    }

    /// Tokens that are not computed yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.tenant.tokens().len() - self.held.len()
    }

    fn reads(&self) -> bool {
        self.outstanding() > 1
    }
}

impl<T: Tenant> Slots<T> {
    /// A cache of `cells` cells and `sequences` sequences, of which at most `limit` run at a time.
    /// The others hold finished sequences, in at most `spare_cells` cells.
    pub(crate) fn new(cells: usize, sequences: u32, limit: u32, spare_cells: usize) -> Self {
        Self {
            cells: Cells::new(cells),
            size: cells,
            waiting: VecDeque::new(),
            running: Vec::new(),
            limit: limit as usize,
            cell_cache: CellCache::default(),
            host_cache: HostCache::default(),
            spare_cells,
            free: (0..sequences).rev().collect(),
            closed: false,
        }
    }

    /// Puts a sequence at the end of the queue. It must fit the empty cache.
    ///
    /// # Errors
    /// Returns it when [`MAX_WAITING`] wait already, or fewer with [`MAX_WAITING_CELLS`].
    pub(crate) fn enqueue(&mut self, tenant: T) -> Result<(), T> {
        debug_assert!(
            tenant.tokens().len() <= self.size,
            "a tenant larger than the cache would wait for ever"
        );
        let cells: usize = self.waiting.iter().map(|it| it.tokens().len()).sum();
        if self.waiting.len() >= MAX_WAITING || cells + tenant.tokens().len() > MAX_WAITING_CELLS {
            return Err(tenant);
        }
        self.waiting.push_back(tenant);
        Ok(())
    }

    /// Admits the first in the queue when there is a sequence number and room for it, and when its saved state is read.
    pub(crate) fn admit(&mut self, cache: &mut impl Cache, now: Instant) -> Option<&mut Slot<T>> {
        let occupied = self.running.iter().any(|slot| slot.tenant.alone());
        if self.closed || occupied || self.running.len() >= self.limit {
            return None;
        }
        if self.waiting.front()?.alone() {
            return self.admit_alone(cache, now);
        }
        let source = self.shared_prefix(self.waiting.front()?, 0, None);
        let restorable = self.restorable(cache, source);
        if restorable.is_some_and(|found| !self.host_cache.is_read(found.id)) {
            return None;
        }
        let (seq, source) = match self.sequence(cache, now, source.map(|it| it.seq)) {
            Some(seq) => (seq, source),
            // All numbers are taken: even the finished sequence with its prefix has to go.
            None => (self.sequence(cache, now, None)?, None),
        };
        let tenant = self.waiting.pop_front().expect("looked at just before");
        self.running.push(Slot {
            seq,
            tenant,
            held: CellList::default(),
            apart: false,
        });
        let newest = self.running.len() - 1;
        let source = match restorable {
            Some(found) if self.restore(cache, newest, found, now) => None,
            // Making room may have evicted the source.
            Some(_) => self.shared_prefix(&self.running[newest].tenant, 0, None),
            None => source,
        };
        self.host_cache.forget_ahead(None);
        if let Some(source) = source {
            self.share(cache, newest, source, now);
        }

        let spare = source.map(|it| it.seq);
        while self.cells_cached(spare) > self.spare_cells
            && let Some(cached) = self.cell_cache.evict(now, spare, Some(&self.cells))
        {
            self.evict_to_host(cache, cached, now);
        }
        // It fits the empty cache, so with no other running even its source may go.
        let spare = spare.filter(|_| newest > 0);
        self.evict_until_free(cache, now, spare, Self::needed_soon);
        if newest > 0 && self.needed_soon() > self.cells.free() {
            self.evict_newest(cache);
            return None;
        }
        self.running.last_mut()
    }

    /// Admits the first in the queue when no other sequence runs, into an empty cache:
    /// rounding depends on where cells lie and on how many are in use.
    fn admit_alone(&mut self, cache: &mut impl Cache, now: Instant) -> Option<&mut Slot<T>> {
        if !self.running.is_empty() {
            return None;
        }
        self.host_cache.forget_ahead(None);
        while let Some(cached) = self.cell_cache.evict(now, None, None) {
            self.evict_to_host(cache, cached, now);
        }
        cache.clear();
        self.free.sort_unstable_by(|one, other| other.cmp(one));
        let seq = self.free.pop()?;
        self.running.push(Slot {
            seq,
            tenant: self.waiting.pop_front()?,
            held: CellList::default(),
            apart: true,
        });
        self.running.last_mut()
    }

    /// Frees cells for the next step: finished sequences go first, then the newest running one.
    pub(crate) fn make_room(&mut self, cache: &mut impl Cache, now: Instant) {
        self.evict_until_free(cache, now, None, Self::needed_now);
        while self.needed_now() > self.cells.free() && self.evict_newest(cache) {}
    }

    /// Lets sequences in prefill share what others have computed of their prompts by now.
    pub(crate) fn catch_up(&mut self, cache: &mut impl Cache, now: Instant) {
        for index in 0..self.running.len() {
            let slot = &self.running[index];
            if slot.reads()
                && !slot.apart
                && let Some(source) =
                    self.shared_prefix(&slot.tenant, slot.computed(), Some(slot.seq))
            {
                self.share(cache, index, source, now);
            }
        }
    }

    /// Outstanding tokens of each sequence; 0 for a sequence that waits for an older sequence to compute the same prompt.
    pub(crate) fn outstanding(&self) -> Vec<usize> {
        let of = |index: usize| match &self.running[index] {
            slot if slot.reads() && self.follows(index) => 0,
            slot => slot.outstanding(),
        };
        (0..self.running.len()).map(of).collect()
    }

    /// Notes that a step computed this many tokens of each.
    pub(crate) fn computed(&mut self, shares: &[usize]) {
        for (slot, &share) in self.running.iter_mut().zip(shares) {
            let room = self.cells.take(&mut slot.held, share);
            assert!(room, "room was made for the step");
        }
    }

    /// Free cells that the next step does not need.
    pub(crate) fn room(&self) -> usize {
        self.cells.free().saturating_sub(self.needed_now())
    }

    /// Notes that a step computed draft tokens behind a sequence, and that the first `right` were accepted. Removes the others.
    pub(crate) fn guessed(&mut self, cache: &mut impl Cache, index: usize, right: usize) {
        let slot = &mut self.running[index];
        let room = self.cells.take(&mut slot.held, right);
        assert!(room, "guesses only take room that is left");
        debug_assert!(slot.held.len() <= slot.tenant.tokens().len());
        if !cache.cut(slot.seq, slot.held.len()) {
            self.lost(cache, index);
        }
    }

    /// The cache lost the cells of a running sequence.
    pub(crate) fn lost(&mut self, cache: &mut impl Cache, index: usize) {
        let slot = &mut self.running[index];
        cache.remove(slot.seq);
        self.cells.release(&mut slot.held);
    }

    /// The cache lost all cells.
    pub(crate) fn all_lost(&mut self) {
        for slot in &mut self.running {
            self.cells.release(&mut slot.held);
        }
        for mut cached in self.cell_cache.clear() {
            self.cells.release(&mut cached.held);
            self.free.push(cached.seq);
        }
    }

    /// Evicts the newest sequence, unless it is alone, because the cache is full although cells are counted as free.
    /// None is admitted before one has finished: the evicted one would fill the cache again at once.
    pub(crate) fn overfull(&mut self, cache: &mut impl Cache) -> bool {
        self.closed = self.evict_newest(cache);
        self.closed
    }

    /// Takes out a running sequence. Its cells stay cached.
    pub(crate) fn retire(&mut self, cache: &mut impl Cache, index: usize, now: Instant) -> T {
        let slot = self.running.remove(index);
        self.closed = false;
        if slot.computed() < MIN_TOKENS {
            return self.release(cache, slot);
        }
        let Slot {
            seq, tenant, held, ..
        } = slot;
        let tokens = tenant.tokens()[..held.len()].to_vec();
        self.host_cache.drop_beginnings(&tokens, tenant.scales());
        let cached = CachedSeq::new(seq, tokens, held, tenant.scales().clone(), now);
        for beginning in self.cell_cache.keep(cached) {
            self.forget(cache, beginning);
        }
        tenant
    }

    /// Takes out a running sequence and frees its cells.
    pub(crate) fn remove(&mut self, cache: &mut impl Cache, index: usize) -> T {
        let slot = self.running.remove(index);
        self.closed = false;
        self.release(cache, slot)
    }

    /// Takes out the finished sequence with the highest worth whose state can be copied, has `min_tokens` more tokens than any saved
    /// state of it, and takes at most `max_bytes`. Drops those of higher worth that do not qualify.
    pub(crate) fn export_state(
        &mut self,
        cache: &mut impl Cache,
        min_tokens: usize,
        max_bytes: usize,
        now: Instant,
    ) -> Option<EvictedSeq> {
        loop {
            let in_cells = self.cell_cache.best(now);
            let on_host = self.host_cache.best(now);
            let from_cells = match (in_cells, on_host) {
                (None, None) => return None,
                (Some((_, in_cells)), Some((_, on_host))) => in_cells >= on_host,
                (in_cells, _) => in_cells.is_some(),
            };
            // Its tokens, its scales, and its state if it qualifies.
            let (tokens, scales, state) = if from_cells {
                let mut cached = self.cell_cache.take(in_cells?.0)?;
                let tokens = std::mem::take(&mut cached.tokens);
                let scales = std::mem::take(&mut cached.scales);
                // A saved state has tokens only, no images.
                let wanted = tokens.len() >= min_tokens
                    && !cells::any(&tokens)
                    && !self.host_cache.is_saved(&tokens, &scales, min_tokens);
                let state = wanted.then(|| cache.save(cached.seq, tokens.len(), max_bytes));
                self.forget(cache, cached);
                (tokens, scales, state.flatten())
            } else {
                let mut entry = self.host_cache.take(on_host?.0)?;
                let tokens = std::mem::take(&mut entry.tokens);
                let scales = std::mem::take(&mut entry.scales);
                let wanted = tokens.len() >= min_tokens
                    && !self.host_cache.is_saved(&tokens, &scales, min_tokens);
                let state = entry.into_memory().filter(|_| wanted);
                (tokens, scales, state)
            };
            if let Some(state) = state.filter(|state| state.len() <= max_bytes) {
                self.host_cache.note_handed_out(&tokens, &scales);
                return Some(EvictedSeq {
                    instead_of: self.host_cache.replaced(&tokens, &scales),
                    tokens,
                    scales,
                    state,
                });
            }
        }
    }

    /// Takes out a waiting sequence.
    pub(crate) fn remove_waiting(&mut self, which: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.waiting.iter().position(which)?;
        if index == 0 {
            self.host_cache.forget_ahead(None);
        }
        self.waiting.remove(index)
    }

    /// Running sequences, oldest first.
    pub(crate) fn running(&self) -> &[Slot<T>] {
        &self.running
    }

    /// The same, to change them.
    pub(crate) fn tenants(&mut self) -> impl Iterator<Item = &mut T> {
        self.running.iter_mut().map(|slot| &mut slot.tenant)
    }

    /// A running sequence.
    pub(crate) fn tenant(&mut self, index: usize) -> &mut T {
        &mut self.running[index].tenant
    }

    /// How many sequences wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is nothing to compute: no sequence runs, and none can be admitted before a saved state is read.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && (self.waiting.is_empty() || self.host_cache.is_reading())
    }

    /// Cells in use.
    pub(crate) fn cells_used(&self) -> usize {
        self.cells.used()
    }

    /// The sequence with the longest common prefix, if that has at least [`MIN_TOKENS`] more tokens than the `computed` first ones.
    /// `of` is the number of `tenant` if it runs; without it, finished sequences count as well.
    fn shared_prefix(&self, tenant: &T, computed: usize, of: Option<u32>) -> Option<SharedPrefix> {
        let tokens = tenant.tokens();
        // The last token is computed in any case, because its logits are needed.
        let wanted = &tokens[..tokens.len() - 1];
        let running = self.running.iter().map(|slot| {
            (
                slot.seq,
                slot.tenant.scales(),
                &slot.tenant.tokens()[..slot.computed()],
            )
        });
        let cell_cache = self
            .cell_cache
            .iter()
            .map(|cached| (cached.seq, &cached.scales, cached.tokens.as_slice()));
        running
            .chain(cell_cache.filter(|_| of.is_none()))
            .filter(|(seq, scales, known)| {
                Some(*seq) != of && *scales == tenant.scales() && known.len() > computed
            })
            .map(|(seq, _, known)| SharedPrefix {
                seq,
                length: cells::whole(tokens, common_prefix(wanted, known)),
                whole: known.len(),
            })
            .filter(|shared_prefix| shared_prefix.length >= computed + MIN_TOKENS)
            .max_by_key(|shared_prefix| shared_prefix.length)
    }

    /// The state in the host cache that gives the first in the queue more tokens than `source`, and fits.
    fn restorable(&self, cache: &impl Cache, source: Option<SharedPrefix>) -> Option<Found> {
        let tenant = self.waiting.front()?;
        let tokens = tenant.tokens();
        let known = source.map_or(0, |shared_prefix| shared_prefix.length);
        let fits = |found: &Found| cache.can_restore(found.length, found.whole);
        let wanted = &tokens[..tokens.len() - 1];
        let found = self.host_cache.find(wanted, tenant.scales(), known, fits)?;
        // Restoring needs all of its cells for a moment. A sequence that would be evicted right away is not worth the copy.
        let needed = found.whole.max(tokens.len() + tenant.growth());
        let room = match self.running.is_empty() {
            true => found.whole <= self.size,
            false => self.needed_soon() + needed <= self.cells.free() + self.cells_cached(None),
        };
        room.then_some(found)
    }

    /// Restores a state of the host cache into a running sequence that is empty.
    fn restore(
        &mut self,
        cache: &mut impl Cache,
        index: usize,
        found: Found,
        now: Instant,
    ) -> bool {
        // Taken out first, because evictions put states into the host cache.
        let Some(mut entry) = self.host_cache.take(found.id) else {
            return false;
        };
        self.evict_until_free(cache, now, None, |_| found.whole);
        if found.whole > self.cells.free() {
            self.host_cache.put_back(entry, now);
            return false;
        }
        let slot = &mut self.running[index];
        let refusal = match entry.read() {
            Ok(state) if cache.restore(slot.seq, &state, found.length, found.whole) => None,
            Ok(_) => Some("it is of another context".to_owned()),
            Err(damage @ Damage::Memory(_)) => {
                tracing::warn!(%damage, "a saved state is not used this time");
                self.host_cache.put_back(entry, now);
                return false;
            }
            Err(damage) => Some(damage.to_string()),
        };
        if let Some(reason) = refusal {
            tracing::warn!(reason, "a saved state is not used");
            self.host_cache.refuse(&entry);
            return false;
        }
        let room = self.cells.take(&mut slot.held, found.length);
        assert!(room, "room was made for it");
        slot.tenant.reused(found.length);
        self.host_cache.used(entry, now);
        true
    }

    /// Whether an older sequence is about to compute the tokens that this one needs next.
    fn follows(&self, index: usize) -> bool {
        let (older, this) = (&self.running[..index], &self.running[index]);
        !this.apart
            && older.iter().any(|slot| {
                let known = slot.computed();
                slot.reads()
                    && slot.tenant.scales() == this.tenant.scales()
                    && common_prefix(slot.tenant.tokens(), this.tenant.tokens())
                        >= known.max(this.computed()) + MIN_TOKENS
            })
    }

    /// Shares the cells of a common prefix with a running sequence.
    fn share(
        &mut self,
        cache: &mut impl Cache,
        index: usize,
        shared_prefix: SharedPrefix,
        now: Instant,
    ) {
        self.cell_cache.hit(shared_prefix.seq, now);
        let (before, rest) = self.running.split_at_mut(index);
        let (slot, after) = rest.split_first_mut().expect("the tenant runs");
        let range = slot.held.len()..shared_prefix.length;
        let reused = range.len();
        if !cache.share(shared_prefix.seq, slot.seq, range, shared_prefix.whole) {
            self.cells.release(&mut slot.held);
            slot.apart = true;
            return;
        }
        let running = before.iter().chain(after.iter());
        let with = running
            .map(|it| (it.seq, &it.held))
            .chain(self.cell_cache.iter().map(|it| (it.seq, &it.held)))
            .find(|(seq, _)| *seq == shared_prefix.seq);
        let (_, with) = with.expect("it was found among them");
        self.cells.share(&mut slot.held, with, shared_prefix.length);
        slot.tenant.reused(reused);
    }

    /// A free sequence number; evicts a finished sequence if there is none.
    fn sequence(
        &mut self,
        cache: &mut impl Cache,
        now: Instant,
        spare: Option<u32>,
    ) -> Option<u32> {
        if self.free.is_empty()
            && let Some(cached) = self.cell_cache.evict(now, spare, None)
        {
            self.evict_to_host(cache, cached, now);
        }
        self.free.pop()
    }

    fn evict_until_free(
        &mut self,
        cache: &mut impl Cache,
        now: Instant,
        spare: Option<u32>,
        needed: impl Fn(&Self) -> usize,
    ) {
        while needed(self) > self.cells.free()
            && let Some(cached) = self.cell_cache.evict(now, spare, Some(&self.cells))
        {
            self.evict_to_host(cache, cached, now);
        }
    }

    /// Evicts the newest sequence, unless it is alone.
    fn evict_newest(&mut self, cache: &mut impl Cache) -> bool {
        if self.running.len() < 2 {
            return false;
        }
        let slot = self.running.pop().expect("there are two");
        let mut tenant = self.release(cache, slot);
        tenant.evicted();
        self.host_cache.forget_ahead(None);
        self.waiting.push_front(tenant);
        true
    }

    fn release(&mut self, cache: &mut impl Cache, mut slot: Slot<T>) -> T {
        cache.remove(slot.seq);
        self.cells.release(&mut slot.held);
        self.free.push(slot.seq);
        slot.tenant
    }

    /// Frees the cells of a finished sequence. Its state goes to the host cache, unless another sequence continues it.
    fn evict_to_host(&mut self, cache: &mut impl Cache, mut cached: CachedSeq, now: Instant) {
        let running = self.running.iter().map(|slot| {
            let tokens = &slot.tenant.tokens()[..slot.computed()];
            (slot.tenant.scales(), tokens)
        });
        let cell_cache = self
            .cell_cache
            .iter()
            .map(|other| (&other.scales, &*other.tokens));
        let is_beginning = running
            .chain(cell_cache)
            .any(|(scales, tokens)| *scales == cached.scales && tokens.starts_with(&cached.tokens));
        // A state does not say where the positions of images are.
        if !is_beginning
            && !cells::any(&cached.tokens)
            && self.host_cache.wants(&cached.tokens, &cached.scales)
            && let Some(state) =
                cache.save(cached.seq, cached.tokens.len(), self.host_cache.budget())
        {
            let tokens = std::mem::take(&mut cached.tokens);
            let scales = std::mem::take(&mut cached.scales);
            self.host_cache
                .put(tokens, scales, cached.worth, state, now);
        }
        self.forget(cache, cached);
    }

    fn forget(&mut self, cache: &mut impl Cache, mut cached: CachedSeq) {
        cache.remove(cached.seq);
        self.cells.release(&mut cached.held);
        self.free.push(cached.seq);
    }

    /// Cells that only finished sequences hold, except the sequence `but`.
    fn cells_cached(&self, but: Option<u32>) -> usize {
        let running = self.running.iter().map(|slot| &slot.held);
        let one = self
            .cell_cache
            .iter()
            .filter(|cached| Some(cached.seq) == but);
        let needed = self
            .cells
            .together(running.chain(one.map(|cached| &cached.held)));
        self.cells.used() - needed
    }

    /// Cells that running sequences need for the next step.
    fn needed_now(&self) -> usize {
        self.running.iter().map(Slot::outstanding).sum()
    }

    /// The same, with room to grow.
    fn needed_soon(&self) -> usize {
        let soon = |slot: &Slot<T>| slot.outstanding() + slot.tenant.growth();
        self.running.iter().map(soon).sum()
    }
}

/// A sequence with a common prefix.
#[derive(Debug, Clone, Copy)]
struct SharedPrefix {
    seq: u32,
    /// Tokens of the prefix.
    length: usize,
    /// Tokens that the cache holds of the sequence.
    whole: usize,
}

#[cfg(test)]
mod tests;

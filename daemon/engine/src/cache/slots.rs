//! Who decodes and who waits: sequences that share the cells of one KV cache.
//!
//! A tenant alone may fill the whole cache.
//! Several together may not, so one is let in only while its tokens and some room to grow fit beside those that run,
//! in the order in which they came and without overtaking: a long prompt is never starved by short ones.
//! If the cache fills up all the same, the newest tenant gives its cells back and waits at the front of the queue;
//! its tokens are computed again when there is room. The oldest never yields, so there is always progress,
//! and no answer is cut short because of its neighbours.
//!
//! What two tenants begin with alike is computed once:
//! - One that is let in shares the cells of whoever begins most like it, of those that run and of those that are over and still kept.
//! - One that reads a prompt which an older one is reading, too, waits for that one, and then shares its cells.
//!
//! A tenant that runs alone waits until nobody else runs, and all others wait for it; it shares nothing.
//!
//! Those that are over only have the cells that nobody else needs. And as a step looks at all cells in use, whoever they belong to,
//! they only have so many that it takes little longer; the latest may have more until somebody comes who begins otherwise.
//! What such a one loses with its cells is put on a shelf, and back into the cells of whoever begins most like it.

use std::{collections::VecDeque, ops::Range, time::Instant};

use llama_cpp_2::token::LlamaToken;

use crate::{
    cache::{
        cell_cache::{CachedSeq, CellCache, MIN_TOKENS, common_prefix},
        cells::{CellList, Cells},
        host_cache::{Found, HostCache},
    },
    images::cells,
    model::adapters::AdapterScales,
};

/// Most tenants that wait.
pub(crate) const MAX_WAITING: usize = 1024;

/// Most cells that those who wait need together. Each is a token in memory; as prompts they are hours of work.
const MAX_WAITING_CELLS: usize = 16 << 20;

/// One who needs cells.
pub(crate) trait Tenant {
    /// What it wants in the cache, all of it before its next step.
    fn tokens(&self) -> &[LlamaToken];
    /// Cells it will need soon.
    fn growth(&self) -> usize;
    /// Only tenants of one flavour share cells.
    fn scales(&self) -> &AdapterScales;
    /// Whether it runs while nobody else does, in a cache that holds nothing at first.
    fn alone(&self) -> bool;
    /// So many of its tokens need not be computed.
    fn reused(&mut self, tokens: usize);
    /// Its cells were given to others.
    fn evicted(&mut self);
}

/// The cache itself.
pub(crate) trait Cache {
    /// Forgets all sequences, and where they lay.
    fn clear(&mut self);
    /// Forgets a sequence.
    fn remove(&mut self, seq: u32);
    /// Forgets all but the first tokens of a sequence. False when that is not possible; what it holds then has to be removed.
    fn cut(&mut self, seq: u32, length: usize) -> bool;
    /// Lets `to`, which holds the tokens before `range`, share those of `from` in it. `whole` is how many `from` holds.
    /// When that is not possible, `to` holds nothing afterwards, and the answer is false.
    fn share(&mut self, from: u32, to: u32, range: Range<usize>, whole: usize) -> bool;
    /// Whether of a state after `whole` tokens the first `length` can be had.
    fn can_restore(&self, length: usize, whole: usize) -> bool;
    /// A copy of what it holds of a sequence, which should be `whole` tokens; `None` when it takes more than `most` bytes or is not to be had.
    fn save(&mut self, seq: u32, whole: usize, most: usize) -> Option<Vec<u8>>;
    /// Gives `to`, which holds nothing, the first `length` of the `whole` tokens that such a copy is of. Takes `whole` free cells.
    /// When that is not possible, `to` holds nothing afterwards, and the answer is false.
    fn restore(&mut self, to: u32, state: &[u8], length: usize, whole: usize) -> bool;
}

/// A sequence that is over and leaves for good.
#[derive(Debug)]
pub(crate) struct EvictedSeq {
    /// What it was.
    pub(crate) tokens: Vec<LlamaToken>,
    /// With what adapters they were computed.
    pub(crate) scales: AdapterScales,
    /// What the cache held of them.
    pub(crate) state: Vec<u8>,
    /// Saved states with beginnings of them.
    pub(crate) instead_of: Vec<u32>,
}

/// A tenant with its place in the cache.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// Number of its sequence in the cache.
    pub(crate) seq: u32,
    /// Who lives there.
    pub(crate) tenant: T,
    /// The cells of those of its tokens that are computed.
    held: CellList,
    /// The cache cannot give it others' cells; asking again would cost it its own.
    apart: bool,
}

/// All tenants of one cache.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    cells: Cells,
    size: usize,
    waiting: VecDeque<T>,
    /// Oldest first.
    running: Vec<Slot<T>>,
    /// Most that run side by side.
    limit: usize,
    cell_cache: CellCache,
    /// What those lost that had to leave the cache.
    pub(crate) host_cache: HostCache,
    /// Most cells of those that are over, but for the latest.
    spare_cells: usize,
    free: Vec<u32>,
    /// Those that run are all that the cache holds, although the numbers say otherwise; nobody is let in.
    closed: bool,
}

impl<T: Tenant> Slot<T> {
    /// Tokens that are in the cache.
    pub(crate) fn computed(&self) -> usize {
        self.held.len()
    }

    /// Tokens that are not in the cache yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.tenant.tokens().len() - self.held.len()
    }

    fn reads(&self) -> bool {
        self.outstanding() > 1
    }
}

impl<T: Tenant> Slots<T> {
    /// A cache of so many cells and sequences, of which at most `limit` run side by side.
    /// Those that are left keep what is over, in at most `spare_cells` cells.
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

    /// Puts a tenant at the end of the queue. It must fit the cache alone.
    ///
    /// # Errors
    /// Gives it back when [`MAX_WAITING`] wait already, or fewer with [`MAX_WAITING_CELLS`].
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

    /// Lets the first in the queue in, if there is a sequence and room for it, and the saved state that it goes on from is read.
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
            // The last one that is over has to go, although it begins alike.
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
            // Who makes room for it may take the source away.
            Some(_) => self.shared_prefix(&self.running[newest].tenant, 0, None),
            None => source,
        };
        self.host_cache.forget_ahead();
        if let Some(source) = source {
            self.share(cache, newest, source, now);
        }

        let spare = source.map(|it| it.seq);
        while self.cells_cached(spare) > self.spare_cells
            && let Some(cached) = self.cell_cache.evict(now, spare, Some(&self.cells))
        {
            self.evict_to_host(cache, cached, now);
        }
        // Alone, it fits in any case, and then even what it shares with may go.
        let spare = spare.filter(|_| newest > 0);
        self.evict_until_free(cache, now, spare, Self::needed_soon);
        if newest > 0 && self.needed_soon() > self.cells.free() {
            self.evict_newest(cache);
            return None;
        }
        self.running.last_mut()
    }

    /// Lets the first in the queue in once nobody else runs, and nothing of others is left in the cache:
    /// how sums are rounded depends on where cells lie, and on how many are in use.
    fn admit_alone(&mut self, cache: &mut impl Cache, now: Instant) -> Option<&mut Slot<T>> {
        if !self.running.is_empty() {
            return None;
        }
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

    /// Makes room for the next step: first at the cost of those that are over, then of the newest.
    pub(crate) fn make_room(&mut self, cache: &mut impl Cache, now: Instant) {
        self.evict_until_free(cache, now, None, Self::needed_now);
        while self.needed_now() > self.cells.free() && self.evict_newest(cache) {}
    }

    /// Lets those that read a prompt share what others have computed of it by now.
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

    /// How many tokens each has outstanding; none, if it had better wait for an older one that reads the same.
    pub(crate) fn outstanding(&self) -> Vec<usize> {
        let of = |index: usize| match &self.running[index] {
            slot if slot.reads() && self.follows(index) => 0,
            slot => slot.outstanding(),
        };
        (0..self.running.len()).map(of).collect()
    }

    /// A step computed so many tokens of each.
    pub(crate) fn computed(&mut self, shares: &[usize]) {
        for (slot, &share) in self.running.iter_mut().zip(shares) {
            let room = self.cells.take(&mut slot.held, share);
            assert!(room, "room was made for the step");
        }
    }

    /// Cells that nobody wants for the next step, once room was made for it.
    pub(crate) fn room(&self) -> usize {
        self.cells.free().saturating_sub(self.needed_now())
    }

    /// A step computed guesses behind the tokens of a running sequence, of which the first `right` have become its own. The rest goes.
    pub(crate) fn guessed(&mut self, cache: &mut impl Cache, index: usize, right: usize) {
        let slot = &mut self.running[index];
        let room = self.cells.take(&mut slot.held, right);
        assert!(room, "guesses only take room that is left");
        debug_assert!(slot.held.len() <= slot.tenant.tokens().len());
        if !cache.cut(slot.seq, slot.held.len()) {
            self.lost(cache, index);
        }
    }

    /// The cache lost what it held of a running sequence.
    pub(crate) fn lost(&mut self, cache: &mut impl Cache, index: usize) {
        let slot = &mut self.running[index];
        cache.remove(slot.seq);
        self.cells.release(&mut slot.held);
    }

    /// The cache lost everything.
    pub(crate) fn all_lost(&mut self) {
        for slot in &mut self.running {
            self.cells.release(&mut slot.held);
        }
        for mut cached in self.cell_cache.clear() {
            self.cells.release(&mut cached.held);
            self.free.push(cached.seq);
        }
    }

    /// Evicts the newest tenant, unless it is alone, because the cache is full although there should be room.
    /// Nobody is let in before somebody has left: the evicted one would fill the cache again at once, and for ever.
    pub(crate) fn overfull(&mut self, cache: &mut impl Cache) -> bool {
        self.closed = self.evict_newest(cache);
        self.closed
    }

    /// Takes out a running tenant by its index. What the cache holds of it is kept.
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

    /// Takes out a running tenant by its index, and all that the cache holds of it.
    pub(crate) fn remove(&mut self, cache: &mut impl Cache, index: usize) -> T {
        let slot = self.running.remove(index);
        self.closed = false;
        self.release(cache, slot)
    }

    /// Takes out the sequence that is worth most of those that are over, if its state is to be had, spares at least `min_tokens` more
    /// than what is saved already, and takes at most `max_bytes`. Those that are not worth it go, too.
    pub(crate) fn hand_out(
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
            // Its tokens and flavour, and the state if that is worth it.
            let (tokens, scales, state) = if from_cells {
                let mut cached = self.cell_cache.take(in_cells?.0)?;
                let tokens = std::mem::take(&mut cached.tokens);
                let scales = std::mem::take(&mut cached.scales);
                // Whoever gets it knows tokens only.
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

    /// Takes out a waiting tenant.
    pub(crate) fn remove_waiting(&mut self, which: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.waiting.iter().position(which)?;
        self.waiting.remove(index)
    }

    /// Those that run, oldest first.
    pub(crate) fn running(&self) -> &[Slot<T>] {
        &self.running
    }

    /// All tenants that run, oldest first.
    pub(crate) fn tenants(&mut self) -> impl Iterator<Item = &mut T> {
        self.running.iter_mut().map(|slot| &mut slot.tenant)
    }

    /// A tenant that runs.
    pub(crate) fn tenant(&mut self, index: usize) -> &mut T {
        &mut self.running[index].tenant
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// There is nothing to compute: no sequence runs, and none can be let in before a saved state is read.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && (self.waiting.is_empty() || self.host_cache.is_reading())
    }

    /// Cells in use.
    pub(crate) fn cells_used(&self) -> usize {
        self.cells.used()
    }

    /// Who begins most like a tenant of whose tokens `computed` are known already, if that spares it at least [`MIN_TOKENS`].
    /// Without `of`, it is asked for one that is to be let in, and those that are over are looked at, too.
    fn shared_prefix(&self, tenant: &T, computed: usize, of: Option<u32>) -> Option<SharedPrefix> {
        let tokens = tenant.tokens();
        // The last token is computed in any case, because its opinion is wanted.
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

    /// The state on the shelf that spares the first in the queue more than `source` does, and fits.
    fn restorable(&self, cache: &impl Cache, source: Option<SharedPrefix>) -> Option<Found> {
        let tenant = self.waiting.front()?;
        let tokens = tenant.tokens();
        let known = source.map_or(0, |shared_prefix| shared_prefix.length);
        let fits = |found: &Found| cache.can_restore(found.length, found.whole);
        let wanted = &tokens[..tokens.len() - 1];
        let found = self.host_cache.find(wanted, tenant.scales(), known, fits)?;
        // All of it needs cells for a moment. One that would be sent back to the queue had better not have it copied again and again.
        let needed = found.whole.max(tokens.len() + tenant.growth());
        let room = match self.running.is_empty() {
            true => found.whole <= self.size,
            false => self.needed_soon() + needed <= self.cells.free() + self.cells_cached(None),
        };
        room.then_some(found)
    }

    /// Gives a running tenant that holds nothing what it has in common with a state on the shelf.
    fn restore(
        &mut self,
        cache: &mut impl Cache,
        index: usize,
        found: Found,
        now: Instant,
    ) -> bool {
        // Out of the way of those that make room, and are put there themselves.
        let Some(mut entry) = self.host_cache.take(found.id) else {
            return false;
        };
        self.evict_until_free(cache, now, None, |_| found.whole);
        if found.whole > self.cells.free() {
            self.host_cache.put_back(entry, now);
            return false;
        }
        let slot = &mut self.running[index];
        let restored = entry
            .read()
            .map_err(|damage| damage.to_string())
            .and_then(|state| {
                let restored = cache.restore(slot.seq, &state, found.length, found.whole);
                restored
                    .then_some(())
                    .ok_or_else(|| "it is of another context".to_owned())
            });
        if let Err(reason) = restored {
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

    /// Whether an older one is about to compute what this one needs next.
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

    /// Lets a running tenant share what it has in common with another one.
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

    /// A free sequence, if need be one of those that are over.
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

    /// Evicts the newest tenant, unless it is alone.
    fn evict_newest(&mut self, cache: &mut impl Cache) -> bool {
        if self.running.len() < 2 {
            return false;
        }
        let slot = self.running.pop().expect("there are two");
        let mut tenant = self.release(cache, slot);
        tenant.evicted();
        self.waiting.push_front(tenant);
        true
    }

    fn release(&mut self, cache: &mut impl Cache, mut slot: Slot<T>) -> T {
        cache.remove(slot.seq);
        self.cells.release(&mut slot.held);
        self.free.push(slot.seq);
        slot.tenant
    }

    /// Takes the cells of one that is over. What it holds of them goes on the shelf, unless somebody goes on from it.
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
        // With images, positions need not go with tokens, and a state does not say how they do.
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

    /// Cells that are in use for nobody but those that are over, one of them not counted.
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

    /// Cells that those who run need for their next step.
    fn needed_now(&self) -> usize {
        self.running.iter().map(Slot::outstanding).sum()
    }

    /// The same, and room to grow.
    fn needed_soon(&self) -> usize {
        let soon = |slot: &Slot<T>| slot.outstanding() + slot.tenant.growth();
        self.running.iter().map(soon).sum()
    }
}

/// A sequence that begins like another.
#[derive(Debug, Clone, Copy)]
struct SharedPrefix {
    seq: u32,
    /// So many tokens are alike.
    length: usize,
    /// So many tokens the cache holds of it.
    whole: usize,
}

#[cfg(test)]
mod tests;

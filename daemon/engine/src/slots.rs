//! Who decodes and who waits: sequences that share the cells of one KV cache.
//!
//! A tenant alone may fill the whole cache.
//! Several together may not, so one is let in only while its tokens and some room to grow fit beside those that run,
//! in the order in which they came and without overtaking: a long prompt is never starved by short ones.
//! If the cache fills up all the same, the newest tenant gives its cells back and waits at the front of the queue;
//! its tokens are computed again when there is room. The oldest never yields, so there is always progress,
//! and no answer is cut short because of its neighbours.

use std::collections::VecDeque;

/// Most tenants that wait.
pub(crate) const MAX_WAITING: usize = 1024;

/// Most cells that those who wait need together. Each is a token in memory; as prompts they are hours of work.
const MAX_WAITING_CELLS: usize = 16 << 20;

/// One who needs cells.
pub(crate) trait Tenant {
    /// Cells it needs for the next step: one for each of its tokens.
    fn cells(&self) -> usize;
    /// Cells it will need soon.
    fn growth(&self) -> usize;
    /// Its cells were given to others.
    fn evicted(&mut self);
}

/// A tenant with its place in the cache.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// Number of its sequence in the cache, below the number of sequences.
    pub(crate) seq: u32,
    /// Who lives there.
    pub(crate) tenant: T,
}

/// All tenants of one cache.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    cells: usize,
    waiting: VecDeque<T>,
    /// Oldest first.
    running: Vec<Slot<T>>,
    free: Vec<u32>,
    /// Those that run are all that the cache holds, although the numbers say otherwise; nobody is let in.
    closed: bool,
}

impl<T: Tenant> Slots<T> {
    /// A cache of so many cells for at most so many sequences.
    pub(crate) fn new(cells: usize, sequences: u32) -> Self {
        Self {
            cells,
            waiting: VecDeque::new(),
            running: Vec::new(),
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
            tenant.cells() <= self.cells,
            "a tenant larger than the cache would wait for ever"
        );
        let cells: usize = self.waiting.iter().map(T::cells).sum();
        if self.waiting.len() >= MAX_WAITING || cells + tenant.cells() > MAX_WAITING_CELLS {
            return Err(tenant);
        }
        self.waiting.push_back(tenant);
        Ok(())
    }

    /// Lets the first in the queue in, if there is a sequence and room for it.
    pub(crate) fn admit(&mut self) -> Option<&mut Slot<T>> {
        if self.closed {
            return None;
        }
        let next = self.waiting.front()?;
        let wanted = next.cells() + next.growth();
        let taken: usize = self
            .running
            .iter()
            .map(|slot| slot.tenant.cells() + slot.tenant.growth())
            .sum();
        if !self.running.is_empty() && taken + wanted > self.cells {
            return None;
        }
        let seq = self.free.pop()?;
        let tenant = self.waiting.pop_front().expect("looked at just before");
        self.running.push(Slot { seq, tenant });
        self.running.last_mut()
    }

    /// Evicts the newest until the others' next step fits, and says whose sequences are to be cleared.
    pub(crate) fn make_room(&mut self) -> Vec<u32> {
        let mut cleared = Vec::new();
        while self.running.len() > 1 && self.cells_needed() > self.cells {
            cleared.extend(self.evict_newest());
        }
        cleared
    }

    /// Evicts the newest tenant, unless it is alone, because the cache is full although there should be room.
    /// Nobody is let in before somebody has left: the evicted one would fill the cache again at once, and for ever.
    pub(crate) fn overfull(&mut self) -> Option<u32> {
        let cleared = self.evict_newest()?;
        self.closed = true;
        Some(cleared)
    }

    /// Evicts the newest tenant, unless it is alone, and says whose sequence is to be cleared.
    fn evict_newest(&mut self) -> Option<u32> {
        if self.running.len() < 2 {
            return None;
        }
        let mut slot = self.running.pop()?;
        slot.tenant.evicted();
        self.waiting.push_front(slot.tenant);
        self.free.push(slot.seq);
        Some(slot.seq)
    }

    /// Takes out a running tenant by its index.
    pub(crate) fn remove(&mut self, index: usize) -> Slot<T> {
        let slot = self.running.remove(index);
        self.closed = false;
        self.free.push(slot.seq);
        slot
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

    /// Those that run, oldest first.
    pub(crate) fn running_mut(&mut self) -> &mut [Slot<T>] {
        &mut self.running
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody runs and nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    fn cells_needed(&self) -> usize {
        self.running.iter().map(|slot| slot.tenant.cells()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Fake {
        name: &'static str,
        cells: usize,
        evictions: usize,
    }

    impl Tenant for Fake {
        fn cells(&self) -> usize {
            self.cells
        }
        fn growth(&self) -> usize {
            2
        }
        fn evicted(&mut self) {
            self.evictions += 1;
        }
    }

    fn slots(cells: usize, sequences: u32, tenants: &[(&'static str, usize)]) -> Slots<Fake> {
        let mut slots = Slots::new(cells, sequences);
        for &(name, cells) in tenants {
            slots
                .enqueue(Fake {
                    name,
                    cells,
                    evictions: 0,
                })
                .unwrap();
        }
        slots
    }

    fn admit_all(slots: &mut Slots<Fake>) -> Vec<&'static str> {
        std::iter::from_fn(|| slots.admit().map(|slot| slot.tenant.name)).collect()
    }

    #[test]
    fn those_that_fit_with_room_to_grow_run_together() {
        let mut slots = slots(20, 4, &[("a", 8), ("b", 8), ("c", 1)]);
        assert_eq!(admit_all(&mut slots), ["a", "b"]);
        assert_eq!((slots.running().len(), slots.waiting()), (2, 1));
        slots.remove(0);
        assert_eq!(admit_all(&mut slots), ["c"]);
    }

    #[test]
    fn nobody_overtakes_a_large_one() {
        let mut slots = slots(20, 4, &[("a", 8), ("large", 16), ("small", 1)]);
        assert_eq!(admit_all(&mut slots), ["a"]);
        slots.remove(0);
        assert_eq!(admit_all(&mut slots), ["large"]);
    }

    #[test]
    fn one_alone_may_fill_the_cache_although_it_could_not_grow() {
        let mut slots = slots(20, 4, &[("all", 20)]);
        assert_eq!(admit_all(&mut slots), ["all"]);
        assert!(slots.make_room().is_empty());
        assert_eq!(slots.evict_newest(), None);
    }

    #[test]
    fn sequences_are_never_shared_and_come_back() {
        let mut slots = slots(100, 2, &[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(admit_all(&mut slots), ["a", "b"]);
        let seqs: Vec<u32> = slots.running().iter().map(|slot| slot.seq).collect();
        assert_eq!(seqs, [0, 1]);
        assert_eq!(slots.remove(0).seq, 0);
        assert_eq!(slots.admit().map(|slot| slot.seq), Some(0));
    }

    #[test]
    fn a_full_cache_sends_the_newest_back_to_the_front() {
        let mut slots = slots(20, 4, &[("a", 4), ("b", 4), ("c", 4), ("d", 4)]);
        assert_eq!(admit_all(&mut slots), ["a", "b", "c"]);
        for slot in slots.running_mut() {
            slot.tenant.cells = 8;
        }
        assert_eq!(slots.make_room(), [2]);
        assert_eq!(slots.running().len(), 2);
        for slot in slots.running_mut() {
            slot.tenant.cells = 11;
        }
        assert_eq!(slots.make_room(), [1]);
        slots.remove(0);
        assert_eq!(admit_all(&mut slots), ["b"]);
        assert_eq!(
            slots.running()[0].tenant,
            Fake {
                name: "b",
                cells: 11,
                evictions: 1
            }
        );
    }

    #[test]
    fn whom_the_cache_did_not_hold_comes_back_only_when_somebody_left() {
        let mut slots = slots(100, 4, &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        assert_eq!(admit_all(&mut slots), ["a", "b", "c", "d"]);
        assert_eq!(slots.overfull(), Some(3));
        assert!(admit_all(&mut slots).is_empty());
        assert_eq!(slots.overfull(), Some(2));
        assert!(admit_all(&mut slots).is_empty());
        slots.remove(0);
        assert_eq!(admit_all(&mut slots), ["c", "d"]);
        let names: Vec<_> = slots
            .running()
            .iter()
            .map(|slot| slot.tenant.name)
            .collect();
        assert_eq!(names, ["b", "c", "d"]);
    }

    #[test]
    fn one_alone_is_not_evicted_and_closes_nothing() {
        let mut slots = slots(100, 4, &[("a", 1)]);
        assert_eq!(admit_all(&mut slots), ["a"]);
        assert_eq!(slots.overfull(), None);
        slots
            .enqueue(Fake {
                name: "b",
                cells: 1,
                evictions: 0,
            })
            .unwrap();
        assert_eq!(admit_all(&mut slots), ["b"]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut slots = Slots::new(10, 1);
        for _ in 0..MAX_WAITING {
            slots
                .enqueue(Fake {
                    name: "x",
                    cells: 1,
                    evictions: 0,
                })
                .unwrap();
        }
        assert!(
            slots
                .enqueue(Fake {
                    name: "y",
                    cells: 1,
                    evictions: 0
                })
                .is_err()
        );
    }

    #[test]
    fn what_waits_is_bounded_too() {
        let mut slots = Slots::new(1 << 20, 1);
        let large = || Fake {
            name: "large",
            cells: 1 << 20,
            evictions: 0,
        };
        for _ in 0..16 {
            slots.enqueue(large()).unwrap();
        }
        assert!(slots.enqueue(large()).is_err());
    }

    #[test]
    fn one_that_waits_can_leave() {
        let mut slots = slots(20, 4, &[("a", 8), ("b", 8)]);
        assert!(slots.remove_waiting(|tenant| tenant.name == "b").is_some());
        assert!(slots.remove_waiting(|tenant| tenant.name == "b").is_none());
        assert_eq!(admit_all(&mut slots), ["a"]);
    }
}

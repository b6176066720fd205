use std::{
    collections::{HashMap, HashSet},
    io::Write,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use runner_protocol::{
    StateOutcome,
    state::{Damage, Head, Saved, Writer},
};

use super::*;
use crate::cache::read_ahead::ReadAhead;

/// A cache that remembers whose tokens it holds, as llama.cpp does.
#[derive(Debug, Default)]
struct Fake {
    sequences: HashMap<u32, Vec<LlamaToken>>,
    /// The cells of each, by numbers that are never used again.
    cells: HashMap<u32, Vec<u64>>,
    next_cell: u64,
    /// Cannot share parts of sequences.
    whole_only: bool,
    /// Cannot be given a state.
    forgetful: bool,
    /// Cannot cut sequences.
    uncut: bool,
    /// Most cells that were in use, also for a moment.
    most: usize,
}

impl Fake {
    fn used(&self) -> usize {
        let cells: HashSet<u64> = self.cells.values().flatten().copied().collect();
        cells.len()
    }

    /// Takes new cells for more tokens of a sequence.
    fn take(&mut self, seq: u32, tokens: &[LlamaToken]) {
        let own = self.sequences.entry(seq).or_default();
        own.extend_from_slice(tokens);
        let last = self.next_cell + tokens.len() as u64;
        let cells = self.cells.entry(seq).or_default();
        cells.extend(self.next_cell..last);
        self.next_cell = last;
    }

    fn lose_all(&mut self) {
        self.sequences.clear();
        self.cells.clear();
    }
}

impl Cache for Fake {
    fn clear(&mut self) {
        self.lose_all();
    }

    fn remove(&mut self, seq: u32) {
        self.sequences.remove(&seq);
        self.cells.remove(&seq);
    }

    fn cut(&mut self, seq: u32, length: usize) -> bool {
        let held = self.sequences.entry(seq).or_default();
        assert!(held.len() >= length, "there is something to keep");
        let left = if self.uncut { 0 } else { length };
        held.truncate(left);
        self.cells.entry(seq).or_default().truncate(left);
        !self.uncut
    }

    fn share(&mut self, from: u32, to: u32, range: Range<usize>, whole: usize) -> bool {
        let tokens = self.sequences[&from].clone();
        assert_eq!(tokens.len(), whole, "the caller knows what is there");
        let own = self.sequences.entry(to).or_default();
        assert_eq!(own.len(), range.start, "it goes on where it is");
        if self.whole_only && range != (0..whole) {
            self.remove(to);
            return false;
        }
        own.extend_from_slice(&tokens[range.clone()]);
        let cells = self.cells[&from][range].to_vec();
        self.cells.entry(to).or_default().extend(cells);
        true
    }

    fn can_restore(&self, length: usize, whole: usize) -> bool {
        length == whole || !self.whole_only
    }

    fn save(&mut self, seq: u32, whole: usize, most: usize) -> Option<Vec<u8>> {
        let tokens = &self.sequences[&seq];
        assert_eq!(tokens.len(), whole, "the caller knows what is there");
        let state: Vec<u8> = tokens.iter().flat_map(|it| it.0.to_le_bytes()).collect();
        (state.len() <= most).then_some(state)
    }

    fn restore(&mut self, to: u32, state: &[u8], length: usize, whole: usize) -> bool {
        let held = self.sequences.get(&to).map_or(0, Vec::len);
        assert_eq!(held, 0, "it is given to one that holds nothing");
        let (tokens, _) = state.as_chunks::<4>();
        assert_eq!(tokens.len(), whole, "the caller knows what it has");
        assert!(self.can_restore(length, whole), "it was asked before");
        if self.forgetful {
            return false;
        }
        let tokens = tokens.iter().copied().map(i32::from_le_bytes);
        let tokens: Vec<LlamaToken> = tokens.map(LlamaToken::new).collect();
        self.take(to, &tokens);
        self.most = self.most.max(self.used());
        self.sequences.entry(to).or_default().truncate(length);
        self.cells.entry(to).or_default().truncate(length);
        true
    }
}

#[derive(Debug, PartialEq)]
struct Person {
    name: &'static str,
    tokens: Vec<LlamaToken>,
    scales: AdapterScales,
    reused: usize,
    evictions: usize,
}

impl Tenant for Person {
    fn tokens(&self) -> &[LlamaToken] {
        &self.tokens
    }
    fn growth(&self) -> usize {
        2
    }
    fn scales(&self) -> &AdapterScales {
        &self.scales
    }
    fn alone(&self) -> bool {
        self.name.starts_with("alone")
    }
    fn reused(&mut self, tokens: usize) {
        self.reused += tokens;
    }
    fn evicted(&mut self) {
        self.evictions += 1;
        self.reused = 0;
    }
}

/// A sequence whose first tokens are those of all with the same `kind`, and whose last ones are unique.
fn person(name: &'static str, kind: i32, alike: usize, own: usize) -> Person {
    let alike = std::iter::repeat_n(kind, alike);
    let mine = name.bytes().fold(1000_i32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let own = std::iter::repeat_n(mine, own);
    Person {
        name,
        tokens: alike.chain(own).map(LlamaToken::new).collect(),
        scales: AdapterScales::new(),
        reused: 0,
        evictions: 0,
    }
}

/// Slots and their cache, with a clock that stands still.
struct House {
    slots: Slots<Person>,
    cache: Fake,
    now: Instant,
}

impl House {
    fn new(cells: usize, sequences: u32, limit: u32) -> Self {
        Self {
            slots: Slots::new(cells, sequences, limit, cells),
            cache: Fake::default(),
            now: Instant::now(),
        }
    }

    /// With people who have nothing in common.
    fn of(cells: usize, limit: u32, people: &[(&'static str, usize)]) -> Self {
        let mut house = Self::new(cells, limit, limit);
        for &(name, tokens) in people {
            house.enqueue(person(name, 0, 0, tokens));
        }
        house
    }

    fn enqueue(&mut self, person: Person) {
        self.slots.enqueue(person).unwrap();
    }

    fn admit_all(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| {
            let slot = self.slots.admit(&mut self.cache, self.now)?;
            Some(slot.tenant.name)
        })
        .collect()
    }

    /// Computes so many tokens of each.
    fn compute(&mut self, shares: &[usize]) {
        for (slot, &share) in self.slots.running().iter().zip(shares) {
            let known = slot.computed();
            let tokens = &slot.tenant.tokens()[known..known + share];
            self.cache.take(slot.seq, tokens);
        }
        self.slots.computed(shares);
        self.check();
    }

    /// Computes everything that is outstanding.
    fn compute_all(&mut self) {
        let all: Vec<usize> = self.slots.running().iter().map(Slot::outstanding).collect();
        self.compute(&all);
    }

    /// Writes a token with guesses behind it, of which so many turn out right, as a step does.
    fn guess(&mut self, index: usize, guesses: usize, right: usize) {
        assert!(guesses <= self.slots.room());
        let mut shares = vec![0; self.slots.running().len()];
        shares[index] = 1;
        let slot = &self.slots.running()[index];
        let due = slot.tenant.tokens()[slot.computed()];
        let guess = LlamaToken::new(8);
        let guessed = std::iter::once(due).chain(std::iter::repeat_n(guess, guesses));
        self.cache.take(slot.seq, &guessed.collect::<Vec<_>>());
        self.slots.computed(&shares);
        let other = LlamaToken::new(9);
        let chosen = std::iter::repeat_n(guess, right).chain([other]);
        self.slots.tenant(index).tokens.extend(chosen);
        self.slots.guessed(&mut self.cache, index, right);
        self.check();
    }

    /// The cache holds what the slots believe.
    fn check(&self) {
        for slot in self.slots.running() {
            let held = self
                .cache
                .sequences
                .get(&slot.seq)
                .map_or(&[][..], Vec::as_slice);
            assert_eq!(held, &slot.tenant.tokens()[..slot.computed()]);
        }
        for cached in self.slots.cell_cache.iter() {
            assert_eq!(self.cache.sequences[&cached.seq], cached.tokens);
        }
        assert_eq!(self.cache.used(), self.slots.cells_used());
    }

    fn retire(&mut self, index: usize) -> Person {
        self.slots.retire(&mut self.cache, index, self.now)
    }

    fn names(&self) -> Vec<&'static str> {
        let running = self.slots.running().iter();
        running.map(|slot| slot.tenant.name).collect()
    }
}

#[test]
fn those_that_fit_with_room_to_grow_run_together() {
    let mut house = House::of(20, 4, &[("a", 8), ("b", 8), ("c", 1)]);
    assert_eq!(house.admit_all(), ["a", "b"]);
    assert_eq!(house.slots.waiting(), 1);
    house.retire(0);
    assert_eq!(house.admit_all(), ["c"]);
}

#[test]
fn nobody_overtakes_a_large_one() {
    let mut house = House::of(20, 4, &[("a", 8), ("large", 16), ("small", 1)]);
    assert_eq!(house.admit_all(), ["a"]);
    house.retire(0);
    assert_eq!(house.admit_all(), ["large"]);
}

#[test]
fn one_alone_may_fill_the_cache_although_it_could_not_grow() {
    let mut house = House::of(20, 4, &[("all", 20)]);
    assert_eq!(house.admit_all(), ["all"]);
    house.slots.make_room(&mut house.cache, house.now);
    house.compute_all();
    assert_eq!(house.slots.cells_used(), 20);
}

#[test]
fn sequences_are_never_used_twice_and_come_back() {
    let mut house = House::of(100, 2, &[("a", 1), ("b", 1), ("c", 1)]);
    assert_eq!(house.admit_all(), ["a", "b"]);
    let seqs: Vec<u32> = house.slots.running().iter().map(|it| it.seq).collect();
    assert_eq!(seqs, [0, 1]);
    house.retire(0);
    assert_eq!(house.admit_all(), ["c"]);
    assert_eq!(house.slots.running()[1].seq, 0);
}

#[test]
fn one_that_wants_to_be_alone_waits_and_is_waited_for_in_an_empty_cache() {
    let people = [("a", 8), ("alone", 8), ("b", 8)];
    let mut house = House::of(100, 4, &people);
    assert_eq!(house.admit_all(), ["a"]);
    house.compute_all();
    assert!(house.admit_all().is_empty());
    house.retire(0);
    assert_eq!(house.admit_all(), ["alone"]);
    assert_eq!(house.slots.cells_used(), 0);
    assert_eq!(house.slots.running()[0].seq, 0);
    house.compute_all();
    assert!(house.admit_all().is_empty());
    house.retire(0);
    assert_eq!(house.admit_all(), ["b"]);
    house.check();
}

#[test]
fn a_full_cache_sends_the_newest_back_to_the_front() {
    let people = [("a", 4), ("b", 4), ("c", 4), ("d", 4)];
    let mut house = House::of(20, 4, &people);
    assert_eq!(house.admit_all(), ["a", "b", "c"]);
    for (index, tokens) in [(0, 8), (1, 8), (2, 8)] {
        house.slots.tenant(index).tokens = person("x", 1, tokens, 0).tokens;
    }
    house.slots.make_room(&mut house.cache, house.now);
    assert_eq!(house.names(), ["a", "b"]);
    for index in 0..2 {
        house.slots.tenant(index).tokens = person("x", 1, 11, 0).tokens;
    }
    house.slots.make_room(&mut house.cache, house.now);
    assert_eq!(house.names(), ["a"]);
    house.retire(0);
    assert_eq!(house.admit_all(), ["b"]);
    assert_eq!(house.slots.tenant(0).evictions, 1);
}

#[test]
fn whom_the_cache_did_not_hold_comes_back_only_when_somebody_left() {
    let mut house = House::of(100, 4, &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    assert_eq!(house.admit_all(), ["a", "b", "c", "d"]);
    assert!(house.slots.overfull(&mut house.cache));
    assert!(house.admit_all().is_empty());
    assert!(house.slots.overfull(&mut house.cache));
    assert!(house.admit_all().is_empty());
    house.retire(0);
    assert_eq!(house.admit_all(), ["c", "d"]);
    assert_eq!(house.names(), ["b", "c", "d"]);
}

#[test]
fn one_alone_is_not_evicted_and_closes_nothing() {
    let mut house = House::of(100, 4, &[("a", 1)]);
    assert_eq!(house.admit_all(), ["a"]);
    assert!(!house.slots.overfull(&mut house.cache));
    house.enqueue(person("b", 0, 0, 1));
    assert_eq!(house.admit_all(), ["b"]);
}

#[test]
fn the_queue_is_bounded() {
    let mut house = House::new(10, 1, 1);
    for _ in 0..MAX_WAITING {
        house.enqueue(person("x", 0, 0, 1));
    }
    assert!(house.slots.enqueue(person("y", 0, 0, 1)).is_err());
}

#[test]
fn what_waits_is_bounded_too() {
    let mut house = House::new(1 << 20, 1, 1);
    for _ in 0..16 {
        house.enqueue(person("large", 0, 0, 1 << 20));
    }
    assert!(house.slots.enqueue(person("large", 0, 0, 1 << 20)).is_err());
}

#[test]
fn one_that_waits_can_leave() {
    let mut house = House::of(20, 4, &[("a", 8), ("b", 8)]);
    assert!(house.slots.remove_waiting(|it| it.name == "b").is_some());
    assert!(house.slots.remove_waiting(|it| it.name == "b").is_none());
    assert_eq!(house.admit_all(), ["a"]);
}

#[test]
fn a_beginning_that_somebody_had_is_not_computed_again() {
    let mut house = House::new(200, 8, 4);
    house.enqueue(person("first", 1, 40, 5));
    assert_eq!(house.admit_all(), ["first"]);
    house.compute_all();
    house.enqueue(person("beside", 1, 30, 5));
    assert_eq!(house.admit_all(), ["beside"]);
    house.check();
    assert_eq!(house.slots.running()[1].computed(), 30);
    assert_eq!(house.slots.cells_used(), 45);

    house.retire(0);
    house.enqueue(person("after", 1, 40, 5));
    assert_eq!(house.admit_all(), ["after"]);
    house.check();
    assert_eq!(house.slots.tenant(1).reused, 40);
    house.compute_all();
    assert_eq!(house.slots.cells_used(), 45 + 5 + 5);
}

#[test]
fn the_last_token_is_computed_even_when_all_is_known() {
    let mut house = House::new(200, 8, 4);
    for name in ["first", "again"] {
        house.enqueue(person(name, 1, 40, 0));
        house.admit_all();
        house.compute_all();
    }
    assert_eq!(house.slots.tenant(1).reused, 39);
}

#[test]
fn another_flavour_shares_nothing() {
    let mut house = House::new(200, 8, 4);
    house.enqueue(person("plain", 1, 40, 5));
    house.admit_all();
    house.compute_all();
    let mut other = person("other", 1, 40, 5);
    other.scales = vec![1];
    house.enqueue(other);
    house.admit_all();
    assert_eq!(house.slots.tenant(1).reused, 0);
    assert_eq!(house.slots.outstanding(), [0, 45]);
}

#[test]
fn a_prompt_that_several_bring_at_once_is_read_by_one() {
    let mut house = House::new(300, 8, 4);
    for name in ["a", "b", "c"] {
        house.enqueue(person(name, 1, 60, 3));
    }
    assert_eq!(house.admit_all(), ["a", "b", "c"]);
    assert_eq!(house.slots.outstanding(), [63, 0, 0]);
    house.compute(&[32, 0, 0]);
    house.slots.catch_up(&mut house.cache, house.now);
    house.check();
    assert_eq!(house.slots.outstanding(), [31, 0, 0]);
    house.compute(&[31, 0, 0]);
    house.slots.catch_up(&mut house.cache, house.now);
    assert_eq!(house.slots.outstanding(), [0, 3, 3]);
    house.compute_all();
    assert_eq!(house.slots.cells_used(), 60 + 3 * 3);
    assert_eq!(house.slots.tenant(2).reused, 60);
}

#[test]
fn a_follower_goes_on_alone_when_its_leader_leaves() {
    let mut house = House::new(300, 8, 4);
    for name in ["a", "b"] {
        house.enqueue(person(name, 1, 60, 3));
    }
    house.admit_all();
    house.compute(&[32, 0]);
    house.slots.remove(&mut house.cache, 0);
    house.slots.catch_up(&mut house.cache, house.now);
    assert_eq!(house.slots.outstanding(), [63]);
}

#[test]
fn what_is_over_makes_room() {
    let mut house = House::new(100, 8, 4);
    for name in ["old", "young"] {
        house.enqueue(person(name, 0, 0, 40));
        house.admit_all();
        house.compute_all();
        house.retire(0);
        house.now += Duration::from_secs(60);
    }
    assert_eq!(house.slots.cells_used(), 80);
    house.enqueue(person("new", 0, 0, 50));
    assert_eq!(house.admit_all(), ["new"]);
    house.compute_all();
    assert_eq!(house.slots.cells_used(), 90);
    let cell_cache: Vec<u32> = house
        .slots
        .cell_cache
        .iter()
        .map(|cached| cached.seq)
        .collect();
    assert_eq!(cell_cache, [1], "the young one is still there");
}

#[test]
fn what_is_over_keeps_few_cells_once_others_come() {
    let mut house = House::new(1000, 8, 4);
    house.slots.spare_cells = 50;
    let mut ask = |name, kind, alike| {
        house.enqueue(person(name, kind, alike, 5));
        assert_eq!(house.admit_all(), [name]);
        house.compute_all();
        let reused = house.slots.tenant(0).reused;
        house.retire(0);
        house.now += Duration::from_secs(1);
        (reused, house.slots.cells_used())
    };
    // The latest may be as long as it likes.
    assert_eq!(ask("a", 1, 200), (0, 205));
    assert_eq!(ask("b", 1, 200), (200, 210));
    // Who begins otherwise leaves the short ones there.
    assert_eq!(ask("c", 2, 20), (0, 25));
    assert_eq!(ask("d", 3, 20), (0, 50));
    assert_eq!(ask("e", 2, 20), (20, 55));
}

#[test]
fn a_sequence_of_what_is_over_is_used_again_when_none_is_free() {
    let mut house = House::new(1000, 2, 1);
    for name in ["a", "b", "c", "d"] {
        house.enqueue(person(name, 1, 20, 20));
        assert_eq!(house.admit_all(), [name]);
        house.compute_all();
        house.check();
        house.retire(0);
        house.now += Duration::from_secs(1);
    }
    assert_eq!(house.slots.cell_cache.iter().count(), 2);
}

#[test]
fn the_only_sequence_is_taken_from_what_begins_alike() {
    let mut house = House::new(1000, 1, 1);
    for name in ["a", "b"] {
        house.enqueue(person(name, 1, 20, 20));
        assert_eq!(house.admit_all(), [name]);
        house.compute_all();
        house.retire(0);
    }
    house.check();
}

#[test]
fn a_cache_that_cannot_share_parts_computes_them() {
    let mut house = House::new(400, 8, 4);
    house.cache.whole_only = true;
    house.enqueue(person("a", 1, 60, 3));
    house.enqueue(person("b", 1, 60, 3));
    house.admit_all();
    assert_eq!(house.slots.outstanding(), [63, 0]);
    house.compute(&[32, 0]);
    house.slots.catch_up(&mut house.cache, house.now);
    house.compute(&[31, 0]);
    house.slots.catch_up(&mut house.cache, house.now);
    house.check();
    // What it had got as a whole is lost with the part that it could not get; from now on it is left alone.
    assert_eq!(house.slots.outstanding(), [0, 63]);
    house.compute(&[0, 40]);
    house.slots.catch_up(&mut house.cache, house.now);
    assert_eq!(house.slots.outstanding(), [0, 23]);
}

#[test]
fn what_the_cache_lost_is_outstanding_again() {
    let mut house = House::new(400, 8, 4);
    house.enqueue(person("over", 2, 40, 3));
    house.admit_all();
    house.compute_all();
    house.retire(0);
    house.enqueue(person("a", 1, 60, 3));
    house.enqueue(person("b", 3, 60, 3));
    house.admit_all();
    house.compute_all();
    house.slots.lost(&mut house.cache, 0);
    assert_eq!(house.slots.outstanding(), [63, 0]);
    house.check();
    house.cache.lose_all();
    house.slots.all_lost();
    house.check();
    assert_eq!(house.slots.outstanding(), [63, 63]);
    assert_eq!(house.slots.cells_used(), 0);
}

/// A house where what is over loses its cells at once, and its state goes on the shelf.
fn with_shelf() -> House {
    let mut house = House::new(1000, 8, 4);
    house.slots.spare_cells = 0;
    house.slots.host_cache = HostCache::new(100_000);
    house
}

impl House {
    /// Admits a sequence, computes it and retires it; returns how many tokens were reused.
    fn serve(&mut self, person: Person) -> usize {
        let name = person.name;
        self.enqueue(person);
        assert_eq!(self.admit_all(), [name]);
        self.check();
        self.compute_all();
        let reused = self.slots.tenant(0).reused;
        self.retire(0);
        self.check();
        self.now += Duration::from_secs(1);
        reused
    }
}

#[test]
fn what_lost_its_cells_comes_back_from_the_shelf() {
    let mut house = with_shelf();
    assert_eq!(house.serve(person("a", 1, 200, 5)), 0);
    assert_eq!(house.serve(person("b", 2, 200, 5)), 0);
    assert!(
        house
            .slots
            .cell_cache
            .iter()
            .all(|cached| cached.tokens[0].0 == 2)
    );
    assert_eq!(house.serve(person("c", 1, 150, 5)), 150);
    // Both are still there, and so is what came of it.
    assert_eq!(house.serve(person("d", 2, 200, 9)), 200);
    assert_eq!(house.serve(person("a", 1, 200, 9)), 200 + 5);
}

#[test]
fn cells_that_are_there_are_shared_before_the_shelf_is_asked() {
    let mut house = with_shelf();
    house.serve(person("a", 1, 200, 5));
    house.serve(person("b", 2, 200, 5));
    house.enqueue(person("c", 1, 200, 1));
    house.enqueue(person("d", 1, 200, 2));
    assert_eq!(house.admit_all(), ["c", "d"]);
    house.check();
    // What both begin with has one set of cells.
    assert_eq!(house.slots.cells_used(), 200);
}

#[test]
fn a_beginning_of_somebody_who_goes_on_is_not_put_aside() {
    let mut house = House::new(1000, 2, 2);
    house.slots.host_cache = HostCache::new(100_000);
    house.serve(person("a", 1, 100, 0));
    house.enqueue(person("longer", 1, 200, 5));
    assert_eq!(house.admit_all(), ["longer"]);
    house.compute_all();
    house.enqueue(person("other", 2, 100, 5));
    assert_eq!(house.admit_all(), ["other"]);
    assert_eq!(
        house.slots.cell_cache.iter().count(),
        0,
        "its sequence was needed"
    );
    assert_eq!(house.slots.host_cache.best(house.now), None);
}

#[test]
fn nobody_is_restored_who_would_be_sent_back() {
    let mut house = with_shelf();
    house.serve(person("a", 1, 600, 5));
    house.serve(person("b", 2, 600, 5));
    house.enqueue(person("c", 3, 500, 5));
    house.enqueue(person("d", 1, 600, 5));
    assert_eq!(house.admit_all(), ["c"]);
    assert_eq!(house.cache.most, 0, "nothing was copied");
    house.compute_all();
    house.retire(0);
    assert_eq!(house.admit_all(), ["d"]);
    assert_eq!(house.slots.tenant(0).reused, 600);
}

#[test]
fn a_state_that_cannot_be_restored_is_computed_and_forgotten() {
    let mut house = with_shelf();
    house.serve(person("a", 1, 200, 5));
    house.serve(person("b", 2, 200, 5));
    house.cache.forgetful = true;
    assert_eq!(house.serve(person("c", 1, 200, 5)), 0);
    let best = house.slots.host_cache.best(house.now).map(|(id, _)| id);
    assert_eq!(best, Some(1), "only that of the second one is left");
}

#[test]
fn states_are_handed_out_with_the_most_worth_first_and_only_once() {
    let mut house = with_shelf();
    house.serve(person("short", 5, 70, 5));
    house.serve(person("a", 1, 200, 5));
    house.serve(person("b", 2, 200, 5));
    house.serve(person("c", 3, 300, 5));
    let mut export_state = || {
        let evicted = house
            .slots
            .export_state(&mut house.cache, 100, 4 * 205, house.now)?;
        house.check();
        let cell_cache = house.slots.cell_cache.iter().count();
        Some((evicted.tokens[0].0, evicted.tokens.len(), cell_cache))
    };
    // The latest is too large.
    assert_eq!(export_state(), Some((2, 205, 0)));
    assert_eq!(export_state(), Some((1, 205, 0)));
    assert_eq!(export_state(), None);
    assert_eq!(house.slots.host_cache.best(house.now), None);
    assert_eq!(house.slots.cells_used(), 0);
}

#[test]
fn guesses_that_were_right_stay_and_the_rest_is_cut_off() {
    let mut house = House::of(40, 4, &[("a", 8), ("b", 8)]);
    house.admit_all();
    house.compute_all();
    house.slots.tenant(0).tokens.push(LlamaToken::new(7));
    assert_eq!(house.slots.room(), 40 - 16 - 1);
    house.guess(0, 5, 2);
    assert_eq!(house.slots.running()[0].computed(), 8 + 1 + 2);
    assert_eq!(house.slots.outstanding(), [1, 0]);
    house.guess(0, 0, 0);
    house.guess(0, 3, 3);
    assert_eq!(house.slots.cells_used(), 8 + 8 + 1 + 2 + 1 + 4);
}

#[test]
fn guesses_have_no_room_but_what_nobody_wants() {
    let mut house = House::of(20, 4, &[("a", 12), ("b", 4)]);
    house.admit_all();
    house.compute(&[12, 0]);
    assert_eq!(house.slots.room(), 20 - 12 - 4);
    house.slots.tenant(0).tokens.push(LlamaToken::new(7));
    assert_eq!(house.slots.room(), 3);
}

#[test]
fn what_cannot_be_cut_off_is_computed_again() {
    let mut house = House::of(40, 4, &[("a", 8), ("b", 8)]);
    house.cache.uncut = true;
    house.admit_all();
    house.compute_all();
    house.slots.tenant(0).tokens.push(LlamaToken::new(7));
    house.guess(0, 5, 2);
    assert_eq!(house.slots.outstanding(), [12, 0]);
    house.compute_all();
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Come {
        kind: i32,
        alike: usize,
        own: usize,
    },
    Step {
        chunk: usize,
    },
    Write {
        index: usize,
    },
    Guess {
        index: usize,
        guesses: usize,
        right: usize,
    },
    Retire {
        index: usize,
    },
    Remove {
        index: usize,
    },
    Lose {
        index: usize,
    },
    ExportState,
}

fn act() -> impl Strategy<Value = Act> {
    let index = 0_usize..4;
    prop_oneof![
        4 => (0..3, 0_usize..95, 1_usize..20).prop_map(|(kind, alike, own)| Act::Come { kind, alike, own }),
        6 => (1_usize..60).prop_map(|chunk| Act::Step { chunk }),
        3 => index.clone().prop_map(|index| Act::Write { index }),
        3 => (index.clone(), 1_usize..9, 0_usize..9).prop_map(|(index, guesses, right)| Act::Guess { index, guesses, right: right.min(guesses) }),
        2 => index.clone().prop_map(|index| Act::Retire { index }),
        1 => index.clone().prop_map(|index| Act::Remove { index }),
        1 => index.prop_map(|index| Act::Lose { index }),
        1 => Just(Act::ExportState),
    ]
}

proptest! {
    #[test]
    fn cache_and_slots_always_agree_and_nothing_is_lost(
        acts in proptest::collection::vec(act(), 1..120),
        host_cache in 0_u64..2000,
        whole_only: bool,
        forgetful in proptest::bool::weighted(0.1),
    ) {
        const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut house = House::new(128, 6, 4);
        house.slots.host_cache = HostCache::new(host_cache);
        house.cache.whole_only = whole_only;
        house.cache.forgetful = forgetful;
        let mut came = 0_usize;
        let mut left = 0_usize;
        for act in acts {
            let running = house.slots.running().len();
            match act {
                Act::Come { kind, alike, own } => {
                    house.enqueue(person(NAMES[came % NAMES.len()], kind, alike, own));
                    came += 1;
                }
                Act::Step { chunk } => {
                    house.admit_all();
                    house.slots.catch_up(&mut house.cache, house.now);
                    house.slots.make_room(&mut house.cache, house.now);
                    let shares = crate::schedule::step::plan(&house.slots.outstanding(), 64, chunk);
                    prop_assert!(house.slots.running().is_empty() || shares.iter().sum::<usize>() > 0 || house.slots.outstanding().iter().all(|it| *it == 0));
                    house.compute(&shares);
                    house.now += Duration::from_secs(1);
                }
                Act::Write { index }
                    if index < running
                        && house.slots.running()[index].outstanding() == 0
                        && house.slots.tenant(index).tokens.len() < 128 =>
                {
                    house.slots.tenant(index).tokens.push(LlamaToken::new(7));
                }
                Act::Guess { index, guesses, right }
                    if index < running
                        && house.slots.running()[index].outstanding() == 1
                        && guesses <= house.slots.room()
                        && house.slots.tenant(index).tokens.len() + guesses < 128 =>
                {
                    house.guess(index, guesses, right);
                }
                Act::Retire { index } if index < running => {
                    house.retire(index);
                    left += 1;
                }
                Act::Remove { index } if index < running => {
                    house.slots.remove(&mut house.cache, index);
                    left += 1;
                }
                Act::Lose { index } if index < running => house.slots.lost(&mut house.cache, index),
                Act::ExportState => {
                    if let Some(evicted) = house.slots.export_state(&mut house.cache, 20, 300, house.now) {
                        prop_assert!(evicted.tokens.len() >= 20 && evicted.state.len() <= 300);
                        prop_assert_eq!(evicted.state.len(), 4 * evicted.tokens.len());
                    }
                }
                _ => {}
            }
            house.check();
            let slots = &house.slots;
            prop_assert_eq!(slots.running().len() + slots.waiting() + left, came);
            prop_assert!(slots.cells_used() <= 128 && house.cache.most <= 128);
            prop_assert_eq!(slots.running().len() + slots.cell_cache.iter().count() + slots.free.len(), 6);
        }
    }
}

/// A saved state of these tokens, in a file.
fn saved(tokens: &[LlamaToken]) -> Arc<Saved> {
    let bytes: Vec<u8> = tokens.iter().flat_map(|it| it.0.to_le_bytes()).collect();
    let head = Head {
        model: "a".into(),
        build: "b".into(),
        adapters: Vec::new(),
        tokens: tokens.iter().map(|it| it.0).collect(),
        bytes: bytes.len() as u64,
    };
    let (mut writer, mut text) = Writer::begin(&head);
    assert!(writer.part(&bytes));
    text.extend(bytes);
    text.extend(writer.end());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&text).unwrap();
    Arc::new(Saved::open(file).unwrap())
}

#[test]
fn others_are_computed_while_a_saved_state_is_read() {
    let mut house = House::new(1000, 4, 4);
    let tokens = person("before", 7, 90, 10).tokens;
    let state = saved(&tokens);
    house.slots.host_cache = HostCache::new(0);
    let (index, now) = (3, house.now);
    house
        .slots
        .host_cache
        .add_file(index, Arc::clone(&state), AdapterScales::new(), None, now);
    house.enqueue(person("first", 1, 20, 5));
    assert_eq!(house.admit_all(), ["first"]);
    house.enqueue(person("second", 7, 90, 30));

    assert!(house.admit_all().is_empty(), "its state is not read");
    let reading = ReadAhead::default();
    house.slots.host_cache.read_wanted(|_| reading.clone());
    assert!(house.slots.host_cache.is_reading());
    for _ in 0..3 {
        assert!(house.admit_all().is_empty(), "its state is still not read");
        assert!(!house.slots.is_idle());
        house.compute_all();
        house.slots.tenant(0).tokens.push(LlamaToken::new(5));
    }
    assert_eq!(house.slots.running()[0].computed(), 27);

    reading.finish(state.read());
    assert_eq!(house.admit_all(), ["second"]);
    assert_eq!(house.slots.running()[1].tenant.reused, 90);
    assert_eq!(
        house.slots.host_cache.take_outcomes(),
        [(index, StateOutcome::Used)]
    );
}

#[test]
fn with_nobody_else_there_is_nothing_to_compute_before_a_state_is_read() {
    let mut house = House::new(1000, 4, 4);
    let tokens = person("before", 7, 90, 10).tokens;
    house.slots.host_cache = HostCache::new(0);
    let reading = ReadAhead::default();
    let (now, state) = (house.now, saved(&tokens));
    house
        .slots
        .host_cache
        .add_file(0, state, AdapterScales::new(), Some(reading.clone()), now);
    house.enqueue(person("second", 7, 90, 30));
    assert!(house.admit_all().is_empty());
    assert!(house.slots.is_idle());
    reading.finish(Err(Damage::Bytes));
    assert!(!house.slots.is_idle());
    let admitted = house.admit_all();
    assert_eq!(admitted, ["second"], "it is computed from its beginning");
    assert_eq!(house.slots.running()[0].tenant.reused, 0);
    assert_eq!(
        house.slots.host_cache.take_outcomes(),
        [(0, StateOutcome::Refused)]
    );
}

/// Lets a sequence wait for its saved state, which the returned handle has not read yet.
fn wait_for_state(house: &mut House, kind: i32) -> ReadAhead {
    house.enqueue(person("reader", kind, 90, 30));
    assert!(house.admit_all().is_empty(), "its state is not read");
    let reading = ReadAhead::default();
    let mut began = false;
    house.slots.host_cache.read_wanted(|_| {
        began = true;
        reading.clone()
    });
    assert!(began, "its state is wanted");
    reading
}

/// A house with saved states of these kinds.
fn with_saved(kinds: &[i32]) -> House {
    let mut house = House::new(1000, 4, 4);
    house.slots.host_cache = HostCache::new(0);
    for (&kind, index) in kinds.iter().zip(0..) {
        let state = saved(&person("before", kind, 90, 10).tokens);
        let now = house.now;
        house
            .slots
            .host_cache
            .add_file(index, state, AdapterScales::new(), None, now);
    }
    house
}

#[test]
fn a_cancelled_sequence_leaves_no_bytes_of_its_state_and_delays_nobody() {
    let mut house = with_saved(&[7]);
    let reading = wait_for_state(&mut house, 7);
    house.enqueue(person("alone", 1, 20, 5));
    house.enqueue(person("other", 2, 20, 5));
    assert!(
        house
            .slots
            .remove_waiting(|it| it.name == "reader")
            .is_some()
    );
    assert!(!house.slots.is_idle(), "the next one can be admitted");
    assert!(!reading.is_wanted());

    assert_eq!(house.admit_all(), ["alone"]);
    house.compute_all();
    house.retire(0);
    assert!(!house.slots.is_idle(), "nobody waits for a state");
    assert_eq!(house.admit_all(), ["other"]);
}

#[test]
fn an_evicted_sequence_does_not_wait_for_the_state_of_the_next() {
    let mut house = with_saved(&[7]);
    house.enqueue(person("a", 1, 20, 5));
    house.enqueue(person("b", 2, 20, 5));
    assert_eq!(house.admit_all(), ["a", "b"]);
    let reading = wait_for_state(&mut house, 7);
    house.slots.overfull(&mut house.cache);
    assert!(!reading.is_wanted());
    house.retire(0);
    assert!(!house.slots.is_idle());
    assert_eq!(house.admit_all(), ["b"]);
}

#[test]
fn a_deterministic_sequence_gives_up_what_was_read_before() {
    let mut house = with_saved(&[]);
    let (now, reading) = (house.now, ReadAhead::default());
    let state = saved(&person("before", 7, 90, 10).tokens);
    let imported = Some(reading.clone());
    house
        .slots
        .host_cache
        .add_file(0, state, AdapterScales::new(), imported, now);
    house.enqueue(person("alone", 1, 20, 5));
    assert_eq!(house.admit_all(), ["alone"]);
    assert!(!reading.is_wanted());
}

#[test]
fn only_the_state_of_the_next_sequence_is_read() {
    let mut house = with_saved(&[7]);
    let (now, first) = (house.now, ReadAhead::default());
    let state = saved(&person("before", 8, 90, 10).tokens);
    let imported = Some(first.clone());
    house
        .slots
        .host_cache
        .add_file(1, state, AdapterScales::new(), imported, now);
    let second = wait_for_state(&mut house, 7);
    assert!(!first.is_wanted(), "two states are not in memory together");
    second.finish(Err(Damage::Bytes));
    assert!(!house.slots.is_idle());
}

#[test]
fn a_state_without_memory_to_read_it_stays_saved() {
    let mut house = with_saved(&[7]);
    let reading = wait_for_state(&mut house, 7);
    reading.finish(Err(Damage::Memory(1 << 40)));
    assert_eq!(house.admit_all(), ["reader"]);
    assert_eq!(house.slots.running()[0].tenant.reused, 0);
    assert_eq!(house.slots.host_cache.take_outcomes(), []);
    house.compute_all();
    house.slots.remove(&mut house.cache, 0);

    let reading = wait_for_state(&mut house, 7);
    let state = saved(&person("before", 7, 90, 10).tokens);
    reading.finish(state.read());
    assert_eq!(house.admit_all(), ["reader"]);
    assert_eq!(house.slots.running()[0].tenant.reused, 90);
}

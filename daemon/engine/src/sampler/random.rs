//! Random numbers that depend on the seed alone: the same on every machine and in every version.

/// A SplitMix64 generator, as Steele, Lea and Flood describe it ("Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Seeds of up to 32 bits are taken as they are. Wider ones are mixed down to as many, so that each bit counts.
    pub(super) fn new(seed: u64) -> Self {
        match u32::try_from(seed) {
            Ok(_) => Self(seed),
            Err(_) => Self(Self(seed).next() >> 32),
        }
    }

    /// From 0 to just below 1.
    pub(super) fn share(&mut self) -> f64 {
        // A double holds 53 bits exactly.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A seed for a request that gives none, taken from the keys that the standard library draws from the system for its hash maps.
pub(super) fn seed() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};

    let bits = RandomState::new().build_hasher().finish();
    (bits >> 32) as u32 ^ bits as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_publication() {
        // The reference implementation's first outputs for the seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn wide_seeds_give_numbers_of_their_own_and_narrow_ones_stay() {
        let first = |seed| Random::new(seed).next();
        let wide = u64::from(u32::MAX) + 1;
        let seeds = [0, 1, wide, wide + 1, 1_760_000_000_000, u64::MAX];
        let numbers: std::collections::HashSet<u64> = seeds.into_iter().map(first).collect();
        assert_eq!(numbers.len(), seeds.len());
        assert_eq!(first(1_760_000_000_000), first(1_760_000_000_000));
        assert_eq!(Random::new(u64::from(u32::MAX)).0, u64::from(u32::MAX));
    }

    #[test]
    fn shares_fill_their_range_evenly() {
        let mut random = Random::new(7);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            let share = random.share();
            assert!((0.0..1.0).contains(&share));
            counts[(share * 10.0) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}

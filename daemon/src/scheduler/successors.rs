//! Which model is requested after which: the prediction of the next one, whose file is read ahead.

use std::collections::BTreeMap;

use registry::ModelName;

/// Most models whose successors are counted.
const MOST: usize = 256;

/// Most successors of one model.
const MOST_SUCCESSORS: usize = 16;

/// Fewest times that a model must have followed to be predicted.
const FEWEST: u32 = 2;

/// What followed each model.
#[derive(Debug, Default)]
pub(super) struct Successors {
    last: Option<ModelName>,
    counts: BTreeMap<ModelName, BTreeMap<ModelName, u32>>,
}

impl Successors {
    /// Counts a request, and returns whether the one before was for another model.
    pub(super) fn requested(&mut self, name: &ModelName) -> bool {
        let Some(last) = self.last.replace(name.clone()) else {
            return true;
        };
        if last == *name {
            return false;
        }
        if self.counts.len() >= MOST && !self.counts.contains_key(&last) {
            self.counts.clear();
        }
        let followed = self.counts.entry(last).or_default();
        if followed.len() >= MOST_SUCCESSORS && !followed.contains_key(name) {
            followed.clear();
        }
        *followed.entry(name.clone()).or_default() += 1;
        true
    }

    /// The model that follows this one more often than all others together.
    pub(super) fn after(&self, name: &ModelName) -> Option<&ModelName> {
        let followed = self.counts.get(name)?;
        let all: u32 = followed.values().sum();
        let (next, count) = followed.iter().max_by_key(|(_, count)| **count)?;
        (*count >= FEWEST && count.saturating_mul(2) > all).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> ModelName {
        ModelName::parse(name).unwrap()
    }

    #[test]
    fn the_model_that_usually_follows_is_predicted() {
        let mut successors = Successors::default();
        let mut ask = |names: &str| {
            for name in names.split(' ') {
                successors.requested(&named(name));
            }
            ["a", "b"].map(|name| successors.after(&named(name)).cloned())
        };
        assert_eq!(ask("a b"), [None, None]);
        assert_eq!(ask("a b b"), [Some(named("b")), None]);
        assert_eq!(ask("a c"), [Some(named("b")), Some(named("a"))]);
        // As often another one as this one.
        assert_eq!(ask("a c"), [None, Some(named("a"))]);
    }

    #[test]
    fn the_counts_are_bounded() {
        let mut successors = Successors::default();
        for n in 0..2000 {
            successors.requested(&named(&n.to_string()));
            successors.requested(&named("a"));
        }
        assert!(successors.counts.len() <= MOST);
        assert!(
            successors
                .counts
                .values()
                .all(|each| each.len() <= MOST_SUCCESSORS)
        );
    }
}

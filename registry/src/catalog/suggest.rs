//! Suggestions for a name that is not found.

use std::collections::HashSet;

use super::Entry;
use crate::ModelName;

const MOST: usize = 3;
/// How alike two names must be, from 0 to 1; below this, a guess only confuses.
const ALIKE: f64 = 0.85;

/// The names nearest to `wanted`, the likeliest first. Of several names of one entry, only the likeliest comes.
pub(super) fn names<'catalog>(
    wanted: &ModelName,
    known: impl Iterator<Item = (&'catalog ModelName, &'catalog Entry)>,
) -> Vec<ModelName> {
    let mut likely: Vec<(f64, &ModelName, &Entry)> = known
        .map(|(name, entry)| (likeness(wanted, name), name, entry))
        .filter(|(likeness, ..)| *likeness >= ALIKE)
        .collect();
    likely.sort_by(|(a, first, _), (b, second, _)| b.total_cmp(a).then_with(|| first.cmp(second)));
    // Beside a model that is spelt right, only its own tags are of interest.
    let is_spelt_right = likely.first().is_some_and(|(best, ..)| *best >= 1.0);
    if is_spelt_right {
        likely.retain(|(likeness, name, _)| *likeness >= 1.0 && name.tag() != "latest");
    }
    let (mut entries, mut models) = (HashSet::new(), HashSet::new());
    likely.retain(|(_, name, entry)| {
        entries.insert(&entry.name) && (is_spelt_right || models.insert(name.model()))
    });
    let names = likely.into_iter().map(|(_, name, _)| name.clone());
    names.take(MOST).collect()
}

/// At least 1 for the same model under another tag, less for another model.
fn likeness(wanted: &ModelName, known: &ModelName) -> f64 {
    let same_place = wanted.host() == known.host() && wanted.namespace() == known.namespace();
    if !same_place {
        return 0.0;
    }
    let [wanted_model, known_model] = [wanted, known].map(|name| name.model().to_ascii_lowercase());
    let by_model = strsim::jaro_winkler(&wanted_model, &known_model);
    let by_tag = if wanted.tag().eq_ignore_ascii_case(known.tag()) {
        1.0
    } else {
        strsim::jaro_winkler(wanted.tag(), known.tag())
    };
    if wanted_model == known_model {
        1.0 + by_tag
    } else {
        by_model * 0.99 + by_tag * 0.009
    }
}

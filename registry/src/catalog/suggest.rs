//! What someone may have meant by a name that is not there.

use crate::ModelName;

const MOST: usize = 3;
/// How alike two names must be, from 0 to 1; below this, a guess only confuses.
const ALIKE: f64 = 0.85;

/// The names nearest to `wanted`, the likeliest first.
pub(super) fn names<'catalog>(
    wanted: &ModelName,
    known: impl Iterator<Item = &'catalog ModelName>,
) -> Vec<ModelName> {
    let mut likely: Vec<(f64, &ModelName)> = known
        .map(|name| (likeness(wanted, name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    likely.sort_by(|(a, first), (b, second)| b.total_cmp(a).then_with(|| first.cmp(second)));
    let best = likely.first().map_or(0.0, |(likeness, _)| *likeness);
    // Beside a model that is spelt right, only its own tags are of interest.
    let mut names: Vec<ModelName> = likely
        .into_iter()
        .filter(|(likeness, _)| best < 1.0 || *likeness >= 1.0)
        .map(|(_, name)| name.clone())
        .collect();
    if best < 1.0 {
        names.dedup_by(|later, first| later.model() == first.model());
    } else {
        names.retain(|name| name.tag() != "latest");
    }
    names.truncate(MOST);
    names
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

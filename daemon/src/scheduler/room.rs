//! The decision whether a model can be loaded, and which models leave for it: pure, over plain numbers.
//!
//! Every limited resource is a column: the number of models, and the bytes of each device. Each loaded model takes something of
//! each. What a model is worth divided by how much of the shortage it covers decides which one leaves.

/// A loaded, loading or leaving model, as the decision sees it.
#[derive(Debug, Clone)]
pub(super) struct Occupant {
    /// Its entry in the table.
    pub(super) id: u64,
    /// What it takes of each resource.
    pub(super) take: Vec<u64>,
    pub(super) state: Occupancy,
    /// Whether it may leave: it is not pinned.
    pub(super) may_leave: bool,
    /// Whether it must leave, because its group excludes the new model.
    pub(super) must_leave: bool,
    /// What it is worth.
    pub(super) worth: Worth,
    /// Models with the same number leave together.
    pub(super) bundle: Option<u64>,
}

/// What an occupant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occupancy {
    /// No request uses it.
    Idle,
    /// It answers requests.
    Busy,
    /// It loads.
    Loading,
    /// It takes no requests any more, and stops when it is idle.
    Draining,
    /// Its runner stops.
    Stopping,
}

/// What a model is worth: the class first, then the value within it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Worth {
    /// Unlimited keep-alive, then priority; the lower leaves first.
    pub(super) class: (bool, i32),
    /// The value within the class; see `popularity`.
    pub(super) value: f64,
}

/// What the numbers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is room.
    Start,
    /// Room becomes free: models stop.
    Wait,
    /// These idle models make room.
    Stop(Vec<u64>),
    /// Busy models hold the room. These of them are the ones to drain if the wait is long.
    Busy(Vec<u64>),
    /// Pinned models hold too much of this resource.
    Pinned(usize),
    /// The model needs more of this resource than there is.
    Never(usize),
}

/// Decides for a model that needs so much of each resource, where there is so much of each.
pub(super) fn decide(need: &[u64], limits: &[u64], occupants: &[Occupant]) -> Verdict {
    if let Some(short) = (0..need.len()).find(|&r| need[r] > limits[r]) {
        return Verdict::Never(short);
    }
    let stays = |occupant: &&Occupant| !occupant.may_leave;
    let shortage = shortage(need, limits, occupants.iter());
    let conflicts = || occupants.iter().filter(|other| other.must_leave);
    if shortage.iter().all(|short| *short == 0) && conflicts().next().is_none() {
        return Verdict::Start;
    }
    let of_pinned = self::shortage(need, limits, occupants.iter().filter(stays));
    if let Some(short) = of_pinned.iter().position(|short| *short > 0) {
        return Verdict::Pinned(short);
    }
    if conflicts().any(|other| !other.may_leave) {
        return Verdict::Pinned(0);
    }

    // What stops already frees its part.
    let stopping = |other: &&Occupant| other.state == Occupancy::Stopping;
    let mut missing = shortage;
    occupants
        .iter()
        .filter(stopping)
        .for_each(|other| cover(&mut missing, other));
    let mut chosen: Vec<&Occupant> = conflicts().filter(|other| !stopping(other)).collect();
    chosen.iter().for_each(|other| cover(&mut missing, other));
    if chosen.is_empty() && is_covered(&missing) {
        return Verdict::Wait;
    }

    let idle = bundles(occupants, |state| state == Occupancy::Idle);
    let mut among_idle = chosen.clone();
    if chosen.iter().all(|other| other.state == Occupancy::Idle)
        && choose(&mut among_idle, missing.clone(), idle)
    {
        return Verdict::Stop(ids(&among_idle));
    }
    // A draining model leaves anyway, so it is counted before a further one is drained.
    let draining = occupants
        .iter()
        .filter(|other| other.state == Occupancy::Draining && !other.must_leave);
    draining.for_each(|other| cover(&mut missing, other));
    let loaded = bundles(occupants, |state| {
        matches!(state, Occupancy::Idle | Occupancy::Busy)
    });
    // A loading model cannot be drained yet; when the others do not suffice, the next decision comes after its load.
    choose(&mut chosen, missing, loaded);
    chosen.retain(|other| other.state == Occupancy::Busy);
    Verdict::Busy(ids(&chosen))
}

fn ids(occupants: &[&Occupant]) -> Vec<u64> {
    occupants.iter().map(|other| other.id).collect()
}

/// What is missing of each resource when these stay.
fn shortage<'a>(
    need: &[u64],
    limits: &[u64],
    occupants: impl Iterator<Item = &'a Occupant>,
) -> Vec<u64> {
    let mut wanted = need.to_vec();
    for occupant in occupants {
        for (wanted, take) in wanted.iter_mut().zip(&occupant.take) {
            *wanted = wanted.saturating_add(*take);
        }
    }
    let over = wanted.iter().zip(limits);
    over.map(|(wanted, limit)| wanted.saturating_sub(*limit))
        .collect()
}

fn cover(missing: &mut [u64], leaving: &Occupant) {
    for (missing, take) in missing.iter_mut().zip(&leaving.take) {
        *missing = missing.saturating_sub(*take);
    }
}

fn is_covered(missing: &[u64]) -> bool {
    missing.iter().all(|missing| *missing == 0)
}

/// The models in these states that may leave, by bundles. A bundle with a member in another state stays whole.
fn bundles(occupants: &[Occupant], state: impl Fn(Occupancy) -> bool) -> Vec<Vec<&Occupant>> {
    let leaves = |other: &&Occupant| other.may_leave && !other.must_leave && state(other.state);
    let mut bundles: Vec<Vec<&Occupant>> = Vec::new();
    for occupant in occupants.iter().filter(leaves) {
        let Some(number) = occupant.bundle else {
            bundles.push(vec![occupant]);
            continue;
        };
        let members = || {
            occupants
                .iter()
                .filter(|other| other.bundle == Some(number))
        };
        if members()
            .next()
            .is_some_and(|first| first.id == occupant.id)
            && members().all(|other| leaves(&other))
        {
            bundles.push(members().collect());
        }
    }
    bundles
}

/// Adds bundles to the chosen models until nothing is missing: of the lowest class, the least value for the part of the shortage
/// that they cover. False when all together do not suffice.
fn choose<'a>(
    chosen: &mut Vec<&'a Occupant>,
    missing: Vec<u64>,
    mut bundles: Vec<Vec<&'a Occupant>>,
) -> bool {
    let mut rest = missing.clone();
    let mut picked: Vec<Vec<&Occupant>> = Vec::new();
    while !is_covered(&rest) {
        let price = |bundle: &Vec<&Occupant>| (class(bundle), value(bundle) / share(bundle, &rest));
        let useful = bundles
            .iter()
            .enumerate()
            .filter(|(_, bundle)| share(bundle, &rest) > 0.0);
        let Some((next, _)) = useful.min_by(|(_, a), (_, b)| {
            let (a, b) = (price(a), price(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        }) else {
            chosen.extend(picked.into_iter().flatten());
            return false;
        };
        let bundle = bundles.swap_remove(next);
        bundle.iter().for_each(|other| cover(&mut rest, other));
        picked.push(bundle);
    }
    // A later, larger model may have made an earlier one needless.
    picked.sort_by(|a, b| class(b).cmp(&class(a)).then(value(b).total_cmp(&value(a))));
    let mut kept = 0;
    while kept < picked.len() {
        let mut rest = missing.clone();
        let others = picked.iter().enumerate().filter(|(at, _)| *at != kept);
        others
            .flat_map(|(_, bundle)| bundle)
            .for_each(|other| cover(&mut rest, other));
        if is_covered(&rest) {
            picked.remove(kept);
        } else {
            kept += 1;
        }
    }
    chosen.extend(picked.into_iter().flatten());
    true
}

/// The highest class of its members.
fn class(bundle: &[&Occupant]) -> (bool, i32) {
    let classes = bundle.iter().map(|other| other.worth.class);
    classes.max().unwrap_or_default()
}

fn value(bundle: &[&Occupant]) -> f64 {
    bundle.iter().map(|other| other.worth.value).sum()
}

/// The part of the shortage that it covers: 1 for a whole resource.
fn share(bundle: &[&Occupant], missing: &[u64]) -> f64 {
    let of = |resource: usize| {
        let take = bundle
            .iter()
            .fold(0_u64, |sum, other| sum.saturating_add(other.take[resource]));
        match missing[resource] {
            0 => 0.0,
            missing => take.min(missing) as f64 / missing as f64,
        }
    };
    (0..missing.len()).map(of).sum()
}

#[cfg(test)]
mod tests;

use proptest::prelude::*;

use super::*;

fn occupant(id: u64, bytes: u64, state: Occupancy, value: f64) -> Occupant {
    Occupant {
        id,
        take: vec![1, bytes],
        state,
        may_leave: true,
        must_leave: false,
        worth: Worth {
            class: (false, 0),
            value,
        },
        bundle: None,
    }
}

fn idle(id: u64, bytes: u64, value: f64) -> Occupant {
    occupant(id, bytes, Occupancy::Idle, value)
}

fn busy(id: u64, bytes: u64) -> Occupant {
    occupant(id, bytes, Occupancy::Busy, 1.0)
}

/// A model of so many bytes beside these, where there are ten slots and a hundred bytes.
fn decided(bytes: u64, occupants: &[Occupant]) -> Verdict {
    decide(&[1, bytes], &[10, 100], occupants)
}

#[test]
fn a_model_starts_where_there_is_room() {
    assert_eq!(decided(100, &[]), Verdict::Start);
    assert_eq!(decided(60, &[busy(1, 40)]), Verdict::Start);
    assert_eq!(decided(101, &[]), Verdict::Never(1));
    assert_eq!(decided(u64::MAX, &[busy(1, u64::MAX)]), Verdict::Never(1));
}

#[test]
fn the_model_with_the_least_value_for_its_bytes_leaves() {
    let loaded = [idle(1, 50, 5.0), idle(2, 30, 1.0), idle(3, 20, 1.0)];
    assert_eq!(decided(20, &loaded), Verdict::Stop(vec![2]));
    assert_eq!(decided(50, &loaded), Verdict::Stop(vec![2, 3]));
    // The large model alone makes the others' leaving needless.
    let loaded = [idle(1, 10, 1.0), idle(2, 90, 10.0)];
    assert_eq!(decided(90, &loaded), Verdict::Stop(vec![2]));
}

#[test]
fn a_slot_is_freed_by_the_least_valuable_model() {
    let loaded = [idle(1, 50, 5.0), idle(2, 1, 1.0)];
    let verdict = decide(&[1, 1], &[2, 100], &loaded);
    assert_eq!(verdict, Verdict::Stop(vec![2]));
}

#[test]
fn a_higher_class_leaves_last() {
    let mut preferred = idle(1, 50, 0.1);
    preferred.worth.class = (false, 1);
    let loaded = [preferred, idle(2, 50, 9.0)];
    assert_eq!(decided(50, &loaded), Verdict::Stop(vec![2]));
    assert_eq!(decided(60, &loaded), Verdict::Stop(vec![1, 2]));
}

#[test]
fn memory_that_becomes_free_is_waited_for() {
    let stopping = occupant(1, 60, Occupancy::Stopping, 0.0);
    let loaded = [stopping, idle(2, 40, 0.0)];
    assert_eq!(decided(60, &loaded), Verdict::Wait);
    assert_eq!(decided(70, &loaded), Verdict::Stop(vec![2]));
}

#[test]
fn busy_models_are_named_for_a_drain_and_idle_ones_stay_until_they_suffice() {
    let loaded = [busy(1, 60), idle(2, 40, 0.0)];
    assert_eq!(decided(70, &loaded), Verdict::Busy(vec![1]));
    let draining = occupant(1, 60, Occupancy::Draining, 0.0);
    let loaded = [draining, idle(2, 20, 0.0), busy(3, 20)];
    assert_eq!(decided(60, &loaded), Verdict::Busy(vec![]));
    assert_eq!(decided(80, &loaded), Verdict::Busy(vec![]));
    assert_eq!(decided(90, &loaded), Verdict::Busy(vec![3]));
}

#[test]
fn pinned_models_hold_their_room() {
    let mut pinned = idle(1, 60, 0.0);
    pinned.may_leave = false;
    let loaded = [pinned, busy(2, 40)];
    assert_eq!(decided(50, &loaded), Verdict::Pinned(1));
    assert_eq!(decided(40, &loaded), Verdict::Busy(vec![2]));
}

#[test]
fn a_model_of_an_exclusive_group_leaves_although_there_is_room() {
    let mut excluded = idle(1, 10, 100.0);
    excluded.must_leave = true;
    assert_eq!(decided(10, &[excluded.clone()]), Verdict::Stop(vec![1]));
    excluded.state = Occupancy::Stopping;
    assert_eq!(decided(10, &[excluded.clone()]), Verdict::Wait);
    excluded.state = Occupancy::Busy;
    assert_eq!(decided(10, &[excluded.clone()]), Verdict::Busy(vec![1]));
    excluded.may_leave = false;
    assert_eq!(decided(10, &[excluded]), Verdict::Pinned(0));
}

#[test]
fn a_bundle_leaves_as_a_whole_or_stays() {
    let bundle = |id, state, value| Occupant {
        bundle: Some(1),
        ..occupant(id, 30, state, value)
    };
    let loaded = [
        bundle(1, Occupancy::Idle, 0.1),
        bundle(2, Occupancy::Idle, 0.1),
        idle(3, 40, 1.0),
    ];
    assert_eq!(decided(30, &loaded), Verdict::Stop(vec![1, 2]));
    let loaded = [
        bundle(1, Occupancy::Idle, 0.1),
        bundle(2, Occupancy::Busy, 0.1),
        idle(3, 40, 1.0),
    ];
    assert_eq!(decided(30, &loaded), Verdict::Stop(vec![3]));
}

fn states() -> impl Strategy<Value = Occupancy> {
    prop_oneof![
        4 => Just(Occupancy::Idle),
        2 => Just(Occupancy::Busy),
        1 => Just(Occupancy::Loading),
        1 => Just(Occupancy::Draining),
        1 => Just(Occupancy::Stopping),
    ]
}

fn occupants() -> impl Strategy<Value = Vec<Occupant>> {
    let one = (
        (0_u64..60, 0_u64..60),
        states(),
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.1),
        (any::<bool>(), -1..2, 0.0..9.0_f64),
        prop::option::weighted(0.3, 0_u64..3),
    );
    let one = one.prop_map(
        |((host, device), state, may_leave, must_leave, worth, bundle)| Occupant {
            id: 0,
            take: vec![1, host, device],
            state,
            may_leave,
            must_leave,
            worth: Worth {
                class: (worth.0, worth.1),
                value: worth.2,
            },
            bundle,
        },
    );
    prop::collection::vec(one, 0..12).prop_map(|mut all| {
        for (id, occupant) in all.iter_mut().enumerate() {
            occupant.id = id as u64;
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_verdict_keeps_to_the_limits_and_moves_only_what_may_move(
        occupants in occupants(),
        host in 0_u64..120,
        device in 0_u64..120,
    ) {
        let (need, limits) = ([1, host, device], [6, 100, 100]);
        let verdict = decide(&need, &limits, &occupants);
        let left_by = |gone: &dyn Fn(&Occupant) -> bool| {
            let stays = occupants.iter().filter(|other| !gone(other));
            is_covered(&shortage(&need, &limits, stays))
        };
        let find = |id: &u64| &occupants[usize::try_from(*id).unwrap()];
        match verdict {
            Verdict::Start => {
                prop_assert!(left_by(&|_| false));
                prop_assert!(occupants.iter().all(|other| !other.must_leave));
            }
            Verdict::Wait => {
                prop_assert!(left_by(&|other| other.state == Occupancy::Stopping));
            }
            Verdict::Stop(ids) => {
                prop_assert!(!ids.is_empty());
                let goes = |other: &Occupant| ids.contains(&other.id) || other.state == Occupancy::Stopping;
                prop_assert!(left_by(&goes));
                prop_assert!(occupants.iter().all(|other| !other.must_leave || goes(other)));
                for other in ids.iter().map(find) {
                    prop_assert!(other.may_leave && other.state == Occupancy::Idle);
                }
                // None leaves that is not needed, its bundle aside.
                for spared in ids.iter().map(find).filter(|other| other.bundle.is_none() && !other.must_leave) {
                    prop_assert!(!left_by(&|other: &Occupant| goes(other) && other.id != spared.id));
                }
            }
            Verdict::Busy(ids) => {
                for other in ids.iter().map(find) {
                    prop_assert!(other.may_leave && other.state == Occupancy::Busy);
                }
                // What is idle does not suffice.
                let first = |other: &Occupant| other.state == Occupancy::Stopping
                    || (other.state == Occupancy::Idle && other.may_leave && other.bundle.is_none());
                let conflict = occupants.iter().any(|other| other.must_leave && other.state != Occupancy::Idle);
                prop_assert!(conflict || !left_by(&first));
            }
            Verdict::Pinned(_) => {
                let conflict = occupants.iter().any(|other| other.must_leave && !other.may_leave);
                prop_assert!(conflict || !left_by(&|other| other.may_leave));
            }
            Verdict::Never(short) => prop_assert!(need[short] > limits[short]),
        }
    }
}

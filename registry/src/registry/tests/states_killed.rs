//! Killed before each call to the operating system while states are written, replaced and removed:
//! none comes back that is not whole, the others are as they were, and the next start leaves nothing lying around.
//!
//! The test starts itself again as a child, which does one operation and dies in the middle of it.
//! Then a child starts as the daemon does, and dies in that as well. Then the home is opened here and looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    time::{Duration, SystemTime},
};

use super::{
    crash::{self, DIE_AT, HOME, OPERATION, copy_tree},
    *,
};
use crate::{
    fs::faults::{self, Call, Plan},
    registry::states::StateId,
};

/// The operation that every start of a daemon begins with.
const START: &str = "start";

/// Bytes of each state.
const SIZE: usize = 100;

/// States by their models and names, each with its bytes.
type States = BTreeMap<(String, String), Vec<u8>>;

/// What is done to a home, and the most bytes that all of its states may have.
#[derive(Debug, Clone, Copy)]
struct Operation {
    name: &'static str,
    budget: u64,
}

const AMPLE: u64 = 1 << 20;

const OPERATIONS: [Operation; 9] = [
    of("first", AMPLE),
    of("add", AMPLE),
    of("replace", AMPLE),
    of("again", AMPLE),
    of("over budget", 3 * SIZE as u64),
    of("remove", AMPLE),
    of("remove last", AMPLE),
    of("switch off", 0),
    of("forget", AMPLE),
];

const fn of(name: &'static str, budget: u64) -> Operation {
    Operation { name, budget }
}

async fn owner(registry: &Registry, model: &str) -> Digest {
    let model = registry.model(&name_of(model)).await.expect("there");
    model.manifest.state_key()
}

fn id(owner: Digest, name: &str) -> StateId {
    let name = Digest::of(name.as_bytes());
    StateId { owner, name }
}

/// Saves states, each with its name and the byte that it is made of.
async fn save(
    registry: &Registry,
    model: &str,
    states: &[(&str, u8)],
    replaced: &[&str],
    most: u64,
) {
    let owner = owner(registry, model).await;
    let mut new = registry
        .save_states(&name_of(model), owner)
        .await
        .expect("the model is there");
    for (name, byte) in states {
        new.begin(SIZE as u64).await.expect("room");
        for part in [SIZE / 3, SIZE - SIZE / 3] {
            new.write(vec![*byte; part]).await.expect("room");
        }
        new.finish(id(owner, name).name).expect("it was begun");
    }
    let replaced = replaced.iter().map(|name| id(owner, name)).collect();
    new.publish(replaced, most).await.expect("room");
}

/// Says that the states of a model were last used so many seconds ago.
fn age(home: &Path, owner: Digest, name: &str, seconds: u64) {
    let folder = home.join("kv").join(owner.hex());
    let file = std::fs::File::open(folder.join(id(owner, name).name.hex())).expect("there");
    let then = SystemTime::now() - Duration::from_secs(seconds);
    file.set_modified(then).expect("our own file");
}

/// A home with a model that the operation is about, another one, and, for most operations, their states.
async fn prepare(home: &Path, operation: Operation) {
    let registry = open(home).await;
    plain(&registry, "subject", 1).await;
    plain(&registry, "bystander", 2).await;
    if operation.name != "first" {
        let old = [("oldest", 1), ("old", 2)];
        save(&registry, "subject", &old, &[], AMPLE).await;
        save(&registry, "bystander", &[("theirs", 3)], &[], AMPLE).await;
        let subject = owner(&registry, "subject").await;
        let bystander = owner(&registry, "bystander").await;
        age(home, subject, "oldest", 300);
        age(home, subject, "old", 200);
        age(home, bystander, "theirs", 100);
    }
    registry.close().await;
}

/// What the child does to a home that [`prepare`] made.
async fn operate(registry: &Registry, operation: Operation) {
    let budget = operation.budget;
    match operation.name {
        START => start(registry, budget).await,
        "first" => save(registry, "subject", &[("new", 4)], &[], budget).await,
        "add" | "over budget" => {
            let new = [("new", 4), ("newer", 5)];
            save(registry, "subject", &new, &[], budget).await;
        }
        "replace" => {
            let new = [("new", 4), ("newer", 5)];
            save(registry, "subject", &new, &["old"], budget).await;
        }
        "again" => save(registry, "subject", &[("old", 6)], &[], budget).await,
        "remove" => {
            let id = id(owner(registry, "subject").await, "old");
            registry.remove_state(id).await.expect("removed");
        }
        "remove last" => {
            let id = id(owner(registry, "bystander").await, "theirs");
            registry.remove_state(id).await.expect("removed");
        }
        "switch off" => registry.trim_states(budget).await.expect("removed"),
        "forget" => {
            registry.remove(&name_of("subject")).await.expect("removed");
        }
        other => panic!("{other:?} is no operation"),
    }
}

/// What a daemon does to states when it starts: it trims them to its budget, and sweeps.
async fn start(registry: &Registry, budget: u64) {
    registry.trim_states(budget).await.expect("removed");
    registry.gc().await.expect("collected");
}

/// What runners would be handed.
async fn handed_out(registry: &Registry) -> States {
    let mut states = States::new();
    for entry in registry.list().await.expect("readable") {
        let owner = owner(registry, &entry.name.to_string()).await;
        for mut state in registry.states(owner, 64).await.expect("readable") {
            let mut bytes = Vec::new();
            state.file.read_to_end(&mut bytes).expect("readable");
            states.insert((owner.hex(), state.id.name.hex()), bytes);
        }
    }
    states
}

/// Everything that lies among the states, folders too.
fn lying_around(home: &Path) -> BTreeSet<String> {
    let kv = home.join("kv");
    let mut found = BTreeSet::new();
    if !kv.exists() {
        return found;
    }
    for name in names_in(&kv) {
        if kv.join(&name).is_dir() {
            let inside = names_in(&kv.join(&name));
            found.extend(inside.iter().map(|file| format!("{name}/{file}")));
        }
        found.insert(name);
    }
    found
}

/// What may lie there: the states that are handed out, and their folders.
fn accounted_for(states: &States) -> BTreeSet<String> {
    let paths = |(owner, name): &(String, String)| [owner.clone(), format!("{owner}/{name}")];
    states.keys().flat_map(paths).collect()
}

/// Runs the child. True when it came to its end, false when it was killed as it was told.
fn child(home: &Path, name: &str, budget: u64, die_at: usize) -> bool {
    crash::child("states_killed", home, &format!("{name}:{budget}"), die_at)
}

/// The child's side.
#[tokio::test]
#[ignore = "run by the tests of this file only"]
async fn child_that_dies() {
    let Ok(home) = std::env::var(HOME) else {
        return;
    };
    let home = PathBuf::from(home);
    let operation = std::env::var(OPERATION).expect("an operation");
    let (name, budget) = operation.split_once(':').expect("with a budget");
    let budget = budget.parse().expect("a number");
    let known = OPERATIONS.iter().find(|known| known.name == name);
    let operation = known.copied().unwrap_or(of(START, budget));
    let die_at: usize = std::env::var(DIE_AT)
        .expect("a call")
        .parse()
        .expect("a number");
    let arm = || faults::arm(&home, Plan::kill_before(die_at));
    // A start is killed while it opens the home, too.
    if operation.name == START {
        arm();
    }
    let registry = open(&home).await;
    if operation.name != START {
        arm();
    }
    operate(&registry, operation).await;
}

/// Before which calls a kill leaves something else behind than a kill before another one: before those that change something,
/// and after all of them.
fn deaths(calls: &[Call], folder: &Path) -> Vec<usize> {
    const READS: [&str; 5] = ["open", "inspect", "list", "read", "find"];
    let changes = |(action, path): &Call| !READS.contains(action) && path.starts_with(folder);
    let numbered = calls.iter().zip(1..);
    let mut deaths: Vec<usize> = numbered
        .filter_map(|(call, number)| changes(call).then_some(number))
        .collect();
    deaths.push(calls.len() + 1);
    deaths
}

/// The home as the next start finds it, and what must have become of it.
struct Expected {
    operation: Operation,
    before: States,
    after: States,
    /// The operation came to its end.
    acknowledged: bool,
}

impl Expected {
    /// Starts, and looks at everything.
    async fn check(&self, home: &Path, context: &str) {
        let Self { before, after, .. } = self;
        let registry = open(home).await;
        start(&registry, self.operation.budget).await;
        let states = handed_out(&registry).await;
        for (id, bytes) in &states {
            let is = |known: &States| known.get(id) == Some(bytes);
            assert!(is(before) || is(after), "{context}: {id:?} is damaged");
        }
        for (id, bytes) in after {
            if before.get(id) == Some(bytes) {
                assert_eq!(states.get(id), Some(bytes), "{context}: {id:?} is lost");
            }
        }
        if self.acknowledged {
            assert_eq!(states, *after, "{context}: what was acknowledged stands");
        }
        let bytes: usize = states.values().map(Vec::len).sum();
        assert!(bytes as u64 <= self.operation.budget, "{context}: {bytes}");
        assert_eq!(
            lying_around(home),
            accounted_for(&states),
            "{context}: something is left over"
        );
        // The operation can be done after all, and ends as if nothing had happened.
        let models = registry.list().await.expect("readable").len();
        if models == 2 {
            operate(&registry, self.operation).await;
        }
        assert_eq!(handed_out(&registry).await, *after, "{context}: again");
        registry.close().await;
    }
}

async fn survives(name: &str) {
    let operation = OPERATIONS.into_iter().find(|known| known.name == name);
    let operation = operation.expect("it is in the table");
    let budget = operation.budget;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let original = at("original");
    prepare(&original, operation).await;
    let finished = at("finished");
    copy_tree(&original, &finished);
    let registry = open(&finished).await;
    let before = handed_out(&registry).await;
    registry.close().await;
    drop(registry);
    // Opened again, because the child has no description of a model in memory either.
    let registry = open(&finished).await;
    faults::arm(&finished, Plan::NONE);
    operate(&registry, operation).await;
    let calls = faults::disarm(&finished);
    let after = handed_out(&registry).await;
    assert_ne!(before, after, "{name} does something");
    let mut expected = Expected {
        operation,
        before,
        after,
        acknowledged: false,
    };
    for die_at in deaths(&calls, &finished) {
        let home = at("killed");
        copy_tree(&original, &home);
        expected.acknowledged = child(&home, name, budget, die_at);
        assert_eq!(expected.acknowledged, die_at > calls.len(), "{die_at}");
        let context = match calls.get(die_at - 1) {
            Some(call) => format!("{name} killed before {call:?}"),
            None => format!("{name} killed after its end"),
        };
        // The start that follows is killed as well, wherever it changes something of states.
        let trial = at("trial");
        copy_tree(&home, &trial);
        faults::arm(&trial, Plan::NONE);
        let registry = open(&trial).await;
        start(&registry, budget).await;
        let calls = faults::disarm(&trial);
        registry.close().await;
        drop(registry);
        std::fs::remove_dir_all(&trial).expect("removed");
        for die_at in deaths(&calls, &trial.join("kv")) {
            let again = at("again");
            copy_tree(&home, &again);
            let mut context = context.clone();
            if let Some(call) = calls.get(die_at - 1) {
                assert!(!child(&again, START, budget, die_at), "{context}: {call:?}");
                context += &format!(", and then before {call:?}");
            }
            expected.check(&again, &context).await;
            std::fs::remove_dir_all(&again).expect("removed");
        }
        std::fs::remove_dir_all(&home).expect("removed");
    }
}

#[tokio::test]
async fn the_first_state_survives() {
    survives("first").await;
}

#[tokio::test]
async fn states_beside_others_survive() {
    survives("add").await;
}

#[tokio::test]
async fn states_in_place_of_their_beginnings_survive() {
    survives("replace").await;
}

#[tokio::test]
async fn a_state_that_is_written_again_survives() {
    survives("again").await;
}

#[tokio::test]
async fn states_that_make_others_go_survive() {
    survives("over budget").await;
}

#[tokio::test]
async fn removing_a_state_survives() {
    survives("remove").await;
}

#[tokio::test]
async fn removing_the_last_state_of_a_model_survives() {
    survives("remove last").await;
}

#[tokio::test]
async fn switching_states_off_survives() {
    survives("switch off").await;
}

#[tokio::test]
async fn removing_a_model_with_its_states_survives() {
    survives("forget").await;
}

//! Saved states: written whole or not at all, for their owner only, and never longer there than wanted.

use std::{
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use super::*;
use crate::{Error, registry::states::StateId};

const ALL: u64 = 1 << 40;

pub(super) async fn state_key(home: &Home, model: &str) -> Digest {
    let model = home.registry.model(&name_of(model)).await.expect("there");
    model.manifest.state_key()
}

/// Saves a state with these bytes.
pub(super) async fn save(
    home: &Home,
    model: &str,
    owner: Digest,
    bytes: &[u8],
    most: u64,
) -> Digest {
    let mut new = home
        .registry
        .save_states(&name_of(model), owner)
        .await
        .expect("the model is there");
    new.begin(bytes.len() as u64).await.expect("room");
    for part in bytes.chunks(3) {
        new.write(part.to_vec()).await.expect("room");
    }
    let name = Digest::of(bytes);
    new.finish(name).expect("it was begun");
    new.publish(Vec::new(), most).await.expect("room");
    name
}

async fn saved(home: &Home, owner: Digest) -> Vec<Vec<u8>> {
    let states = home.registry.states(owner, 64).await.expect("readable");
    let read = states.into_iter().map(|mut state| {
        let mut bytes = Vec::new();
        state.file.read_to_end(&mut bytes).expect("readable");
        bytes
    });
    read.collect()
}

fn path(home: &Home, owner: Digest, name: Digest) -> PathBuf {
    home.path().join("kv").join(owner.hex()).join(name.hex())
}

fn age(home: &Home, owner: Digest, name: Digest, seconds: u64) {
    let file = std::fs::File::open(path(home, owner, name)).expect("there");
    let then = SystemTime::now() - Duration::from_secs(seconds);
    file.set_modified(then).expect("our own file");
}

#[tokio::test]
async fn a_state_comes_back_and_is_for_its_owner_only() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let owner = state_key(&home, "m").await;
    assert_eq!(saved(&home, owner).await, [] as [Vec<u8>; 0]);
    let name = save(&home, "m", owner, b"what was computed", ALL).await;
    let home = home.reopen().await;
    assert_eq!(saved(&home, owner).await, [b"what was computed"]);
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("there");
        metadata.permissions().mode() & 0o777
    };
    let file = path(&home, owner, name);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().expect("a folder")), 0o700);
    assert_eq!(mode(&home.path().join("kv")), 0o700);
    let id = StateId { owner, name };
    home.registry.remove_state(id).await.expect("removed");
    home.registry.remove_state(id).await.expect("gone already");
    assert!(names_in(&home.path().join("kv")).is_empty());
}

#[tokio::test]
async fn the_latest_used_come_first_and_the_oldest_go_first() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    plain(&home.registry, "other", 2).await;
    let owner = state_key(&home, "m").await;
    let other = state_key(&home, "other").await;
    assert_ne!(owner, other);
    let first = save(&home, "m", owner, &[1; 100], ALL).await;
    let second = save(&home, "m", owner, &[2; 100], ALL).await;
    let third = save(&home, "other", other, &[3; 100], ALL).await;
    for (owner, name, seconds) in [
        (owner, first, 300),
        (owner, second, 200),
        (other, third, 100),
    ] {
        age(&home, owner, name, seconds);
    }
    assert_eq!(saved(&home, owner).await, [vec![2; 100], vec![1; 100]]);
    let one = home.registry.states(owner, 1).await.expect("readable");
    assert_eq!(one[0].id.name, second);
    let id = StateId { owner, name: first };
    home.registry.touch_state(id).await.expect("there");
    assert_eq!(saved(&home, owner).await, [vec![1; 100], vec![2; 100]]);

    save(&home, "m", owner, &[4; 100], 399).await;
    assert_eq!(saved(&home, owner).await, [vec![4; 100], vec![1; 100]]);
    assert_eq!(saved(&home, other).await, [vec![3; 100]]);
    home.registry.trim_states(200).await.expect("removed");
    assert!(saved(&home, other).await.is_empty());
    home.registry.trim_states(0).await.expect("removed");
    assert!(!home.path().join("kv").exists());
    home.registry.trim_states(0).await.expect("nothing to do");
}

#[tokio::test]
async fn half_a_state_is_never_there() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let owner = state_key(&home, "m").await;
    let model = name_of("m");
    let mut new = home
        .registry
        .save_states(&model, owner)
        .await
        .expect("there");
    new.begin(10).await.expect("room");
    new.write(vec![1; 4]).await.expect("room");
    assert_eq!(names_in(&home.path().join("kv")).len(), 1);
    assert!(new.write(vec![1; 7]).await.is_err(), "more than announced");
    assert!(new.finish(owner).is_err(), "nothing is begun any more");
    new.begin(10).await.expect("room");
    new.write(vec![1; 4]).await.expect("room");
    new.finish(owner).expect("it was begun");
    assert!(new.publish(Vec::new(), ALL).await.is_err(), "too few bytes");
    assert!(names_in(&home.path().join("kv")).is_empty());

    // As a process leaves it that is killed.
    let home = home
        .reopen_after(|home| {
            std::fs::write(home.join("kv/draft-0"), "half").expect("a file");
            std::fs::write(home.join("kv/notours"), "theirs").expect("a file");
        })
        .await;
    assert_eq!(names_in(&home.path().join("kv")), ["notours"]);
    save(&home, "m", owner, b"whole", ALL).await;
    assert_eq!(saved(&home, owner).await, [b"whole"]);
}

#[tokio::test]
async fn states_go_with_the_last_name_of_their_model() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    plain(&home.registry, "other", 2).await;
    let (m, alias) = (name_of("m"), name_of("alias"));
    home.registry.copy(&m, &alias).await.expect("copied");
    let owner = state_key(&home, "m").await;
    let other = state_key(&home, "other").await;
    save(&home, "m", owner, b"one", ALL).await;
    save(&home, "other", other, b"two", ALL).await;
    home.registry.remove(&m).await.expect("removed");
    assert_eq!(saved(&home, owner).await, [b"one"]);
    let new = home
        .registry
        .save_states(&alias, owner)
        .await
        .expect("there");
    home.registry.remove(&alias).await.expect("removed");
    assert!(saved_without_turn(&home, owner).is_empty());
    assert_eq!(saved(&home, other).await, [b"two"]);

    // Whoever was at it meanwhile does not bring it back.
    let gone = new.publish(Vec::new(), ALL).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    let gone = home.registry.save_states(&alias, owner).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    let wrong = home.registry.save_states(&name_of("other"), owner).await;
    assert!(matches!(wrong, Err(Error::NotFound { .. })));
}

fn saved_without_turn(home: &Home, owner: Digest) -> Vec<String> {
    let folder = home.path().join("kv").join(owner.hex());
    if folder.exists() {
        names_in(&folder)
    } else {
        Vec::new()
    }
}

#[tokio::test]
async fn states_of_models_that_are_gone_are_collected() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let owner = state_key(&home, "m").await;
    save(&home, "m", owner, b"one", ALL).await;
    let orphan = home.path().join("kv").join(Digest::of(b"orphan").hex());
    std::fs::create_dir(&orphan).expect("a folder");
    std::fs::write(orphan.join(Digest::of(b"x").hex()), "x").expect("a file");
    home.registry.gc().await.expect("readable");
    assert!(!orphan.exists());
    assert_eq!(saved(&home, owner).await, [b"one"]);
}

#[tokio::test]
async fn links_and_folders_among_states_are_not_followed() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let owner = state_key(&home, "m").await;
    let name = save(&home, "m", owner, b"one", ALL).await;
    let folder = home.path().join("kv").join(owner.hex());
    let secret = home.path().join("secret");
    std::fs::write(&secret, "not a state").expect("a file");
    let link = folder.join(Digest::of(b"link").hex());
    std::os::unix::fs::symlink(&secret, link).expect("a link");
    std::fs::create_dir(folder.join(Digest::of(b"folder").hex())).expect("a folder");
    let states = home.registry.states(owner, 64).await.expect("readable");
    let names: Vec<Digest> = states.iter().map(|state| state.id.name).collect();
    assert_eq!(names, [name]);
    home.registry.trim_states(0).await.expect("removed");
    assert!(secret.exists());
}

#[tokio::test]
async fn a_folder_that_goes_before_its_state_comes_is_made_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kept = folder.path().join("kv");
    let times = std::sync::atomic::AtomicU32::new(0);
    // What the removal of the last other state does at that moment.
    let hook = crate::StepHook::new(move |step| {
        let first = || times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        if step == crate::Step::StateFolderMade && first() {
            for name in names_in(&kept) {
                let _ = std::fs::remove_dir(kept.join(name));
            }
        }
    });
    let mut options = Options::new(folder.path());
    options.hook = hook;
    let registry = Registry::open(options).await.expect("an empty store");
    let home = Home { registry, folder };
    plain(&home.registry, "m", 1).await;
    let owner = state_key(&home, "m").await;
    save(&home, "m", owner, b"a state", ALL).await;
    assert_eq!(saved(&home, owner).await, [b"a state"]);
}

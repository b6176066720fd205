//! The order of calls that makes a write survive a power cut: what is not synced may be lost, in any order.

use std::collections::HashSet;

use super::*;
use crate::{
    ModelRef,
    fs::faults::{self, Call, Plan},
};

/// Does something to a home and returns the calls it took.
async fn calls_of(home: &Home, work: impl AsyncFnOnce(&Registry)) -> Vec<Call> {
    faults::arm(home.path(), Plan::NONE);
    work(&home.registry).await;
    faults::disarm(home.path())
}

/// Holds the calls to the rules: a file is synced after its last write and before it gets its name;
/// the folder is synced before anything else gets a name or loses one, and before the operation ends.
fn check(calls: &[Call]) {
    let mut unsynced_files = HashSet::new();
    let mut unsynced_folder: Option<PathBuf> = None;
    let mut last_temp = None;
    for (action, path) in calls {
        match *action {
            "write" => {
                unsynced_files.insert(path.clone());
                last_temp = Some(path.clone());
            }
            "sync" => {
                unsynced_files.remove(path);
                if unsynced_folder.as_ref() == Some(path) {
                    unsynced_folder = None;
                }
            }
            "move a file to" => {
                let temp = last_temp.take().expect("something was written");
                assert!(
                    !unsynced_files.contains(&temp),
                    "{} got its name before its bytes were safe",
                    path.display()
                );
                assert_eq!(
                    unsynced_folder,
                    None,
                    "before {} got its name",
                    path.display()
                );
                unsynced_folder = path.parent().map(Path::to_path_buf);
            }
            // The name of a temporary file means nothing.
            "remove" if path.components().any(|part| part.as_os_str() == "models") => {
                assert_eq!(
                    unsynced_folder,
                    None,
                    "before {} was removed",
                    path.display()
                );
                // Blobs that nothing names may go in any order, and come back; a name may not.
                let is_name = path
                    .components()
                    .any(|part| part.as_os_str() == "manifests");
                unsynced_folder = path.parent().filter(|_| is_name).map(Path::to_path_buf);
            }
            _ => {}
        }
    }
    assert_eq!(unsynced_folder, None, "at the end");
    assert!(unsynced_files.is_empty(), "at the end: {unsynced_files:?}");
}

fn count(calls: &[Call], action: &str) -> usize {
    let lasting = |path: &Path| path.components().any(|part| part.as_os_str() == "models");
    calls
        .iter()
        .filter(|(found, path)| *found == action && lasting(path))
        .count()
}

#[tokio::test]
async fn bytes_are_safe_before_their_name_and_blobs_before_their_manifest() {
    let home = Home::new().await;
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    let create = |system: &str| Create {
        system: Some(system.into()),
        template: Some("{{ .Prompt }}".into()),
        ..Create::new(name_of("new.example/me/m"), Base::Blobs(vec![weights]))
    };
    let calls = calls_of(&home, async |registry| {
        make(registry, create("one")).await;
    })
    .await;
    check(&calls);
    let named: Vec<_> = calls
        .iter()
        .filter(|(action, _)| *action == "move a file to")
        .map(|(_, path)| path)
        .collect();
    assert_eq!(named.len(), 4, "template, system prompt, config, manifest");
    assert_eq!(
        *named[3],
        home.manifest("new.example/me/m"),
        "the manifest is last"
    );
    // New folders of names are durable, each in the one above it.
    for folder in ["", "new.example", "new.example/me", "new.example/me/m"] {
        let folder = home.path().join("models/manifests").join(folder);
        let folder = folder.components().collect::<PathBuf>();
        assert!(
            calls.contains(&("sync", folder.clone())),
            "{} was not synced",
            folder.display()
        );
    }
}

#[tokio::test]
async fn folders_are_safe_also_where_they_were_there() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let calls = calls_of(&home, async |registry| {
        plain(registry, "m", 2).await;
    })
    .await;
    let synced = |calls: &[Call], folder: PathBuf| calls.contains(&("sync", folder));
    let manifests = home.path().join("models/manifests");
    let host = manifests.join("registry.ollama.ai");
    for folder in [manifests, host.clone(), host.join("library")] {
        assert!(synced(&calls, folder.clone()), "{}", folder.display());
    }
    // The folders of a home, the first time and the second.
    let above = tempfile::tempdir().expect("a folder");
    for time in ["first", "second"] {
        faults::arm(above.path(), Plan::NONE);
        open(&above.path().join("deep/home")).await.close().await;
        let calls = faults::disarm(above.path());
        for folder in ["deep/home", "deep/home/models"] {
            assert!(
                synced(&calls, above.path().join(folder)),
                "{folder}, {time}"
            );
        }
        for folder in ["", "deep"] {
            let folder = above.path().join(folder).components().collect();
            assert_eq!(synced(&calls, folder), time == "first");
        }
    }
}

#[tokio::test]
async fn a_state_is_safe_before_its_name() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let owner = states::state_key(&home, "m").await;
    faults::arm(home.path(), Plan::NONE);
    states::save(&home, "m", owner, b"what was computed", u64::MAX).await;
    let calls = faults::disarm(home.path());
    check(&calls);
    // A state in a folder that a power cut takes away is one that was paid for in vain.
    for folder in ["", "kv", &format!("kv/{}", owner.hex())] {
        let folder = home.path().join(folder).components().collect();
        assert!(calls.contains(&("sync", folder)), "{calls:?}");
    }
}

#[tokio::test]
async fn a_name_is_safe_before_the_blobs_of_the_old_one_go() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    make(
        &home.registry,
        Create {
            system: Some("old".into()),
            ..child()
        },
    )
    .await;
    let calls = calls_of(&home, async |registry| {
        make(
            registry,
            Create {
                system: Some("new".into()),
                ..child()
            },
        )
        .await;
    })
    .await;
    check(&calls);
    assert_eq!(
        count(&calls, "remove"),
        2,
        "the old system prompt and config"
    );
    let calls = calls_of(&home, async |registry| {
        registry.remove(&name_of("child")).await.expect("removed");
    })
    .await;
    check(&calls);
    assert_eq!(
        count(&calls, "remove"),
        3,
        "the name, the system prompt and the config"
    );
}

fn child() -> Create {
    Create::new(
        name_of("child"),
        Base::Model(ModelRef {
            name: name_of("m"),
            digest: None,
        }),
    )
}

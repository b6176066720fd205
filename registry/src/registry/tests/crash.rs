//! Killed after each step of each write: the state is the old one or the new one, and the store is clean.
//!
//! The test starts itself again as a child, which does one operation and aborts after its nth step.
//! Then the child opens the home again and aborts in that, too. Then the home is opened here and looked at.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{Error, ModelRef, Step, StepHook};

/// Environment of the child: where, what, and after how many steps to die.
pub(super) const HOME: &str = "REGISTRY_TEST_HOME";
pub(super) const OPERATION: &str = "REGISTRY_TEST_OPERATION";
pub(super) const DIE_AT: &str = "REGISTRY_TEST_DIE_AT";

fn base(name: &str) -> Base {
    Base::Model(ModelRef {
        name: name_of(name),
        digest: None,
    })
}

/// What the child does to a home that [`prepare`] made.
async fn operate(registry: &Registry, operation: &str) {
    match operation {
        "open" => {}
        "put" => {
            put(registry, b"a new blob").await;
        }
        "create" => {
            make(
                registry,
                Create {
                    system: Some("new".into()),
                    ..Create::new(name_of("subject"), base("bystander"))
                },
            )
            .await;
        }
        "replace" => {
            let create = Create {
                system: Some("new".into()),
                template: Some("{{ .Prompt }}".into()),
                ..Create::new(name_of("subject"), base("subject"))
            };
            make(registry, create).await;
        }
        "copy" => registry
            .copy(
                &name_of("bystander"),
                &name_of("deep.example/new/subject:1"),
            )
            .await
            .expect("copied"),
        "remove" => {
            registry.remove(&name_of("subject")).await.expect("removed");
        }
        "gc" => {
            registry.gc().await.expect("collected");
        }
        "quarantine" => {
            let options = VerifyOptions {
                names: Vec::new(),
                quarantine: true,
            };
            registry
                .verify(options, &Reporter::silent())
                .await
                .expect("verified");
        }
        other => panic!("{other:?} is no operation"),
    }
}

/// A home with a model that must survive everything and, for most operations, one that the operation is about.
async fn prepare(home: &Path, operation: &str) {
    let registry = open(home).await;
    plain(&registry, "bystander", 1).await;
    if !matches!(operation, "create" | "copy" | "put") {
        let weights = put(&registry, &gguf_writer::tiny::llama(2)).await;
        let create = Create {
            system: Some("old".into()),
            ..Create::new(name_of("subject"), Base::Blobs(vec![weights]))
        };
        make(&registry, create).await;
    }
    match operation {
        "gc" => {
            plant_blob(home, b"stray one");
            plant_blob(home, b"stray two");
        }
        "quarantine" => {
            let stray = plant_blob(home, b"stray");
            flip_a_bit(&home.join("models/blobs").join(stray.file_name()));
        }
        _ => {}
    }
    registry.close().await;
}

/// What can be told apart about the subject: its digest and its system prompt.
async fn state(registry: &Registry) -> Vec<(String, Option<String>)> {
    let mut states = Vec::new();
    for entry in registry.list().await.expect("readable") {
        let model = registry
            .model(&entry.name)
            .await
            .expect("every listed model is whole");
        states.push((format!("{} {}", entry.name, model.digest), model.system));
    }
    states.sort();
    states
}

pub(super) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for name in names_in(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy_tree(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("copied");
            // The time of the last change is when a state was used.
            let modified = std::fs::metadata(from).and_then(|from| from.modified());
            let copy = std::fs::File::open(to).expect("there");
            copy.set_modified(modified.expect("known"))
                .expect("our own file");
        }
    }
}

/// Runs `child_that_dies` of a file of tests. True when it came to its end, false when it was killed as it was told.
pub(super) fn child(tests: &str, home: &Path, operation: &str, die_at: usize) -> bool {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .arg(format!("registry::tests::{tests}::child_that_dies"))
        .args(["--exact", "--ignored", "--nocapture"])
        .env(HOME, home)
        .env(OPERATION, operation)
        .env(DIE_AT, die_at.to_string())
        .output()
        .expect("the child starts");
    if output.status.success() {
        return true;
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(
        signal,
        Some(6),
        "the child failed instead of dying on command:\n{text}"
    );
    false
}

/// The child's side.
#[tokio::test]
#[ignore = "run by the tests of this file only"]
async fn child_that_dies() {
    let Ok(home) = std::env::var(HOME) else {
        return;
    };
    let operation = std::env::var(OPERATION).expect("an operation");
    let die_at: usize = std::env::var(DIE_AT)
        .expect("a step")
        .parse()
        .expect("a number");
    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    let hook = StepHook::new(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == die_at {
            std::process::abort();
        }
    });
    let opening_counts = operation == "open";
    if !opening_counts {
        // Steps count from the operation on.
        done.store(usize::MAX / 2, Ordering::SeqCst);
    }
    let registry = Registry::open(Options {
        hook,
        ..Options::new(home)
    })
    .await
    .expect("the home opens");
    if !opening_counts {
        done.store(0, Ordering::SeqCst);
    }
    operate(&registry, &operation).await;
}

async fn survives(operation: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let original = folder.path().join("original");
    prepare(&original, operation).await;
    let (old, new) = {
        let finished = folder.path().join("finished");
        copy_tree(&original, &finished);
        let registry = open(&finished).await;
        let old = state(&registry).await;
        operate(&registry, operation).await;
        (old, state(&registry).await)
    };
    let mut reached_the_end = false;
    for die_at in 1..200 {
        let home = folder.path().join(format!("killed-{die_at}"));
        copy_tree(&original, &home);
        reached_the_end = child("crash", &home, operation, die_at);
        // Recovery is killed as well, after each of its steps.
        for step in 1..=2 {
            assert!(
                !child("crash", &home, "open", step),
                "opening has two steps"
            );
        }
        let context = format!("{operation} killed after step {die_at}");
        let registry = open(&home).await;
        let state = state(&registry).await;
        assert!(
            state == old || state == new,
            "{context}: {state:?} is neither {old:?} nor {new:?}"
        );
        if reached_the_end {
            assert_eq!(state, new, "{context}: what was acknowledged stands");
        }
        assert!(
            names_in(&home.join("ingest")).is_empty(),
            "{context}: a temporary file is left"
        );
        look_through(&registry, &context, operation).await;
        // The operation can be done again and ends as if nothing had happened.
        match operation {
            "remove" if state == new => {
                let again = registry
                    .remove(&name_of("subject"))
                    .await
                    .expect_err("it is gone");
                assert!(matches!(again, Error::NotFound { .. }), "{context}");
            }
            _ => operate(&registry, operation).await,
        }
        registry.gc().await.expect("collected");
        look_through(&registry, &context, "gc").await;
        drop(registry);
        std::fs::remove_dir_all(home).expect("removed");
        if reached_the_end {
            break;
        }
    }
    assert!(reached_the_end, "{operation} has more than 200 steps");
}

async fn look_through(registry: &Registry, context: &str, operation: &str) {
    let report = registry
        .verify(VerifyOptions::default(), &Reporter::silent())
        .await
        .expect("readable");
    // The blob that quarantine is about is damaged, and belongs to no model.
    let harmless = |blob: &crate::DamagedBlob| operation == "quarantine" && blob.models.is_empty();
    assert!(
        report.manifests.is_empty() && report.damaged.iter().all(harmless),
        "{context}: {report:?}"
    );
    registry
        .ready(&name_of("bystander"), &Reporter::silent())
        .await
        .expect("the bystander is whole");
}

#[tokio::test]
async fn putting_a_blob_survives() {
    survives("put").await;
}

#[tokio::test]
async fn making_a_model_survives() {
    survives("create").await;
}

#[tokio::test]
async fn replacing_a_model_survives() {
    survives("replace").await;
}

#[tokio::test]
async fn copying_survives() {
    survives("copy").await;
}

#[tokio::test]
async fn removing_survives() {
    survives("remove").await;
}

#[tokio::test]
async fn collecting_survives() {
    survives("gc").await;
}

#[tokio::test]
async fn moving_aside_survives() {
    survives("quarantine").await;
}

#[tokio::test]
async fn every_step_is_taken_by_some_operation_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let seen = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    for operation in ["put", "replace", "remove", "gc", "quarantine"] {
        let home = folder.path().join(operation);
        prepare(&home, operation).await;
        let sink = seen.clone();
        let hook = StepHook::new(move |step| {
            sink.lock().expect("no panic").insert(step);
        });
        let registry = Registry::open(Options {
            hook,
            ..Options::new(home)
        })
        .await
        .expect("the home opens");
        operate(&registry, operation).await;
    }
    let seen = seen.lock().expect("no panic");
    let missing: Vec<_> = Step::ALL
        .into_iter()
        .filter(|step| !seen.contains(step))
        .collect();
    assert!(missing.is_empty(), "never taken: {missing:?}");
}

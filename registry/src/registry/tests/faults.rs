//! Every call to the operating system fails once, and from some point on all of them: an error, never a loss.

use std::io::ErrorKind;

use super::*;
use crate::{
    ModelRef, Result,
    fs::faults::{self, Fault, Plan},
};

fn base(name: &str) -> Base {
    Base::Model(ModelRef {
        name: name_of(name),
        digest: None,
    })
}

/// Does the operation, which may fail.
async fn operate(registry: &Registry, operation: &str) -> Result<()> {
    let silent = Reporter::silent();
    match operation {
        "put" => {
            let bytes = Bytes::from_static(b"a new blob");
            registry
                .put_blob(&Digest::of(&bytes), None, stream::iter([Ok(bytes)]))
                .await
                .map(drop)
        }
        "create" => {
            let create = Create {
                system: Some("new".into()),
                ..Create::new(name_of("subject"), base("bystander"))
            };
            registry.create(create, &silent).await.map(drop)
        }
        "copy" => {
            registry
                .copy(&name_of("bystander"), &name_of("subject"))
                .await
        }
        "remove" => registry.remove(&name_of("subject")).await.map(drop),
        "gc" => registry.gc().await.map(drop),
        "ready" => registry
            .ready(&name_of("bystander"), &silent)
            .await
            .map(drop),
        "translate" => registry.ready(&name_of("foreign"), &silent).await.map(drop),
        "list" => registry.list().await.map(drop),
        "verify" => registry
            .verify(
                VerifyOptions {
                    names: Vec::new(),
                    quarantine: true,
                },
                &silent,
            )
            .await
            .map(drop),
        other => panic!("{other:?} is no operation"),
    }
}

/// Brings the home to where the operation has something to do.
async fn prepare(home: &Home, operation: &str) {
    let registry = &home.registry;
    match operation {
        "create" | "copy" => {
            // It is there unless the operation failed.
            let _ = registry.remove(&name_of("subject")).await;
        }
        "remove" => {
            make(
                registry,
                Create {
                    system: Some("old".into()),
                    ..Create::new(name_of("subject"), base("bystander"))
                },
            )
            .await;
        }
        "gc" => {
            plant_blob(home.path(), b"stray");
        }
        "put" => {
            let digest = Digest::of(b"a new blob");
            registry.0.index.release(&[digest]).await.expect("released");
            registry.gc().await.expect("collected");
        }
        "translate" => {
            if registry.model(&name_of("foreign")).await.is_err() {
                translated::foreign(registry, "foreign", "gemma3").await;
            }
            // It is not there unless an operation came that far.
            let _ = std::fs::remove_dir_all(home.path().join("derived"));
        }
        // Everything is to be hashed and read again.
        "ready" | "list" | "verify" => registry.0.index.clear().await,
        other => panic!("{other:?} is no operation"),
    }
}

async fn survives(operation: &str) {
    let home = Home::new().await;
    plain(&home.registry, "bystander", 1).await;
    let bystander = home
        .registry
        .model(&name_of("bystander"))
        .await
        .expect("found")
        .digest;
    for (sticky, kind) in [(false, ErrorKind::Other), (true, ErrorKind::StorageFull)] {
        let mut struck = true;
        let mut calls = 0;
        while struck {
            calls += 1;
            let first = calls;
            prepare(&home, operation).await;
            faults::arm(
                home.path(),
                Plan {
                    first,
                    sticky,
                    fault: Fault::Fail(kind),
                },
            );
            let outcome = operate(&home.registry, operation).await;
            struck = faults::disarm(home.path()).len() >= first;
            let context = format!("{operation}, call {first}, sticky {sticky}: {outcome:?}");
            if !struck {
                outcome.expect("nothing failed");
            } else if let Err(error) = outcome {
                assert!(
                    error
                        .to_string()
                        .contains(&home.path().display().to_string()),
                    "{context}: no path"
                );
            }
            let model = home.registry.model(&name_of("bystander")).await;
            assert_eq!(
                model
                    .unwrap_or_else(|error| panic!("{context}: {error}"))
                    .digest,
                bystander
            );
            for name in home.listed().await {
                let whole = home
                    .registry
                    .ready(&name_of(&name), &Reporter::silent())
                    .await;
                assert!(whole.is_ok(), "{context}: {name} is {whole:?}");
            }
            assert!(
                names_in(&home.path().join("quarantine")).is_empty(),
                "{context}: a good blob was moved aside"
            );
            if !sticky {
                assert!(
                    names_in(&home.path().join("ingest")).is_empty(),
                    "{context}: a temporary file is left"
                );
            }
            // It works again without a restart.
            if operation != "remove" || home.registry.model(&name_of("subject")).await.is_ok() {
                operate(&home.registry, operation)
                    .await
                    .unwrap_or_else(|error| panic!("{context}: and then {error}"));
            }
        }
        assert!(
            calls > 10,
            "{operation} makes {calls} calls; are the faults armed?"
        );
    }
    assert!(home.verify().await.is_clean());
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
async fn loading_survives() {
    survives("ready").await;
}

#[tokio::test]
async fn translating_survives() {
    survives("translate").await;
}

#[tokio::test]
async fn listing_survives() {
    survives("list").await;
}

#[tokio::test]
async fn verifying_survives() {
    survives("verify").await;
}

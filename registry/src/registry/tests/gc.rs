//! Garbage collection and what it must leave alone.

use super::*;
use crate::GcReport;

#[tokio::test]
async fn only_what_nothing_names_goes() {
    let home = Home::new().await;
    plain(&home.registry, "kept", 1).await;
    let kept = home.blobs();
    let orphan = plant_blob(home.path(), b"nobody wants me");
    let unnamed = home
        .registry
        .unnamed_blobs()
        .await
        .expect("readable")
        .expect("good manifests");
    assert_eq!(unnamed, (1, 15));
    std::fs::write(home.path().join("models/blobs/sha256-notours"), "x").expect("a file");
    std::fs::write(
        home.path()
            .join(format!("models/blobs/{}-partial", orphan.file_name())),
        "x",
    )
    .expect("a file");
    assert_eq!(
        home.registry.gc().await.expect("readable"),
        GcReport {
            removed: vec![orphan],
            bytes: 15,
            ..GcReport::default()
        }
    );
    assert!(!home.blob(&orphan).exists());
    let unnamed = home
        .registry
        .unnamed_blobs()
        .await
        .expect("readable")
        .expect("good manifests");
    assert_eq!(unnamed, (0, 0));
    assert_eq!(
        home.blobs().len(),
        kept.len() + 2,
        "files with other names are not ours to remove"
    );
    assert!(home.verify().await.is_clean());
}

#[tokio::test]
async fn a_blob_that_was_sent_waits_a_day_for_its_name() {
    let home = Home::new().await;
    let sent = put(&home.registry, b"soon to be named").await;
    assert_eq!(home.registry.gc().await.expect("readable").removed.len(), 0);
    let home = home.reopen().await;
    assert_eq!(
        home.registry.gc().await.expect("readable").removed.len(),
        0,
        "a lease outlives the process"
    );
    home.registry.0.index.end_leases().await;
    assert_eq!(home.registry.gc().await.expect("readable").removed.len(), 1);
    assert!(!home.blob(&sent).exists());
}

#[tokio::test]
async fn asking_after_a_blob_keeps_it() {
    let home = Home::new().await;
    let blob = plant_blob(home.path(), b"asked for");
    assert!(home.registry.has_blob(&blob).await.expect("readable"));
    assert_eq!(home.registry.gc().await.expect("readable").removed.len(), 0);
    assert!(home.blob(&blob).exists());
}

#[tokio::test]
async fn a_lease_ends_when_a_model_names_the_blob() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    home.registry.remove(&name_of("m")).await.expect("removed");
    assert!(
        home.blobs().is_empty(),
        "nothing is left of a removed model"
    );
}

#[tokio::test]
async fn a_blob_that_an_operation_relies_on_stays() {
    let home = Home::new().await;
    let blob = plant_blob(home.path(), b"in use");
    let pins = home.registry.pin([blob, blob]);
    assert_eq!(home.registry.gc().await.expect("readable").removed.len(), 0);
    drop(pins);
    assert_eq!(home.registry.gc().await.expect("readable").removed.len(), 1);
    assert!(home.registry.0.pins.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn what_a_damaged_manifest_names_is_not_known_so_nothing_goes() {
    let home = Home::new().await;
    plain(&home.registry, "good", 1).await;
    plain(&home.registry, "bad", 2).await;
    let before = home.blobs();
    plant(home.path(), "bad", "{");
    let report = home.registry.gc().await.expect("readable");
    assert_eq!(
        report,
        GcReport {
            blocked_by: vec![name_of("bad")],
            ..GcReport::default()
        }
    );
    assert_eq!(home.blobs(), before);
    home.registry
        .remove(&name_of("bad"))
        .await
        .expect("a damaged model can be removed");
    assert_eq!(home.registry.gc().await.expect("readable").removed.len(), 2);
    assert!(
        home.registry
            .ready(&name_of("good"), &Reporter::silent())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_other_programs_may_name_is_not_known_so_nothing_goes() {
    let home = Home::new().await;
    let manifests = home.path().join("models/manifests");
    let weights = plant_blob(home.path(), b"weights of a model of Ollama's");
    let library = manifests.join("registry.ollama.ai/library");
    let elsewhere = home.path().join("elsewhere");
    for folder in ["m/v1", "con/latest", "n"].map(|folder| library.join(folder)) {
        std::fs::create_dir_all(folder.parent().expect("a folder")).expect("folders");
    }
    std::fs::create_dir_all(elsewhere.join("library/m")).expect("folders");
    std::fs::write(elsewhere.join("library/m/latest"), "{}").expect("a file");
    let not_unicode = std::os::unix::ffi::OsStrExt::from_bytes(b"v\xff");
    let not_unicode: &std::ffi::OsStr = not_unicode;
    // Each path, and what a link at it leads to.
    for (path, to) in [
        (library.join("m/v1."), None),
        (library.join("con/latest"), None),
        (library.join("m").join(not_unicode), None),
        (manifests.join("linked.example"), Some(elsewhere.clone())),
        (
            library.join("m/linked"),
            Some(elsewhere.join("library/m/latest")),
        ),
    ] {
        match to {
            Some(to) => std::os::unix::fs::symlink(to, &path).expect("a link"),
            None => std::fs::write(&path, "{}").expect("a file"),
        }
        let report = home.registry.gc().await.expect("readable");
        let expected = GcReport {
            strange: vec![path.clone()],
            ..GcReport::default()
        };
        assert_eq!(report, expected);
        assert!(report.is_blocked() && home.blob(&weights).exists());
        std::fs::remove_file(path).expect("removed");
    }
    // What is a name for nobody blocks nothing.
    std::fs::write(library.join(".DS_Store"), "x").expect("a file");
    std::fs::write(manifests.join("notes"), "x").expect("a file");
    let report = home.registry.gc().await.expect("readable");
    assert_eq!(report.removed, [weights]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collection_while_models_are_made_costs_no_blob() {
    let home = Home::new().await;
    let registry = home.registry.clone();
    let collecting = tokio::spawn(async move {
        for _ in 0..40 {
            registry.gc().await.expect("readable");
            tokio::task::yield_now().await;
        }
    });
    for round in 0..10 {
        let name = format!("m{}", round % 3);
        plain(&home.registry, &name, round).await;
        // The second one is made from a base whose name changes hands meanwhile.
        let base = Base::Model(crate::ModelRef {
            name: name_of(&name),
            digest: None,
        });
        make(
            &home.registry,
            Create {
                system: Some(format!("{round}")),
                ..Create::new(name_of("child"), base)
            },
        )
        .await;
        home.registry
            .ready(&name_of("child"), &Reporter::silent())
            .await
            .expect("nothing is missing");
    }
    collecting.await.expect("no panic");
    let report = home.verify().await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_model_that_is_open_stays_readable_when_it_goes() {
    use std::io::Read as _;
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let mut ready = home
        .registry
        .ready(&name_of("m"), &Reporter::silent())
        .await
        .expect("good");
    home.registry.remove(&name_of("m")).await.expect("removed");
    assert!(home.blobs().is_empty());
    let mut bytes = Vec::new();
    ready
        .weights
        .file
        .read_to_end(&mut bytes)
        .expect("readable");
    assert_eq!(Digest::of(&bytes), ready.weights.digest);
}

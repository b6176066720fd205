//! Names: case, copies, removal.

use super::*;
use crate::Error;

#[tokio::test]
async fn names_are_matched_without_case_and_keep_the_case_they_have() {
    let home = Home::new().await;
    plain(&home.registry, "Me/Phi4:Q4", 1).await;
    let model = home
        .registry
        .model(&name_of("me/phi4:q4"))
        .await
        .expect("found");
    assert_eq!(model.name.to_string(), "Me/Phi4:Q4");
    // Another tag joins the same folder; the same tag is the same model.
    plain(&home.registry, "ME/PHI4:q8", 2).await;
    plain(&home.registry, "me/phi4:Q4", 3).await;
    let mut listed = home.listed().await;
    listed.sort();
    assert_eq!(listed, ["Me/Phi4:Q4", "Me/Phi4:q8"]);
    assert_eq!(
        names_in(&home.path().join("models/manifests/registry.ollama.ai")),
        ["Me"]
    );
}

#[tokio::test]
async fn names_that_others_made_to_clash_are_both_reached() {
    let home = Home::new().await;
    plain(&home.registry, "phi4", 1).await;
    plain(&home.registry, "other", 2).await;
    let clash = manifest_path(home.path(), "PHI4");
    std::fs::create_dir_all(clash.parent().expect("a folder")).expect("folders");
    std::fs::copy(home.manifest("other"), clash).expect("a clash");
    let (lower, upper) = (
        home.registry.model(&name_of("phi4")).await,
        home.registry.model(&name_of("PHI4")).await,
    );
    assert_ne!(lower.expect("found").digest, upper.expect("found").digest);
    assert_eq!(home.listed().await.len(), 3);
}

#[tokio::test]
async fn a_name_is_found_in_the_second_of_two_folders_that_clash() {
    let home = Home::new().await;
    plain(&home.registry, "phi4:one", 1).await;
    let second = manifest_path(home.path(), "PHI4:two");
    std::fs::create_dir_all(second.parent().expect("a folder")).expect("folders");
    std::fs::copy(home.manifest("phi4:one"), second).expect("a second folder");
    for name in ["Phi4:ONE", "Phi4:TWO"] {
        assert!(
            home.registry.model(&name_of(name)).await.is_ok(),
            "{name} was not found"
        );
    }
}

#[tokio::test]
async fn a_copy_is_the_same_model_under_another_name() {
    let home = Home::new().await;
    let digest = plain(&home.registry, "one", 1).await;
    let before = home.blobs();
    home.registry
        .copy(&name_of("ONE"), &name_of("me/two:2"))
        .await
        .expect("copied");
    assert_eq!(
        home.registry
            .model(&name_of("me/two:2"))
            .await
            .expect("found")
            .digest,
        digest
    );
    assert_eq!(home.blobs(), before);
    home.registry
        .copy(&name_of("one"), &name_of("one"))
        .await
        .expect("a copy onto itself changes nothing");
    home.registry
        .remove(&name_of("one"))
        .await
        .expect("removed");
    assert!(
        home.registry
            .ready(&name_of("me/two:2"), &Reporter::silent())
            .await
            .is_ok()
    );
    let missing = home
        .registry
        .copy(&name_of("one"), &name_of("three"))
        .await
        .expect_err("no such model");
    assert!(matches!(missing, Error::NotFound { name } if name == name_of("one")));
}

#[tokio::test]
async fn a_copy_over_another_model_replaces_it() {
    let home = Home::new().await;
    let digest = plain(&home.registry, "one", 1).await;
    let alone = home.blobs();
    plain(&home.registry, "two", 2).await;
    home.registry
        .copy(&name_of("one"), &name_of("two"))
        .await
        .expect("copied");
    assert_eq!(
        home.registry
            .model(&name_of("two"))
            .await
            .expect("found")
            .digest,
        digest
    );
    assert_eq!(home.blobs(), alone, "the replaced model's blobs went");
}

#[tokio::test]
async fn removal_takes_the_name_its_folders_and_its_blobs() {
    let home = Home::new().await;
    plain(&home.registry, "one", 1).await;
    let kept = home.blobs();
    plain(&home.registry, "example.org/me/two:2", 2).await;
    let report = home
        .registry
        .remove(&name_of("example.org/me/two:2"))
        .await
        .expect("removed");
    assert_eq!(report.removed.len(), 2, "weights and config");
    assert_eq!(home.blobs(), kept);
    assert_eq!(
        names_in(&home.path().join("models/manifests")),
        ["registry.ollama.ai"]
    );
    assert_eq!(home.listed().await, ["one:latest"]);
    let gone = home
        .registry
        .remove(&name_of("example.org/me/two:2"))
        .await
        .expect_err("gone");
    assert!(matches!(gone, Error::NotFound { .. }));
}

#[tokio::test]
async fn removal_follows_no_link() {
    let home = Home::new().await;
    plain(&home.registry, "one", 1).await;
    let outside = home.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::copy(home.manifest("one"), outside.join("latest")).expect("a file outside");
    // A folder of names that is a link leads nowhere, in reading and in removing.
    let folder = home
        .path()
        .join("models/manifests/registry.ollama.ai/library");
    std::os::unix::fs::symlink(&outside, folder.join("linked")).expect("a link");
    std::os::unix::fs::symlink(home.manifest("one"), folder.join("one/link")).expect("a link");
    assert_eq!(home.listed().await, ["one:latest"]);
    assert!(matches!(
        home.registry.remove(&name_of("linked")).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        home.registry.remove(&name_of("one:link")).await,
        Err(Error::NotFound { .. })
    ));
    assert!(outside.join("latest").exists() && home.manifest("one").exists());
}

#[tokio::test]
async fn the_list_has_the_newest_first() {
    let home = Home::new().await;
    for (name, seconds) in [("old", 1_000), ("new", 3_000), ("mid", 2_000)] {
        plain(&home.registry, name, 1).await;
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = std::fs::File::options()
            .write(true)
            .open(home.manifest(name))
            .expect("a manifest");
        file.set_modified(time).expect("a time");
    }
    assert_eq!(
        home.listed().await,
        ["new:latest", "mid:latest", "old:latest"]
    );
}

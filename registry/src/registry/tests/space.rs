//! A full disk: a file system in memory, a few hundred kilobytes large.

use futures::stream;

use super::small_disk::Small;
use super::*;
use crate::Error;

/// Pieces of a blob that is larger than they say.
fn pieces(count: usize) -> (Digest, Vec<std::io::Result<Bytes>>) {
    let piece = Bytes::from(vec![42; 65536]);
    (
        Digest::of(&piece.repeat(count)),
        (0..count).map(|_| Ok(piece.clone())).collect(),
    )
}

#[tokio::test]
async fn a_blob_that_does_not_fit_is_refused_and_leaves_room_for_others() {
    let Some(disk) = Small::of(1024) else { return };
    let registry = open(disk.path()).await;
    plain(&registry, "good", 1).await;
    let (digest, body) = pieces(40);
    let error = registry
        .put_blob(&digest, None, stream::iter(body))
        .await
        .expect_err("too large");
    let Error::NoSpace { path, needed, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(path.starts_with(disk.path()) && *needed > 0, "{error}");
    assert!(
        names_in(&disk.path().join("ingest")).is_empty(),
        "the half of it went"
    );
    // It works again without a restart.
    let (digest, body) = pieces(2);
    registry
        .put_blob(&digest, None, stream::iter(body))
        .await
        .expect("this one fits");
    assert!(
        registry
            .ready(&name_of("good"), &Reporter::silent())
            .await
            .is_ok()
    );
    let report = registry
        .verify(VerifyOptions::default(), &Reporter::silent())
        .await
        .expect("readable");
    assert!(report.is_clean());
}

#[tokio::test]
async fn a_size_that_cannot_fit_is_told_before_a_byte_is_written() {
    let Some(disk) = Small::of(1024) else { return };
    let registry = open(disk.path()).await;
    let error = registry
        .ingest(Some(1 << 40), None, |_| panic!("nothing is written"))
        .await
        .expect_err("a tebibyte");
    assert!(
        matches!(error, Error::NoSpace { needed, available, .. } if needed == 1 << 40 && available < 1 << 20),
        "{error}"
    );
    assert!(names_in(&disk.path().join("ingest")).is_empty());
}

#[tokio::test]
async fn a_disk_without_a_byte_left_fails_every_write_and_no_read() {
    let Some(disk) = Small::of(1024) else { return };
    let registry = open(disk.path()).await;
    let old = plain(&registry, "good", 1).await;
    let filler = disk.fill();
    let create = Create {
        system: Some("x".repeat(200_000)),
        ..Create::new(
            name_of("good"),
            Base::Model(crate::ModelRef {
                name: name_of("good"),
                digest: None,
            }),
        )
    };
    let error = registry
        .create(create.clone(), &Reporter::silent())
        .await
        .expect_err("no room for its layer");
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    assert_eq!(
        registry
            .model(&name_of("good"))
            .await
            .expect("found")
            .digest,
        old
    );
    assert_eq!(registry.list().await.expect("readable").len(), 1);
    assert!(
        registry
            .ready(&name_of("good"), &Reporter::silent())
            .await
            .is_ok()
    );
    std::fs::remove_file(&filler).expect("removed");
    registry
        .create(create, &Reporter::silent())
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn a_full_disk_is_freed_by_removing() {
    let Some(disk) = Small::of(4096) else { return };
    let registry = open(disk.path()).await;
    plain(&registry, "one", 1).await;
    plain(&registry, "two", 2).await;
    let sent = put(&registry, &[7; 10_000]).await;
    registry.0.index.end_leases().await;
    disk.fill();
    let blobs = || names_in(&disk.path().join("models/blobs"));
    assert!(blobs().contains(&sent.file_name()));
    let report = registry.gc().await.expect("to remove takes no space");
    assert_eq!(report.removed, [sent]);
    disk.fill();
    let report = registry
        .remove(&name_of("one"))
        .await
        .expect("this neither");
    assert_eq!(report.removed.len(), 2, "its weights and its config");
    assert_eq!(blobs().len(), 2);
    assert_eq!(registry.list().await.expect("readable").len(), 1);
}

#[tokio::test]
async fn a_home_on_a_full_disk_says_that_it_is_full() {
    let Some(disk) = Small::of(1024) else { return };
    let registry = open(disk.path()).await;
    plain(&registry, "m", 1).await;
    registry.close().await;
    drop(registry);
    let filler = disk.fill();
    let error = Registry::open(Options::new(disk.path()))
        .await
        .expect_err("there is no room for the log of the index");
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    std::fs::remove_file(filler).expect("removed");
    open(disk.path()).await;
}

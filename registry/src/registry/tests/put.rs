//! Taking blobs in.

use std::{io, os::unix::fs::PermissionsExt as _, pin::pin, task::Poll};

use futures::{FutureExt as _, StreamExt as _, stream};

use super::*;
use crate::Error;

#[tokio::test]
async fn a_blob_is_read_only_and_named_by_its_digest() {
    let home = Home::new().await;
    let digest = put(&home.registry, b"hello").await;
    let path = home.blob(&digest);
    assert_eq!(std::fs::read(&path).expect("the blob"), b"hello");
    assert_eq!(
        std::fs::metadata(&path)
            .expect("the blob")
            .permissions()
            .mode()
            & 0o777,
        0o444
    );
    assert!(names_in(&home.path().join("ingest")).is_empty());
    assert!(home.registry.has_blob(&digest).await.expect("readable"));
    assert!(
        !home
            .registry
            .has_blob(&Digest::of(b"other"))
            .await
            .expect("readable")
    );
}

#[tokio::test]
async fn a_blob_that_is_here_is_not_read_again() {
    let home = Home::new().await;
    let digest = put(&home.registry, b"hello").await;
    let never =
        stream::poll_fn(|_| -> Poll<Option<io::Result<Bytes>>> { panic!("the body was read") });
    assert_eq!(
        home.registry
            .put_blob(&digest, None, never)
            .await
            .expect("taken"),
        Put::Exists
    );
}

#[tokio::test]
async fn other_bytes_than_announced_leave_nothing_behind() {
    let home = Home::new().await;
    let digest = Digest::of(b"hello");
    for bytes in [&b"hellO"[..], b"hell", b"hello!", b""] {
        let body = stream::iter([Ok(Bytes::copy_from_slice(bytes))]);
        let error = home
            .registry
            .put_blob(&digest, None, body)
            .await
            .expect_err("other bytes");
        assert!(
            matches!(error, Error::DigestMismatch { expected, found } if expected == digest && found == Digest::of(bytes))
        );
    }
    assert!(home.blobs().is_empty() && names_in(&home.path().join("ingest")).is_empty());
}

#[tokio::test]
async fn a_failing_source_leaves_nothing_behind() {
    let home = Home::new().await;
    let digest = Digest::of(b"hello");
    let body = stream::iter([
        Ok(Bytes::from_static(b"hello")),
        Err(io::Error::other("the peer left")),
    ]);
    let error = home
        .registry
        .put_blob(&digest, None, body)
        .await
        .expect_err("a failing source");
    assert!(
        matches!(&error, Error::Body { source, .. } if source.to_string() == "the peer left"),
        "{error}"
    );
    assert!(home.blobs().is_empty() && names_in(&home.path().join("ingest")).is_empty());
}

#[tokio::test]
async fn a_request_that_is_dropped_publishes_nothing() {
    let home = Home::new().await;
    let digest = Digest::of(b"hello");
    {
        // All bytes arrive, but not the end.
        let body = stream::iter([Ok(Bytes::from_static(b"hello"))]).chain(stream::pending());
        let mut sending = pin!(home.registry.put_blob(&digest, None, body));
        while names_in(&home.path().join("ingest")).is_empty() {
            assert!(sending.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    // The writer finds out by itself; it holds the only temporary file.
    while !names_in(&home.path().join("ingest")).is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(home.blobs().is_empty());
}

#[tokio::test]
async fn the_same_blob_sent_twice_at_once_is_one_blob() {
    let home = Home::new().await;
    let bytes = vec![7; 300_000];
    let (one, two) = tokio::join!(put(&home.registry, &bytes), put(&home.registry, &bytes));
    assert_eq!(one, two);
    assert_eq!(home.blobs(), [one.file_name()]);
    assert!(home.verify().await.is_clean());
}

#[tokio::test]
async fn a_damaged_blob_is_replaced_by_a_good_one() {
    let home = Home::new().await;
    let digest = put(&home.registry, b"hello").await;
    flip_a_bit(&home.blob(&digest));
    assert!(!home.registry.has_blob(&digest).await.expect("readable"));
    assert_eq!(
        names_in(&home.path().join("quarantine")),
        [format!("{}.0", digest.file_name())]
    );
    put(&home.registry, b"hello").await;
    assert!(home.registry.has_blob(&digest).await.expect("readable"));
    assert!(home.verify().await.is_clean());
}

#[tokio::test]
async fn a_blob_that_others_put_here_is_hashed_before_it_counts() {
    let home = Home::new().await;
    let good = plant_blob(home.path(), b"good");
    let bad = Digest::of(b"announced");
    std::fs::write(home.blob(&bad), b"delivered").expect("a file");
    assert!(home.registry.has_blob(&good).await.expect("readable"));
    assert!(!home.registry.has_blob(&bad).await.expect("readable"));
}

#[tokio::test]
async fn the_announced_size_is_held_to() {
    let home = Home::new().await;
    let digest = Digest::of(b"hello");
    for (announced, sent) in [(5, "hell"), (5, "hello!"), (4, "hello")] {
        let body = stream::iter([Ok(Bytes::from_static(sent.as_bytes()))]);
        let put = home.registry.put_blob(&digest, Some(announced), body).await;
        let error = put.expect_err("another size");
        assert!(
            matches!(error, Error::SizeMismatch { expected, .. } if expected == announced),
            "{error}"
        );
    }
    let body = stream::iter([Ok(Bytes::from_static(b"hello"))]);
    let put = home.registry.put_blob(&digest, Some(u64::MAX), body).await;
    let error = put.expect_err("no disk has so many bytes");
    assert!(
        matches!(
            error,
            Error::NoSpace {
                needed: u64::MAX,
                ..
            }
        ),
        "{error}"
    );
    assert!(home.blobs().is_empty() && names_in(&home.path().join("ingest")).is_empty());
    let body = stream::iter([Ok(Bytes::from_static(b"hello"))]);
    let put = home.registry.put_blob(&digest, Some(5), body).await;
    assert_eq!(put.expect("as announced"), Put::Created);
}

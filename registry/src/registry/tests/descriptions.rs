//! What a description that stays in memory saves, and what it never hides.

use super::*;
use crate::{
    Error, Model,
    fs::faults::{self, Plan},
    registry::descriptions::MOST,
};

fn with_system(digest: Digest, text: &str) -> Create {
    Create {
        system: Some(text.into()),
        licenses: vec!["free".into()],
        ..Create::new(name_of("m"), Base::Blobs(vec![digest]))
    }
}

/// The model, and how many blobs were opened to describe it.
async fn described(home: &Home) -> (Model, usize) {
    let blobs = home.path().join("models/blobs");
    faults::arm(&blobs, Plan::NONE);
    let model = home.registry.model(&name_of("m")).await;
    let calls = faults::disarm(&blobs);
    let opened = calls.iter().filter(|(action, _)| *action == "open");
    (model.expect("a good model"), opened.count())
}

#[tokio::test]
async fn the_second_description_opens_no_blob_and_is_the_same() {
    let home = Home::new().await;
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    make(&home.registry, with_system(weights, "be brief")).await;
    let (first, opened) = described(&home).await;
    assert!(opened > 0, "the first one reads the layers");
    let (second, opened) = described(&home).await;
    assert_eq!(opened, 0);
    assert_eq!(second.system.as_deref(), Some("be brief"));
    assert_eq!(
        (second.digest, &second.details, &second.config),
        (first.digest, &first.details, &first.config)
    );
}

#[tokio::test]
async fn a_name_that_leads_to_another_manifest_is_seen_at_once() {
    let home = Home::new().await;
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    for text in ["be brief", "be long", "be brief"] {
        make(&home.registry, with_system(weights, text)).await;
        let (model, _) = described(&home).await;
        assert_eq!(model.system.as_deref(), Some(text));
    }
}

#[tokio::test]
async fn a_layer_that_is_damaged_or_removed_later_is_an_error_as_ever() {
    let home = Home::new().await;
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    make(&home.registry, with_system(weights, "be brief")).await;
    described(&home).await;
    let system = home.blob(&Digest::of(b"be brief"));
    flip_a_bit(&system);
    for _ in 0..2 {
        let model = home.registry.model(&name_of("m")).await;
        assert!(matches!(model, Err(Error::Damaged { .. })), "{model:?}");
        assert!(!system.exists(), "it was moved aside");
    }
    // The layer comes back, and so does the model.
    put(&home.registry, b"be brief").await;
    assert_eq!(described(&home).await.0.system.as_deref(), Some("be brief"));
}

#[tokio::test]
async fn only_so_many_descriptions_are_kept() {
    let home = Home::new().await;
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    for number in 0..MOST + 2 {
        make(&home.registry, with_system(weights, &number.to_string())).await;
        described(&home).await;
    }
    assert_eq!(home.registry.0.descriptions.count(), MOST);
}

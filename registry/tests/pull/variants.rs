//! The variants of a model: in a catalog, in a repository of the hub, and where a place tells none.

use gguf_writer::{small, tiny};
use origin::{Lie, Origin, digest, layer};
use registry::catalog::VariantName;
use registry::source::Settings;
use registry::{Error, Reference, Variants, WeightFormat};

use crate::harness::{Home, name};

/// A hub with a repository of two models in two quantizations, and a registry with a third place of one of them.
async fn places() -> (Origin, Settings) {
    let origin = Origin::start().await;
    for (path, bytes) in [
        ("README.md", b"# Notes".to_vec()),
        ("notes-4b-Q8_0.gguf", tiny::llama(2)),
        ("notes-4b-Q4_K_M.gguf", small::model()),
        ("notes-1b-Q4_K_M.gguf", tiny::llama(3)),
    ] {
        origin.hub_file("acme/notes", path, bytes);
    }
    let settings = Settings {
        hub: Some(origin.url()),
        library: Some(origin.url()),
        ..Settings::default()
    };
    (origin, settings)
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).expect("a reference")
}

fn wanting(text: &str, variant: &str) -> Reference {
    reference(text).with_variant(VariantName::parse(variant).expect("a variant"))
}

async fn variants(home: &Home, reference: &Reference, settings: &Settings) -> Variants {
    let found = home.registry.variants(reference, false, settings).await;
    found.unwrap_or_else(|error| panic!("{error}"))
}

/// Names, sizes, and a star at the usual one.
fn shown(found: &Variants) -> Vec<String> {
    let shown = found.all.iter().map(|variant| {
        let star = if variant.is_usual { "*" } else { "" };
        let size = variant.size.unwrap_or(0);
        format!("{}{star} {size}", variant.name)
    });
    shown.collect()
}

/// Pulls, and returns the digest of the weights.
async fn pull(home: &Home, reference: &Reference, settings: &Settings) -> Result<String, Error> {
    let silent = registry::Reporter::silent();
    let registry = &home.registry;
    registry.pull(reference, false, settings, &silent).await?;
    let model = registry.model(&reference.name).await?;
    Ok(model.manifest.layers[0].digest.to_string())
}

#[tokio::test]
async fn a_repository_has_the_quantizations_of_one_model() {
    let (origin, settings) = places().await;
    let home = Home::open().await;
    // A file that a catalog names tells the model; without one, the usual file does.
    home.catalog("version: 1\nmodels:\n  - name: notes\n    sources: [{ hf: { repo: acme/notes, file: notes-4b-Q8_0.gguf } }]\n");
    let named = reference("notes");
    let found = variants(&home, &named, &settings).await;
    let sizes = [tiny::llama(2).len(), small::model().len()];
    let [large, little] = sizes;
    assert_eq!(
        shown(&found),
        [format!("Q4_K_M {little}"), format!("Q8_0* {large}")]
    );
    assert!(found.all.iter().all(|it| it.digest.is_some() && !it.here));
    assert_eq!(origin.seen("/resolve/").len(), 0, "no weights are fetched");

    let wanted = wanting("notes", "q4_k_m");
    let weights = pull(&home, &wanted, &settings)
        .await
        .expect("an honest hub");
    assert_eq!(weights, digest(&small::model()));
    let found = variants(&home, &named, &settings).await;
    assert!(found.all[0].here && !found.all[1].here);

    // A quantization in the name leaves nothing to choose.
    let named = reference("hf.co/acme/notes:Q8_0");
    assert!(!named.is_open());
    assert_eq!(variants(&home, &named, &settings).await.all, []);
    let error = pull(
        &home,
        &wanting("hf.co/acme/notes:Q8_0", "Q4_K_M"),
        &settings,
    )
    .await;
    let error = error.expect_err("it names two").to_string();
    assert!(error.contains("has no variant \"Q4_K_M\""), "{error}");
}

#[tokio::test]
async fn a_variant_that_is_not_there_is_refused_with_those_that_are() {
    let (_origin, settings) = places().await;
    let home = Home::open().await;
    home.catalog("version: 1\nmodels:\n  - name: notes\n    variants:\n      - { name: small, sources: [{ ollama: { name: a } }] }\n      - { name: large, sources: [{ ollama: { name: b } }] }\n");
    let error = pull(&home, &wanting("notes", "huge"), &settings).await;
    let error = error.expect_err("there is none").to_string();
    assert_eq!(
        error,
        "notes:latest has no variant \"huge\"; there are small, large"
    );
    let error = pull(&home, &wanting("hf.co/acme/notes", "Q5_K_M"), &settings).await;
    let error = error.expect_err("there is none").to_string();
    assert!(
        error.contains("has no file for \"Q5_K_M\"; there are"),
        "{error}"
    );
    for text in ["https://x.example/m.gguf", "smollm2"] {
        let error = pull(&home, &wanting(text, "Q8_0"), &settings).await;
        let error = error.expect_err(text).to_string();
        assert!(error.contains("has no variant \"Q8_0\""), "{error}");
    }
}

#[tokio::test]
async fn a_catalog_names_variants_with_sources_and_formats_of_their_own() {
    let (origin, settings) = places().await;
    let weights = tiny::llama(5);
    origin.blob(weights.clone());
    let config = br#"{"model_format":"gguf","model_family":"llama"}"#;
    origin.blob(config);
    let manifest = origin::manifest(config, &[layer("model", &weights)]);
    origin.manifest("library/notes:4b-q8_0", manifest);
    let home = Home::open().await;
    home.catalog(
        "version: 1
models:
  - name: notes
    tags: [latest, 4b]
    variants:
      - name: Q4_K_M
        size: 7
        sources: [{ hf: { repo: acme/notes, file: notes-4b-Q4_K_M.gguf } }]
      - name: Q8_0
        sources: [{ ollama: { name: 'notes:4b-q8_0' } }]
      - name: F32
        sources: [{ wheel_folder: { package: notes, version: '1', folder: n, files: [{ path: config.json, size: 9 }] } }]
",
    );
    let found = variants(&home, &reference("notes"), &settings).await;
    assert_eq!(shown(&found), ["Q4_K_M* 7", "Q8_0 0", "F32 9"]);
    assert_eq!(found.place, "a catalog");
    assert_eq!(found.all[2].format, WeightFormat::Safetensors);
    assert_eq!(origin.seen("").len(), 0, "no place is asked");

    // Both names of a variant, and the wish for it.
    for wanted in [
        reference("notes:4b-q8_0"),
        reference("notes:Q8_0"),
        wanting("notes:4b", "q8_0"),
    ] {
        let pulled = pull(&home, &wanted, &settings).await;
        assert_eq!(pulled.expect("an honest registry"), digest(&weights));
        assert!(home.registry.model(&wanted.name).await.is_ok());
    }
    let usual = pull(&home, &reference("notes"), &settings).await;
    assert_eq!(usual.expect("an honest hub"), digest(&small::model()));
    // The name of one variant has no others.
    let named = reference("notes:4b-q8_0");
    assert_eq!(variants(&home, &named, &settings).await.all, []);
}

#[tokio::test]
async fn a_registry_that_tells_no_tags_has_one_variant_and_still_delivers_a_named_one() {
    let (origin, settings) = places().await;
    let config = br#"{"model_format":"gguf","model_family":"llama"}"#;
    origin.blob(config);
    for (tag, weights) in [("4b", small::model()), ("4b-q8_0", tiny::llama(2))] {
        origin.blob(weights.clone());
        let manifest = origin::manifest(config, &[layer("model", &weights)]);
        origin.manifest(&format!("library/others:{tag}"), manifest);
    }
    let home = Home::open().await;
    let found = variants(&home, &reference("others:4b"), &settings).await;
    assert_eq!(found.all.len(), 1);
    assert!(found.all[0].is_usual);
    let pulled = pull(&home, &wanting("others:4b", "Q8_0"), &settings).await;
    assert_eq!(pulled.expect("an honest registry"), digest(&tiny::llama(2)));
    assert!(home.registry.model(&name("others:4b")).await.is_ok());
}

#[tokio::test]
async fn a_place_that_fails_tells_why_there_are_no_variants() {
    let (origin, settings) = places().await;
    origin.lie("/api/models/", 99, Lie::Status(404, Vec::new(), ""));
    let home = Home::open().await;
    let reference = reference("hf.co/acme/notes");
    let found = home.registry.variants(&reference, false, &settings).await;
    let error = found.expect_err("it says no").to_string();
    assert!(
        error.contains("no place tells the variants of hf.co/acme/notes:latest: "),
        "{error}"
    );
}

//! Making models out of folders of safetensors.

use gguf_writer::tiny_folder;

use super::*;
use crate::{
    Capability, Damage, Error, RelPath, Weights,
    convert::{self, Format},
    facts::Facts,
};

/// The tiny folder in the store, with one file changed.
async fn folder(registry: &Registry, file: &str, change: impl Fn(&mut Vec<u8>)) -> Weights {
    let mut files = std::collections::BTreeMap::new();
    for (name, mut bytes) in tiny_folder::bert(1) {
        if name == file {
            change(&mut bytes);
        }
        let path = RelPath::parse(name).expect("a path");
        files.insert(path, put(registry, &bytes).await);
    }
    Weights {
        files,
        format: Format::F16,
    }
}

fn create(weights: Weights) -> Create {
    Create::new(name_of("m"), Base::Folder(weights))
}

#[tokio::test]
async fn a_folder_becomes_a_model_that_embeds() {
    let home = Home::new().await;
    let weights = folder(&home.registry, "", |_| ()).await;
    make(&home.registry, create(weights.clone())).await;
    let ready = home
        .registry
        .ready(&name_of("m"), &Reporter::silent())
        .await
        .expect("a good model");
    assert_eq!(ready.model.capabilities, [Capability::Embedding]);
    let longest = ready.model.parameters.to_json();
    assert_eq!(longest["num_ctx"], tiny_folder::LONGEST);
    let Facts {
        architecture,
        file_type,
        pooling,
        ..
    } = ready.facts.clone();
    assert_eq!(architecture.as_deref(), Some("bert"));
    assert_eq!((file_type.as_str(), pooling), ("F16", Some(1)));

    // The same folder is the same model, and a recipe goes over what the folder says.
    let blobs = home.blobs();
    make(&home.registry, create(weights.clone())).await;
    assert_eq!(home.blobs(), blobs);
    let mut parameters = modelfile::Parameters::default();
    parameters.set("num_ctx", "64").expect("a good parameter");
    let shorter = Create {
        parameters,
        ..create(weights)
    };
    make(&home.registry, shorter).await;
    let model = home.registry.model(&name_of("m")).await.expect("a model");
    assert_eq!(model.parameters.to_json()["num_ctx"], 64);
    assert!(home.verify().await.is_clean());
}

#[tokio::test]
async fn a_folder_that_is_wrong_changes_nothing() {
    let home = Home::new().await;
    let old = plain(&home.registry, "m", 1).await;
    let refused = async |weights| {
        let result = home
            .registry
            .create(create(weights), &Reporter::silent())
            .await;
        result.expect_err("a refusal")
    };
    let short = folder(&home.registry, "model.safetensors", |bytes| {
        bytes.pop();
    });
    let error = refused(short.await).await;
    assert!(
        matches!(error, Error::Convert(convert::Error::Safetensors { .. })),
        "{error}"
    );
    // A value that is none is found only while the file is written.
    let nan = folder(&home.registry, "model.safetensors", |bytes| {
        let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        bytes[8 + header..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let error = refused(nan.await).await;
    assert!(
        matches!(error, Error::Convert(convert::Error::Tensor { .. })),
        "{error}"
    );
    let mut missing = folder(&home.registry, "", |_| ()).await;
    let path = RelPath::parse("config.json").expect("a path");
    let digest = Digest::of(b"not there");
    missing.files.insert(path, digest);
    let error = refused(missing).await;
    assert!(matches!(error, Error::BlobNotFound { .. }), "{error}");

    let damaged = folder(&home.registry, "", |_| ()).await;
    let path = RelPath::parse("model.safetensors").expect("a path");
    flip_a_bit(&home.blob(&damaged.files[&path]));
    let error = refused(damaged).await;
    let found = matches!(
        error,
        Error::DamagedBlob {
            found: Damage::Bytes { .. },
            ..
        }
    );
    assert!(found, "{error}");

    let temps = names_in(&home.path().join("ingest"));
    assert!(temps.is_empty(), "{temps:?}");
    let model = home.registry.model(&name_of("m")).await.expect("a model");
    assert_eq!(model.digest, old);
}

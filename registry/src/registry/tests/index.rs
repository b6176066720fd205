//! The index follows the files.

use super::*;
use crate::Error;
use crate::Stage;

fn without_index(home: &Path) {
    for file in ["registry.db", "registry.db-wal", "registry.db-shm"] {
        let _ = std::fs::remove_file(home.join(file));
    }
}

#[tokio::test]
async fn a_deleted_index_is_made_anew_with_the_same_list() {
    let home = Home::new().await;
    plain(&home.registry, "one", 1).await;
    plain(&home.registry, "me/two:q4", 2).await;
    plant(home.path(), "broken", "not JSON");
    let before = home.registry.list().await.expect("readable");
    assert_eq!(before.len(), 3);
    let home = home.reopen_after(without_index).await;
    assert_eq!(home.registry.list().await.expect("readable"), before);
    let damaged = before.iter().filter(|model| model.damage.is_some());
    assert_eq!(damaged.count(), 1);
    assert!(
        home.registry
            .ready(&name_of("one"), &Reporter::silent())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_others_do_to_the_folder_is_seen_at_once() {
    let home = Home::new().await;
    plain(&home.registry, "one", 1).await;
    plant(
        home.path(),
        "two",
        std::fs::read(home.manifest("one")).expect("a manifest"),
    );
    let mut listed = home.listed().await;
    listed.sort();
    assert_eq!(listed, ["one:latest", "two:latest"]);
    std::fs::remove_file(home.manifest("one")).expect("removed");
    assert_eq!(home.listed().await, ["two:latest"]);
    plant(home.path(), "two", "now damaged");
    assert!(
        home.registry.list().await.expect("readable")[0]
            .damage
            .is_some()
    );
}

#[tokio::test]
async fn an_ollama_folder_is_taken_as_it_is() {
    // Config and manifest as Ollama writes them: no context length, no capabilities.
    let home = Home::new().await;
    let weights = gguf_writer::tiny::llama(1);
    let config = br#"{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"8.0B","file_type":"F32","architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let template = b"{{ .Prompt }}{{ .Suffix }}";
    let (w, c, t) = (
        plant_blob(home.path(), &weights),
        plant_blob(home.path(), config),
        plant_blob(home.path(), template),
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{c}","size":{}}},"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"{w}","size":{}}},{{"mediaType":"application/vnd.ollama.image.template","digest":"{t}","size":{}}}]}}"#,
        config.len(),
        weights.len(),
        template.len(),
    );
    plant(home.path(), "adopted", manifest);
    let listed = home.registry.list().await.expect("readable").remove(0);
    assert_eq!(
        (listed.damage, listed.details.parameter_size.as_str()),
        (None, "8.0B")
    );
    assert!(
        listed.details.context_length.is_some(),
        "the header of the weights says it"
    );
    assert_eq!(
        listed.capabilities,
        [crate::Capability::Completion, crate::Capability::Insert]
    );
    let model = home
        .registry
        .model(&name_of("adopted"))
        .await
        .expect("found");
    assert_eq!(model.capabilities, listed.capabilities);
    let ready = home
        .registry
        .ready(&name_of("adopted"), &Reporter::silent())
        .await
        .expect("hashed and good");
    assert_eq!(ready.weights.digest, w);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let home = Home::new().await;
    home.registry.0.index.pretend_version(99).await;
    let Home { registry, folder } = home;
    registry.close().await;
    drop(registry);
    let error = Registry::open(Options::new(folder.path()))
        .await
        .expect_err("from the future");
    assert!(
        matches!(
            error,
            Error::NewerSchema {
                found: 99,
                known: 5,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_index_says_so_and_costs_no_model() {
    let home = Home::new().await;
    plain(&home.registry, "one", 1).await;
    let Home { registry, folder } = home;
    registry.close().await;
    drop(registry);
    without_index(folder.path());
    std::fs::write(folder.path().join("registry.db"), [b'x'; 8192]).expect("a bad index");
    let error = Registry::open(Options::new(folder.path()))
        .await
        .expect_err("no database");
    assert!(matches!(error, Error::DamagedIndex { .. }), "{error:?}");
    without_index(folder.path());
    assert_eq!(
        open(folder.path())
            .await
            .list()
            .await
            .expect("readable")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_blob_is_hashed_again_only_when_its_stamp_changed() {
    let hashed = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = hashed.clone();
    let reporter = Reporter::new(move |progress| {
        if matches!(progress.stage, Stage::Verifying(_)) && progress.completed == 0 {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let count = || hashed.load(std::sync::atomic::Ordering::Relaxed);
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    home.registry
        .ready(&name_of("m"), &reporter)
        .await
        .expect("good");
    let home = home.reopen().await;
    let ready = home
        .registry
        .ready(&name_of("m"), &reporter)
        .await
        .expect("good");
    assert_eq!(count(), 0, "it was hashed when it was written");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let file = std::fs::File::open(home.blob(&ready.weights.digest)).expect("the blob");
    file.set_modified(later).expect("a time");
    home.registry
        .ready(&name_of("m"), &reporter)
        .await
        .expect("good");
    assert_eq!(count(), 1);
    home.registry
        .ready(&name_of("m"), &reporter)
        .await
        .expect("good");
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn asking_after_a_blob_that_is_not_here_costs_no_list() {
    let home = Home::new().await;
    plain(&home.registry, "one", 1).await;
    home.listed().await;
    assert!(
        !home
            .registry
            .has_blob(&Digest::of(b"missing"))
            .await
            .expect("readable")
    );
    assert_eq!(
        home.registry
            .0
            .index
            .models()
            .await
            .expect("readable")
            .len(),
        1
    );
}

#[tokio::test]
async fn what_verification_finds_is_listed() {
    let home = Home::new().await;
    plain(&home.registry, "one", 1).await;
    let weights = home
        .registry
        .model(&name_of("one"))
        .await
        .expect("found")
        .weights()
        .next()
        .expect("weights")
        .digest;
    std::fs::remove_file(home.blob(&weights)).expect("removed");
    assert!(
        home.registry.list().await.expect("readable")[0]
            .damage
            .is_none(),
        "nobody has looked"
    );
    assert_eq!(home.verify().await.damaged.len(), 1);
    assert!(
        home.registry.list().await.expect("readable")[0]
            .damage
            .is_some()
    );
}

#[tokio::test]
async fn a_list_that_was_begun_before_a_model_was_mended_is_not_believed() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let bytes = gguf_writer::tiny::llama(1);
    let digest = Digest::of(&bytes);
    std::fs::remove_file(home.blob(&digest)).expect("the weights");
    let index = &home.registry.0.index;
    index.forget_models(false).await.expect("written");
    let listed = home.registry.list().await.expect("readable");
    assert!(listed[0].damage.is_some());
    let stale = index.models().await.expect("readable");
    // What a list does: it looks, and writes down what it saw with the names lock held.
    let names = home.registry.0.names.lock().await;
    let registry = home.registry.clone();
    let mending = tokio::spawn(async move { put(&registry, &bytes).await });
    let known = async || {
        let file = crate::fs::open_if_there(&home.blob(&digest)).expect("readable")?;
        let stamp = crate::fs::stamp(&file, &home.blob(&digest)).expect("its stamp");
        let row = index.blob(&digest, stamp).await.expect("readable");
        row.verified.then_some(())
    };
    while known().await.is_none() {
        tokio::task::yield_now().await;
    }
    index.record_models(&stale, &[]).await.expect("written");
    drop(names);
    mending.await.expect("no panic");
    let listed = home.registry.list().await.expect("readable");
    assert_eq!(listed[0].damage, None);
}

#[tokio::test]
async fn what_a_model_took_is_kept_by_model_and_settings() {
    use crate::{MeasuredMemory, ModelKey};
    let home = Home::new().await;
    let key = |text: &[u8]| -> ModelKey { [crate::Digest::of(text)].into_iter().collect() };
    let measured = |measured| MeasuredMemory {
        predicted: 100,
        measured,
    };
    let (one, other) = (key(b"one"), key(b"other"));
    let registry = &home.registry;
    for bytes in [90, 110] {
        let kept = registry.remember_memory(&one, "context 4096", measured(bytes));
        kept.await.expect("the index can be written");
    }
    let found = async |model, settings| {
        let found = registry.memory_of(model, settings).await;
        found.expect("the index can be read")
    };
    assert_eq!(found(&one, "context 4096").await, Some(measured(110)));
    assert_eq!(found(&one, "context 8192").await, None);
    assert_eq!(found(&other, "context 4096").await, None);
}

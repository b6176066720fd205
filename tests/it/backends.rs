//! Backend modules: the same text on an accelerator as on the CPU, and faults that end nothing.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Engine, Home};

/// Whether the module is built, and the test may fetch its model; says why not.
fn ready(home: &Home, backend: &str) -> bool {
    let module = home.dir().join("bin/slm-lib").join(backend);
    if !module.join("backend.json").exists() {
        println!("skipped: the module is not built; `cargo xtask backend {backend}` builds it");
        return false;
    }
    if std::env::var_os("SLM_TEST_OFFLINE").is_some() {
        println!("skipped: SLM_TEST_OFFLINE is set, and the model comes from the package index");
        return false;
    }
    true
}

/// The greedy text, and what `slm ps` says of the model after it.
fn greedy(home: &Home, prompt: &str) -> (String, Value) {
    let ask = [
        "run",
        "smollm2",
        "--param",
        "temperature=0",
        "--param",
        "num_predict=64",
        prompt,
    ];
    let text = home.slm(&ask).ok();
    let ps = home.slm(&["ps", "--json"]).ok();
    let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
    (text, ps["models"][0].clone())
}

const PROMPT: &str = "Why is the sky blue?";

/// Whether the system has a Vulkan driver that computes on the CPU.
fn has_lavapipe() -> bool {
    let drivers = Path::new("/usr/share/vulkan/icd.d");
    let mut found = std::fs::read_dir(drivers).into_iter().flatten().flatten();
    found.any(|entry| entry.file_name().to_string_lossy().starts_with("lvp_icd"))
}

#[test]
fn lavapipe() {
    let mut home = Home::new(Engine::Real);
    if !ready(&home, "vulkan") {
        return;
    }
    if !has_lavapipe() {
        println!("skipped: there is no lavapipe; Debian's package mesa-vulkan-drivers has it");
        return;
    }
    home.set("SLM_BACKEND", "cpu");
    let daemon = home.daemon();
    home.slm(&["pull", "smollm2"]).ok();
    let (expected, model) = greedy(&home, PROMPT);
    let device = model["device"].as_str().unwrap_or_default();
    assert!(device.starts_with("CPU"), "{model}");
    drop(daemon);

    // Without the variable, llama.cpp leaves out devices that compute on the CPU.
    home.set("GGML_VK_VISIBLE_DEVICES", "0");
    home.set("SLM_BACKEND", "vulkan");
    let daemon = home.daemon();
    let (text, model) = greedy(&home, PROMPT);
    assert_eq!(text, expected);
    let device = model["device"].as_str().unwrap_or_default();
    assert!(device.starts_with("llvmpipe"), "{model}");
    let reason = model["device_reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("backend: vulkan is set, Vulkan0 (llvmpipe"),
        "{model}"
    );
    home.assert_clean();
    drop(daemon);
}

/// A folder of modules with these, instead of the built ones.
fn replace_modules(home: &Home, modules: &[(&str, &str)]) {
    let link = home.dir().join("bin/slm-lib");
    let built = std::fs::canonicalize(&link).expect("the modules are built");
    std::fs::remove_file(&link).expect("it is a link");
    std::fs::create_dir(&link).expect("the name is free");
    for entry in std::fs::read_dir(built).expect("it is a folder") {
        let path: PathBuf = entry.expect("it can be listed").path();
        if path.is_file() {
            let name = path.file_name().expect("it has a name");
            std::os::unix::fs::symlink(&path, link.join(name)).expect("the name is free");
        }
    }
    for (name, description) in modules {
        std::fs::create_dir(link.join(name)).expect("the name is free");
        std::fs::write(link.join(name).join("backend.json"), description).expect("it is new");
    }
}

#[test]
fn faulty_modules_are_named_and_the_cpu_answers() {
    let mut home = Home::new(Engine::Real);
    replace_modules(
        &home,
        &[
            ("cuda", "{"),
            (
                "vulkan",
                r#"{"about": "GPUs", "module": "x.so", "llama_cpp": "other-1", "files": []}"#,
            ),
        ],
    );
    let daemon = home.daemon();
    home.create_tiny("tiny");
    home.slm(&["run", "tiny", "--param", "num_predict=2", "hello"])
        .ok();
    let ps = home.slm(&["ps", "--json"]).ok();
    let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
    let reason = ps["models"][0]["device_reason"]
        .as_str()
        .unwrap_or_default();
    assert!(
        reason.contains("cuda cannot be used: its backend.json is damaged"),
        "{ps}"
    );
    assert!(
        reason.contains("vulkan cannot be used: it was built from other-1"),
        "{ps}"
    );
    drop(daemon);

    home.set("SLM_BACKEND", "vulkan");
    let daemon = home.daemon();
    let refused = home.slm(&["run", "tiny", "hello"]);
    let error = refused.fails(1);
    assert!(
        error.contains("the backend vulkan cannot be used: it was built from other-1"),
        "{error}"
    );
    drop(daemon);
}

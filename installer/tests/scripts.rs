//! The install and test scripts: usage, and messages of failures.
#![expect(clippy::disallowed_methods, reason = "the tests run the scripts")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn the_scripts_have_a_help() {
    for script in ["install.sh", "test.sh"] {
        let output = run(Command::new("sh").arg(folder().join(script)).arg("--help"));
        assert!(output.status.success(), "{script}: {}", stderr(&output));
        assert!(
            String::from_utf8_lossy(&output.stdout).starts_with("Usage: installer/"),
            "{script}"
        );
    }
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let output = run(Command::new("sh")
        .arg(folder().join("install.sh"))
        .arg("--prefxi=/tmp"));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("Usage: installer/install.sh"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_option_without_its_value_is_an_error() {
    let output = run(Command::new("sh")
        .arg(folder().join("install.sh"))
        .arg("--prefix"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "slm: error: --prefix needs a folder\n");
}

#[test]
fn a_backend_adds_its_packages() {
    for (backends, package) in [("vulkan", " glslc"), ("opencl,openvino", " patch")] {
        let output = needs(&format!("backends={backends}; missing_packages"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(package), "{backends}: {said}");
    }
    let output = needs("missing_packages");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("glslc"), "{said}");
}

#[test]
fn without_apt_the_missing_packages_are_named() {
    let output = needs("need_packages");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for package in ["cmake", "g++", "make", "python3-pip", "curl"] {
        assert!(
            said.contains(&format!(" {package}")),
            "{package} is not named: {said}"
        );
    }
    assert!(
        said.contains("install them with this system's package manager"),
        "{said}"
    );
}

#[test]
fn a_command_for_root_fails_without_sudo() {
    let output = needs("id() { echo 1000; }; as_root true");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("slm: error: root is needed for: true"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_build_folder_is_shared_unless_named() {
    let output = needs("use_target; unset CARGO_TARGET_DIR; XDG_CACHE_HOME=/cache; use_target");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "slm: building in /elsewhere\n\
         slm: the first build takes about ten minutes on two cores, half of it in llama-cpp-sys-2; later builds are incremental\n\
         slm: building in /cache/slm/target\n\
         slm: the first build takes about ten minutes on two cores, half of it in llama-cpp-sys-2; later builds are incremental\n"
    );
}

#[test]
fn the_installer_is_built_with_the_features_of_slm() {
    let output = needs("cargo() { echo \"cargo $*\"; }; installer install --prefix /p");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "cargo run --release --locked --bin installer -- install --prefix /p\n"
    );
}

#[test]
fn the_build_of_another_checkout_is_removed() {
    let target = tempfile::tempdir().expect("a folder can be made");
    let line = format!(
        "CARGO_TARGET_DIR='{}'; cargo() {{ echo \"cargo $*\"; }}; own_target; own_target",
        target.path().display()
    );
    let cleaned = || {
        let output = needs(&line);
        assert!(output.status.success(), "{}", stderr(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.matches("cargo clean --quiet --release --workspace")
            .count()
    };
    assert_eq!(cleaned(), 0, "nothing was built yet");
    std::fs::create_dir(target.path().join("release")).expect("a folder can be made");
    assert_eq!(cleaned(), 0, "the folder belongs to this checkout");
    std::fs::write(target.path().join("slm-checkout"), "/another\n")
        .expect("a file can be written");
    assert_eq!(cleaned(), 1);
    std::fs::remove_file(target.path().join("slm-checkout")).expect("it is there");
    assert_eq!(cleaned(), 1, "the owner of the folder is unknown");
}

/// Runs a line of shell after needs.sh, with an empty PATH.
fn needs(line: &str) -> Output {
    let script = format!(
        "set -eu; . '{}'; {line}",
        folder().join("needs.sh").display()
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).env_clear();
    run(command
        .env("HOME", "/nowhere")
        .env("PATH", "/nowhere")
        .env("CARGO_TARGET_DIR", "/elsewhere"))
}

fn run(command: &mut Command) -> Output {
    command.output().expect("a shell can be started")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

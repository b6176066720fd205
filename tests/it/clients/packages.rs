//! The pinned packages of clients, installed once into the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The folder with the scripts and the lock files.
pub(super) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The folder with the packages of the Python index; `None` offline.
pub(super) fn python() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let lock = sources().join("python/requirements.txt");
        // Compiled packages fit one version of Python.
        let version = said(Command::new("python3").arg("--version"));
        installed("python", &[&read(&lock), &version], |folder| {
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-compile",
                "--no-deps",
            ])
            .args([
                "--disable-pip-version-check",
                "--root-user-action",
                "ignore",
            ])
            .args(["--require-hashes", "--only-binary", ":all:"])
            .arg("--target")
            .arg(folder)
            .arg("--requirement")
            .arg(&lock);
            run(&mut pip);
        })
    });
    folder.as_deref()
}

/// The folder `node_modules` with the packages of npm; `None` offline.
pub(super) fn node() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let names = ["package.json", "package-lock.json"];
        let locks = names.map(|name| sources().join("node").join(name));
        let texts = locks.each_ref().map(|path| read(path));
        let folder = installed("node", &[&texts[0], &texts[1]], |folder| {
            for (name, text) in names.iter().zip(&texts) {
                fs::write(folder.join(name), text).expect("a fresh folder");
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .args(["--loglevel", "error"])
                .current_dir(folder);
            run(&mut npm);
        });
        folder.map(|folder| folder.join("node_modules"))
    });
    folder.as_deref()
}

/// The program of `tests/clients/rust`; `None` offline.
pub(super) fn rust() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let folder = sources().join("rust");
        let here = cargo("fetch", &folder).arg("--offline").output();
        if !here.is_ok_and(|output| output.status.success()) {
            if is_offline() {
                return None;
            }
            run(&mut cargo("fetch", &folder));
        }
        Some(build(&folder).join("debug/client"))
    });
    program.as_deref()
}

/// Builds the crate in this folder, whose crates have been fetched, and returns the folder of its output.
pub(super) fn build(folder: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let mut build = cargo("build", folder);
    build.args(["--quiet", "--offline", "--target-dir"]);
    run(build.arg(&target));
    target
}

/// A command of cargo on the crate in this folder.
fn cargo(command: &str, folder: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([command, "--locked", "--manifest-path"]);
    cargo.arg(folder.join("Cargo.toml"));
    cargo
}

/// The folder of packages that these locks describe; `install` fills it if it is missing.
fn installed(kind: &str, locks: &[&str], install: impl FnOnce(&Path)) -> Option<PathBuf> {
    let digest = Sha256::digest(locks.concat());
    let key: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let cache = cache().join("slm/clients");
    let folder = cache.join(format!("{kind}-{key}"));
    if folder.exists() {
        return Some(folder);
    }
    if is_offline() {
        return None;
    }
    fs::create_dir_all(&cache).expect("a writable cache folder");
    // Renamed when it is complete. Another test process may have been faster.
    let new = TempDir::with_prefix_in("installing-", &cache).expect("a writable cache folder");
    install(new.path());
    if fs::rename(new.path(), &folder).is_err() {
        assert!(folder.exists(), "{} cannot be created", folder.display());
    }
    Some(folder)
}

/// Whether the user forbids the network, which a test that needs it says.
pub(super) fn is_offline() -> bool {
    let is_offline = std::env::var_os("SLM_TEST_OFFLINE").is_some();
    if is_offline {
        println!("skipped: SLM_TEST_OFFLINE is set, and the clients come from the package indexes");
    }
    is_offline
}

/// Where programs of this user keep what can be fetched again.
fn cache() -> PathBuf {
    let set = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty());
    set.map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("HOME is set");
        PathBuf::from(home).join(".cache")
    })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Standard output of a command.
fn said(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| missing(command, &error));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| missing(command, &error));
    assert!(
        status.success(),
        "{command:?} failed: {status}; without a network, set SLM_TEST_OFFLINE to skip tests that need one"
    );
}

fn missing(command: &Command, error: &std::io::Error) -> ! {
    let program = command.get_program().display();
    panic!("cannot start {program}: {error}; `installer/test.sh` installs what the tests need")
}

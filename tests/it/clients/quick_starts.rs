//! `docs/clients.md`: its programs run with SmolLM2, and its table of versions matches the lock files in `tests/clients`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::packages;
use super::service::Service;
use crate::harness::Outcome;

const PAGE: &str = include_str!("../../../docs/clients.md");

#[test]
fn the_programs_of_the_page_run_with_a_real_model() {
    let Some(service) = Service::with_smollm2() else {
        return;
    };
    let mut ran = 0;
    for (language, program) in programs() {
        let program = program.replace("http://127.0.0.1:11435", service.address());
        let mut command = match language {
            "python" => in_file(&service, "python3", "program.py", &program),
            "js" => in_file(&service, "node", "program.mjs", &program),
            "rust" => in_rust(&program),
            "sh" if program.starts_with("llm ") => in_shell(&program),
            // Answers, and the variables, which `run` sets.
            _ => continue,
        };
        let answer = run(&service, &mut command).ok();
        assert!(!answer.trim().is_empty(), "no answer to {program}");
        ran += 1;
    }
    assert!(ran >= 12, "the page has only {ran} programs");
}

#[test]
fn the_page_has_the_pinned_versions() {
    let read = |name: &str| {
        let path = packages::sources().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let python = read("python/requirements.txt");
    let node = read("node/package.json");
    let rust = read("rust/Cargo.toml");
    let mut checked = 0;
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line
            .split('|')
            .map(|cell| cell.trim_matches([' ', '`']))
            .collect();
        let (name, version) = (cells[1], cells[2]);
        let is_pinned = match cells[3] {
            "Python index" => python
                .lines()
                .any(|line| line == format!("{name}=={version} \\")),
            "npm" => node.contains(&format!("\"{name}\": \"{version}\"")),
            "crates.io" => rust.contains(&format!("{name} = {{ version = \"={version}\"")),
            other => panic!("no index {other:?}"),
        };
        assert!(is_pinned, "tests/clients does not pin {name} {version}");
        checked += 1;
    }
    assert!(checked >= 11, "the page has only {checked} versions");
}

/// The blocks of code, each with its language.
fn programs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n'))
}

/// A program in a file of its language.
fn in_file(service: &Service, language: &str, name: &str, text: &str) -> Command {
    let file = service.folder().join(name);
    fs::write(&file, text).expect("a writable directory");
    // Node looks for packages beside a program.
    let modules = service.folder().join("node_modules");
    if !modules.exists() {
        let packages = packages::node().expect("the service has them");
        std::os::unix::fs::symlink(packages, modules).expect("a fresh name");
    }
    let mut command = Command::new(language);
    command.arg(file);
    command
}

/// A program in Rust, with the crates of `tests/clients/rust`.
fn in_rust(text: &str) -> Command {
    // Always the same folder, so that only a changed program is built.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quick-start");
    fs::create_dir_all(folder.join("src")).expect("a writable directory");
    for name in ["Cargo.toml", "Cargo.lock"] {
        let source = packages::sources().join("rust").join(name);
        let source = fs::read_to_string(source).expect("a file of this project");
        // A program with the name of the other one would replace it.
        let renamed = source.replace("\"client\"", "\"quick-start\"");
        write(&folder.join(name), &renamed);
    }
    write(&folder.join("src/main.rs"), text);
    Command::new(packages::build(&folder).join("debug/quick-start"))
}

/// Writes a file unless it has this text.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("a writable directory");
}

/// Lines for a shell, with the programs of the Python packages.
fn in_shell(text: &str) -> Command {
    let python = packages::python().expect("the service has them");
    let user = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(python.join("bin")).chain(std::env::split_paths(&user));
    let path = std::env::join_paths(folders).expect("no folder has a separator");
    let mut command = Command::new("sh");
    command.args(["-ec", text]).env("PATH", path);
    command
}

/// Runs a program with the variables of the page.
fn run(service: &Service, command: &mut Command) -> Outcome {
    let python = packages::python().expect("the service has them");
    let address = service.address();
    command
        .env("PYTHONPATH", python)
        .env("PYTHONPYCACHEPREFIX", python.join("compiled"))
        .env("OLLAMA_HOST", address)
        .env("OPENAI_BASE_URL", format!("{address}/v1"))
        .env("OPENAI_API_KEY", "slm")
        .env("ANTHROPIC_BASE_URL", address)
        .env("ANTHROPIC_API_KEY", "slm");
    service.finish(command)
}

//! A temporary home for each test: store and programs, isolated from the machine's user.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{Daemon, Outcome};

/// The program with the name `slm-runner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The mock runner: deterministic, and fails on command.
    Mock,
    /// llama.cpp, as built beside the tests.
    Real,
}

/// A directory with `bin/` (the programs under test) and `home/` (`SLM_HOME`), removed with the value.
#[derive(Debug)]
pub(crate) struct Home {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

impl Home {
    /// A fresh home with this engine.
    pub(crate) fn new(engine: Engine) -> Self {
        // On the file system of the programs, so that they can be linked instead of copied.
        let dir = TempDir::with_prefix_in("home-", env!("CARGO_TARGET_TMPDIR"))
            .expect("a temporary directory");
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).expect("a fresh directory");
        // Hard links, because slm looks for slmd, and slmd for slm-runner, beside its own resolved path.
        link(
            Path::new(env!("CARGO_BIN_EXE_slm-under-test")),
            &bin.join("slm"),
        );
        link(
            Path::new(env!("CARGO_BIN_EXE_slmd-under-test")),
            &bin.join("slmd"),
        );
        match engine {
            Engine::Mock => link(
                Path::new(env!("CARGO_BIN_EXE_mock-under-test")),
                &bin.join("slm-runner"),
            ),
            Engine::Real => {
                let built = built();
                let runner = built.join("slm-runner");
                assert!(
                    runner.exists(),
                    "{} is missing: build it with `cargo build --release -p engine`",
                    runner.display()
                );
                link(&runner, &bin.join("slm-runner"));
                std::os::unix::fs::symlink(built.join("slm-lib"), bin.join("slm-lib"))
                    .expect("a fresh name");
            }
        }
        fs::create_dir(dir.path().join("home")).expect("a fresh directory");
        Self {
            dir,
            environment: Vec::new(),
        }
    }

    /// Sets a variable for every program of this home.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The directory with all files of this test.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `SLM_HOME`.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Writes a file beside the home and returns its path.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).expect("a writable temporary directory");
        path
    }

    /// A program of this home, with an environment of its own variables only.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.dir.path().join("bin").join(name));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("SLM_HOME", self.home())
            // Nothing listens there, so no request leaves this machine.
            .env("SLM_LIBRARY", "http://127.0.0.1:9")
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .env("NO_COLOR", "1")
            .env("TERM", "dumb")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `slm` with these arguments to its end.
    pub(crate) fn slm(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(
            self.program("slm")
                .args(arguments)
                .output()
                .expect("slm starts"),
        )
    }

    /// Starts the daemon of this home and waits until it serves.
    pub(crate) fn daemon(&self) -> Daemon {
        Daemon::start(self)
    }

    /// Creates the model `name` from a Modelfile; its paths are relative to [`Home::dir`].
    pub(crate) fn create(&self, name: &str, modelfile: &str) -> Outcome {
        let path = self.file(
            &format!("{}.modelfile", name.replace(['/', ':'], "_")),
            modelfile,
        );
        self.slm(&[
            "create",
            name,
            "-f",
            path.to_str().expect("a path in UTF-8"),
        ])
    }

    /// Creates a tiny random model, which the real engine can load.
    pub(crate) fn create_tiny(&self, name: &str) {
        self.file("tiny.gguf", gguf_writer::tiny::llama(7));
        self.create(name, "FROM ./tiny.gguf\n").ok();
    }

    /// Posts JSON to a route of the daemon, and returns the JSON of its answer.
    ///
    /// # Panics
    /// If the status is not 200.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let socket = self.home().join("run/slmd.sock");
        let mut socket = UnixStream::connect(socket).expect("the daemon serves");
        let body = body.to_string();
        let length = body.len();
        write!(
            socket,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("the daemon reads");
        let mut answer = String::new();
        socket
            .read_to_string(&mut answer)
            .expect("the daemon answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).expect("JSON")
    }

    /// Asserts that the store has no damage.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let report = self.slm(&["verify", "--json"]);
        assert_eq!(
            report.code, 0,
            "the store is not clean: {}{}",
            report.stdout, report.stderr
        );
    }
}

/// The folder of this build's programs.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    test.parent()
        .and_then(Path::parent)
        .expect("tests lie in <profile>/deps")
        .to_owned()
}

fn link(program: &Path, name: &Path) {
    fs::hard_link(program, name)
        .or_else(|_| fs::copy(program, name).map(drop))
        .unwrap_or_else(|error| panic!("cannot link {}: {error}", program.display()));
}

//! A daemon with the models that the scripts use, and one run of a script.

use std::fs;
use std::path::Path;
use std::process::Command;

use gguf_writer::tiny_bert::{self, Pooling};
use gguf_writer::{tiny, vision};
use serde_json::Value;

use super::packages;
use crate::harness::{Daemon, Engine, Home, Outcome};

/// A chat template with the words by which a model is known to have tools and thinking.
const ABLE: &str = "{% if tools %}{{ tools }}{% endif %}{% for m in messages %}{{ m.tool_calls }}{% endfor %}<think>";

/// A daemon that the scripts reach over TCP.
pub(super) struct Service {
    home: Home,
    _daemon: Daemon,
    address: String,
}

impl Service {
    /// Runs a script of `tests/clients/python` against the mock runner.
    #[track_caller]
    pub(super) fn run_python(script: &str) {
        if packages::python().is_some() {
            Self::with_mock().python(script, "able").ok();
        }
    }

    /// Runs a script of `tests/clients/node` against the mock runner.
    #[track_caller]
    pub(super) fn run_node(script: &str) {
        if packages::node().is_some() {
            Self::with_mock().node(script, "able").ok();
        }
    }

    /// Runs the program of `tests/clients/rust` against the mock runner.
    #[track_caller]
    pub(super) fn run_rust() {
        if let Some(program) = packages::rust() {
            let mut command = Command::new(program);
            Self::with_mock()
                .finish(command.env("SLM_MODEL", "able"))
                .ok();
        }
    }

    /// A daemon with mock runners and four models:
    /// `able` has tools and thinking, `plain` neither, `vectors` gives embeddings, and `eye` takes images.
    fn with_mock() -> Self {
        let service = Self::start(Home::new(Engine::Mock));
        let home = &service.home;
        let able = tiny::writer(7).replace("tokenizer.chat_template", ABLE);
        home.file("able.gguf", able.to_bytes());
        home.file("tiny.gguf", tiny::llama(7));
        home.file("bert.gguf", tiny_bert::bert(7, Pooling::Mean));
        home.file("mmproj.gguf", vision::projector(7, vision::Kind::Causal));
        home.create("able", "FROM ./able.gguf\n").ok();
        home.create("plain", "FROM ./tiny.gguf\n").ok();
        home.create("vectors", "FROM ./bert.gguf\n").ok();
        home.create("eye", "FROM ./tiny.gguf\nFROM ./mmproj.gguf\n")
            .ok();
        service
    }

    /// A daemon with the real engine and SmolLM2, whose answers are cut short; `None` offline.
    pub(super) fn with_smollm2() -> Option<Self> {
        packages::python()?;
        packages::node()?;
        packages::rust()?;
        if packages::is_offline() {
            return None;
        }
        let service = Self::start(Home::new(Engine::Real));
        service.home.slm(&["pull", "smollm2"]).ok();
        let short = "FROM smollm2\nPARAMETER num_predict 24\n";
        service.home.create("smollm2", short).ok();
        Some(service)
    }

    /// The address of the daemon.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// A folder for the files of this test.
    pub(super) fn folder(&self) -> &Path {
        self.home.dir()
    }

    fn start(home: Home) -> Self {
        let daemon = home.daemon();
        let note = fs::read(home.home().join("run/slmd.json")).expect("the daemon serves");
        let note: Value = serde_json::from_slice(&note).expect("JSON");
        let address = format!("http://{}", note["tcp"].as_str().expect("an address"));
        Self {
            home,
            _daemon: daemon,
            address,
        }
    }

    fn python(&self, script: &str, model: &str) -> Outcome {
        let mut command = Command::new("python3");
        command.arg(packages::sources().join("python").join(script));
        let packages = packages::python().expect("the caller has asked");
        self.finish(
            command
                .env("PYTHONPATH", packages)
                // Compiled files beside the packages serve the next run, and none lie beside the scripts.
                .env("PYTHONPYCACHEPREFIX", packages.join("compiled"))
                .env("SLM_MODEL", model),
        )
    }

    fn node(&self, script: &str, model: &str) -> Outcome {
        // Node looks for packages in the folders above a script.
        let folder = self.home.dir().join("node");
        fs::create_dir(&folder).expect("a fresh directory");
        let packages = packages::node().expect("the caller has asked");
        std::os::unix::fs::symlink(packages, folder.join("node_modules")).expect("a fresh name");
        for name in [script, "service.mjs"] {
            let source = packages::sources().join("node").join(name);
            fs::copy(source, folder.join(name)).expect("a script of this project");
        }
        let mut command = Command::new("node");
        self.finish(command.arg(folder.join(script)).env("SLM_MODEL", model))
    }

    /// Runs a script with an environment of its own variables only.
    pub(super) fn finish(&self, command: &mut Command) -> Outcome {
        let variables: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let output = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables)
            .env("HOME", self.home.dir())
            .env("SLM_ADDRESS", &self.address)
            .current_dir(self.home.dir())
            .output()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Outcome::of(output)
    }
}

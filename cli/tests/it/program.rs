//! Runs `slm` in a temporary home.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A home, and the program in it.
pub(crate) struct Home(TempDir);

/// How a run of `slm` ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        // Short, because the path of a Unix socket is limited to 108 bytes.
        Self(TempDir::with_prefix("slm").unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file below the home.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `slm` with `arguments`, with only this home in its environment.
    pub(crate) fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("SLM_HOME", self.path())
            // Nothing listens there, so no request leaves this machine.
            .env("SLM_LIBRARY", "http://127.0.0.1:9")
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .env("HOME", self.path())
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", "1")
            .current_dir(self.path());
        command
    }

    /// Runs it with nothing piped in.
    pub(crate) fn slm(&self, arguments: &[&str]) -> Ran {
        self.slm_with(arguments, "")
    }

    /// Runs it with `stdin` piped in.
    pub(crate) fn slm_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        self.run(&mut self.command(slm(), arguments), stdin)
    }

    /// Runs any command; in its output, `HOME` replaces the home's path.
    pub(crate) fn run(&self, command: &mut Command, stdin: &str) -> Ran {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let home = self.path().display().to_string();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&home, "HOME");
        Ran {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// The program under test.
pub(crate) fn slm() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_slm"))
}

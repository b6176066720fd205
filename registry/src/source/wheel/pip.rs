//! The program that fetches packages.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{Child, Ended};
use super::pip_output::PipOutput;
use crate::error::Result;
use crate::source::Error;
use crate::{Reporter, Stage, fs};

/// The program that fetches packages, and how long it may be silent.
#[derive(Debug, Clone)]
pub struct Pip {
    /// The program, called as `pip` is; without one, `python3 -m pip`, `pip3` and `pip` are tried.
    pub program: Option<PathBuf>,
    /// How long nothing may come before the download is given up.
    pub patience: Duration,
}

impl Default for Pip {
    fn default() -> Self {
        Self {
            program: None,
            patience: Duration::from_secs(120),
        }
    }
}

impl Pip {
    /// Fetches a package, `package==version`, into `folder`; returns the path of its archive.
    ///
    /// `needed` is what an error says when the disk is full, and `size` what progress expects until pip announces it; both in bytes.
    pub(super) async fn download(
        &self,
        requirement: String,
        folder: &Path,
        needed: u64,
        size: Option<u64>,
        reporter: &Reporter,
    ) -> Result<PathBuf> {
        let no_space = || crate::Error::NoSpace {
            path: folder.into(),
            needed,
            available: fs::available(folder),
        };
        let (packages, temporary) = (folder.join("packages"), folder.join("temporary"));
        for folder in [&packages, &temporary] {
            fs::create_folder(folder)?;
        }
        let mut tried = Vec::new();
        for command in self.commands() {
            let words = arguments(&requirement, &packages);
            let child = Child::start(&command, &words, &temporary);
            let child = match child {
                Ok(child) => child,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    tried.push(in_words(&command));
                    continue;
                }
                Err(source) => return Err(not_started(&command, source)),
            };
            let stage = Stage::DownloadingPackage(requirement.clone());
            let ended = child
                .watch(folder, self.patience, size, stage, reporter)
                .await;
            let (outcome, output) = match ended {
                Ended::Stalled => {
                    let seconds = self.patience.as_secs();
                    return Err(Error::Stalled {
                        requirement,
                        seconds,
                    }
                    .into());
                }
                Ended::Lost(source) => return Err(not_started(&command, source)),
                Ended::With(outcome, output) => (outcome, output),
            };
            if outcome.success() {
                return found(&packages, requirement);
            }
            // Pip also says other things when its disk is full, so that comes first.
            if output.is_out_of_space() {
                return Err(no_space());
            }
            if output.is_pip_missing() {
                tried.push(in_words(&command));
                continue;
            }
            return Err(explain(requirement, &outcome.to_string(), &output).into());
        }
        let tried = tried.join(", ");
        Err(Error::PipMissing { tried }.into())
    }

    /// The commands to try, in order.
    fn commands(&self) -> Vec<Vec<OsString>> {
        match &self.program {
            Some(program) => vec![vec![program.into()]],
            None => [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]]
                .map(|words| words.iter().map(OsString::from).collect())
                .to_vec(),
        }
    }
}

/// What pip is asked for: this package, nothing it depends on, as an archive, without running any of its code.
fn arguments(requirement: &str, packages: &Path) -> Vec<OsString> {
    let words = [
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
        "-d",
    ];
    let mut words: Vec<OsString> = words.map(OsString::from).to_vec();
    words.push(packages.into());
    words.push(requirement.into());
    words
}

fn in_words(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

fn not_started(command: &[OsString], source: std::io::Error) -> crate::Error {
    crate::Error::Io {
        action: "run",
        path: PathBuf::from(&command[0]),
        source,
    }
}

fn explain(requirement: String, status: &str, output: &PipOutput) -> Error {
    let status = status.to_owned();
    // Pip also reports a missing package when it could not reach the index, so the network errors are looked for first.
    if output.is_offline() {
        let said = output.last();
        Error::Offline { requirement, said }
    } else if output.is_not_found() {
        Error::PackageNotFound { requirement }
    } else {
        let said = output.last();
        Error::PipFailed {
            requirement,
            status,
            said,
        }
    }
}

/// The one archive that pip left.
fn found(packages: &Path, requirement: String) -> Result<PathBuf> {
    let names = fs::names(packages)?;
    match names.iter().find(|name| name.ends_with(".whl")) {
        Some(name) => Ok(packages.join(name)),
        None => Err(Error::NoWheel { requirement }.into()),
    }
}

//! `cargo xtask check`: all checks and tests of the project; CI runs the same command.
//!
//! Everything is built in the release profile, so that the native code is compiled once for lints, tests and executables.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::deny;
use installer::native::{self, Processors};
use installer::workspace::Workspace;
use installer::{environment, process, say};

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these stages, in the usual order.
    #[arg(value_enum)]
    stages: Vec<Stage>,
}

/// A stage of the check, from cheap to expensive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stage {
    /// The code is formatted.
    Format,
    /// `deny.toml` permits all crates, licences and sources.
    Deny,
    /// Libraries and programs obey every lint, and every ban of `clippy.toml`.
    Lint,
    /// Tests, examples and benches obey every lint, except the bans of `clippy.toml`.
    LintTests,
    /// The documentation builds without a warning.
    Doc,
    /// The executables build.
    Build,
    /// The backend module that tests use builds: Vulkan's.
    Backend,
    /// The tests pass.
    Test,
}

impl Stage {
    pub(crate) const ALL: [Self; 8] = [
        Self::Format,
        Self::Deny,
        Self::Lint,
        Self::LintTests,
        Self::Doc,
        Self::Build,
        Self::Backend,
        Self::Test,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Deny => "deny",
            Self::Lint => "lint",
            Self::LintTests => "lint-tests",
            Self::Doc => "doc",
            Self::Build => "build",
            Self::Backend => "backend",
            Self::Test => "test",
        }
    }

    /// Whether it needs llama.cpp.
    pub(crate) fn is_native(self) -> bool {
        !matches!(self, Self::Format | Self::Deny)
    }

    pub(crate) fn command(self, workspace: &Workspace) -> Result<Command> {
        let whole = |verb| workspace.whole(verb);
        let mut command;
        match self {
            Self::Format => command = workspace.cargo(&["fmt", "--all", "--check"]),
            Self::Deny => command = deny::command(workspace)?,
            Self::Lint => {
                command = whole("clippy");
                command.args(["--lib", "--bins", "--", "-D", "warnings"]);
            }
            Self::LintTests => {
                command = whole("clippy");
                command.args(["--all-targets", "--", "-D", "warnings"]);
                // A test that skips itself prints the reason.
                command.args([
                    "-A",
                    "clippy::disallowed_methods",
                    "-A",
                    "clippy::print_stdout",
                ]);
            }
            Self::Doc => {
                command = whole("doc");
                command.arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings");
            }
            Self::Build => {
                command = whole("build");
                command.arg("--bins");
            }
            Self::Backend => {
                command = process::command(environment::program()?);
                command.args(["backend", "vulkan"]);
            }
            Self::Test => {
                command = whole("test");
                command.arg("--no-fail-fast").args(unoptimised());
            }
        }
        Ok(command)
    }
}

/// Compiles the workspace's crates without optimisation, in a quarter of the time, and keeps the builds of all others.
/// The engine is excepted: its executable would replace the one that gets installed.
fn unoptimised() -> impl Iterator<Item = String> {
    let ours = [
        "api",
        "cli",
        "daemon",
        "gguf-writer",
        "modelfile",
        "registry",
        "tests",
    ];
    ours.into_iter().flat_map(|name| {
        [
            "--config".to_owned(),
            format!("profile.release.package.{name}.opt-level=0"),
        ]
    })
}

/// Runs the stages; the first that fails ends the check.
///
/// # Errors
/// Names the stage that failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let chosen = |stage: &Stage| options.stages.is_empty() || options.stages.contains(stage);
    let started = Instant::now();
    let mut passed = Vec::new();
    if Stage::ALL
        .iter()
        .any(|stage| chosen(stage) && stage.is_native())
    {
        native::prepare(workspace, Processors::Ours)?;
    }
    for stage in Stage::ALL.into_iter().filter(chosen) {
        say::title(stage.name());
        let began = Instant::now();
        stage
            .command(workspace)
            .and_then(|mut command| process::run(&mut command))
            .with_context(|| {
                format!(
                    "the stage `{}` failed after {}",
                    stage.name(),
                    say::duration(began.elapsed())
                )
            })?;
        passed.push(format!(
            "{} {}",
            stage.name(),
            say::duration(began.elapsed())
        ));
    }
    say::title(&format!(
        "all in order after {}: {}",
        say::duration(started.elapsed()),
        passed.join(", ")
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_stage_runs_and_is_called_what_it_prints() {
        assert_eq!(Stage::ALL, Stage::value_variants());
        for stage in Stage::ALL {
            let value = stage.to_possible_value().expect("no stage is hidden");
            assert_eq!(value.get_name(), stage.name());
        }
    }
}

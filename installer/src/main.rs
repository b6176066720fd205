//! `cargo xtask`: the tasks of the project as one program.
//!
//! It knows how the project is built, checked, measured and installed, and nothing of the product's inside:
//! it builds the executables, runs them, and talks to them as any other client.

mod backend;
mod catalog;
mod check;
mod deny;
mod install;
mod parity;
mod sqlx;
mod templates;
#[cfg(test)]
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use installer::workspace::Workspace;
use installer::{peer, process, say};

/// Tasks of the slm project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format, lint, document, audit, build and test: all that CI does.
    Check(check::Options),
    /// Build in release, and install the executables and the engine's modules.
    Install(install::Options),
    /// Build the modules of accelerators, such as `vulkan`, or list them with what they need.
    Backend(backend::Options),
    /// Remove the installed files; models stay.
    Uninstall(install::Options),
    /// Update `registry/.sqlx`, the descriptions of SQL queries for the compile-time check.
    Sqlx,
    /// Build llama.cpp's own programs, for comparisons.
    Peer,
    /// Test every chat template of llama.cpp, and write the table of `docs/templates.md`.
    Templates,
    /// Query every source of the built-in catalog for size and digest, and fill them in; needs the internet.
    Catalog(catalog::Options),
    /// Compare greedy text with llama.cpp's own program on the same file.
    Parity(parity::Options),
    /// Measure, and write the tables of `docs/benchmarks.md`.
    #[command(disable_help_flag = true)]
    Bench {
        /// What the program in `tests/bench` is to measure; it explains `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Check(options) => check::run(&workspace, &options),
        Task::Install(options) => install::install(&workspace, &options),
        Task::Backend(options) => backend::run(&workspace, &options),
        Task::Uninstall(options) => install::uninstall(&options),
        Task::Sqlx => sqlx::run(&workspace),
        Task::Peer => peer::build(),
        Task::Templates => templates::run(&workspace),
        Task::Catalog(options) => catalog::run(&workspace, &options),
        Task::Parity(options) => parity::run(&workspace, &options),
        Task::Bench { arguments } => process::replace(workspace.bench().args(arguments)),
    }
}

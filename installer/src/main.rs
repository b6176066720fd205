//! `cargo xtask`: every chore of the project as one program.
//!
//! It knows how the project is built, checked, measured and installed, and nothing of what the product does inside:
//! it builds the executables, runs them, and talks to them as any other client would.

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

/// Chores of the slm project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Format, lint, document, audit, build and test: all that CI does.
    Check(check::Options),
    /// Build in release, and install the executables and the engine's modules.
    Install(install::Options),
    /// Remove what `install` put in place; models stay.
    Uninstall(install::Options),
    /// Describe every SQL query again for the compile-time check in `registry/.sqlx`.
    Sqlx,
    /// Build llama.cpp's own programs, which the project is compared with.
    Peer,
    /// Try every chat template that llama.cpp ships, and write the table of `docs/templates.md`.
    Templates,
    /// Ask every source of the built-in catalog for size and digest, and write them in; needs the internet.
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
    match run(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match chore {
        Chore::Check(options) => check::run(&workspace, &options),
        Chore::Install(options) => install::install(&workspace, &options),
        Chore::Uninstall(options) => install::uninstall(&options),
        Chore::Sqlx => sqlx::run(&workspace),
        Chore::Peer => peer::build(),
        Chore::Templates => templates::run(&workspace),
        Chore::Catalog(options) => catalog::run(&workspace, &options),
        Chore::Parity(options) => parity::run(&workspace, &options),
        Chore::Bench { arguments } => process::replace(workspace.bench().args(arguments)),
    }
}

//! `cargo xtask backend`: builds the backend modules of accelerators, which runners load when the daemon asks for them.
//!
//! A module is built from the sources of llama.cpp that the engine is built from, because the two share structures in memory.
//! It is laid beside the runner with its libraries and its description:
//!
//! ```text
//! <target>/backends/vulkan/              the build
//! <target>/release/slm-lib/vulkan/       the result, which `install` copies
//!     backend.json                       see `description`
//!     libggml-vulkan.so
//! ```

mod build;
mod cuda;
mod description;
mod kinds;
mod needs;
mod openvino;
mod sources;

use anyhow::{Result, bail};

use installer::say;
use installer::workspace::Workspace;

pub(crate) use description::FILE as DESCRIPTION;
pub(crate) use kinds::{KINDS, Kind};

/// What to build.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Names of backends, such as `vulkan`; without any, all are listed with what they need.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Files that are compiled at a time [default: one for each processor].
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
}

/// Builds the named modules, or lists all.
///
/// # Errors
/// A name is unknown, or something that its build needs is missing, or the build fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.names.is_empty() {
        return list(workspace);
    }
    for kind in named(&options.names)? {
        build::build(workspace, kind, options.jobs)?;
    }
    Ok(())
}

/// Builds these modules, if they are not built yet.
///
/// # Errors
/// As [`run`].
pub(crate) fn build(workspace: &Workspace, names: &[String]) -> Result<()> {
    for kind in named(names)? {
        build::build(workspace, kind, None)?;
    }
    Ok(())
}

/// The backends of these names, in the order of the names.
///
/// # Errors
/// A name is unknown.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Kind>> {
    names
        .iter()
        .map(|name| match KINDS.iter().find(|kind| kind.name == name) {
            Some(kind) => Ok(kind),
            None => {
                let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
                bail!("there is no backend {name}; known are {}", known.join(", "))
            }
        })
        .collect()
}

/// Prints all backends: built or not, and what is missing for a build.
fn list(workspace: &Workspace) -> Result<()> {
    for kind in KINDS {
        let state = match (build::is_built(workspace, kind)?, kind.missing()) {
            (true, _) => "is built".to_owned(),
            (false, missing) if missing.is_empty() => "can be built".to_owned(),
            (false, missing) => format!("needs {}", missing.join("\n              and ")),
        };
        say::line(&format!("{:<9} {}", kind.name, kind.about));
        say::line(&format!("          {state}"));
    }
    say::line("cargo xtask backend NAME builds one; docs/backends.md describes each.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let found = named(&names(&["openvino", "vulkan"])).expect("both are known");
        assert_eq!(found[1].name, "vulkan");
        let error = named(&names(&["volcano"])).expect_err("it is unknown");
        assert!(
            error
                .to_string()
                .starts_with("there is no backend volcano; known are vulkan, "),
            "{error}"
        );
    }
}

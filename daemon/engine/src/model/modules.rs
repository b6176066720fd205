//! The CPU modules beside the program, and the choice of one.
//!
//! llama.cpp's CPU backend is built once for each set of instructions (`libggml-cpu-zen4.so`), and a module says by a score whether
//! this processor has what it was compiled for. That does not say that it works: a compiler may have got an instruction wrong, and a
//! virtual machine may claim one that it does not have. So [`choose`] starts a process for each candidate, best first, in which the
//! module computes a little of everything ([`check`]); the first one whose results are right is taken.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    error::Error,
    ffi,
    model::kernels::{self, Switch},
    system::{child, fs},
};

/// Where the modules lie, seen from the program's folder: after a build, and after an installation.
const PLACES: [&str; 2] = ["slm-lib", "../lib/slm"];

const CPU: &str = "libggml-cpu-";

/// The folder of the modules.
pub(crate) fn folder() -> Option<PathBuf> {
    let program = fs::program()?;
    PLACES
        .iter()
        .map(|place| program.with_file_name(place))
        .find(|folder| folder.is_dir())
}

/// Loads the CPU module called `cpu`, or without a name the one with the best score.
///
/// # Errors
/// [`Error::Internal`] when there are no modules, or the CPU module cannot be loaded.
pub(crate) fn load(cpu: Option<&str>) -> Result<(), Error> {
    let folder = folder().ok_or_else(|| {
        Error::Internal(format!(
            "no backend modules beside the program, in {}",
            PLACES.join(" or ")
        ))
    })?;
    let chosen = match cpu {
        Some(name) => fs::list(&folder)
            .into_iter()
            .find(|path| variant(path) == Some(name)),
        None => candidates(&folder).into_iter().next(),
    };
    match chosen {
        Some(path) if ffi::modules::load(&path) => Ok(()),
        _ => Err(Error::Internal(format!(
            "no CPU module {} in {} works on this machine",
            cpu.unwrap_or("at all"),
            folder.display()
        ))),
    }
}

/// The CPU modules that can run here by their own account, best first.
fn candidates(folder: &Path) -> Vec<PathBuf> {
    let mut scored: Vec<_> = fs::list(folder)
        .into_iter()
        .filter(|path| variant(path).is_some())
        .filter_map(|path| Some((ffi::modules::score(&path)?, path)))
        .collect();
    scored.sort_by(|one, other| other.cmp(one));
    scored.into_iter().map(|(_, path)| path).collect()
}

/// `zen4` of `/opt/slm/libggml-cpu-zen4.so`.
pub(crate) fn variant(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(CPU)?.strip_suffix(".so")
}

/// Loads one CPU module and has it compute; says how many operations were right. The process may crash.
///
/// # Errors
/// The module cannot be loaded, or computes something else; says which operation.
pub(crate) fn check(name: &str, switch: Switch) -> Result<u32, String> {
    load(Some(name)).map_err(|error| error.to_string())?;
    kernels::add(switch);
    ffi::modules::check()
}

/// Checks the CPU modules, best first, until one is right, and leaves out the named ones.
///
/// Answers what the daemon keeps:
/// `{"module": "zen4", "tried": [{"module": "sapphirerapids", "fault": "…"}, {"module": "zen4", "operations": 41}]}`.
///
/// # Errors
/// [`Error::Internal`] when no module is right; it says what was wrong with each.
pub(crate) fn choose(without: &[&str], switch: Switch) -> Result<Value, Error> {
    let candidates = folder().map(|folder| candidates(&folder));
    let mut tried = Vec::new();
    for path in candidates.unwrap_or_default() {
        let Some(name) = variant(&path).filter(|name| !without.contains(name)) else {
            continue;
        };
        match check_apart(name, switch) {
            Ok(operations) => {
                tried.push(json!({"module": name, "operations": operations}));
                return Ok(json!({"module": name, "tried": tried}));
            }
            Err(fault) => tried.push(json!({"module": name, "fault": fault})),
        }
    }
    Err(Error::Internal(format!(
        "no CPU module works on this machine: {}",
        Value::from(tried)
    )))
}

/// Runs [`check`] in another process.
fn check_apart(name: &str, switch: Switch) -> Result<u32, String> {
    let mut arguments = vec!["check", name];
    arguments.extend(switch.argument());
    let ended = child::run(&arguments, child::Environment::Empty)
        .map_err(|fault| format!("its check {fault}"))?;
    let said = ended.output.trim();
    match said.parse() {
        Ok(operations) if ended.status.success() => Ok(operations),
        _ if ended.status.code().is_some() && !said.is_empty() => {
            Err(format!("wrong result: {said}"))
        }
        _ => Err(format!("its check ended by {}", ended.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_module_is_told_by_its_file_name() {
        for (path, expected) in [
            ("/opt/my models/lib/slm/libggml-cpu-zen4.so", Some("zen4")),
            ("/usr/lib/libggml-base.so.0", None),
            ("/usr/lib/libggml-vulkan.so", None),
        ] {
            assert_eq!(variant(Path::new(path)), expected, "{path}");
        }
    }
}

//! The llama.cpp libraries that a program loads.
//!
//! slm and llama.cpp's own programs have libraries of the same names.
//! A program with the libraries of another build would give the figures of that build.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{files, process};

/// Prefixes of the names of llama.cpp's libraries.
const NAMES: [&str; 3] = ["libllama", "libggml", "libmtmd"];

/// Asks the loader which libraries a program would load in the environment of `like`, and refuses any outside of `folders`.
///
/// # Errors
/// A library is missing or foreign, or `ldd` cannot be run.
pub(crate) fn check_program(program: &Path, like: &Command, folders: &[PathBuf]) -> Result<()> {
    let mut ldd = process::command("ldd");
    ldd.arg(program).env_clear();
    for (name, value) in like.get_envs() {
        if let Some(value) = value {
            ldd.env(name, value);
        }
    }
    check(&process::quiet(&mut ldd)?, folders)
        .with_context(|| format!("{} does not run on its own build", program.display()))
}

/// The same for the mapped files of a running process, including modules that it loaded later.
///
/// # Errors
/// A library is foreign, or there is no such process.
pub(crate) fn check_process(process: u32, folders: &[PathBuf]) -> Result<()> {
    let maps = files::read(Path::new(&format!("/proc/{process}/maps")))?;
    check(&maps, folders)
        .with_context(|| format!("process {process} does not run on its own build"))
}

/// `listing` is what `ldd` prints or the kernel's map of a process: in both, a line ends with a path, or with a path and an address.
fn check(listing: &str, folders: &[PathBuf]) -> Result<()> {
    for line in listing.lines() {
        if line.contains("not found") && is_llama(line.trim()) {
            bail!("{}", line.trim());
        }
        let Some(path) = path_in(line) else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_llama(&name) {
            let real = files::real(path)?;
            ensure!(
                folders.iter().any(|folder| real.starts_with(folder)),
                "it loads {}",
                real.display()
            );
        }
    }
    Ok(())
}

fn path_in(line: &str) -> Option<&Path> {
    let path = &line[line.find('/')?..];
    let path = path.split_once(" (").map_or(path, |(path, _)| path);
    Some(Path::new(path))
}

fn is_llama(name: &str) -> bool {
    NAMES.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_of_another_build_is_refused_and_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = files::real(folder.path())?;
        let (own, other) = (root.join("own"), root.join("other"));
        for build in [&own, &other] {
            files::make_folder(build)?;
            files::replace(&build.join("libllama.so.0"), "")?;
        }
        let ldd = |build: &Path| {
            format!(
                "\tlinux-vdso.so.1 (0x7ffd)\n\tlibllama.so.0 => {}/libllama.so.0 (0x7f1c)\n\tlibc.so.6 => /no/libc.so.6 (0x7f1a)\n",
                build.display()
            )
        };
        let maps = |build: &Path| {
            format!(
                "7f1c-7f2c r-xp 00000000 fe:00 1234    {}/libllama.so.0\n7ffd-7ffe rw-p 00000000 00:00 0    [stack]\n",
                build.display()
            )
        };
        for listing in [&ldd as &dyn Fn(&Path) -> String, &maps] {
            check(&listing(&own), std::slice::from_ref(&own))?;
            let error =
                check(&listing(&other), std::slice::from_ref(&own)).expect_err("it is not its own");
            assert_eq!(
                error.to_string(),
                format!("it loads {}/libllama.so.0", other.display())
            );
        }
        Ok(())
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        let error = check("\tlibggml.so.0 => not found\n", &[]).expect_err("it is missing");
        assert_eq!(error.to_string(), "libggml.so.0 => not found");
    }

    #[test]
    fn what_this_program_has_mapped_can_be_checked() -> Result<()> {
        check_process(std::process::id(), &[])
    }
}

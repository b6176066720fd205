//! `cargo xtask install` and `uninstall`: three executables, the engine's libraries, and documentation.
//!
//! ```text
//! PREFIX/bin/slm slmd slm-runner
//! PREFIX/lib/slm/          shared libraries and backend modules of the engine
//! PREFIX/share/…           see `pages`
//! ```
//! Each file is replaced atomically, libraries first: a start of `slm` meanwhile gets the old or the new file, whole.
//! A running daemon keeps its old files until it is restarted.

mod pages;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::backend;
use installer::native::{self, Processors};
use installer::workspace::Workspace;
use installer::{environment, files, process, say};

/// In the order of installation: the program that users start comes last.
pub(crate) const EXECUTABLES: [&str; 3] = ["slm-runner", "slmd", "slm"];

/// Where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder that gets `bin`, `lib/slm` and `share` [default: ~/.local].
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Build the engine for every kind of processor, as packages need it, instead of this machine's.
    #[arg(long)]
    all_cpus: bool,
    /// Also build and install the modules of these accelerators, such as `vulkan`; those that are installed already are updated.
    #[arg(long = "backend", value_name = "NAMES", value_delimiter = ',')]
    backends: Vec<String>,
}

impl Options {
    fn prefix(&self) -> Result<PathBuf> {
        let chosen = match &self.prefix {
            Some(prefix) => prefix.clone(),
            None => environment::home()?.join(".local"),
        };
        std::path::absolute(&chosen)
            .with_context(|| format!("cannot use {} as a prefix", chosen.display()))
    }
}

/// Builds and installs.
///
/// # Errors
/// The build failed, or the prefix cannot be written to.
pub(crate) fn install(workspace: &Workspace, options: &Options) -> Result<()> {
    let processors = if options.all_cpus {
        Processors::All
    } else {
        Processors::Ours
    };
    let prefix = options.prefix()?;
    let backends = backends(&options.backends, &library_folder(&prefix))?;
    backend::named(&backends)?;
    native::prepare(workspace, processors)?;
    process::run(workspace.build(&EXECUTABLES).envs(processors.variable()))?;
    backend::build(workspace, &backends)?;
    let release = workspace.release();
    let libraries = install_libraries(&release.join("slm-lib"), &library_folder(&prefix))?;
    let executables = prefix.join("bin");
    files::make_folder(&executables)?;
    for name in EXECUTABLES {
        files::install(&release.join(name), &executables.join(name), 0o755)?;
    }
    say::line(&format!(
        "installed {} in {}",
        EXECUTABLES.join(", "),
        executables.display()
    ));
    say::line(&format!(
        "installed {libraries} libraries in {}",
        library_folder(&prefix).display()
    ));
    for name in &backends {
        let from = release.join("slm-lib").join(name);
        install_backend(&from, &library_folder(&prefix).join(name))?;
        say::line(&format!("installed the backend {name}"));
    }
    let pages = pages::install(workspace.root(), &prefix)?;
    say::line(&format!(
        "installed {pages} pages, completions and documents in {}",
        prefix.join("share").display()
    ));
    say_next(&executables);
    Ok(())
}

/// Prints the next command, and the change of `PATH` if it is needed.
fn say_next(executables: &Path) {
    say::line("next:");
    if !environment::path_holds(executables) {
        say::line(&format!(
            "  export PATH=\"{}:$PATH\"   # it is not on your PATH yet",
            executables.display()
        ));
    }
    say::line("  slm run smollm2 \"Why is the sky blue?\"");
}

/// Removes the files of [`install`], and nothing else.
///
/// # Errors
/// A file cannot be removed.
pub(crate) fn uninstall(options: &Options) -> Result<()> {
    let prefix = options.prefix()?;
    let mut removed = pages::uninstall(&prefix)?;
    for name in EXECUTABLES.iter().rev() {
        removed += usize::from(files::remove(&prefix.join("bin").join(name))?);
    }
    let folder = library_folder(&prefix);
    for path in files::list(&folder)? {
        if is_backend(&path) {
            removed += files::list(&path)?.len();
            files::remove_folder(&path)?;
        } else if path.is_file() {
            removed += usize::from(files::remove(&path)?);
        }
    }
    files::remove_empty_folder(&folder)?;
    say::line(&format!(
        "removed {removed} files below {}; models stay where they are",
        prefix.display()
    ));
    Ok(())
}

fn library_folder(prefix: &Path) -> PathBuf {
    prefix.join("lib/slm")
}

/// Copies every library, then removes those of an older version; returns their number.
fn install_libraries(from: &Path, to: &Path) -> Result<usize> {
    let mut built = files::list(from)?;
    built.retain(|path| path.is_file());
    ensure!(
        !built.is_empty(),
        "the build left no libraries in {}",
        from.display()
    );
    files::make_folder(to)?;
    let mut names = BTreeSet::new();
    for path in &built {
        let name = path
            .file_name()
            .with_context(|| format!("{} names no file", path.display()))?;
        files::install(path, &to.join(name), 0o644)?;
        names.insert(name);
    }
    for path in files::list(to)? {
        if path.is_file() && path.file_name().is_some_and(|name| !names.contains(name)) {
            files::remove(&path)?;
        }
    }
    Ok(built.len())
}

/// The wanted backends, and those that are installed: a module works only with the engine of the same build.
fn backends(wanted: &[String], installed: &Path) -> Result<Vec<String>> {
    let mut all: BTreeSet<String> = wanted.iter().cloned().collect();
    for path in files::list(installed)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_backend(&path) && backend::KINDS.iter().any(|kind| kind.name == name) {
            all.insert(name.into_owned());
        }
    }
    Ok(all.into_iter().collect())
}

/// Whether a folder has a module of an accelerator.
fn is_backend(path: &Path) -> bool {
    path.join(backend::DESCRIPTION).is_file()
}

/// Replaces a module, the description last: a runner that starts meanwhile finds that the files do not fit it.
fn install_backend(from: &Path, to: &Path) -> Result<()> {
    files::make_folder(to)?;
    let built = files::list(from)?;
    let (description, parts): (Vec<_>, Vec<_>) = built
        .iter()
        .partition(|path| path.ends_with(backend::DESCRIPTION));
    let mut names = BTreeSet::new();
    for path in parts.into_iter().chain(description) {
        let name = path
            .file_name()
            .with_context(|| format!("{} names no file", path.display()))?;
        files::install(path, &to.join(name), 0o644)?;
        names.insert(name);
    }
    for path in files::list(to)? {
        if path.file_name().is_some_and(|name| !names.contains(name)) {
            files::remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_an_older_version_leave() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (from, to) = (folder.path().join("built"), folder.path().join("lib"));
        files::make_folder(&from)?;
        files::make_folder(&to)?;
        files::replace(&from.join("libnew.so"), "new")?;
        files::replace(&to.join("libold.so"), "old")?;
        assert_eq!(install_libraries(&from, &to)?, 1);
        assert_eq!(files::list(&to)?, [to.join("libnew.so")]);
        Ok(())
    }

    #[test]
    fn a_build_without_libraries_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let error = install_libraries(&folder.path().join("absent"), folder.path())
            .expect_err("nothing was built");
        assert!(
            error
                .to_string()
                .starts_with("the build left no libraries in"),
            "{error}"
        );
    }

    #[test]
    fn an_uninstall_removes_its_own_files_only() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let bin = folder.path().join("bin");
        files::make_folder(&bin)?;
        files::make_folder(&library_folder(folder.path()))?;
        for name in ["slm", "slmd", "slm-runner", "someone-elses"] {
            files::replace(&bin.join(name), "")?;
        }
        uninstall(&Options {
            prefix: Some(folder.path().to_path_buf()),
            all_cpus: false,
            backends: Vec::new(),
        })?;
        assert_eq!(files::list(&bin)?, [bin.join("someone-elses")]);
        assert!(!library_folder(folder.path()).exists());
        Ok(())
    }
}

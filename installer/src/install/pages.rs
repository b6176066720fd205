//! Installed pages: manual pages, completions, documentation and a systemd unit.
//!
//! ```text
//! PREFIX/share/man/man1/slm.1 …                       \
//! PREFIX/share/bash-completion/completions/slm         |
//! PREFIX/share/zsh/site-functions/_slm                 | made by the installed `slm`
//! PREFIX/share/fish/vendor_completions.d/slm.fish      |
//! PREFIX/share/systemd/user/slmd.service              /
//! PREFIX/share/doc/slm/                               docs/ of the checkout, README and licence
//! PREFIX/share/slm/installed                          the paths of all these, one a line
//! ```
//! Folders such as `man1` are shared with other programs, so an uninstall removes only the files of the list.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use installer::{files, process};

/// The list of installed files.
const LIST: &str = "share/slm/installed";
const DOCUMENTS: &str = "share/doc/slm";
const MANUAL: &str = "share/man/man1";
/// slm's own folders, removed when they are empty, inner ones first.
const FOLDERS: [&str; 3] = ["share/doc/slm/benchmarks", DOCUMENTS, "share/slm"];
/// Pages that `slm` prints, with their paths.
const PRINTED: [(&[&str], &str); 4] = [
    (
        &["completions", "bash"],
        "share/bash-completion/completions/slm",
    ),
    (&["completions", "zsh"], "share/zsh/site-functions/_slm"),
    (
        &["completions", "fish"],
        "share/fish/vendor_completions.d/slm.fish",
    ),
    (
        &["serve", "--print-unit"],
        "share/systemd/user/slmd.service",
    ),
];

/// Installs the pages of the checkout at `root` and of the `slm` installed below `prefix`; returns the number of files.
///
/// # Errors
/// `slm` does not run, or the prefix cannot be written to.
pub(super) fn install(root: &Path, prefix: &Path) -> Result<usize> {
    let before = installed(prefix)?;
    let mut now = Vec::new();
    for (from, to) in documents(root)? {
        put(&from, prefix, &to)?;
        now.push(to);
    }
    for (words, to) in PRINTED {
        let text = process::quiet(slm(prefix).args(words))?;
        let path = prefix.join(to);
        make_folder_of(&path)?;
        files::replace(&path, &text)?;
        now.push(PathBuf::from(to));
    }
    now.extend(manual(prefix)?);
    write_list(prefix, &now)?;
    for stale in before.iter().filter(|path| !now.contains(path)) {
        files::remove(&prefix.join(stale))?;
    }
    Ok(now.len())
}

/// Removes the files of [`install`] below `prefix`; returns their number.
///
/// # Errors
/// A file cannot be removed.
pub(super) fn uninstall(prefix: &Path) -> Result<usize> {
    let mut removed = 0;
    for path in installed(prefix)? {
        removed += usize::from(files::remove(&prefix.join(path))?);
    }
    removed += usize::from(files::remove(&prefix.join(LIST))?);
    for folder in FOLDERS {
        files::remove_empty_folder(&prefix.join(folder))?;
    }
    Ok(removed)
}

/// Files of the checkout, with their destinations.
fn documents(root: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut documents = Vec::new();
    let mut add = |from: PathBuf, to: &Path| {
        if let Some(name) = from.file_name().filter(|_| from.is_file()) {
            documents.push((from.clone(), to.join(name)));
        }
    };
    let to = Path::new(DOCUMENTS);
    for name in ["README.md", "LICENSE"] {
        add(root.join(name), to);
    }
    for path in files::list(&root.join("docs"))? {
        add(path, to);
    }
    for path in files::list(&root.join("docs/benchmarks"))? {
        add(path, &to.join("benchmarks"));
    }
    Ok(documents)
}

/// Lets `slm` write its manual, and installs each page.
fn manual(prefix: &Path) -> Result<Vec<PathBuf>> {
    let written = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut command = slm(prefix);
    process::quiet(command.args(["reference", "--man"]).arg(written.path()))?;
    let mut pages = Vec::new();
    for page in files::list(written.path())? {
        let name = page.file_name().unwrap_or_default();
        let to = Path::new(MANUAL).join(name);
        put(&page, prefix, &to)?;
        pages.push(to);
    }
    Ok(pages)
}

/// The installed `slm`, without a home: its pages are for all users of the prefix.
fn slm(prefix: &Path) -> Command {
    let mut slm = process::command(prefix.join("bin/slm"));
    slm.env_remove("SLM_HOME").env_remove("SLM_HOST");
    slm
}

fn put(from: &Path, prefix: &Path, to: &Path) -> Result<()> {
    let to = prefix.join(to);
    make_folder_of(&to)?;
    files::install(from, &to, 0o644)
}

fn make_folder_of(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), files::make_folder)
}

fn write_list(prefix: &Path, paths: &[PathBuf]) -> Result<()> {
    let list = prefix.join(LIST);
    make_folder_of(&list)?;
    let lines: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    files::replace(&list, &(lines.join("\n") + "\n"))
}

/// The paths of the list. A path outside of the prefix is ignored.
fn installed(prefix: &Path) -> Result<Vec<PathBuf>> {
    let list = prefix.join(LIST);
    if !list.is_file() {
        return Ok(Vec::new());
    }
    let text = files::read(&list)?;
    let plain = |path: &PathBuf| {
        let mut parts = path.components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    };
    let paths = text.lines().filter(|line| !line.is_empty());
    Ok(paths.map(PathBuf::from).filter(plain).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkout with one document, and a prefix with a fake `slm`.
    ///
    /// The program is a link to a script of the project: a script that a test has just written may still be open in a child of another test.
    fn places() -> Result<(tempfile::TempDir, tempfile::TempDir)> {
        let (root, prefix) = (tempfile::tempdir()?, tempfile::tempdir()?);
        files::make_folder(&root.path().join("docs"))?;
        files::replace(&root.path().join("docs/cli.md"), "# cli\n")?;
        files::make_folder(&prefix.path().join("bin"))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slm.sh");
        std::os::unix::fs::symlink(script, prefix.path().join("bin/slm"))?;
        Ok((root, prefix))
    }

    #[test]
    fn pages_are_installed_in_their_usual_folders() -> Result<()> {
        let (root, prefix) = places()?;
        assert_eq!(install(root.path(), prefix.path())?, 6);
        let text = |path: &str| files::read(&prefix.path().join(path));
        assert_eq!(text("share/doc/slm/cli.md")?, "# cli\n");
        assert_eq!(text("share/man/man1/slm.1")?, "page\n");
        assert_eq!(text("share/zsh/site-functions/_slm")?, "completions zsh\n");
        let unit = text("share/systemd/user/slmd.service")?;
        assert_eq!(unit, "serve --print-unit\n");
        Ok(())
    }

    #[test]
    fn an_update_removes_obsolete_pages_and_an_uninstall_all() -> Result<()> {
        let (root, prefix) = places()?;
        files::replace(&root.path().join("docs/old.md"), "")?;
        install(root.path(), prefix.path())?;
        let foreign = prefix.path().join("share/man/man1/slm-other.1");
        files::replace(&foreign, "")?;
        files::remove(&root.path().join("docs/old.md"))?;
        install(root.path(), prefix.path())?;
        assert!(!prefix.path().join("share/doc/slm/old.md").exists());
        assert_eq!(uninstall(prefix.path())?, 7);
        assert_eq!(
            files::list(&prefix.path().join("share/man/man1"))?,
            [foreign]
        );
        assert!(!prefix.path().join(DOCUMENTS).exists());
        assert!(!prefix.path().join("share/slm").exists());
        Ok(())
    }

    #[test]
    fn nothing_outside_the_prefix_is_removed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (prefix, outside) = (folder.path().join("prefix"), folder.path().join("outside"));
        files::replace(&outside, "")?;
        files::make_folder(&prefix.join("share/slm"))?;
        let list = format!("../outside\n{}\n", outside.display());
        files::replace(&prefix.join(LIST), &list)?;
        assert_eq!(uninstall(&prefix)?, 1, "the list itself");
        assert!(outside.exists());
        Ok(())
    }
}

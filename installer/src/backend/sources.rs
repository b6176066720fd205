//! The sources of llama.cpp that the engine is built from: the package `llama-cpp-sys-2`, as locked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use installer::workspace::Workspace;
use installer::{files, native, process};

/// The sources.
#[derive(Debug)]
pub(super) struct Sources {
    /// Name and version of the package, such as `llama-cpp-sys-2-0.1.161`; the engine has the same text.
    pub(super) package: String,
    /// The folder of llama.cpp in it.
    pub(super) folder: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
}

impl Sources {
    /// Asks cargo, which fetches the package if need be.
    ///
    /// # Errors
    /// Cargo cannot tell.
    pub(super) fn find(workspace: &Workspace) -> Result<Self> {
        let mut question = workspace.cargo(&["metadata", "--format-version", "1", "--locked"]);
        let answer = process::output(&mut question).context("cannot find llama.cpp's sources")?;
        let metadata: Metadata =
            serde_json::from_str(&answer).context("cannot read what cargo says of the packages")?;
        let package = metadata
            .packages
            .into_iter()
            .find(|package| package.name == native::PACKAGE)
            .with_context(|| format!("cargo knows no package {}", native::PACKAGE))?;
        let folder = package.manifest_path.with_file_name("llama.cpp");
        Ok(Self {
            package: format!("{}-{}", package.name, package.version),
            folder,
        })
    }

    /// The version of the interface between llama.cpp and its modules, which a module must have.
    ///
    /// # Errors
    /// The header that states it cannot be read.
    pub(super) fn interface(&self) -> Result<u32> {
        let header = self.folder.join("ggml/src/ggml-backend-impl.h");
        interface(&files::read(&header)?)
            .with_context(|| format!("{} states no version", header.display()))
    }

    /// The same sources at another place.
    pub(super) fn at(&self, folder: &Path) -> Self {
        Self {
            package: self.package.clone(),
            folder: folder.to_owned(),
        }
    }
}

fn interface(header: &str) -> Option<u32> {
    let (_, rest) = header.split_once("#define GGML_BACKEND_API_VERSION ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_interface_is_read() {
        let header = "#pragma once\n    #define GGML_BACKEND_API_VERSION 3\n\n    struct x;\n";
        assert_eq!(interface(header), Some(3));
        assert_eq!(interface("#pragma once\n"), None);
    }
}

//! What a build needs, and whether it is here.

use std::path::{Path, PathBuf};

use installer::environment;

/// Something that a build needs.
#[derive(Debug)]
pub(super) enum Need {
    /// A program on the path, and what brings it.
    Program(&'static str, &'static str),
    /// A program on the path or in one of these folders, and what brings it.
    Tool(&'static str, &'static [&'static str], &'static str),
    /// What one of these files shows to be here, and what brings it.
    File(&'static str, &'static [&'static str], &'static str),
    /// A kit of a maker.
    Kit(Place),
    /// An operating system, by Rust's name.
    System(&'static str),
}

/// Where a kit lies.
#[derive(Debug)]
pub(super) struct Place {
    /// Environment variables that name its folder.
    pub(super) variables: &'static [&'static str],
    /// Its usual folders.
    pub(super) folders: &'static [&'static str],
    /// What it is called.
    pub(super) kit: &'static str,
}

impl Need {
    /// What is missing and the way to get it; `None` if it is here.
    pub(super) fn missing(&self) -> Option<String> {
        match self {
            Self::Program(name, bring) => {
                let is_here = environment::which(name).is_some();
                (!is_here).then(|| format!("{name}: {bring}"))
            }
            Self::Tool(name, folders, bring) => {
                let is_here = tool(name, folders).is_some();
                (!is_here).then(|| format!("{name}: {bring}"))
            }
            Self::File(what, paths, bring) => {
                let is_here = paths.iter().any(|path| Path::new(path).exists());
                (!is_here).then(|| format!("{what}: {bring}"))
            }
            Self::Kit(place) => place.missing(),
            Self::System("macos") => (std::env::consts::OS != "macos").then(|| "macOS".to_owned()),
            Self::System(name) => (std::env::consts::OS != *name).then(|| (*name).to_owned()),
        }
    }
}

impl Place {
    fn missing(&self) -> Option<String> {
        let named = self
            .variables
            .iter()
            .filter_map(|variable| environment::folder(variable));
        let usual = self.folders.iter().map(PathBuf::from);
        if named.chain(usual).any(|folder| folder.is_dir()) {
            return None;
        }
        Some(format!(
            "{}, and {} set to its folder",
            self.kit,
            self.variables.join(" or ")
        ))
    }
}

/// A program on the path, or in one of these folders.
pub(super) fn tool(name: &str, folders: &[&str]) -> Option<PathBuf> {
    let there = folders.iter().map(|folder| Path::new(folder).join(name));
    environment::which(name).or_else(|| there.into_iter().find(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let missing = [
            Need::Program("sh", "any system"),
            Need::File("root", &["/nonexistent", "/"], "any system"),
            Need::Tool("no-such-tool", &["/nonexistent"], "the kit"),
            Need::Program("no-such-program", "Debian's package x"),
            Need::File(
                "headers of x",
                &["/nonexistent/x.h"],
                "Debian's package x-dev",
            ),
            Need::Kit(Place {
                variables: &["NO_SUCH_KIT", "NO_SUCH_SDK"],
                folders: &["/nonexistent"],
                kit: "the kit of x",
            }),
        ];
        let missing: Vec<_> = missing.iter().map(Need::missing).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            missing,
            [
                None,
                None,
                text("no-such-tool: the kit"),
                text("no-such-program: Debian's package x"),
                text("headers of x: Debian's package x-dev"),
                text("the kit of x, and NO_SUCH_KIT or NO_SUCH_SDK set to its folder"),
            ]
        );
    }
}

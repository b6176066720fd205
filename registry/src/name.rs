//! Names of models: `[scheme://][host/][namespace/]model[:tag]`.
//!
//! After a host that looks like one (with a dot or a port, or `localhost`), the namespace may be left out, as in `localhost:5000/phi4`,
//! or have several components, as in `ghcr.io/acme/models/phi4`: OCI registries have such repositories.
//!
//! A name becomes a path below `manifests/`, so its grammar is what keeps a path inside the store:
//! no part can be `.` or `..`, hold a separator, or mean something else on another operating system.
//! Names are judged by the same rules everywhere, because a store may move between machines.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::portable;

/// Host of a name that says none.
pub const DEFAULT_HOST: &str = "registry.ollama.ai";
/// Namespace of a name that says none.
pub const DEFAULT_NAMESPACE: &str = "library";
/// Tag of a name that says none.
pub const DEFAULT_TAG: &str = "latest";

/// Longest host in bytes: a host is a directory, and no common file system takes a longer name.
const HOST_MAX: usize = 255;
/// Longest component of a namespace, and longest model, in bytes.
const PART_MAX: usize = 80;
/// Longest tag in bytes, as the OCI distribution specification has it.
const TAG_MAX: usize = 128;
/// Longest namespace in bytes: it is one folder.
const NAMESPACE_MAX: usize = 255;
/// What stands in the name of a folder for the `/` of a namespace; a namespace that is left out is this alone.
const FOLDER_SLASH: &str = "+";

/// The full name of a model. All four parts are always there and always well-formed.
///
/// Parts are ASCII. Two names that differ only in case name the same model.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName {
    /// `host/namespace/model:tag`; without a namespace `host/model:tag`.
    full: Box<str>,
    /// Where host, namespace and model end in it. An empty namespace ends where the host does.
    ends: [u16; 3],
}

/// Why a text is not a model name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a model name: {reason}")]
pub struct NameError {
    /// What was given, cut to a length fit for a message.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ModelName {
    /// Reads a name as people write it; missing parts take their defaults.
    ///
    /// # Errors
    /// When a part is empty, too long, or has a character or a form that a name may not have.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::split(text).map_err(|reason| NameError {
            text: text.chars().take(120).collect(),
            reason,
        })
    }

    /// A name from its four parts, with nothing filled in.
    ///
    /// # Errors
    /// As [`ModelName::parse`].
    pub fn from_parts(
        host: &str,
        namespace: &str,
        model: &str,
        tag: &str,
    ) -> Result<Self, NameError> {
        Self::checked(host, namespace, model, tag).map_err(|reason| NameError {
            text: format!("{host}/{namespace}/{model}:{tag}"),
            reason,
        })
    }

    /// A name from the four folders and files of a path below `manifests/`.
    ///
    /// # Errors
    /// As [`ModelName::parse`].
    pub(crate) fn from_folders(
        host: &str,
        namespace: &str,
        model: &str,
        tag: &str,
    ) -> Result<Self, NameError> {
        if namespace.contains('/') {
            return Self::from_parts(host, "/", model, tag);
        }
        let namespace = match namespace {
            FOLDER_SLASH => String::new(),
            namespace => namespace.replace(FOLDER_SLASH, "/"),
        };
        Self::from_parts(host, &namespace, model, tag)
    }

    /// The registry the name belongs to.
    pub fn host(&self) -> &str {
        self.parts()[0]
    }

    /// The publisher there; it may have several components, or be empty.
    pub(crate) fn namespace(&self) -> &str {
        self.parts()[1]
    }

    /// The model itself.
    pub fn model(&self) -> &str {
        self.parts()[2]
    }

    /// Which variant or version of it.
    pub fn tag(&self) -> &str {
        self.parts()[3]
    }

    /// The repository of a registry that holds it: namespace and model.
    pub fn repository(&self) -> &str {
        &self.full[self.host().len() + 1..usize::from(self.ends[2])]
    }

    /// `host/namespace/model:tag` with nothing left out.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// Host, namespace, model and tag.
    pub(crate) fn parts(&self) -> [&str; 4] {
        let [host, namespace, model] = self.ends.map(usize::from);
        [
            &self.full[..host],
            self.full.get(host + 1..namespace).unwrap_or_default(),
            &self.full[namespace + 1..model],
            &self.full[model + 1..],
        ]
    }

    /// The path below `manifests/`: three folders and a file.
    pub fn folders(&self) -> [String; 4] {
        let [host, namespace, model, tag] = self.parts();
        let namespace = match namespace {
            "" => FOLDER_SLASH.to_owned(),
            namespace => namespace.replace('/', FOLDER_SLASH),
        };
        [host.to_owned(), namespace, model.to_owned(), tag.to_owned()]
    }

    fn split(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => {
                if rest.is_empty() {
                    return Err(format!("nothing follows {scheme}://"));
                }
                rest
            }
            Some((scheme, _)) => return Err(format!("scheme {scheme:?} is not http or https")),
            None => text,
        };
        let (path, last) = match rest.rsplit_once('/') {
            Some((path, last)) => (Some(path), last),
            None => (None, rest),
        };
        let (model, tag) = last.split_once(':').unwrap_or((last, DEFAULT_TAG));
        let (host, namespace) = match path {
            None => (DEFAULT_HOST, DEFAULT_NAMESPACE),
            Some(path) => match path.split_once('/') {
                Some((_, "")) => return Err("its namespace is empty".to_owned()),
                Some((host, namespace)) => (host, namespace),
                None if is_host(path) => (path, ""),
                None => (DEFAULT_HOST, path),
            },
        };
        Self::checked(host, namespace, model, tag)
    }

    fn checked(host: &str, namespace: &str, model: &str, tag: &str) -> Result<Self, String> {
        check_part("host", host, HOST_MAX, "-_.:")?;
        check_namespace(host, namespace)?;
        check_part("model", model, PART_MAX, "-_.")?;
        check_part("tag", tag, TAG_MAX, "-_.")?;
        let mut full = host.to_owned();
        let mut ends = [full.len(); 3];
        if !namespace.is_empty() {
            full.push('/');
            full.push_str(namespace);
            ends[1] = full.len();
        }
        full.push('/');
        full.push_str(model);
        ends[2] = full.len();
        full.push(':');
        full.push_str(tag);
        Ok(Self {
            full: full.into(),
            ends: ends.map(|end| u16::try_from(end).expect("a name has fewer than 800 bytes")),
        })
    }
}

/// Whether the first component of a name can only be a host, by the rule that Docker has.
fn is_host(text: &str) -> bool {
    let has_mark = text.contains(['.', ':']) && !text.starts_with('.');
    has_mark || text.eq_ignore_ascii_case("localhost")
}

/// One component, or, where the host looks like one, none or several.
fn check_namespace(host: &str, namespace: &str) -> Result<(), String> {
    if host == DEFAULT_HOST || !is_host(host) {
        if namespace.contains('/') {
            return Err(format!(
                "{host:?} is no host, which would have a dot or a port"
            ));
        }
        return check_part("namespace", namespace, PART_MAX, "-_");
    }
    if namespace.len() > NAMESPACE_MAX {
        return Err(format!(
            "its namespace has {} bytes, at most {NAMESPACE_MAX} are allowed",
            namespace.len()
        ));
    }
    if namespace.is_empty() {
        return Ok(());
    }
    namespace
        .split('/')
        .try_for_each(|component| check_part("namespace", component, PART_MAX, "-_."))
}

/// One part of a name: its first character is a letter, a digit or `_`; later ones may also be of `marks`.
fn check_part(what: &str, text: &str, longest: usize, marks: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("its {what} is empty"));
    }
    if text.len() > longest {
        return Err(format!(
            "its {what} has {} bytes, at most {longest} are allowed",
            text.len()
        ));
    }
    for (index, character) in text.chars().enumerate() {
        let plain = character.is_ascii_alphanumeric() || character == '_';
        if !plain && (index == 0 || !marks.contains(character)) {
            return Err(format!(
                "its {what} may not {} {character:?}",
                if index == 0 { "start with" } else { "contain" }
            ));
        }
    }
    if text.contains("..") {
        return Err(format!("its {what} may not contain \"..\""));
    }
    if text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic() {
        return Err(format!("its {what} reads as a drive letter"));
    }
    portable::check(text).map_err(|reason| format!("its {what} {reason}"))
}

/// The shortest form that reads back as the same name: host and namespace are left out where they are the defaults.
impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [host, namespace, model, tag] = self.parts();
        // Without the host, `localhost/m` would be a name of this machine.
        if host != DEFAULT_HOST || is_host(namespace) {
            write!(f, "{host}/")?;
            if !namespace.is_empty() {
                write!(f, "{namespace}/")?;
            }
        } else if namespace != DEFAULT_NAMESPACE {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{model}:{tag}")
    }
}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelName({})", self.full())
    }
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for ModelName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(text: &str) -> String {
        ModelName::parse(text)
            .expect("a good name")
            .full()
            .to_owned()
    }

    #[test]
    fn missing_parts_take_their_defaults() {
        assert_eq!(full("smollm2"), "registry.ollama.ai/library/smollm2:latest");
        assert_eq!(
            full("smollm2:135m"),
            "registry.ollama.ai/library/smollm2:135m"
        );
        assert_eq!(full("me/mine"), "registry.ollama.ai/me/mine:latest");
        assert_eq!(
            full("localhost:5000/me/mine:v1.2"),
            "localhost:5000/me/mine:v1.2"
        );
        assert_eq!(full("https://hf.co/me/mine"), "hf.co/me/mine:latest");
        assert_eq!(full("_why/_the/_lucky:_stiff"), "_why/_the/_lucky:_stiff");
    }

    #[test]
    fn the_short_form_leaves_defaults_out() {
        for (text, short) in [
            ("registry.ollama.ai/library/phi4:latest", "phi4:latest"),
            ("registry.ollama.ai/me/phi4", "me/phi4:latest"),
            ("hf.co/library/phi4:q4", "hf.co/library/phi4:q4"),
            (
                "registry.ollama.ai/localhost/m",
                "registry.ollama.ai/localhost/m:latest",
            ),
        ] {
            assert_eq!(
                ModelName::parse(text).expect("a good name").to_string(),
                short
            );
        }
    }

    #[test]
    fn each_length_has_its_bound() {
        let long = "m".repeat(80);
        assert!(ModelName::parse(&format!("{}/{long}/{long}:{long}", "h".repeat(255))).is_ok());
        assert!(ModelName::parse(&format!("{}/n/m", "h".repeat(256))).is_err());
        assert!(ModelName::parse(&"m".repeat(81)).is_err());
        assert!(ModelName::parse(&format!("m:{}", "t".repeat(128))).is_ok());
        assert!(ModelName::parse(&format!("m:{}", "t".repeat(129))).is_err());
        assert!(ModelName::parse(&format!("{}/m", "n".repeat(81))).is_err());
    }

    #[test]
    fn a_repository_of_a_host_may_be_nested_or_without_a_namespace() {
        for (text, namespace, repository, folder) in [
            ("ghcr.io/a/b.c/d:v1", "a/b.c", "a/b.c/d", "a+b.c"),
            ("localhost:5000/m:v1", "", "m", "+"),
            ("localhost/m:v1", "", "m", "+"),
            ("h.io/a.b/m:v1", "a.b", "a.b/m", "a.b"),
        ] {
            let name = ModelName::parse(text).expect("a good name");
            assert_eq!(name.namespace(), namespace);
            assert_eq!(name.repository(), repository);
            assert_eq!(name.full(), text);
            assert_eq!(name.to_string(), text);
            let folders = name.folders();
            assert_eq!(folders[1], folder);
            let [host, namespace, model, tag] = &folders;
            assert_eq!(
                ModelName::from_folders(host, namespace, model, tag),
                Ok(name)
            );
        }
        for text in [
            "localhost:5000/a//m",
            "localhost:5000//m",
            "x.y/a/../m",
            "x.y/.a/m",
            "x.y/a+b/m",
            "registry.ollama.ai/m",
            "registry.ollama.ai/a/b/m",
            "registry.ollama.ai/a.b/m",
        ] {
            assert!(ModelName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "",
            ":",
            "/",
            "//",
            "@",
            "^",
            "m@sha256:00",
            "mm:",
            ":tag",
            "/nn/mm",
            "hh//",
            "hh//mm",
            "a/b/c/d",
            "..",
            "../x",
            "x/..",
            "x/../y",
            "h/n/..",
            "m:..",
            "a..b",
            "m:a..b",
            "-m",
            ".m",
            "m:-t",
            "m:.t",
            "host/name:space/model:tag",
            "a\\b",
            "C:/n/m",
            "c:x/n/m",
            "C:\\x",
            "\\\\server\\share",
            "m:t:u",
            "con",
            "CON",
            "nul.txt",
            "m:aux",
            "prn/m",
            "com1",
            "lpt9.x",
            "m.",
            "m ",
            " m",
            "m:t.",
            "h./n/m",
            "m\0",
            "m\n",
            "é",
            "m:ü",
            "ｍ",
            "m\u{200d}",
            "http://",
            "https:///n/m",
            "ftp://h/n/m",
            "file:///etc/passwd",
            "~/m",
            "%2e%2e/m",
            "m?x",
            "m#x",
            "$(m)",
        ] {
            assert!(
                ModelName::parse(text).is_err(),
                "{text:?} was taken as a name"
            );
        }
    }

    #[test]
    fn the_reason_names_the_part() {
        let error = ModelName::parse("me/../x").expect_err("dots");
        assert_eq!(
            error.to_string(),
            "\"me/../x\" is not a model name: its namespace may not start with '.'"
        );
    }

    #[test]
    fn case_does_not_tell_models_apart() {
        let lower = ModelName::parse("me/phi4").expect("a good name");
        let upper = ModelName::parse("ME/Phi4:LATEST").expect("a good name");
        assert_ne!(lower, upper);
    }

    proptest! {
        #[test]
        fn whatever_is_a_name_prints_and_reads_back(text in "([a-zA-Z0-9_.:-]{1,12}/){0,4}[a-zA-Z0-9_.-]{1,12}(:[a-zA-Z0-9_.-]{1,9})?") {
            if let Ok(name) = ModelName::parse(&text) {
                prop_assert_eq!(&ModelName::parse(&name.to_string()).expect("its short form"), &name);
                prop_assert_eq!(&ModelName::parse(name.full()).expect("its full form"), &name);
            }
        }

        #[test]
        fn no_name_leaves_its_folder(text in "\\PC{0,40}") {
            if let Ok(name) = ModelName::parse(&text) {
                for part in name.folders() {
                    prop_assert!(!part.contains("..") && !part.contains(['/', '\\', '\0']) && !part.starts_with('.'), "{}", part);
                }
            }
        }
    }
}

//! The files of a model, by their paths in its folder, wherever their bytes are.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use serde::de::DeserializeOwned;

use super::error::Error;
use crate::RelPath;
use crate::gguf::harmless;

/// Longest description of a model, in bytes; real ones have a few hundred.
const LONGEST_DESCRIPTION: u64 = 1 << 20;

/// An open file.
pub(crate) trait Input: Read + Seek + Send {}

impl<T: Read + Seek + Send> Input for T {}

/// Files that together are a model.
pub(crate) struct Folder(BTreeMap<RelPath, Box<dyn Input>>);

impl Folder {
    pub(crate) fn new(files: impl IntoIterator<Item = (RelPath, Box<dyn Input>)>) -> Self {
        Self(files.into_iter().collect())
    }

    /// The files of weights.
    pub(super) fn weights(&self) -> Vec<String> {
        let names = self.0.keys().map(RelPath::as_str);
        names
            .filter(|name| is_weights(name))
            .map(str::to_owned)
            .collect()
    }

    /// An open file.
    pub(super) fn file(&mut self, name: &str) -> Result<&mut dyn Input, Error> {
        match self.find(name) {
            Some(file) => Ok(file),
            None => Err(missing(name)),
        }
    }

    /// All bytes of a file of at most `most`; `None` where there is no such file.
    pub(super) fn bytes(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.find(name) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.take(most + 1).read_to_end(&mut bytes))
            .map_err(|source| Error::Io {
                file: shown(name),
                source,
            })?;
        if bytes.len() as u64 > most {
            let file = shown(name);
            return Err(Error::TooLong { file, most });
        }
        Ok(Some(bytes))
    }

    /// A description; `None` where there is no such file.
    pub(super) fn description<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Error> {
        self.json(name, LONGEST_DESCRIPTION)
    }

    /// A description that must be there.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Error> {
        self.description(name)?.ok_or_else(|| missing(name))
    }

    /// A file of JSON, with at most so many bytes; `None` where there is no such file.
    pub(super) fn json<T: DeserializeOwned>(
        &mut self,
        name: &str,
        most: u64,
    ) -> Result<Option<T>, Error> {
        let Some(bytes) = self.bytes(name, most)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| wrong(name, shown(&error.to_string())))
    }

    fn find(&mut self, name: &str) -> Option<&mut dyn Input> {
        let path = RelPath::parse(name).ok()?;
        // The box says how long what it holds lives, and the caller not that long.
        self.0
            .get_mut(&path)
            .map(|file| file.as_mut() as &mut dyn Input)
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a file of this name holds weights that may be converted.
pub fn is_weights(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".safetensors")
}

/// A description that is wrong.
pub(super) fn wrong(file: &str, reason: impl Into<String>) -> Error {
    Error::Description {
        file: shown(file),
        reason: reason.into(),
    }
}

fn missing(name: &str) -> Error {
    Error::Missing { file: shown(name) }
}

/// Text of a file, fit for a message.
pub(super) fn shown(text: &str) -> String {
    harmless(text.as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use super::*;

    /// A folder of files in memory.
    pub(in crate::convert) fn folder(files: &[(&str, &[u8])]) -> Folder {
        Folder::new(files.iter().map(|(name, bytes)| {
            let path = RelPath::parse(name).expect("a path");
            (
                path,
                Box::new(Cursor::new(bytes.to_vec())) as Box<dyn Input>,
            )
        }))
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let mut folder = folder(&[("a.json", b"[1, 2]")]);
        assert_eq!(
            folder
                .bytes("a.json", 6)
                .expect("read")
                .expect("there")
                .len(),
            6
        );
        let error = folder.bytes("a.json", 5).expect_err("too long");
        assert_eq!(error.to_string(), "`a.json` has more than 5 bytes");
        assert!(folder.bytes("b", 5).expect("no error").is_none());
        assert!(folder.bytes("../a.json", 5).expect("no error").is_none());
        assert_eq!(
            folder.description::<Vec<u8>>("a.json").expect("JSON"),
            Some(vec![1, 2])
        );
        let error = folder
            .required::<Vec<String>>("a.json")
            .expect_err("not texts");
        assert!(
            error
                .to_string()
                .contains("`a.json` does not describe a model that can be converted: invalid type"),
            "{error}"
        );
        let error = folder.required::<u8>("no.json").expect_err("not there");
        assert_eq!(
            error.to_string(),
            "`no.json` is missing from the model's files"
        );
    }
}

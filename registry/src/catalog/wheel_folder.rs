//! A folder of files inside one package.

use serde::Deserialize;

use super::text::{FileName, Package, Version};
use crate::{Digest, RelPath};

/// Most files of one folder.
const MOST_FILES: usize = 64;

/// A folder inside a package of the Python package index, with the files in it that make a model together: 1 to 64, none of them twice.
/// What else the folder holds is left where it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawFolder")]
pub struct WheelFolder {
    package: Package,
    version: Version,
    files: Vec<PackedFile>,
}

/// A file of such a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedFile {
    /// Its path in the folder.
    pub path: RelPath,
    /// Its path in the package's archive.
    pub member: RelPath,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Its digest, where it is known.
    pub digest: Option<Digest>,
}

impl WheelFolder {
    /// What the installer of packages is asked for: `package==version`.
    #[must_use]
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }

    /// The files, in the order in which they were written.
    #[must_use]
    pub fn files(&self) -> &[PackedFile] {
        &self.files
    }

    /// Bytes of all files, where all sizes are known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let sizes = self.files.iter().map(|file| file.size);
        sizes.sum()
    }
}

/// A folder as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFolder {
    package: Package,
    version: Version,
    folder: FileName,
    files: Vec<RawFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: FileName,
    size: Option<u64>,
    digest: Option<Digest>,
}

impl TryFrom<RawFolder> for WheelFolder {
    type Error = String;

    fn try_from(form: RawFolder) -> Result<Self, String> {
        let RawFolder {
            package,
            version,
            folder,
            files,
        } = form;
        if !(1..=MOST_FILES).contains(&files.len()) {
            return Err(format!(
                "`wheel_folder` has 1 to {MOST_FILES} files, not {}",
                files.len()
            ));
        }
        let mut packed: Vec<PackedFile> = Vec::new();
        for RawFile { path, size, digest } in files {
            let parse = |text: &str| RelPath::parse(text).map_err(|error| error.to_string());
            let file = PackedFile {
                member: parse(&format!("{folder}/{path}"))?,
                path: parse(path.as_str())?,
                size,
                digest,
            };
            if packed.iter().any(|before| before.path == file.path) {
                return Err(format!("`wheel_folder` has the file {path} twice"));
            }
            packed.push(file);
        }
        let mut sizes = packed.iter().filter_map(|file| file.size);
        let total = sizes.try_fold(0_u64, u64::checked_add);
        if total.is_none() || packed.iter().any(|file| file.size == Some(0)) {
            return Err("`wheel_folder` has files of impossible sizes".to_owned());
        }
        Ok(Self {
            package,
            version,
            files: packed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WheelFolder, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    const GOOD: &str = "{package: notes, version: '1.0', folder: notes/model, \
                        files: [{path: config.json, size: 2}, {path: 1_Pooling/config.json, size: 3}]}";

    #[test]
    fn files_are_read_in_their_order_with_their_places() {
        let folder = parse(GOOD).expect("a good folder");
        assert_eq!(folder.requirement(), "notes==1.0");
        assert_eq!(folder.size(), Some(5));
        let places = folder.files().iter();
        let places: Vec<_> = places
            .map(|file| (file.path.as_str(), file.member.as_str()))
            .collect();
        assert_eq!(
            places,
            [
                ("config.json", "notes/model/config.json"),
                ("1_Pooling/config.json", "notes/model/1_Pooling/config.json")
            ]
        );
        let unknown = parse(&GOOD.replace(", size: 3", "")).expect("a good folder");
        assert_eq!(unknown.size(), None);
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let many: Vec<String> = (0..65)
            .map(|number| format!("{{path: f{number}}}"))
            .collect();
        let many = format!("files: [{}]", many.join(", "));
        let files = &GOOD[GOOD.find("files").expect("files")..GOOD.len() - 1];
        for (from, to, said) in [
            (files, "files: []", "1 to 64 files, not 0"),
            (files, many.as_str(), "1 to 64 files, not 65"),
            ("1_Pooling/config.json", "config.json", "config.json twice"),
            ("1_Pooling/config.json", "../config.json", "path of a file"),
            ("folder: notes/model", "folder: /notes", "path of a file"),
            ("folder: notes/model", "folder: ''", "path of a file"),
            ("package: notes", "package: -r", "package name"),
            ("size: 3", "size: 0", "impossible sizes"),
            ("size: 3", "size: 18446744073709551615", "impossible sizes"),
            ("size: 3", "sise: 3", "sise"),
            ("folder:", "member: x, folder:", "member"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let error = parse(&text).expect_err(to);
            assert!(error.contains(said), "{to}: {error}");
        }
        let long = "a/".repeat(400) + "a";
        let text = GOOD
            .replace("notes/model", &long)
            .replace("config.json", &long);
        let error = parse(&text).expect_err("too long together");
        assert!(error.contains("1024 bytes"), "{error}");
    }
}

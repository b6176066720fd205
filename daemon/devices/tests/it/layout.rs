//! Lays the files of a machine out in a folder.
//!
//! A file of `tests/machines` has one entry after another, and comments that start with `#`:
//!
//! ```text
//! /path = value        a file of one line; `|` is a zero byte below /proc/device-tree
//! /path -> target      a symbolic link
//! /path:               a file of the lines that follow, up to the next path
//! ```
//!
//! `{0-3}` in a path stands for each of these numbers, and `{}`, `{+1}`, `{-1}` in its value for that number, or another beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use devices::Root;
use tempfile::TempDir;

/// The files of one machine, until this value is dropped.
pub(crate) struct Layout {
    folder: TempDir,
}

impl Layout {
    /// Lays out the machine of this name.
    pub(crate) fn of(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/machines")
            .join(name)
            .with_extension("txt");
        Self::parse(&fs::read_to_string(path).expect("the machine has a file"))
    }

    /// Lays out the files of this text.
    pub(crate) fn parse(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let group = rustix::process::getegid().as_raw().to_string();
        let text = text.replace("{gid}", &group);
        let mut lines = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .peekable();
        while let Some(line) = lines.next() {
            if let Some((path, target)) = line.split_once(" -> ") {
                each(path, target, |path, target| {
                    link(folder.path(), path, target)
                });
            } else if let Some((path, value)) = line.split_once(" = ") {
                each(path, value, |path, value| write(folder.path(), path, value));
            } else if let Some(path) = line.strip_suffix(':') {
                let mut content = String::new();
                while let Some(line) = lines.next_if(|line| !line.starts_with('/')) {
                    content.push_str(line);
                    content.push('\n');
                }
                each(path, &content, |path, value| {
                    write(folder.path(), path, value)
                });
            } else {
                assert!(line.is_empty(), "an entry of no form: {line}");
            }
        }
        Self { folder }
    }

    pub(crate) fn root(&self) -> Root {
        Root::new(self.folder.path())
    }
}

/// Calls `make` for each number of a range in the path.
fn each(path: &str, value: &str, mut make: impl FnMut(&str, &str)) {
    let range = path.split_once('{').and_then(|(before, rest)| {
        let (range, after) = rest.split_once('}')?;
        let (first, last) = range.split_once('-')?;
        Some((
            before,
            first.parse().ok()?..=last.parse::<i64>().ok()?,
            after,
        ))
    });
    let Some((before, numbers, after)) = range else {
        return make(path, value);
    };
    for number in numbers {
        let mut value = value.replace("{}", &number.to_string());
        while let Some((before, rest)) = value.split_once('{') {
            let (offset, after) = rest.split_once('}').expect("a brace is closed");
            let offset: i64 = offset.parse().expect("an offset has a sign");
            value = format!("{before}{}{after}", number + offset);
        }
        make(&format!("{before}{number}{after}"), &value);
    }
}

fn write(folder: &Path, path: &str, value: &str) {
    let value = match path.starts_with("/proc/device-tree/") {
        true => value.replace('|', "\0"),
        false => value.to_owned(),
    };
    let path = folder.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder can be made");
    fs::write(path, value).expect("a file can be written");
}

fn link(folder: &Path, path: &str, target: &str) {
    let path = folder.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().expect("a link has a folder")).expect("a folder can be made");
    symlink(target, path).expect("a link can be made");
}

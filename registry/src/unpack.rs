//! Unpacks tar archives, plain or compressed by gzip or zstd: layers of OCI artifacts.
//!
//! An archive may be hostile: members whose names [`RelPath`] refuses, links and devices are skipped; the unpacked size, the number of
//! members and the size of headers are bounded.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use tokio_util::sync::CancellationToken;

use crate::remote::artifact::Packing;
use crate::store::{Store, TempBlob};
use crate::{RelPath, Reporter, Result, Stage, remote, source};

/// Highest compression ratio: weights hardly compress, so an archive beyond it is not a model.
const MOST_RATIO: u64 = 100;
/// The ratio is not limited up to this unpacked size.
const SMALL: u64 = 16 << 20;
/// Most members of an archive.
const MEMBERS_MAX: usize = 8192;
/// Most bytes between the end of one file and the begin of the next: headers, long names, extended attributes.
const HEADERS_MAX: u64 = 1 << 20;
const CHUNK: usize = 1 << 20;

/// An archive that is unpacked.
pub(crate) struct Packed {
    /// Its bytes.
    pub(crate) file: File,
    /// How many there are.
    pub(crate) size: u64,
    /// How it is packed.
    pub(crate) packing: Packing,
    /// What it is called, for messages.
    pub(crate) title: String,
}

/// Unpacks the members whose path `wanted` takes. Nothing is published.
///
/// # Errors
/// [`remote::Error::Document`] for bytes that are not such an archive, or go over a bound; [`crate::Error::NoSpace`]; [`source::Error::Cancelled`].
pub(crate) fn unpack(
    store: &Store,
    packed: Packed,
    wanted: impl Fn(&RelPath) -> bool,
    cancelled: &CancellationToken,
    reporter: &Reporter,
) -> Result<Vec<(RelPath, TempBlob)>> {
    let Packed {
        file,
        size,
        packing,
        title,
    } = packed;
    let broken = |reason: String| remote::Error::Document {
        host: title.clone(),
        what: "an archive",
        reason,
    };
    let file = BufReader::with_capacity(CHUNK, file);
    let source: Box<dyn Read> = match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(Zstd::new(file)),
    };
    let allowed = Rc::new(Cell::new(0));
    let most = size.saturating_mul(MOST_RATIO).max(SMALL);
    let mut archive = tar::Archive::new(Bounded {
        source,
        left: most,
        allowed: allowed.clone(),
    });
    let mut files: Vec<(RelPath, TempBlob)> = Vec::new();
    let mut meter = reporter.meter(Stage::Unpacking(title.to_owned()), None, most.min(size));
    let mut buffer = vec![0; CHUNK];
    let mut entries = archive
        .entries()
        .map_err(|error| broken(error.to_string()))?;
    for count in 0.. {
        allowed.set(HEADERS_MAX);
        let Some(entry) = entries.next() else {
            break;
        };
        let mut entry = entry.map_err(|error| broken(error.to_string()))?;
        if count >= MEMBERS_MAX {
            return Err(broken(format!("it has more than {MEMBERS_MAX} members")).into());
        }
        allowed.set(u64::MAX);
        if entry.header().entry_type().is_gnu_sparse() {
            let reason = "a member has holes, which weights do not have";
            return Err(broken(reason.to_owned()).into());
        }
        let path = path_of(&entry);
        let length = entry.size();
        let mut temp = match path {
            Some(path) if wanted(&path) => {
                if files.iter().any(|(other, _)| *other == path) {
                    return Err(broken(format!("it has {path} twice")).into());
                }
                if length > most {
                    return Err(broken(too_much(most)).into());
                }
                Some((path, store.ingest(Some(length))?))
            }
            _ => None,
        };
        // Unwanted members are read too, so that only headers precede the next member.
        let mut left = length;
        loop {
            if cancelled.is_cancelled() {
                return Err(source::Error::Cancelled.into());
            }
            let read = entry
                .read(&mut buffer)
                .map_err(|error| broken(error.to_string()))?;
            if read == 0 {
                break;
            }
            if let Some((_, temp)) = &mut temp {
                temp.write(&buffer[..read])?;
            }
            left = left.saturating_sub(read as u64);
            meter.add(read as u64);
        }
        if left > 0 {
            return Err(broken("it ends in the middle of a member".to_owned()).into());
        }
        if let Some((path, temp)) = temp {
            files.push((path, temp.finish(None)?));
        }
    }
    Ok(files)
}

/// The path of a member that is a file; `None` for anything else, also for a file whose name leads out of its folder or has no
/// meaning on some system: weights have no such names, and it is written nowhere.
fn path_of<R: Read>(entry: &tar::Entry<'_, R>) -> Option<RelPath> {
    let kind = entry.header().entry_type();
    if !(kind.is_file() || kind.is_contiguous()) {
        return None;
    }
    let bytes = entry.path_bytes();
    let text = std::str::from_utf8(&bytes).ok()?;
    // Archives of a folder begin their names with it.
    let text = text.strip_prefix("./").unwrap_or(text);
    let path = RelPath::parse(text);
    path.inspect_err(|error| tracing::info!(%error, "a member of an archive is passed over"))
        .ok()
}

fn too_much(most: u64) -> String {
    format!("it unpacks to more than {most} bytes, which no model of its size does")
}

/// What zstd packed, in one frame or in several; skippable frames are passed over (RFC 8878, 3.1).
struct Zstd {
    source: Source,
    frame: Option<Box<StreamingDecoder<Source, FrameDecoder>>>,
}

/// A file that each frame is read from in turn.
#[derive(Clone)]
struct Source(Rc<RefCell<BufReader<File>>>);

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl Zstd {
    fn new(file: BufReader<File>) -> Self {
        Self {
            source: Source(Rc::new(RefCell::new(file))),
            frame: None,
        }
    }

    /// Goes to the next frame; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            if self.source.0.borrow_mut().fill_buf()?.is_empty() {
                return Ok(false);
            }
            match StreamingDecoder::new(self.source.clone()) {
                Ok(frame) => {
                    self.frame = Some(Box::new(frame));
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let mut skipped = self.source.clone().take(length);
                    if io::copy(&mut skipped, &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
                self.frame = None;
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}

/// A source that ends with an error after so many bytes.
struct Bounded {
    source: Box<dyn Read>,
    /// Bytes that may still come in all.
    left: u64,
    /// Bytes that may come before [`unpack`] looks again.
    allowed: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let bytes = read as u64;
        let allowed = self.allowed.get().checked_sub(bytes);
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            io::Error::other("it unpacks to far more bytes than a model of its size does")
        })?;
        let allowed = allowed.ok_or_else(|| {
            io::Error::other(format!(
                "the header of a member has more than {HEADERS_MAX} bytes"
            ))
        })?;
        self.allowed.set(allowed);
        Ok(read)
    }
}

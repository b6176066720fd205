//! The new file: what its head says, and where its bytes come from.

use std::collections::HashMap;

use super::keys::Keys;
use super::source::{ReadAt, Source, Span};
use super::tensors::{Content, Item, Part, Tensors};
use super::{Error, values};
use crate::gguf::{Head, TensorType};

/// File systems share whole blocks of so many bytes.
pub(crate) const BLOCK: u64 = 4096;
/// Shorter pieces of the source are gathered, because a call for each would take longer than their bytes.
const SHORT: u64 = 1 << 18;
/// Bytes that are gathered before they are written.
const CHUNK: usize = 1 << 20;
/// The key whose zero bytes bring the tensors to the places in their blocks that they have in the source.
const FILLING: &str = "slm.filling";

/// A file that can be written.
#[derive(Debug)]
pub(crate) struct Plan {
    head: Vec<u8>,
    size: u64,
    tensors: Vec<Item>,
    /// Bytes of each tensor.
    lengths: Vec<u64>,
}

/// A piece of the new file.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// These of the source.
    Span(Span),
}

impl Plan {
    /// Writes the head.
    pub(super) fn new(source: &Source<'_>, keys: &Keys, tensors: Tensors) -> Result<Self, Error> {
        tensors.check()?;
        let mut head = Head::default();
        keys.write(source, |key, kind, bytes| head.raw(key, kind, bytes))?;
        let tensors = tensors.0;
        let lengths: Vec<u64> = tensors
            .iter()
            .map(|item| head.tensor(&item.name, &item.dims, item.kind))
            .collect();
        if let Some(place) = best_place(&tensors, &lengths) {
            head.fill(FILLING, BLOCK, place);
        }
        let (head, size) = head.finish();
        Ok(Self {
            head,
            size,
            tensors,
            lengths,
        })
    }

    /// Bytes of the new file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Gives `out` the new file, piece by piece, in order.
    ///
    /// # Errors
    /// [`Error::Io`], and errors of `out`.
    pub(crate) fn write<E: From<Error>>(
        &self,
        source: &dyn ReadAt,
        out: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut writer = Writer {
            source,
            out,
            gathered: Vec::new(),
            run: None,
        };
        writer.gather(&self.head)?;
        for (item, length) in self.tensors.iter().zip(&self.lengths) {
            match &item.content {
                Content::Made(bytes) => writer.gather(bytes)?,
                Content::Parts(parts) => parts.iter().try_for_each(|part| writer.part(part))?,
            }
            writer.fill(Head::filling(*length))?;
        }
        writer.finish()
    }
}

/// Where in a block of a file system the first tensor has to begin, so that most bytes stand where they stand in a block of the source.
/// `None` where nothing is copied, or nothing could stand so.
fn best_place(tensors: &[Item], lengths: &[u64]) -> Option<u64> {
    let mut copied: HashMap<u64, u64> = HashMap::new();
    let mut begins = 0;
    for (item, length) in tensors.iter().zip(lengths) {
        if let Content::Parts(parts) = &item.content
            && let [
                Part {
                    span,
                    widened: None,
                },
            ] = parts[..]
        {
            let place = (span.offset % BLOCK + BLOCK - begins % BLOCK) % BLOCK;
            *copied.entry(place).or_default() += length;
        }
        begins += length + Head::filling(*length);
    }
    let best = copied
        .into_iter()
        .max_by_key(|(place, length)| (*length, *place));
    best.map(|(place, _)| place)
        .filter(|place| Head::filling(*place) == 0)
}

struct Writer<'a, F> {
    source: &'a dyn ReadAt,
    out: F,
    /// Bytes that come before `run`.
    gathered: Vec<u8>,
    /// Bytes of the source that come next, and how many zero bytes come behind them.
    run: Option<(Span, u64)>,
}

impl<E: From<Error>, F: FnMut(Piece<'_>) -> Result<(), E>> Writer<'_, F> {
    fn part(&mut self, part: &Part) -> Result<(), E> {
        match part.widened {
            None => self.span(part.span),
            Some(kind) => self.widen(part.span, kind),
        }
    }

    /// Bytes of the source. Adjacent tensors are one run, with the padding between them.
    fn span(&mut self, span: Span) -> Result<(), E> {
        if let Some((run, zeros)) = &mut self.run
            && run.end() + *zeros == span.offset
        {
            run.length += *zeros + span.length;
            *zeros = 0;
            return Ok(());
        }
        self.end_run()?;
        self.run = Some((span, 0));
        Ok(())
    }

    fn fill(&mut self, zeros: u64) -> Result<(), E> {
        match &mut self.run {
            Some((_, more)) => {
                *more += zeros;
                Ok(())
            }
            None => self.gather(&vec![0; zeros as usize]),
        }
    }

    fn end_run(&mut self) -> Result<(), E> {
        let Some((span, zeros)) = self.run.take() else {
            return Ok(());
        };
        if span.length < SHORT {
            let bytes = self.read(span)?;
            self.gathered.extend(bytes);
        } else {
            self.flush()?;
            (self.out)(Piece::Span(span))?;
        }
        self.gather(&vec![0; zeros as usize])
    }

    fn widen(&mut self, span: Span, kind: TensorType) -> Result<(), E> {
        let block = kind.block_bytes();
        let read = values::reader(kind).expect("it was asked for when the plan was made");
        let at_once = CHUNK as u64 / block * block;
        let (mut offset, mut values) = (span.offset, Vec::new());
        while offset < span.end() {
            let length = at_once.min(span.end() - offset);
            let bytes = self.read(Span::new(offset, length))?;
            values.clear();
            for block in bytes.chunks_exact(block as usize) {
                read(block, &mut values);
            }
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            self.gather(&bytes)?;
            offset += length;
        }
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.end_run_before(bytes)?;
        self.gathered.extend(bytes);
        if self.gathered.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    /// What was gathered comes behind the run before it.
    fn end_run_before(&mut self, bytes: &[u8]) -> Result<(), E> {
        match (&self.run, bytes) {
            (None, _) | (_, []) => Ok(()),
            _ => self.end_run(),
        }
    }

    fn flush(&mut self) -> Result<(), E> {
        if !self.gathered.is_empty() {
            (self.out)(Piece::Bytes(&self.gathered))?;
            self.gathered.clear();
        }
        Ok(())
    }

    fn read(&self, span: Span) -> Result<Vec<u8>, E> {
        let mut bytes = vec![0; span.length as usize];
        let read = self.source.read_at(span.offset, &mut bytes);
        let offset = span.offset;
        read.map_err(|source| Error::Io { offset, source })?;
        Ok(bytes)
    }

    fn finish(mut self) -> Result<(), E> {
        self.end_run()?;
        self.flush()
    }
}

//! The first bytes of a file that is elsewhere, as a file of its full size.

use std::io::{self, Read, Seek, SeekFrom};

/// The bytes that are here.
#[derive(Debug)]
pub(super) struct Prefix {
    bytes: Vec<u8>,
    /// The size of the whole file.
    size: u64,
}

impl Prefix {
    pub(super) fn new(size: u64) -> Self {
        let bytes = Vec::new();
        Self { bytes, size }
    }

    /// How many bytes are here.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the file begins as a GGUF file does.
    pub(super) fn is_gguf(&self) -> bool {
        self.bytes.starts_with(b"GGUF")
    }

    /// Reads from the first byte on; beyond the last one that is here, reading fails.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            prefix: self,
            at: 0,
        }
    }
}

/// A position in the file.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    prefix: &'a Prefix,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.prefix.size || buffer.is_empty() {
            return Ok(0);
        }
        let start = usize::try_from(self.at).unwrap_or(usize::MAX);
        let Some(rest) = self
            .prefix
            .bytes
            .get(start..)
            .filter(|rest| !rest.is_empty())
        else {
            return Err(io::Error::other("these bytes were not fetched"));
        };
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.prefix.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf;

    #[test]
    fn a_header_is_read_without_the_weights() {
        let whole = gguf_writer::tiny::llama(0);
        let size = whole.len() as u64;
        let read = gguf::read(&mut io::Cursor::new(&whole), size).expect("it obeys every rule");
        let header = usize::try_from(read.data_offset).expect("the file is small");
        let mut prefix = Prefix::new(size);
        prefix.append(&whole[..header]);
        assert!(prefix.is_gguf());
        let found = gguf::read(&mut prefix.reader(), size).expect("the header is here");
        assert_eq!(found, read);
    }

    #[test]
    fn a_header_that_is_cut_asks_for_more() {
        let whole = gguf_writer::tiny::llama(0);
        let mut prefix = Prefix::new(whole.len() as u64);
        prefix.append(&whole[..100]);
        let error = gguf::read(&mut prefix.reader(), whole.len() as u64);
        assert!(matches!(error, Err(gguf::Error::Io { .. })), "{error:?}");
    }
}

//! Bounded reading: lengths are checked against the file before bytes are read or memory is taken.

use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use super::error::harmless;
use super::{Endian, Error, Problem};

/// A file that is read front to back, with its size known and its position counted.
pub(super) struct Input<'file, F> {
    file: BufReader<&'file mut F>,
    size: u64,
    position: u64,
    endian: Endian,
}

impl<'file, F: Read + Seek> Input<'file, F> {
    /// Begins at the first byte of `file`, which must have `size` bytes.
    pub(super) fn open(file: &'file mut F, size: u64) -> Result<Self, Error> {
        let io = |source| Error::Io { offset: 0, source };
        let found = file.seek(SeekFrom::End(0)).map_err(io)?;
        if found != size {
            let expected = size;
            return Err(Problem::Size { found, expected }.at(found));
        }
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        Ok(Self {
            file: BufReader::with_capacity(64 * 1024, file),
            size,
            position: 0,
            endian: Endian::Little,
        })
    }

    /// Reads the magic and the version, and learns the byte order from the version.
    pub(super) fn version(&mut self) -> Result<u32, Error> {
        let magic: [u8; 4] = self.array("the magic")?;
        if &magic != b"GGUF" {
            let found = format!("`{}`", harmless(&magic));
            return Err(Problem::NotGguf { found }.at(0));
        }
        let version: [u8; 4] = self.array("the version")?;
        let little = u32::from_le_bytes(version);
        let big = u32::from_be_bytes(version);
        match (little, big) {
            (2 | 3, _) => Ok(little),
            (_, 2 | 3) => {
                self.endian = Endian::Big;
                Ok(big)
            }
            // A number with only its high bytes set is a small one in the other order.
            _ => Err(Problem::Version {
                found: little.min(big),
            }
            .at(4)),
        }
    }

    pub(super) fn endian(&self) -> Endian {
        self.endian
    }

    /// The bytes read or skipped so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.size - self.position
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, Error> {
        self.array(what).map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Error> {
        let bytes = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Error> {
        let bytes = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    /// Reads a number's bytes and turns them least significant first.
    pub(super) fn number<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let mut bytes = self.array(what)?;
        if self.endian == Endian::Big {
            bytes.reverse();
        }
        Ok(bytes)
    }

    /// Refuses a length beyond `limit`, or beyond the bytes that are left.
    pub(super) fn check_length(&self, what: &str, found: u64, limit: u64) -> Result<(), Error> {
        if found > limit {
            let what = what.to_owned();
            return Err(Problem::TooMany { what, found, limit }.at(self.position));
        }
        self.need(what, found)
    }

    /// Refuses a count beyond `limit`, or one whose items take more than the bytes that are left. The count is at offset `at`,
    /// and its items take `needed` bytes or more.
    pub(super) fn check_count(
        &self,
        what: &str,
        found: u64,
        limit: u64,
        needed: u64,
        at: u64,
    ) -> Result<(), Error> {
        let (what, left) = (what.to_owned(), self.left());
        if found > limit {
            return Err(Problem::TooMany { what, found, limit }.at(at));
        }
        if needed > left {
            let needed = needed.into();
            return Err(Problem::Promised {
                what,
                found,
                needed,
                left,
            }
            .at(at));
        }
        Ok(())
    }

    /// Reads a key or a name of at most `limit` bytes: UTF-8, not empty and without a zero byte.
    pub(super) fn name(&mut self, what: &str, limit: u64) -> Result<String, Error> {
        let mut bytes = Vec::new();
        self.string_into(what, limit, &mut bytes)?;
        let (at, what) = (self.position, what.to_owned());
        if bytes.is_empty() {
            return Err(Problem::Empty { what }.at(at));
        }
        if bytes.contains(&0) {
            return Err(Problem::ZeroByte { what }.at(at));
        }
        String::from_utf8(bytes).map_err(|_| Problem::NotUtf8 { what }.at(at))
    }

    /// Reads a string of at most `limit` bytes into `text`, whose old content goes.
    pub(super) fn string_into(
        &mut self,
        what: &str,
        limit: u64,
        text: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let length = self.u64(what)?;
        self.check_length(what, length, limit)?;
        self.bytes_into(what, length, text)
    }

    /// Reads `length` bytes into `bytes`, whose old content goes.
    ///
    /// The caller has bounded `length` by what is left in the file.
    pub(super) fn bytes_into(
        &mut self,
        what: &str,
        length: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.need(what, length)?;
        bytes.clear();
        bytes.resize(length as usize, 0);
        self.fill(what, bytes)
    }

    /// Passes over `length` bytes.
    pub(super) fn skip(&mut self, what: &str, length: u64) -> Result<(), Error> {
        self.need(what, length)?;
        let io = |source| Error::Io {
            offset: self.position,
            source,
        };
        // A length that is in a file fits, because file offsets are signed.
        let step = i64::try_from(length).unwrap_or(i64::MAX);
        self.file.seek_relative(step).map_err(io)?;
        self.position += length;
        Ok(())
    }

    fn need(&self, what: &str, needed: u64) -> Result<(), Error> {
        let left = self.left();
        if needed > left {
            let what = what.to_owned();
            return Err(Problem::Truncated { what, needed, left }.at(self.position));
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.need(what, N as u64)?;
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, what: &str, bytes: &mut [u8]) -> Result<(), Error> {
        let offset = self.position;
        self.file.read_exact(bytes).map_err(|source| {
            if source.kind() == ErrorKind::UnexpectedEof {
                // The file shrank while it was read.
                Problem::Truncated {
                    what: what.to_owned(),
                    needed: bytes.len() as u64,
                    left: 0,
                }
                .at(offset)
            } else {
                Error::Io { offset, source }
            }
        })?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

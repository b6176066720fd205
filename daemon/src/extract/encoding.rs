//! Decodes request bodies that were compressed: zstd, gzip and deflate.
//!
//! The limit of the route counts decoded bytes, so a small body that decodes to a large one is refused as a large one.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::budget::Share;
use crate::error::Error;

/// Largest window of a zstd frame, which is the size that every decoder should support (RFC 8878, 3.1.1.1.2).
const WINDOW: u64 = 8 << 20;

/// Decoded bytes that are added at a time.
const PIECE: u64 = 64 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    Identity,
    /// In one zstd frame or several.
    Zstd,
    /// In one gzip member or several.
    Gzip,
    /// In the zlib format, or as raw deflate, which some clients send.
    Deflate,
}

impl Encoding {
    /// The encoding that the headers state.
    ///
    /// # Errors
    /// [`Error::Encoding`] for another one, and for several in a row.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut stated = headers.get_all(CONTENT_ENCODING).iter();
        let Some(first) = stated.next() else {
            return Ok(Self::Identity);
        };
        let text = String::from_utf8_lossy(first.as_bytes()).to_ascii_lowercase();
        match text.trim() {
            _ if stated.next().is_some() => Err(Error::Encoding("several encodings".into())),
            "" | "identity" => Ok(Self::Identity),
            "zstd" => Ok(Self::Zstd),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            other => Err(Error::Encoding(other.chars().take(40).collect())),
        }
    }

    /// The decoded body, of at most `limit` bytes, which come from the budget.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Full`] when the budget is used up; [`Error::Invalid`] for a broken body.
    pub(super) fn decode(
        self,
        body: Vec<u8>,
        limit: usize,
        share: Option<&Share>,
    ) -> Result<Vec<u8>, Error> {
        let source = body.as_slice();
        match self {
            Self::Identity => Ok(body),
            Self::Zstd => read(ZstdReader::new(source), "zstd", limit, share),
            Self::Gzip => read(MultiGzDecoder::new(source), "gzip", limit, share),
            Self::Deflate if is_zlib(source) => {
                read(ZlibDecoder::new(source), "deflate", limit, share)
            }
            Self::Deflate => read(DeflateDecoder::new(source), "deflate", limit, share),
        }
    }
}

/// Whether the bytes begin with the header of the zlib format (RFC 1950, 2.2).
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn read(
    mut decoder: impl Read,
    name: &str,
    limit: usize,
    share: Option<&Share>,
) -> Result<Vec<u8>, Error> {
    let mut decoded = Vec::new();
    loop {
        let before = decoded.len();
        let piece = decoder.by_ref().take(PIECE).read_to_end(&mut decoded);
        piece.map_err(|why| Error::Invalid(format!("the request body is broken {name}: {why}")))?;
        if decoded.len() == before {
            return Ok(decoded);
        }
        if decoded.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        if let Some(share) = share {
            share.grow(before, decoded.len())?;
        }
    }
}

/// Reads zstd frames one after another, and passes over skippable frames.
struct ZstdReader<'a> {
    rest: &'a [u8],
    frame: Option<Box<FrameReader<'a>>>,
}

type FrameReader<'a> = StreamingDecoder<&'a [u8], FrameDecoder>;

impl<'a> ZstdReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            frame: None,
        }
    }

    /// Begins the next frame; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Box<FrameReader<'a>>>> {
        while !self.rest.is_empty() {
            match StreamingDecoder::new_with_max_window_size(self.rest, WINDOW) {
                Ok(frame) => return Ok(Some(Box::new(frame))),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    // The magic number and the length come before the content.
                    let end = usize::try_from(length)
                        .ok()
                        .and_then(|it| it.checked_add(8));
                    let rest = end.and_then(|end| self.rest.get(end..));
                    self.rest = rest.ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(None)
    }
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.frame.is_none() {
                self.frame = self.next()?;
            }
            let Some(frame) = &mut self.frame else {
                return Ok(0);
            };
            let read = frame.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let frame = self.frame.take();
            self.rest = frame.map_or(&[], |frame| frame.into_inner());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, UNCOUNTED};
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    const TEXT: &[u8] = b"a text that is compressed, and compressed, and compressed";

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn all(bytes: &[u8]) -> [(Encoding, Vec<u8>); 4] {
        [
            (Encoding::Zstd, zstd(bytes)),
            (Encoding::Gzip, gzip(bytes)),
            (Encoding::Deflate, zlib(bytes)),
            (Encoding::Deflate, raw(bytes)),
        ]
    }

    #[test]
    fn each_encoding_is_decoded() {
        for (encoding, body) in all(TEXT) {
            assert_eq!(
                encoding.decode(body, 100, None).unwrap(),
                TEXT,
                "{encoding:?}"
            );
        }
        let skippable = [&0x184D_2A50_u32.to_le_bytes()[..], &[3, 0, 0, 0, 1, 2, 3]].concat();
        let frames = [skippable, zstd(b"one "), zstd(b"two")].concat();
        assert_eq!(
            Encoding::Zstd.decode(frames, 100, None).unwrap(),
            b"one two"
        );
    }

    #[test]
    fn the_limit_and_the_budget_count_decoded_bytes() {
        let zeros = vec![0; 4 * UNCOUNTED];
        for (encoding, body) in all(&zeros) {
            assert!(body.len() < UNCOUNTED / 4);
            let decode = |limit, budget: usize| {
                let budget = Budget::of(budget);
                encoding.decode(body.clone(), limit, Some(&budget.share()))
            };
            let whole = decode(zeros.len(), 3 * UNCOUNTED).unwrap();
            assert_eq!(whole.len(), zeros.len());
            let large = decode(zeros.len() - 1, 3 * UNCOUNTED);
            assert!(matches!(large, Err(Error::TooLarge { .. })), "{encoding:?}");
            let full = decode(zeros.len(), 3 * UNCOUNTED - 1);
            assert!(matches!(full, Err(Error::Full)), "{encoding:?}");
        }
    }

    #[test]
    fn a_broken_body_is_an_error() {
        for (encoding, mut body) in all(TEXT) {
            body.truncate(body.len() / 2);
            let cut = encoding.decode(body, 100, None).unwrap_err().to_string();
            assert!(
                cut.contains("the request body is broken"),
                "{encoding:?}: {cut}"
            );
            let other = encoding.decode(b"{\"model\":1}".to_vec(), 100, None);
            assert!(matches!(other, Err(Error::Invalid(_))), "{encoding:?}");
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        // A frame header with a window of 1 GiB.
        let body = [
            &0xFD2F_B528_u32.to_le_bytes()[..],
            &[0x00, 20 << 3, 1, 0, 0],
        ]
        .concat();
        let refused = Encoding::Zstd
            .decode(body, 100, None)
            .unwrap_err()
            .to_string();
        assert!(refused.to_lowercase().contains("window"), "{refused}");
    }

    #[test]
    fn one_known_encoding_is_accepted() {
        let of = |stated: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in stated {
                headers.append(CONTENT_ENCODING, http::HeaderValue::from_static(value));
            }
            Encoding::of(&headers).map_err(|error| error.status().as_u16())
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&["ZSTD"]), Ok(Encoding::Zstd));
        assert_eq!(of(&["gzip"]), Ok(Encoding::Gzip));
        assert_eq!(of(&["deflate"]), Ok(Encoding::Deflate));
        for refused in [&["br"][..], &["gzip, zstd"], &["gzip", "gzip"]] {
            assert_eq!(of(refused), Err(415), "{refused:?}");
        }
    }
}

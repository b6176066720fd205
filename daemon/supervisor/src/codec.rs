//! Frames for an asynchronous reader; the same rules as [`frame::read`].
//!
//! `tokio_util::codec::LengthDelimitedCodec` reads the same layout, but reserves a frame's whole length when a runner announces it,
//! does not say how long a refused frame was, and does not tell half a frame from a socket that fails.

use std::{io, marker::PhantomData};

use bytes::{Buf as _, BytesMut};
use serde::de::DeserializeOwned;
use tokio_util::codec::Decoder;

use runner_protocol::frame::{self, MAX_FRAME};

/// Bytes of the length before a frame.
const HEADER: usize = 4;

/// Largest step by which the buffer grows before the bytes are there.
const STEP: usize = 64 * 1024;

/// Decodes frames that hold a `T` each.
#[derive(Debug)]
pub(super) struct Frames<T>(PhantomData<fn() -> T>);

impl<T> Frames<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: DeserializeOwned> Decoder for Frames<T> {
    type Item = T;
    type Error = frame::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<T>, frame::Error> {
        let Some(header) = buffer.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(frame::Error::TooLarge(length));
        }
        let missing = (HEADER + length).saturating_sub(buffer.len());
        if missing > 0 {
            // A peer that announces much and sends little costs little.
            buffer.reserve(missing.min(STEP));
            return Ok(None);
        }
        buffer.advance(HEADER);
        frame::decode(&buffer.split_to(length)).map(Some)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<T>, frame::Error> {
        match self.decode(buffer)? {
            Some(message) => Ok(Some(message)),
            None if buffer.is_empty() => Ok(None),
            None => Err(frame::Error::Io(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runner_protocol::{Call, Request};

    /// Feeds the bytes in pieces of this size, and then the end.
    fn decode(wire: &[u8], piece: usize) -> Result<Vec<u64>, frame::Error> {
        let mut frames = Frames::<Request>::new();
        let mut buffer = BytesMut::new();
        let mut ids = Vec::new();
        for chunk in wire.chunks(piece) {
            buffer.extend_from_slice(chunk);
            while let Some(request) = frames.decode(&mut buffer)? {
                ids.push(request.id);
            }
        }
        while let Some(request) = frames.decode_eof(&mut buffer)? {
            ids.push(request.id);
        }
        Ok(ids)
    }

    fn wire() -> Vec<u8> {
        let frame = |id| {
            frame::wire(&Request {
                id,
                call: Call::Stats,
            })
            .unwrap()
        };
        [frame(1), frame(2)].concat()
    }

    #[test]
    fn frames_may_come_in_any_pieces() {
        let wire = wire();
        for piece in 1..=wire.len() {
            assert_eq!(decode(&wire, piece).unwrap(), [1, 2], "pieces of {piece}");
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_an_error() {
        let wire = wire();
        for cut in 1..wire.len() {
            let whole = cut == wire.len() / 2;
            assert_eq!(decode(&wire[..cut], cut).is_ok(), whole, "cut at {cut}");
        }
        assert!(decode(&[], 1).unwrap().is_empty());
    }

    #[test]
    fn garbage_and_huge_frames_are_errors_of_their_own() {
        assert!(matches!(
            decode(&[0, 0, 0, 2, 0xc1, 0xc1], 6),
            Err(frame::Error::Decode(_))
        ));
        assert!(matches!(
            decode(&[0xff; 4], 4),
            Err(frame::Error::TooLarge(0xffff_ffff))
        ));
    }

    #[test]
    fn an_announcement_alone_costs_little() {
        let mut buffer = BytesMut::from(&(u32::try_from(MAX_FRAME).unwrap().to_be_bytes())[..]);
        assert!(
            Frames::<Request>::new()
                .decode(&mut buffer)
                .unwrap()
                .is_none()
        );
        assert!(buffer.capacity() <= 2 * STEP, "{}", buffer.capacity());
    }
}

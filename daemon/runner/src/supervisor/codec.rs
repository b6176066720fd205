//! Frames for an asynchronous reader; the same rules as [`frame::read`].

use std::{io, marker::PhantomData};

use bytes::{Buf as _, BytesMut};
use serde::de::DeserializeOwned;
use tokio_util::codec::Decoder;

use crate::frame::{self, MAX_FRAME};

/// Bytes of the length before a frame.
const HEADER: usize = 4;

/// Largest step by which the buffer grows before the bytes are there.
const STEP: usize = 64 * 1024;

/// Decodes frames that hold a `T` each.
#[derive(Debug)]
pub(crate) struct Frames<T>(PhantomData<fn() -> T>);

impl<T> Frames<T> {
    pub(crate) fn new() -> Self {
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

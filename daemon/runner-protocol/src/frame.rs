//! Frames on the socket between daemon and runner.
//!
//! A frame is a 4-byte big-endian length, then that many bytes of MessagePack with named fields.
//! This is the layout of `tokio_util::codec::LengthDelimitedCodec`'s default.
//! Lengths above [`MAX_FRAME`] are refused before a byte is allocated, so a broken peer costs one error and no memory.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Largest frame in bytes that either side accepts.
pub const MAX_FRAME: usize = 32 * 1024 * 1024;

/// Why a frame cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer closed the socket between two frames: the ordinary end.
    #[error("the peer closed the connection")]
    Closed,
    /// The socket failed, or closed in the middle of a frame.
    #[error("cannot read or write a frame")]
    Io(#[from] io::Error),
    /// The peer announced a frame above [`MAX_FRAME`].
    #[error("a frame of {0} bytes is above the limit of {MAX_FRAME}")]
    TooLarge(usize),
    /// The bytes are not a message of this protocol version.
    /// It does not quote the frame as the decoder's own error does, because frames hold prompts, and errors are logged.
    #[error("a frame holds no message of this protocol: {0}")]
    Decode(&'static str),
    /// A message cannot be encoded as MessagePack.
    #[error("a message cannot be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
}

/// Encodes one message as the body of a frame, without the length.
///
/// # Errors
/// [`Error::TooLarge`] when the message does not fit a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let body = rmp_serde::to_vec_named(message)?;
    if body.len() > MAX_FRAME {
        return Err(Error::TooLarge(body.len()));
    }
    Ok(body)
}

/// Decodes the body of one frame.
///
/// # Errors
/// [`Error::Decode`] when the bytes are not such a message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    use rmp_serde::decode::Error as Cause;

    rmp_serde::from_slice(body).map_err(|cause| {
        Error::Decode(match cause {
            Cause::InvalidMarkerRead(_) | Cause::InvalidDataRead(_) => "it ends too early",
            Cause::TypeMismatch(_) | Cause::OutOfRange => "a value has the wrong type",
            Cause::LengthMismatch(_) => "a list has the wrong length",
            Cause::Utf8Error(_) => "a text is not UTF-8",
            Cause::DepthLimitExceeded => "it is nested too deep",
            Cause::Uncategorized(_) | Cause::Syntax(_) => {
                "a field or variant is unknown, missing or wrong"
            }
        })
    })
}

/// Encodes one message as a whole frame, length and body.
///
/// # Errors
/// [`Error::TooLarge`] when the message does not fit a frame.
pub fn wire<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let mut frame = vec![0; 4];
    rmp_serde::encode::write_named(&mut frame, message)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME {
        return Err(Error::TooLarge(length));
    }
    let length = u32::try_from(length).expect("MAX_FRAME fits into 32 bits");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Writes one message as one frame and flushes it.
///
/// # Errors
/// [`Error::Io`] when the socket fails, [`Error::TooLarge`] when the message does not fit.
pub fn write<T: Serialize>(out: &mut impl Write, message: &T) -> Result<(), Error> {
    out.write_all(&wire(message)?)?;
    out.flush()?;
    Ok(())
}

/// Reads and decodes one frame, and blocks until it is whole.
///
/// # Errors
/// [`Error::Closed`] at an orderly end, [`Error::TooLarge`] and [`Error::Decode`] for a peer that breaks the protocol.
pub fn read<T: DeserializeOwned>(input: &mut impl Read) -> Result<T, Error> {
    let mut length = [0u8; 4];
    let first = loop {
        match input.read(&mut length[..1]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if first == 0 {
        return Err(Error::Closed);
    }
    input.read_exact(&mut length[1..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(Error::TooLarge(length));
    }
    // Grows while bytes arrive, so a peer that announces much and sends little costs little.
    let mut body = Vec::new();
    input.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(Error::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    decode(&body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Request};

    #[test]
    fn a_message_comes_back_as_it_went() {
        let sent = Request {
            id: 7,
            call: Call::Shutdown,
        };
        let mut wire = Vec::new();
        write(&mut wire, &sent).unwrap();
        assert_eq!(read::<Request>(&mut wire.as_slice()).unwrap(), sent);
    }

    #[test]
    fn an_end_between_frames_is_closed_and_an_end_inside_one_is_an_error() {
        assert!(matches!(
            read::<Request>(&mut [].as_slice()),
            Err(Error::Closed)
        ));
        let mut wire = Vec::new();
        write(
            &mut wire,
            &Request {
                id: 7,
                call: Call::Stats,
            },
        )
        .unwrap();
        for cut in 1..wire.len() {
            assert!(
                matches!(read::<Request>(&mut &wire[..cut]), Err(Error::Io(_))),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_huge_length_is_refused_before_anything_is_read() {
        let wire = [0xff, 0xff, 0xff, 0xff, 0, 0];
        assert!(matches!(
            read::<Request>(&mut wire.as_slice()),
            Err(Error::TooLarge(_))
        ));
    }

    /// With each bit flipped: nothing panics, and few frames still decode.
    #[test]
    fn a_damaged_frame_is_an_error_or_another_message() {
        let tokenize = crate::Tokenize {
            text: "why?".to_owned(),
            add_special: true,
            parse_special: false,
            literal: Vec::new(),
        };
        let sent = Request {
            id: 1,
            call: Call::Tokenize(tokenize),
        };
        let good = wire(&sent).unwrap();
        let mut others = 0;
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match read::<Request>(&mut bad.as_slice()) {
                Ok(_) => others += 1,
                Err(Error::Closed | Error::Encode(_)) => panic!("bit {bit}: the wrong error"),
                Err(_) => {}
            }
        }
        // A flipped letter or digit still decodes; most other bits do not.
        assert!(
            others < 8 * good.len() / 2,
            "{others} of {}",
            8 * good.len()
        );
    }

    #[test]
    fn an_error_does_not_quote_the_frame() {
        let body = encode(&("a secret prompt", "another")).unwrap();
        let error = decode::<Request>(&body).unwrap_err();
        assert!(matches!(error, Error::Decode(_)), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("secret"));
    }

    #[test]
    fn garbage_is_a_decode_error() {
        let wire = [0, 0, 0, 2, 0xc1, 0xc1];
        assert!(matches!(
            read::<Request>(&mut wire.as_slice()),
            Err(Error::Decode(_))
        ));
    }
}

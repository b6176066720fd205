//! Bytes of a file to text.

use std::borrow::Cow;

use crate::MAX_BYTES;
use crate::diagnostic::{Diagnostic, Severity};
use crate::text::Text;

/// Decodes by the byte order mark: UTF-8, UTF-16 little-endian or UTF-16 big-endian; without one, UTF-8.
///
/// # Errors
///
/// There are too many bytes, or they are not in the encoding of the mark. The position is the end of the readable part.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Diagnostic> {
    if bytes.len() > MAX_BYTES {
        return Err(too_long(bytes.len()));
    }
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        // No instruction has a NUL in its first two characters; Latin letters in UTF-16 have one.
        [0, _, ..] | [_, 0, ..] => Err(unmarked_utf16()),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest).map(Cow::Borrowed),
        _ => utf8(bytes).map(Cow::Borrowed),
    }
}

/// The error for a text of `length` bytes.
pub(crate) fn too_long(length: usize) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        line: 1,
        column: 1,
        message: format!(
            "a Modelfile must not be longer than {MAX_BYTES} bytes, and this one has {length}"
        ),
        snippet: None,
        suggestion: Some("a weights file is not a Modelfile; name it in a `FROM` line".to_owned()),
    }
}

fn unmarked_utf16() -> Diagnostic {
    broken(
        "",
        "this looks like UTF-16 without a byte order mark".to_owned(),
    )
    .suggest(HOW_TO_SAVE)
}

const HOW_TO_SAVE: &str = "save the file as UTF-8, or as UTF-16 with a byte order mark";

fn utf8(bytes: &[u8]) -> Result<&str, Diagnostic> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (readable, rest) = bytes.split_at(error.valid_up_to());
        let readable = std::str::from_utf8(readable).expect("the decoder has accepted this part");
        let finding = broken(
            readable,
            format!("byte 0x{:02x} is not valid UTF-8", rest[0]),
        );
        if bytes.starts_with(b"GGUF") {
            finding.suggest("this is a weights file; name it in the `FROM` line of a Modelfile")
        } else if bytes.contains(&0) {
            finding.suggest(HOW_TO_SAVE)
        } else {
            finding.suggest("save the file as UTF-8")
        }
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Diagnostic> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for decoded in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match decoded {
            Ok(character) => text.push(character),
            Err(error) => {
                let message = format!(
                    "0x{:04x} is half of a UTF-16 pair",
                    error.unpaired_surrogate()
                );
                return Err(broken(&text, message).suggest("save the file as UTF-8"));
            }
        }
    }
    if odd.is_empty() {
        Ok(text)
    } else {
        Err(broken(
            &text,
            "the UTF-16 text ends in the middle of a character".to_owned(),
        )
        .suggest("the file may be cut short; save it again, as UTF-8"))
    }
}

/// A diagnostic at the end of the readable part.
fn broken(readable: &str, message: String) -> Diagnostic {
    Text::new(readable).error(readable.len()..readable.len(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "FROM bob\nSYSTEM 你好 👩‍💻\n";

    fn utf16(unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}"
            .encode_utf16()
            .chain(TEXT.encode_utf16())
            .flat_map(unit)
            .collect()
    }

    #[test]
    fn marks_decide_the_encoding() {
        assert_eq!(decode(TEXT.as_bytes()).expect("UTF-8"), TEXT);
        assert_eq!(
            decode(format!("\u{feff}{TEXT}").as_bytes()).expect("UTF-8 with mark"),
            TEXT
        );
        assert_eq!(
            decode(&utf16(u16::to_le_bytes)).expect("little-endian"),
            TEXT
        );
        assert_eq!(decode(&utf16(u16::to_be_bytes)).expect("big-endian"), TEXT);
    }

    #[test]
    fn broken_bytes_have_a_place() {
        let finding = decode(b"FROM a\nSYSTEM \xff\n").expect_err("0xff is never UTF-8");
        assert_eq!((finding.line, finding.column), (2, 8));
        assert_eq!(finding.message, "byte 0xff is not valid UTF-8");

        let finding = decode(b"\xff\xfea\0\0\xd8b\0").expect_err("a lone surrogate");
        assert_eq!((finding.line, finding.column), (1, 2));
        assert_eq!(finding.message, "0xd800 is half of a UTF-16 pair");

        let finding = decode(b"\xff\xfea\0b").expect_err("an odd byte");
        assert_eq!((finding.line, finding.column), (1, 2));
    }

    #[test]
    fn weights_are_recognised() {
        let finding = decode(b"GGUF\x03\0\0\0\xff\xff").expect_err("not text");
        assert!(
            finding
                .suggestion
                .is_some_and(|help| help.contains("weights file"))
        );
    }

    #[test]
    fn length_is_limited() {
        assert!(decode(&vec![b'\n'; MAX_BYTES]).is_ok());
        assert!(decode(&vec![b'\n'; MAX_BYTES + 1]).is_err());
    }
}

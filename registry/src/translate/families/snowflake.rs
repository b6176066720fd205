//! Snowflake Arctic Embed 2, an encoder of the BERT family with a vocabulary of SentencePiece.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | keys | `tokenizer.ggml.precompiled_charsmap`: a list of texts of one character, together base64 | the decoded bytes |
//!
//! Ollama ignores a list that is not base64; llama.cpp would abort, so it is an error here.

use super::super::keys::list_of_texts;
use super::super::layout::Layout;
use super::super::source::{Source, View, wrong_key};
use super::Error;
use crate::gguf::{CHARSMAP, is_told_in_texts};

pub(super) fn is(view: View<'_>) -> bool {
    is_told_in_texts(&view.0.metadata)
}

pub(super) fn weights(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, &[]);
    let count = source.view.length(CHARSMAP).unwrap_or_default();
    let texts = list_of_texts(&source, CHARSMAP, count)?;
    let wrong = || wrong_key(CHARSMAP, "a list of the characters of base64");
    let characters = texts.iter().map(|text| match text.as_slice() {
        [character] => Ok(*character),
        _ => Err(wrong()),
    });
    let characters = characters.collect::<Result<Vec<_>, _>>()?;
    let bytes = decode(&characters).filter(|bytes| !bytes.is_empty());
    layout
        .keys
        .set(CHARSMAP, bytes.ok_or_else(wrong)?.as_slice());
    Ok(layout)
}

/// Decodes base64; `None` if it is invalid.
fn decode(characters: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for character in characters
        .iter()
        .take_while(|character| **character != b'=')
    {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64_is_decoded_to_its_end() {
        assert_eq!(decode(b"aGVsbG8=").as_deref(), Some(&b"hello"[..]));
        assert_eq!(decode(b"+/8").as_deref(), Some(&[0xFB, 0xFF][..]));
        assert_eq!(decode(b"a b"), None);
    }
}

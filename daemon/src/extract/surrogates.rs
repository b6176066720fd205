//! Lone surrogates in JSON.
//!
//! A program with UTF-16 texts may cut one inside a surrogate pair, and write the lone surrogate as an escape such as `\ud83d`.
//! It encodes no character, and U+FFFD replaces it, as in lossy decoders.

/// Replaces each escape of a lone surrogate by `\ufffd`, which also has six bytes.
pub(super) fn replace_lone(json: &mut [u8]) {
    let mut at = 0;
    while let Some(step) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += step;
        at += match unit(&json[at..]) {
            // Any other escape has at least two bytes; the second can be a backslash.
            None => 2,
            Some(0xd800..=0xdbff) if matches!(unit(&json[at + 6..]), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                json[at..at + 6].copy_from_slice(br"\ufffd");
                6
            }
            Some(_) => 6,
        };
        if at >= json.len() {
            return;
        }
    }
}

/// The code unit of an escape `\uXXXX` at the start of the bytes.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(br"\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        for (json, expected) in [
            (r#""hi \ud83d""#, "hi \u{fffd}"),
            (r#""\uD83D\uDE00""#, "\u{1f600}"),
            (r#""\ude00""#, "\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            // The backslash is escaped, so the rest is plain text.
            (r#""\\ud83d""#, r"\ud83d"),
            (r#""\\\ud83d""#, "\\\u{fffd}"),
            (r#""\\\\ud83d""#, r"\\ud83d"),
            (r#""a\"\ud83d\"""#, "a\"\u{fffd}\""),
        ] {
            let mut bytes = json.as_bytes().to_vec();
            replace_lone(&mut bytes);
            let text: String = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(text, expected, "{json}");
        }
    }

    #[test]
    fn an_incomplete_escape_does_not_change() {
        for json in [
            r"",
            r"\",
            r"\u",
            r"\ud8",
            r"\ud83",
            r"\ud83g",
            r"\ud83d\",
            r"\ud83d\ud",
        ] {
            let mut bytes = json.as_bytes().to_vec();
            replace_lone(&mut bytes);
            assert_eq!(bytes.len(), json.len(), "{json}");
        }
    }
}

//! SHA-256 digests, which identify blobs and give them their paths.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. Printed as `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest: expected \"sha256:\" and 64 hexadecimal digits")]
pub struct DigestError {
    /// What was given, cut to a length fit for a message.
    pub text: String,
}

impl Digest {
    /// Reads `sha256:<hex>` or `sha256-<hex>`; the digits may be of either case.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let hex = text
            .strip_prefix("sha256:")
            .or_else(|| text.strip_prefix("sha256-"));
        hex.and_then(decode).map(Self).ok_or_else(|| DigestError {
            text: text.chars().take(120).collect(),
        })
    }

    /// The digest of bytes that are at hand.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first 12 hex digits: enough for people, never for a machine.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// The blob's file name: `sha256-<hex>`.
    pub fn file_name(&self) -> String {
        format!("sha256-{}", self.hex())
    }

    /// The digest that a blob's file name states; `None` for any other file.
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        name.strip_prefix("sha256-").and_then(Self::from_hex)
    }

    /// The digest with these 64 lower-case hex digits; `None` for any other text.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let lower = !hex.bytes().any(|b| b.is_ascii_uppercase());
        lower.then(|| decode(hex)).flatten().map(Self)
    }
}

fn decode(hex: &str) -> Option<[u8; 32]> {
    let hex = hex.as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Hashes a stream of bytes and counts them.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    state: Sha256,
    length: u64,
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of everything taken.
    pub fn finish(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn both_spellings_and_cases_are_read() {
        let expected = Digest::of(b"");
        for text in [
            format!("sha256:{EMPTY}"),
            format!("sha256-{EMPTY}"),
            format!("sha256:{}", EMPTY.to_uppercase()),
        ] {
            assert_eq!(Digest::parse(&text), Ok(expected));
        }
        assert_eq!(expected.to_string(), format!("sha256:{EMPTY}"));
        assert_eq!(expected.file_name(), format!("sha256-{EMPTY}"));
        assert_eq!(expected.short(), "e3b0c44298fc");
    }

    #[test]
    fn hostile_digests_are_refused() {
        let short = &EMPTY[..63];
        let long = format!("sha256:{EMPTY}0");
        let path = format!("sha256:../../{}", &EMPTY[6..]);
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256-",
            EMPTY,
            &long,
            &path,
            &format!("sha256:{short}"),
            &format!("sha256:{short}g"),
            &format!("sha256:{short}/"),
            &format!("sha256:{short}\0"),
            &format!("sha256/{EMPTY}"),
            &format!("SHA256:{EMPTY}"),
            &format!("sha512:{EMPTY}"),
            &format!(" sha256:{EMPTY}"),
            &format!("sha256:{EMPTY}\n"),
            &format!("sha256:{EMPTY}-partial"),
            &format!("sha256::{short}"),
            &format!("sha256:+{short}"),
            &format!("sha256:{}é", &EMPTY[..62]),
            "sha256:../../../../etc/passwd",
            "sha256-..",
            "..",
            "/etc/passwd",
            &format!("md5:{}", &EMPTY[..32]),
            &format!("sha256:０{short}"),
        ] {
            assert!(
                Digest::parse(text).is_err(),
                "{text:?} was taken as a digest"
            );
        }
    }

    #[test]
    fn file_names_have_one_spelling() {
        assert_eq!(
            Digest::from_file_name(&format!("sha256-{EMPTY}")),
            Some(Digest::of(b""))
        );
        assert_eq!(
            Digest::from_file_name(&format!("sha256-{}", EMPTY.to_uppercase())),
            None
        );
        assert_eq!(
            Digest::from_file_name(&format!("sha256-{EMPTY}-partial")),
            None
        );
    }

    proptest! {
        #[test]
        fn parse_inverts_print(bytes: [u8; 32]) {
            let digest = Digest(bytes);
            prop_assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
            prop_assert_eq!(Digest::from_file_name(&digest.file_name()), Some(digest));
        }

        #[test]
        fn a_stream_hashes_like_its_bytes(parts: Vec<Vec<u8>>) {
            let mut hasher = Hasher::default();
            parts.iter().for_each(|part| hasher.update(part));
            prop_assert_eq!(hasher.length() as usize, parts.concat().len());
            prop_assert_eq!(hasher.finish(), Digest::of(&parts.concat()));
        }
    }
}

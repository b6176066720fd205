//! The strict reader of safetensors files.
//!
//! The format is that of the `safetensors` project's `README.md`: eight bytes with the length of a header in JSON, the header,
//! and the bytes of all tensors, end to end, without a gap.
//! A file that says anything else is refused with the name of what is wrong, before one byte of a tensor is read.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::error::{Error, Problem};
use crate::gguf::harmless;

/// Headers of models that are converted here have some ten kilobytes.
const LONGEST_HEADER: u64 = 4 << 20;
/// More tensors than any of these models has.
const MOST_TENSORS: usize = 16_384;
/// More dimensions than any of their tensors has.
const MOST_DIMS: usize = 8;
/// The member of the header that is not a tensor.
const REMARKS: &str = "__metadata__";

/// What the values of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// Anything else, by the bytes that one value takes; it is measured, and never converted.
    Other(u64),
}

impl Dtype {
    fn find(name: &str) -> Option<Self> {
        Some(match name {
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" => Self::Other(1),
            "I16" | "U16" => Self::Other(2),
            "I32" | "U32" => Self::Other(4),
            "I64" | "U64" | "F64" => Self::Other(8),
            _ => return None,
        })
    }

    /// The bytes that one value takes.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(bytes) => bytes,
        }
    }
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// What its values are.
    pub(super) dtype: Dtype,
    /// Its dimensions, the slowest first.
    pub(super) shape: Vec<u64>,
    /// Where its bytes begin, from the start of the file.
    pub(super) offset: u64,
    /// How many bytes it has.
    pub(super) bytes: u64,
}

/// Reads and checks the header of the file with this name.
pub(super) fn read(
    name: &str,
    file: &mut (impl Read + Seek + ?Sized),
) -> Result<BTreeMap<String, Tensor>, Error> {
    let io = |source| Error::Io {
        file: harmless(name.as_bytes()),
        source,
    };
    let refused = |problem| Error::Safetensors {
        file: harmless(name.as_bytes()),
        problem,
    };
    let size = file.seek(SeekFrom::End(0)).map_err(io)?;
    if size < 8 {
        return Err(refused(Problem::TooShort { size }));
    }
    file.rewind().map_err(io)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length > size - 8 {
        return Err(refused(Problem::HeaderLength {
            length,
            most: LONGEST_HEADER.min(size - 8),
        }));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(io)?;
    let data = 8 + length;
    parse(&header, data, size - data).map_err(refused)
}

/// Reads the header of a file whose tensors begin at byte `data` and have `length` bytes.
fn parse(header: &[u8], data: u64, length: u64) -> Result<BTreeMap<String, Tensor>, Problem> {
    if header.first() != Some(&b'{') {
        return Err(Problem::NoHeader);
    }
    let mut json = serde_json::Deserializer::from_slice(header);
    let entries = Entries
        .deserialize(&mut json)
        .and_then(|entries| json.end().map(|()| entries))
        .map_err(|error| Problem::Header(harmless(error.to_string().as_bytes())))?;
    let mut tensors = BTreeMap::new();
    for (name, entry) in entries {
        let tensor = entry.tensor(&name, data, length)?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(Problem::Twice(harmless(name.as_bytes())));
        }
    }
    end_to_end(&tensors, data, length)?;
    Ok(tensors)
}

/// Every byte of the data belongs to one tensor.
fn end_to_end(tensors: &BTreeMap<String, Tensor>, data: u64, length: u64) -> Result<(), Problem> {
    let mut placed: Vec<_> = tensors.iter().collect();
    placed.sort_by_key(|(_, tensor)| (tensor.offset, tensor.bytes));
    let mut end = data;
    for (name, tensor) in placed {
        if tensor.offset != end {
            return Err(Problem::NotEndToEnd {
                tensor: harmless(name.as_bytes()),
                begins: tensor.offset - data,
                expected: end - data,
            });
        }
        end += tensor.bytes;
    }
    if end - data != length {
        return Err(Problem::Leftover {
            described: end - data,
            length,
        });
    }
    Ok(())
}

/// What the header says of one tensor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    fn tensor(self, name: &str, data: u64, length: u64) -> Result<Tensor, Problem> {
        let tensor = || harmless(name.as_bytes());
        let dtype = Dtype::find(&self.dtype).ok_or_else(|| Problem::Dtype {
            tensor: tensor(),
            found: harmless(self.dtype.as_bytes()),
        })?;
        if self.shape.len() > MOST_DIMS {
            return Err(Problem::Dimensions {
                tensor: tensor(),
                found: self.shape.len(),
                most: MOST_DIMS,
            });
        }
        let (begin, end) = self.data_offsets;
        if begin > end || end > length {
            return Err(Problem::Outside {
                tensor: tensor(),
                begin,
                end,
                length,
            });
        }
        let values = self
            .shape
            .iter()
            .try_fold(1_u64, |values, dim| values.checked_mul(*dim));
        let wanted = values.and_then(|values| values.checked_mul(dtype.bytes()));
        if wanted != Some(end - begin) {
            return Err(Problem::Size {
                tensor: tensor(),
                shape: self.shape,
                found: end - begin,
            });
        }
        Ok(Tensor {
            dtype,
            shape: self.shape,
            offset: data + begin,
            bytes: end - begin,
        })
    }
}

/// Reads the header's members one by one, so that a duplicate is seen.
struct Entries;

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Vec<(String, Entry)>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one member for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == REMARKS {
                map.next_value::<BTreeMap<String, String>>()?;
                continue;
            }
            if entries.len() == MOST_TENSORS {
                return Err(serde::de::Error::custom(format!(
                    "there are more than {MOST_TENSORS} tensors"
                )));
            }
            entries.push((name, map.next_value()?));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn refused(bytes: Vec<u8>) -> String {
        let error = read("m.safetensors", &mut Cursor::new(bytes)).expect_err("a refusal");
        error.to_string()
    }

    #[test]
    fn tensors_are_found_where_they_are() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"I64","shape":[],"data_offsets":[12,20]},
            "a":{"dtype":"F32","shape":[3,1],"data_offsets":[0,12]},
            "c":{"dtype":"BF16","shape":[0,5],"data_offsets":[12,12]}}   "#;
        let tensors = read("m", &mut Cursor::new(file(header, 20))).expect("a good file");
        let data = 8 + header.len() as u64;
        assert_eq!(
            tensors["a"],
            Tensor {
                dtype: Dtype::F32,
                shape: vec![3, 1],
                offset: data,
                bytes: 12
            }
        );
        assert_eq!((tensors["b"].offset, tensors["b"].bytes), (data + 12, 8));
        assert_eq!(tensors["c"].bytes, 0);
    }

    #[test]
    fn a_header_that_cannot_be_is_refused() {
        let entry = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let mut long = file("{}", 0);
        long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let mut beyond = file("{}", 0);
        beyond[0] = 3;
        for (bytes, reason) in [
            (vec![], "0 bytes"),
            (vec![0; 7], "7 bytes"),
            (long, "18446744073709551615 bytes"),
            (beyond, "3 bytes"),
            (file("", 0), "does not begin"),
            (file(" {}", 0), "does not begin"),
            (file("{", 0), "EOF"),
            (file("{}}", 0), "trailing"),
            (file("{}", 1), "describe 0 bytes"),
            (file(r#"{"a":1}"#, 0), "invalid type"),
            (file(r#"{"a":{}}"#, 0), "missing field"),
            (file(r#"{"__metadata__":{"a":1}}"#, 0), "invalid type"),
            (file(&entry("F33", "[1]", "[0,4]"), 4), "type F33"),
            (file(&entry("F32", "[2]", "[0,4]"), 4), "has 4 bytes"),
            (file(&entry("F32", "[1]", "[0,8]"), 8), "has 8 bytes"),
            (file(&entry("F32", "[-1]", "[0,4]"), 4), "invalid value"),
            (file(&entry("F32", "[1.0]", "[0,4]"), 4), "invalid type"),
            (file(&entry("F32", "[1]", "[4,0]"), 4), "from byte 4 to 0"),
            (file(&entry("F32", "[2]", "[0,8]"), 4), "from byte 0 to 8"),
            (file(&entry("F32", "[1]", "[4,8]"), 8), "begins at byte 4"),
            (file(&entry("F32", "[1]", "[0,4]"), 8), "describe 4 bytes"),
            (
                file(&entry("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1),
                "9 dimensions",
            ),
            (
                file(&entry("F32", "[4294967296,4294967296]", "[0,0]"), 0),
                "has 0 bytes",
            ),
            (
                file(&entry("F32", "[9223372036854775807,0,3]", "[0,0]"), 1),
                "describe 0 bytes",
            ),
            (
                file(
                    r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
                    3,
                ),
                "`b` begins at byte 1",
            ),
            (
                file(
                    r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
                    2,
                ),
                "`a` occurs twice",
            ),
        ] {
            let message = refused(bytes);
            assert!(message.contains(reason), "{reason}: {message}");
            assert!(message.contains("m.safetensors"), "{message}");
        }
    }

    #[test]
    fn deep_and_wide_headers_end_soon() {
        assert!(!refused(file(&format!(r#"{{"a":{}"#, "[".repeat(100_000)), 0)).is_empty());
        let entry = r#""shape":[0],"dtype":"U8","data_offsets":[0,0]"#;
        let many: Vec<String> = (0..=MOST_TENSORS)
            .map(|number| format!(r#""{number}":{{{entry}}}"#))
            .collect();
        let many = format!("{{{}}}", many.join(","));
        assert!(refused(file(&many, 0)).contains("more than 16384 tensors"));
    }

    proptest! {
        #[test]
        fn nothing_makes_the_reader_panic(header in r#"(\{|\}|"a"|:|,|\[|\]|0|8|"dtype"|"shape"|"data_offsets"|"F32"){0,40}"#, data in 0_usize..16) {
            let _ = read("m", &mut Cursor::new(file(&header, data)));
        }

        #[test]
        fn nor_do_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read("m", &mut Cursor::new(bytes));
        }
    }
}

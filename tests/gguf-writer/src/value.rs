//! The values of key-value pairs, and their encoding in a file.

use crate::Endian;

/// The id of a value's type in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ValueType {
    /// 8-bit unsigned.
    U8 = 0,
    /// 8-bit signed.
    I8 = 1,
    /// 16-bit unsigned.
    U16 = 2,
    /// 16-bit signed.
    I16 = 3,
    /// 32-bit unsigned.
    U32 = 4,
    /// 32-bit signed.
    I32 = 5,
    /// 32-bit float.
    F32 = 6,
    /// One byte, 0 or 1.
    Bool = 7,
    /// A 64-bit length and that many bytes.
    String = 8,
    /// A type, a 64-bit length, and that many elements.
    Array = 9,
    /// 64-bit unsigned.
    U64 = 10,
    /// 64-bit signed.
    I64 = 11,
    /// 64-bit float.
    F64 = 12,
}

/// A value to write.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the type of the same name")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    U64(u64),
    I64(i64),
    F64(f64),
    /// An array of values, which should have one type.
    Array(ValueType, Vec<Value>),
    /// A string that need not be UTF-8.
    Bytes(Vec<u8>),
    /// Any type id with any payload: the way to lie.
    Raw {
        /// The type id that the file states.
        type_id: u32,
        /// The bytes that follow it.
        payload: Vec<u8>,
    },
}

impl Value {
    /// An array that states `type_id` and `len`, followed by `payload`, true or not.
    #[must_use]
    pub fn lying_array(type_id: u32, len: u64, payload: &[u8]) -> Self {
        let mut bytes = type_id.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(payload);
        Self::Raw {
            type_id: ValueType::Array as u32,
            payload: bytes,
        }
    }

    /// A string that states `len` bytes, followed by `payload`, true or not.
    #[must_use]
    pub fn lying_string(len: u64, payload: &[u8]) -> Self {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend(payload);
        Self::Raw {
            type_id: ValueType::String as u32,
            payload: bytes,
        }
    }

    pub(crate) fn type_id(&self) -> u32 {
        let kind = match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) | Self::Bytes(_) => ValueType::String,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
            Self::Array(..) => ValueType::Array,
            Self::Raw { type_id, .. } => return *type_id,
        };
        kind as u32
    }

    /// Appends the value without its type id.
    pub(crate) fn put(&self, endian: Endian, out: &mut Vec<u8>) {
        match self {
            Self::U8(value) => out.push(*value),
            Self::I8(value) => out.extend(value.to_le_bytes()),
            Self::U16(value) => endian.put(&value.to_le_bytes(), out),
            Self::I16(value) => endian.put(&value.to_le_bytes(), out),
            Self::U32(value) => endian.put(&value.to_le_bytes(), out),
            Self::I32(value) => endian.put(&value.to_le_bytes(), out),
            Self::F32(value) => endian.put(&value.to_le_bytes(), out),
            Self::Bool(value) => out.push(u8::from(*value)),
            Self::String(value) => put_string(value.as_bytes(), endian, out),
            Self::Bytes(value) => put_string(value, endian, out),
            Self::U64(value) => endian.put(&value.to_le_bytes(), out),
            Self::I64(value) => endian.put(&value.to_le_bytes(), out),
            Self::F64(value) => endian.put(&value.to_le_bytes(), out),
            Self::Array(kind, values) => {
                endian.put(&(*kind as u32).to_le_bytes(), out);
                endian.put(&(values.len() as u64).to_le_bytes(), out);
                for value in values {
                    value.put(endian, out);
                }
            }
            Self::Raw { payload, .. } => out.extend(payload),
        }
    }
}

/// Appends a length and the bytes.
pub(crate) fn put_string(bytes: &[u8], endian: Endian, out: &mut Vec<u8>) {
    endian.put(&(bytes.len() as u64).to_le_bytes(), out);
    out.extend(bytes);
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(
            impl From<$from> for Value {
                fn from(value: $from) -> Self {
                    Self::$variant(value.into())
                }
            }

            impl From<Vec<$from>> for Value {
                fn from(values: Vec<$from>) -> Self {
                    Self::Array(ValueType::$variant, values.into_iter().map(Value::from).collect())
                }
            }
        )*
    };
}

from! {
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
    f32 => F32, f64 => F64, bool => Bool, &str => String, String => String,
}

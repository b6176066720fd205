//! Key-value pairs.

use std::collections::HashSet;
use std::io::{Read, Seek};
use std::mem::size_of;

use super::error::harmless;
use super::input::Input;
use super::vocabulary::{self, Vocabulary};
use super::{Array, Error, Keep, Problem, Value, ValueType};

const MOST_PAIRS: u64 = 65_536;
const LONGEST_KEY: u64 = 64 * 1024;
const LONGEST_STRING: u64 = 8 * 1024 * 1024;
const TEMPLATE: &str = "tokenizer.chat_template";
/// Real templates have up to some ten thousand bytes. This one is kept in the index and sent around, so it has its own limit.
const LONGEST_TEMPLATE: u64 = 1024 * 1024;
const MOST_ELEMENTS: u64 = 64 * 1024 * 1024;
/// The least that one pair takes: an empty key, a type and one byte.
const LEAST_BYTES: u64 = 8 + 4 + 1;
/// Arrays up to this length are kept under [`Keep::Small`].
pub(super) const SMALL_ARRAY: u64 = 1024;
/// The memory that keys and single values may take; beyond it, the file is refused.
const MEMORY: u64 = 16 * 1024 * 1024;
/// The memory that small arrays may take besides; beyond it, they are remembered by place only.
const SMALL_ARRAY_MEMORY: u64 = 8 * 1024 * 1024;
/// The same for all others, under [`Keep::Everything`].
const LARGE_ARRAY_MEMORY: u64 = 112 * 1024 * 1024;

/// One key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, unique in its file.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Where the value begins, in bytes from the start of the file.
    pub offset: u64,
    /// Where it ends.
    pub end: u64,
}

/// The pairs of a file, in its order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(Vec<Entry>);

impl Metadata {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A key's value as a string; `None` also where it is of another type.
    #[must_use]
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// A key's value as a whole number; `None` also where it is negative or of another type.
    #[must_use]
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Value::as_u64)
    }

    /// All pairs, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        // Files have some dozens of keys; not even the most that the limit allows are worth an index.
        self.0.iter().find(|entry| entry.key == key)
    }
}

/// Reads `count` pairs, and learns of the vocabulary on the way.
pub(super) fn read<F: Read + Seek>(
    input: &mut Input<'_, F>,
    count: u64,
    keep: Keep,
) -> Result<(Metadata, Vocabulary), Error> {
    let least = count.saturating_mul(LEAST_BYTES);
    input.check_count("the count of key-value pairs", count, MOST_PAIRS, least, 16)?;
    let mut pairs = Pairs::new(keep);
    let mut keys = HashSet::new();
    let mut metadata = Vec::new();
    for _ in 0..count {
        let key = input.name("a key", LONGEST_KEY)?;
        // Once in the pair, and once among the keys.
        pairs.charge(2 * key.len() as u64, input.position())?;
        if !keys.insert(key.clone()) {
            let key = harmless(key.as_bytes());
            return Err(Problem::DuplicateKey { key }.at(input.position()));
        }
        let kind = value_type(input, &key)?;
        let offset = input.position();
        let value = pairs.value(input, &key, kind)?;
        let end = input.position();
        metadata.push(Entry {
            key,
            value,
            offset,
            end,
        });
    }
    Ok((Metadata(metadata), pairs.vocabulary))
}

fn value_type<F: Read + Seek>(input: &mut Input<'_, F>, key: &str) -> Result<ValueType, Error> {
    let found = input.u32("a value's type")?;
    ValueType::from_id(found).ok_or_else(|| {
        let key = harmless(key.as_bytes());
        Problem::ValueType { key, found }.at(input.position())
    })
}

/// Reads values, and counts the memory they take.
struct Pairs {
    memory: u64,
    small_arrays: u64,
    large_arrays: u64,
    vocabulary: Vocabulary,
}

impl Pairs {
    fn new(keep: Keep) -> Self {
        Self {
            memory: MEMORY,
            small_arrays: SMALL_ARRAY_MEMORY,
            large_arrays: match keep {
                Keep::Small => 0,
                Keep::Everything => LARGE_ARRAY_MEMORY,
            },
            vocabulary: Vocabulary::default(),
        }
    }

    /// Takes the memory of one value with `text` bytes behind it out of the budget.
    fn charge(&mut self, text: u64, offset: u64) -> Result<(), Error> {
        // A growing list is there twice for a moment, once with room to spare.
        let cost = text + 3 * size_of::<Entry>() as u64;
        self.memory = self
            .memory
            .checked_sub(cost)
            .ok_or_else(|| Problem::Metadata { limit: MEMORY }.at(offset))?;
        Ok(())
    }

    fn value<F: Read + Seek>(
        &mut self,
        input: &mut Input<'_, F>,
        key: &str,
        kind: ValueType,
    ) -> Result<Value, Error> {
        match kind {
            ValueType::Array => self.array(input, key).map(Value::Array),
            ValueType::String => {
                let what = format!("the value of key `{}`", harmless(key.as_bytes()));
                let mut bytes = Vec::new();
                let limit = match key {
                    TEMPLATE => LONGEST_TEMPLATE,
                    _ => LONGEST_STRING,
                };
                input.string_into(&what, limit, &mut bytes)?;
                self.charge(bytes.len() as u64, input.position())?;
                let text = String::from_utf8(bytes);
                let text = text.map_err(|_| Problem::NotUtf8 { what }.at(input.position()))?;
                Ok(Value::String(text))
            }
            single => number(input, key, single),
        }
    }

    fn array<F: Read + Seek>(
        &mut self,
        input: &mut Input<'_, F>,
        key: &str,
    ) -> Result<Array, Error> {
        let kind = value_type(input, key)?;
        let shown = || harmless(key.as_bytes());
        if kind == ValueType::Array {
            return Err(Problem::Nested { key: shown() }.at(input.position()));
        }
        let len = input.u64("an array's length")?;
        check_array_length(input, &shown(), kind, len)?;
        let offset = input.position();
        let items = if vocabulary::is_list(key) {
            self.vocabulary.begin_list(key, kind, len, offset)?;
            self.strings(input, key, len)?
        } else if kind == ValueType::String {
            self.strings(input, key, len)?
        } else {
            self.numbers(input, key, kind, len)?
        };
        Ok(Array {
            kind,
            len,
            offset,
            items,
        })
    }

    /// Passes over `len` strings, and keeps them if they are to be kept and there is memory left for all.
    fn strings<F: Read + Seek>(
        &mut self,
        input: &mut Input<'_, F>,
        key: &str,
        len: u64,
    ) -> Result<Option<Vec<Value>>, Error> {
        let what = format!("an element of key `{}`", harmless(key.as_bytes()));
        let is_list = vocabulary::is_list(key);
        let budget = self.budget(len);
        let mut kept = (*budget > 0).then(Vec::new);
        let mut text = Vec::new();
        for element in 0..len {
            let length = input.u64(&what)?;
            if is_list {
                vocabulary::check_length(key, element, length, input.position())?;
            }
            input.check_length(&what, length, LONGEST_STRING)?;
            if is_list || kept.is_some() {
                input.bytes_into(&what, length, &mut text)?;
            } else {
                input.skip(&what, length)?;
                continue;
            }
            if is_list {
                self.vocabulary.add(key, &text);
            }
            // A string that is not UTF-8 may grow to three bytes for each invalid byte.
            let cost = 3 * length + 2 * size_of::<Value>() as u64;
            if kept.is_some() && !take(self.budget(len), cost) {
                kept = None;
            }
            if let Some(kept) = &mut kept {
                let text = String::from_utf8_lossy(&text);
                kept.push(Value::String(text.into_owned()));
            }
        }
        self.vocabulary.end_list(key, input.position())?;
        Ok(kept)
    }

    fn numbers<F: Read + Seek>(
        &mut self,
        input: &mut Input<'_, F>,
        key: &str,
        kind: ValueType,
        len: u64,
    ) -> Result<Option<Vec<Value>>, Error> {
        let cost = len.saturating_mul(size_of::<Value>() as u64);
        let mut kept = take(self.budget(len), cost).then(Vec::new);
        let are_ids = vocabulary::is_token_id(key);
        if are_ids {
            self.charge(key.len() as u64, input.position())?;
        }
        // What is asked of elements is asked whether or not they are kept.
        if kept.is_none() && !are_ids && kind != ValueType::Bool {
            // The length was checked against the bytes that are left, so the product is one of them.
            input.skip("an array", len * kind.least_bytes())?;
            return Ok(None);
        }
        for _ in 0..len {
            let value = number(input, key, kind)?;
            if are_ids {
                self.vocabulary.add_id(key, &value);
            }
            if let Some(kept) = &mut kept {
                kept.push(value);
            }
        }
        Ok(kept)
    }

    /// The memory that is left for an array of this length.
    fn budget(&mut self, len: u64) -> &mut u64 {
        if len <= SMALL_ARRAY {
            &mut self.small_arrays
        } else {
            &mut self.large_arrays
        }
    }
}

/// Takes `cost` out of a budget, if it is there.
fn take(budget: &mut u64, cost: u64) -> bool {
    match budget.checked_sub(cost) {
        Some(rest) => {
            *budget = rest;
            true
        }
        None => false,
    }
}

fn check_array_length<F: Read + Seek>(
    input: &Input<'_, F>,
    key: &str,
    kind: ValueType,
    len: u64,
) -> Result<(), Error> {
    let what = format!("the array length of key `{key}`");
    let (found, left) = (len, input.left());
    let needed = u128::from(len) * u128::from(kind.least_bytes());
    if len > MOST_ELEMENTS {
        let limit = MOST_ELEMENTS;
        return Err(Problem::TooMany { what, found, limit }.at(input.position()));
    }
    if needed > left.into() {
        return Err(Problem::Promised {
            what,
            found,
            needed,
            left,
        }
        .at(input.position()));
    }
    Ok(())
}

/// Reads a number or a truth value.
fn number<F: Read + Seek>(
    input: &mut Input<'_, F>,
    key: &str,
    kind: ValueType,
) -> Result<Value, Error> {
    const WHAT: &str = "a value";
    Ok(match kind {
        ValueType::U8 => Value::U8(input.u8(WHAT)?),
        ValueType::I8 => Value::I8(i8::from_le_bytes(input.number(WHAT)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(input.number(WHAT)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(input.number(WHAT)?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(input.number(WHAT)?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(input.number(WHAT)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(input.number(WHAT)?)),
        ValueType::U64 => Value::U64(u64::from_le_bytes(input.number(WHAT)?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(input.number(WHAT)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(input.number(WHAT)?)),
        ValueType::Bool => match input.u8(WHAT)? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            found => {
                let what = format!("key `{}`", harmless(key.as_bytes()));
                return Err(Problem::NotBool { what, found }.at(input.position()));
            }
        },
        ValueType::String | ValueType::Array => {
            unreachable!("callers read strings and arrays themselves")
        }
    })
}

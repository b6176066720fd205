//! G3: lengths and counts beyond any limit, or beyond the file.

use super::{Hostile, hostile};
use crate::{Tensor, Value, Writer, small};

const STRING: u32 = 8;
const U8: u32 = 0;
const U64: u32 = 10;
const HUGE: u64 = 1 << 60;

pub(super) fn files() -> Vec<Hostile> {
    let array = |type_id, len| with(Value::lying_array(type_id, len, &[0; 16]));
    let string = |len| with(Value::lying_string(len, b"short"));
    [
        ("pairs_2_to_60", small::writer().state_kvs(HUGE)),
        ("pairs_minus_1", small::writer().state_kvs(u64::MAX)),
        (
            "pairs_just_beyond_the_limit",
            small::writer().state_kvs(65_537),
        ),
        ("pairs_beyond_the_file", small::writer().state_kvs(60_000)),
        ("tensors_2_to_60", small::writer().state_tensors(HUGE)),
        ("tensors_minus_1", small::writer().state_tensors(u64::MAX)),
        (
            "tensors_just_beyond_the_limit",
            small::writer().state_tensors(65_537),
        ),
        (
            "tensors_beyond_the_file",
            small::writer().state_tensors(60_000),
        ),
        ("string_2_to_60", string(HUGE)),
        ("string_2_to_31", string(1 << 31)),
        ("string_minus_1", string(u64::MAX)),
        ("string_just_beyond_the_limit", string(16 * 1024 * 1024 + 1)),
        ("array_2_to_60", array(U8, HUGE)),
        ("array_minus_1", array(U8, u64::MAX)),
        (
            "array_just_beyond_the_limit",
            array(U8, 64 * 1024 * 1024 + 1),
        ),
        ("array_beyond_the_file", array(U8, 1_000_000)),
        ("array_bytes_wrap_to_0", array(U64, 1 << 61)),
        (
            "array_of_strings_beyond_the_file",
            array(STRING, 50_000_000),
        ),
        ("array_of_strings_bytes_wrap", array(STRING, 1 << 61)),
        ("string_in_an_array_2_to_60", with(string_in_an_array(HUGE))),
        ("key_2_to_60", key_states(HUGE)),
        ("key_minus_1", key_states(u64::MAX)),
        (
            "key_of_65537_bytes",
            small::writer().kv(&"k".repeat(65_537), 1_u32),
        ),
        ("tensor_name_of_64_bytes", tensor_named(&"n".repeat(64))),
        (
            "tensor_name_of_5000_bytes",
            tensor_named(&"n".repeat(5_000)),
        ),
        ("tokens_beyond_the_file", tokens_beyond_the_file()),
        ("text_takes_too_much_memory", text_takes_too_much_memory()),
    ]
    .map(|(name, writer)| hostile(name, "G3", &writer))
    .to_vec()
}

fn with(value: Value) -> Writer {
    small::writer().kv("x", value)
}

fn string_in_an_array(len: u64) -> Value {
    Value::lying_array(STRING, 1, &len.to_le_bytes())
}

/// A file whose last key states this length.
fn key_states(len: u64) -> Writer {
    let writer = small::writer();
    let kvs = writer.kvs() + 1;
    writer.state_kvs(kvs).after_kvs(&len.to_le_bytes())
}

fn tensor_named(name: &str) -> Writer {
    small::writer().tensor(Tensor::f32(name, &[1], &[0.0]))
}

fn tokens_beyond_the_file() -> Writer {
    small::writer().replace(
        "tokenizer.ggml.tokens",
        Value::lying_array(STRING, 3_000_000, &[0; 16]),
    )
}

/// Three strings of 12 MiB: each is allowed, together they are too much.
fn text_takes_too_much_memory() -> Writer {
    let text = "x".repeat(12 * 1024 * 1024);
    small::writer()
        .kv("x.1", text.as_str())
        .kv("x.2", text.as_str())
        .kv("x.3", text.as_str())
}

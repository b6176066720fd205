//! The reader against every file that must be refused, and against files that must not.

use std::collections::BTreeSet;
use std::io::{Cursor, Read, Seek, SeekFrom};

use gguf_writer::{Tensor as Written, TensorType as WrittenType, Value as WrittenValue, Writer};
use gguf_writer::{hostile, small, tiny};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::facts::{Facts, Split};

fn check(bytes: &[u8]) -> Result<Gguf, Error> {
    read(&mut Cursor::new(bytes), bytes.len() as u64)
}

fn accepted(writer: &Writer) -> Gguf {
    check(&writer.to_bytes()).expect("the file keeps every rule")
}

#[test]
fn every_hostile_file_is_refused_by_its_rule() {
    for hostile in hostile::corpus() {
        let error = check(&hostile.bytes).expect_err(hostile.name);
        let rule = error.rule().map(|rule| rule.to_string());
        assert_eq!(
            rule.as_deref(),
            Some(hostile.rule),
            "{}: {error}",
            hostile.name
        );
    }
}

#[test]
fn what_is_kept_decides_nothing() {
    for hostile in hostile::corpus() {
        let size = hostile.bytes.len() as u64;
        let file = &mut Cursor::new(&hostile.bytes);
        let error = read_keeping(file, size, Keep::Everything).expect_err(hostile.name);
        let expected = check(&hostile.bytes).expect_err(hostile.name);
        assert_eq!(error.to_string(), expected.to_string());
    }
}

#[test]
fn every_truncation_is_refused() {
    let whole = small::model();
    let padding = whole.len() - data_end(&whole);
    for length in 0..whole.len() - padding {
        assert!(check(&whole[..length]).is_err(), "cut to {length} bytes");
    }
}

fn data_end(bytes: &[u8]) -> usize {
    let gguf = check(bytes).expect("the file keeps every rule");
    let ends = gguf
        .tensors
        .iter()
        .map(|tensor| tensor.offset + tensor.bytes);
    ends.max().expect("the file has tensors") as usize
}

#[test]
fn no_flipped_bit_of_the_header_panics() {
    let whole = small::model();
    let header = small::writer().header().len();
    let mut refused = 0;
    for bit in 0..header * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(check(&flipped).is_err());
    }
    // Text may change without harm, structure may not.
    assert!(
        refused > header * 3,
        "only {refused} of {} bits",
        header * 8
    );
}

#[test]
fn a_file_of_another_size_than_promised_is_refused() {
    let bytes = small::model();
    for size in [0, bytes.len() as u64 - 1, bytes.len() as u64 + 1, u64::MAX] {
        let error = read(&mut Cursor::new(&bytes), size).expect_err("the size is wrong");
        assert_eq!(error.rule(), Some(Rule::Whole), "{error}");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_refused() {
    let bytes = small::model();
    let mut file = Shrunk {
        bytes: Cursor::new(bytes[..700].to_vec()),
        promised: bytes.len() as u64,
    };
    let error = read(&mut file, bytes.len() as u64).expect_err("the bytes are gone");
    assert_eq!(error.rule(), Some(Rule::Whole), "{error}");
}

/// A file that says it is longer than it turns out to be.
struct Shrunk {
    bytes: Cursor<Vec<u8>>,
    promised: u64,
}

impl Read for Shrunk {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Seek for Shrunk {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match to {
            SeekFrom::End(0) => Ok(self.promised),
            other => self.bytes.seek(other),
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_io_error() {
    let bytes = small::model();
    let mut file = Failing(Cursor::new(bytes.clone()));
    let error = read(&mut file, bytes.len() as u64).expect_err("reading fails");
    assert!(matches!(error, Error::Io { offset: 0, .. }), "{error}");
}

struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk is on fire"))
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn the_facts_of_a_model_are_found() {
    let bytes = tiny::llama(1);
    let facts = check(&bytes)
        .expect("the tiny model keeps every rule")
        .facts();
    assert_eq!(facts.general_type, GeneralType::Model);
    assert_eq!(facts.architecture.as_deref(), Some("llama"));
    assert_eq!(facts.name.as_deref(), Some("tiny"));
    assert_eq!(facts.parameter_size(), "119K");
    assert_eq!(facts.file_type, "F32");
    assert_eq!(facts.context_length, Some(2048));
    assert_eq!(facts.embedding_length, Some(64));
    assert_eq!(facts.block_count, Some(2));
    assert_eq!(facts.head_count, Some(4));
    assert_eq!(facts.head_count_kv, Some(2));
    assert_eq!(facts.chat_template.as_deref(), Some(tiny::CHAT_TEMPLATE));
    assert_eq!(facts.split, None);
    assert!(facts.vocabulary.is_some_and(|tokens| tokens > 256));
}

#[test]
fn facts_survive_json() {
    let facts = accepted(&small::writer()).facts();
    let json = serde_json::to_string(&facts).expect("facts are plain data");
    let back: Facts = serde_json::from_str(&json).expect("facts are plain data");
    assert_eq!(back, facts);
}

#[test]
fn layers_that_differ_are_known_by_the_greatest() {
    let writer = small::writer().replace("llama.attention.head_count", vec![4_u32, 8, 2]);
    assert_eq!(accepted(&writer).facts().head_count, Some(8));
}

#[test]
fn a_file_type_that_is_not_stated_is_that_of_most_values() {
    let gguf = accepted(&small::writer().without("general.file_type"));
    assert_eq!(gguf.facts().file_type, "Q8_0");
    let gguf = accepted(&small::writer().replace("general.file_type", 1024_u32));
    assert_eq!(gguf.facts().file_type, "Q8_0");
}

#[test]
fn adapters_and_projectors_need_no_layers() {
    let kinds = [
        ("adapter", "llama", GeneralType::Adapter),
        ("projector", "clip", GeneralType::Projector),
        ("mmproj", "clip", GeneralType::Projector),
        ("model", "clip", GeneralType::Projector),
    ];
    for (stated, architecture, kind) in kinds {
        let writer = Writer::new()
            .kv("general.architecture", architecture)
            .kv("general.type", stated)
            .tensor(Written::f32("x", &[1], &[0.0]));
        assert_eq!(accepted(&writer).facts().general_type, kind, "{stated}");
    }
}

#[test]
fn a_projector_whose_keys_would_end_its_reader_is_refused() {
    let projector = || {
        Writer::new()
            .kv("general.architecture", "clip")
            .kv("clip.has_vision_encoder", true)
            .kv("clip.projector_type", "mlp")
            .kv("clip.vision.block_count", 2_u32)
            .kv("clip.vision.image_size", 336_u32)
            .kv("clip.vision.patch_size", 14_u32)
            .kv("clip.vision.attention.layer_norm_epsilon", 1e-5_f32)
            .tensor(Written::f32("x", &[1], &[0.0]))
    };
    accepted(&projector());
    for wrong in [
        projector().replace("clip.has_vision_encoder", 1_u32),
        projector().replace("clip.projector_type", 7_u32),
        projector().replace("clip.vision.block_count", 2_i32),
        projector().replace("clip.vision.block_count", 4_000_000_u32),
        projector().replace("clip.vision.patch_size", 0_u32),
        projector().replace("clip.vision.image_size", 100_000_u32),
        projector().replace("clip.vision.attention.layer_norm_epsilon", f32::NAN),
        projector().kv("clip.vision.image_mean", 0.5_f32),
        projector().kv("clip.minicpmv_version", "3"),
    ] {
        check(&wrong.to_bytes()).expect_err("the key would end the reader");
    }
}

#[test]
fn a_later_part_of_a_split_model_needs_only_its_place() {
    let writer = Writer::new()
        .kv("split.no", 1_u16)
        .kv("split.count", 3_u16)
        .kv("split.tensors.count", 40_i32)
        .tensor(Written::f32("x", &[1], &[0.0]));
    let facts = accepted(&writer).facts();
    let split = Split {
        number: 1,
        count: 3,
        tensors: 40,
    };
    assert_eq!(facts.split, Some(split));
    assert_eq!(facts.architecture, None);
}

#[test]
fn the_first_part_of_a_split_model_may_have_no_tensors() {
    let writer = small::writer()
        .without_tensors()
        .kv("split.no", 0_u16)
        .kv("split.count", 2_u16)
        .kv("split.tensors.count", 3_i32);
    assert_eq!(accepted(&writer).tensors, []);
}

#[test]
fn both_versions_and_both_byte_orders_are_read_alike() {
    let little = accepted(&small::writer());
    assert_eq!((little.version, little.endian), (3, Endian::Little));
    assert_eq!(accepted(&small::writer().version(2)).version, 2);
    let big = check(&small::big_endian()).expect("the byte order is known");
    assert_eq!((big.version, big.endian), (3, Endian::Big));
    assert_eq!(big.facts(), little.facts());
    assert_eq!(big.tensors, little.tensors);
}

#[test]
fn model_info_leaves_out_long_lists_name_and_template() {
    let six = vec![1_u32, 2, 3, 4, 5, 6];
    let gguf = accepted(&small::writer().kv("x.six", six.clone()));
    let info = gguf.model_info(false);
    assert_eq!(info["general.architecture"], "llama");
    assert_eq!(info["llama.attention.layer_norm_rms_epsilon"], 1e-5);
    assert_eq!(info["tokenizer.ggml.tokens"], json!(small::TOKENS));
    assert_eq!(info["x.six"], json!(null));
    assert_eq!(info["general.parameter_count"], 352);
    assert_eq!(info.get("general.name"), None);
    assert_eq!(info.get("tokenizer.chat_template"), None);
    assert_eq!(gguf.model_info(true)["x.six"], json!(six));
}

#[test]
fn model_info_is_complete_when_everything_was_kept() {
    let bytes = tiny::llama(1);
    let file = &mut Cursor::new(&bytes);
    let gguf = read_keeping(file, bytes.len() as u64, Keep::Everything);
    let info = gguf
        .expect("the tiny model keeps every rule")
        .model_info(true);
    let tokens = info["tokenizer.ggml.tokens"]
        .as_array()
        .expect("tokens are kept");
    assert_eq!(tokens[tiny::BEGIN as usize], "<|im_start|>");
}

#[test]
fn long_lists_are_remembered_by_place() {
    let numbers: Vec<u32> = (0..5000).collect();
    let gguf = accepted(&small::writer().kv("x", numbers));
    let array = gguf.metadata.get("x").and_then(Value::as_array);
    let array = array.expect("the key is there");
    assert_eq!(
        (array.kind, array.len, &array.items),
        (ValueType::U32, 5000, &None)
    );
    let bytes = small::writer()
        .kv("x", (0..5000).collect::<Vec<u32>>())
        .to_bytes();
    let fourth = array.offset as usize + 3 * 4;
    assert_eq!(bytes[fourth..fourth + 4], 3_u32.to_le_bytes());
}

#[test]
fn large_counts_cost_neither_reading_nor_memory() {
    let array = WrittenValue::lying_array(0, 64 * 1024 * 1024, &[]);
    let header = Writer::new().kv("x", array).header();
    let size = 1 << 50;
    let mut file = Endless {
        header,
        position: 0,
        size,
        read: 0,
    };
    let error = read(&mut file, size).expect_err("zeros follow the header");
    assert_eq!(error.rule(), Some(Rule::Keys), "{error}");
    assert!(file.read < 256 * 1024, "{} bytes were read", file.read);
}

/// A header with zeros behind it, without end in sight.
struct Endless {
    header: Vec<u8>,
    position: u64,
    size: u64,
    read: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(0);
        let at = usize::try_from(self.position).unwrap_or(usize::MAX);
        let rest = self.header.get(at..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += buffer.len() as u64;
        self.read += buffer.len();
        Ok(buffer.len())
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(offset) => offset,
            SeekFrom::End(offset) => self.size.saturating_add_signed(offset),
            SeekFrom::Current(step) => self.position.saturating_add_signed(step),
        };
        Ok(self.position)
    }
}

fn value() -> impl Strategy<Value = WrittenValue> {
    prop_oneof![
        any::<u8>().prop_map(WrittenValue::from),
        any::<i8>().prop_map(WrittenValue::from),
        any::<u16>().prop_map(WrittenValue::from),
        any::<i16>().prop_map(WrittenValue::from),
        any::<u32>().prop_map(WrittenValue::from),
        any::<i32>().prop_map(WrittenValue::from),
        any::<u64>().prop_map(WrittenValue::from),
        any::<i64>().prop_map(WrittenValue::from),
        (-1e9_f32..1e9).prop_map(WrittenValue::from),
        (-1e9_f64..1e9).prop_map(WrittenValue::from),
        any::<bool>().prop_map(WrittenValue::from),
        ".{0,40}".prop_map(WrittenValue::from),
        prop::collection::vec(any::<i16>(), 0..20).prop_map(WrittenValue::from),
        prop::collection::vec(any::<bool>(), 0..20).prop_map(WrittenValue::from),
        prop::collection::vec(".{0,10}", 0..20).prop_map(WrittenValue::from),
    ]
}

fn tensor(name: String) -> impl Strategy<Value = Written> {
    let kinds = prop_oneof![
        Just((WrittenType::F32, 1, 4)),
        Just((WrittenType::BF16, 1, 2)),
        Just((WrittenType::Q4_1, 32, 20)),
        Just((WrittenType::Q4_K, 256, 144)),
    ];
    (kinds, prop::collection::vec(1_u64..5, 1..=4)).prop_map(move |((kind, block, bytes), dims)| {
        let blocks: u64 = dims.iter().product();
        let mut dims = dims;
        dims[0] *= block;
        Written::new(&name, &dims, kind, vec![0; (blocks * bytes) as usize])
    })
}

fn tensors() -> impl Strategy<Value = Vec<Written>> {
    let names: BTreeSet<String> = (0..6).map(|number| format!("t.{number}")).collect();
    let all: Vec<_> = names.into_iter().map(tensor).collect();
    (all, 0_usize..6).prop_map(|(mut all, count)| {
        all.truncate(count);
        all
    })
}

/// A value as the reader shows it, beside the same value as the writer had it.
fn same(read: &Value, written: &WrittenValue) -> bool {
    match (read, written) {
        (Value::U8(a), WrittenValue::U8(b)) => a == b,
        (Value::I8(a), WrittenValue::I8(b)) => a == b,
        (Value::U16(a), WrittenValue::U16(b)) => a == b,
        (Value::I16(a), WrittenValue::I16(b)) => a == b,
        (Value::U32(a), WrittenValue::U32(b)) => a == b,
        (Value::I32(a), WrittenValue::I32(b)) => a == b,
        (Value::F32(a), WrittenValue::F32(b)) => a == b,
        (Value::U64(a), WrittenValue::U64(b)) => a == b,
        (Value::I64(a), WrittenValue::I64(b)) => a == b,
        (Value::F64(a), WrittenValue::F64(b)) => a == b,
        (Value::Bool(a), WrittenValue::Bool(b)) => a == b,
        (Value::String(a), WrittenValue::String(b)) => a == b,
        (Value::Array(a), WrittenValue::Array(_, b)) => {
            let items = a.items.as_deref().unwrap_or_default();
            items.len() == b.len() && items.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        values in prop::collection::vec(value(), 0..12),
        more in tensors(),
        big in any::<bool>(),
        alignment in prop::sample::select(vec![8_u32, 16, 32, 64, 4096]),
    ) {
        let endian = if big { gguf_writer::Endian::Big } else { gguf_writer::Endian::Little };
        let mut writer = small::writer().endian(endian).alignment(alignment);
        for (number, value) in values.iter().enumerate() {
            writer = writer.kv(&format!("x.{number}"), value.clone());
        }
        for tensor in &more {
            writer = writer.tensor(tensor.clone());
        }
        let gguf = accepted(&writer);
        prop_assert_eq!(gguf.alignment, u64::from(alignment));
        for (number, value) in values.iter().enumerate() {
            let read = gguf.metadata.get(&format!("x.{number}"));
            prop_assert!(read.is_some_and(|read| same(read, value)), "{:?} {:?}", read, value);
        }
        let read = &gguf.tensors[small::TENSORS.len()..];
        prop_assert_eq!(read.len(), more.len());
        for (read, written) in read.iter().zip(&more) {
            prop_assert_eq!(read.name.as_bytes(), &written.name);
            prop_assert_eq!(&read.dims, &written.dims);
            prop_assert_eq!(read.kind.id(), written.kind);
            prop_assert_eq!(read.bytes, written.data.len() as u64);
            prop_assert_eq!(read.offset % u64::from(alignment), 0);
        }
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes);
        let magic = b"GGUF\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00";
        bytes.splice(0..0, *magic);
        let _ = check(&bytes);
    }

    #[test]
    fn no_change_of_some_bytes_panics(changes in prop::collection::vec((0_usize..1500, any::<u8>()), 1..8)) {
        let mut bytes = small::model();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = check(&bytes);
    }
}

#[test]
fn long_lists_of_ids_inside_the_vocabulary_pass() {
    for ids in [vec![], vec![4_i32], vec![0_i32; 5000]] {
        accepted(&small::writer().kv("tokenizer.ggml.suppress_tokens", ids));
    }
}

#[test]
fn what_facts_keep_of_texts_is_bounded() {
    let template = |length| small::writer().replace("tokenizer.chat_template", "x".repeat(length));
    let facts = accepted(&template(1 << 20)).facts();
    assert_eq!(facts.chat_template.map(|text| text.len()), Some(1 << 20));
    let error = check(&template((1 << 20) + 1).to_bytes()).expect_err("too long");
    assert!(
        error.to_string().contains("tokenizer.chat_template"),
        "{error}"
    );
    let named = small::writer().replace("general.name", "ä".repeat(1000));
    assert_eq!(accepted(&named).facts().name, Some("ä".repeat(256)));
}

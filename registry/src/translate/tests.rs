//! Each tiny model in Ollama's layout must become the same model in llama.cpp's, and nothing that a file says may end in a panic.

use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind};

use gguf_writer::foreign::{Pair, pair, pairs};
use gguf_writer::{Tensor, Value as Written, Writer};

use super::*;
use crate::gguf::{self, Keep, TensorType, Value};

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = self.get(begin..).and_then(|rest| rest.get(..buffer.len()));
        let bytes = bytes.ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

fn parsed(bytes: &[u8]) -> Result<Gguf, gguf::Error> {
    gguf::read_keeping(
        &mut Cursor::new(bytes),
        bytes.len() as u64,
        Keep::Everything,
    )
}

/// What comes of a file.
fn translated(bytes: &Vec<u8>, foreign: Foreign, part: Part) -> Result<Vec<u8>, Error> {
    // As the store reads it: long lists are known by place only.
    let gguf = gguf::read(&mut Cursor::new(bytes), bytes.len() as u64).expect("it was read before");
    let plan = plan(&gguf, bytes, foreign, part)?;
    let mut out = Vec::new();
    plan.write(bytes, |piece| {
        match piece {
            Piece::Bytes(bytes) => out.extend(bytes),
            Piece::Span(span) => {
                out.extend(&bytes[span.offset as usize..][..span.length as usize]);
            }
        }
        Ok::<_, Error>(())
    })?;
    assert_eq!(out.len() as u64, plan.size(), "the size is known before");
    Ok(out)
}

/// Keys and values, without where they stand, and without what only fills up.
fn keys(gguf: &Gguf) -> BTreeMap<String, String> {
    let entries = gguf.metadata.iter();
    let told = entries.filter(|entry| entry.key != "slm.filling");
    told.map(|entry| {
        let value = match &entry.value {
            Value::Array(list) => format!("{:?} {:?}", list.kind, list.items),
            single => format!("{single:?}"),
        };
        (entry.key.clone(), value)
    })
    .collect()
}

type Tensors<'a> = BTreeMap<String, (TensorType, Vec<u64>, &'a [u8])>;

fn tensors<'a>(gguf: &Gguf, bytes: &'a [u8]) -> Tensors<'a> {
    let data = |tensor: &gguf::Tensor| &bytes[tensor.offset as usize..][..tensor.bytes as usize];
    let tensors = gguf.tensors.iter();
    tensors
        .map(|tensor| {
            let what = (tensor.kind, tensor.dims.clone(), data(tensor));
            (tensor.name.clone(), what)
        })
        .collect()
}

/// What differs between a file and the one that it should be.
fn differences(what: &str, found: &[u8], expected: &Writer) -> Vec<String> {
    let expected = expected.to_bytes();
    let (new, old) = (parsed(found).expect(what), parsed(&expected).expect(what));
    let mut told = Vec::new();
    if recognise(&old).is_some() || recognise(&new).is_some() {
        told.push(format!("{what}: llama.cpp's own layout is not left alone"));
    }
    let (new_keys, old_keys) = (keys(&new), keys(&old));
    for key in old_keys.keys().chain(new_keys.keys()) {
        let (new, old) = (new_keys.get(key), old_keys.get(key));
        if new != old {
            told.push(format!("{what}: {key} is {new:?} instead of {old:?}"));
        }
    }
    let (new, old) = (tensors(&new, found), tensors(&old, &expected));
    for name in old.keys().chain(new.keys()) {
        match (new.get(name), old.get(name)) {
            (Some(new), Some(old)) if new == old => {}
            (Some((kind, dims, _)), Some((old_kind, old_dims, _))) => told.push(format!(
                "{what}: {name} is {kind} {dims:?}, {old_kind} {old_dims:?} or other values were expected"
            )),
            (new, _) => told.push(format!("{what}: {name} is there: {}", new.is_some())),
        }
    }
    told
}

#[test]
fn every_family_is_recognised_and_becomes_what_llama_cpp_reads() {
    let mut told = Vec::new();
    for Pair {
        name,
        ollama,
        weights,
        projector,
        ..
    } in pairs(7)
    {
        let bytes = ollama.to_bytes();
        let gguf = parsed(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let foreign = recognise(&gguf).unwrap_or_else(|| panic!("{name} is not recognised"));
        let expected: Vec<_> = [(Part::Weights, weights), (Part::Projector, projector)]
            .into_iter()
            .filter_map(|(part, file)| Some((part, file?)))
            .collect();
        let parts: Vec<_> = expected.iter().map(|(part, _)| *part).collect();
        assert_eq!(foreign.parts(), parts, "{name}");
        for (part, file) in expected {
            let what = format!("{name} {}", part.as_str());
            let found = translated(&bytes, foreign, part);
            let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
            told.extend(differences(&what, &found, &file));
        }
    }
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn every_translated_family_has_a_pair_and_a_row() {
    let found: Vec<_> = pairs(7)
        .iter()
        .map(|pair| recognise(&parsed(&pair.ollama.to_bytes()).expect("a file")))
        .map(|foreign| foreign.expect("it is recognised").family)
        .collect();
    for family in Family::all().filter(|family| family.is_translated()) {
        assert!(found.contains(&family), "{}", family.name());
    }
}

#[test]
fn ordinary_files_are_left_alone() {
    for bytes in [
        gguf_writer::tiny::llama(1),
        gguf_writer::small::model(),
        gguf_writer::tiny_bert::bert(1, gguf_writer::tiny_bert::Pooling::Mean),
        gguf_writer::vision::projector(1, gguf_writer::vision::Kind::Whole),
    ] {
        assert_eq!(recognise(&parsed(&bytes).expect("a file")), None);
    }
}

#[test]
fn what_is_not_translated_yet_is_told_with_a_remedy() {
    let mllama = Writer::new()
        .kv("general.architecture", "mllama")
        .kv("mllama.block_count", 1_u32)
        .kv("mllama.context_length", 1_u32)
        .kv("mllama.embedding_length", 1_u32)
        .tensor(Tensor::f32("v.x", &[1], &[0.0]))
        .to_bytes();
    let foreign = recognise(&parsed(&mllama).expect("a file")).expect("it is recognised");
    let error = translated(&mllama, foreign, Part::Weights).expect_err("no translation");
    insta::assert_snapshot!(error, @"these are weights of Llama 3.2 Vision in a layout that only Ollama's own engine runs, and it is not translated; llama.cpp runs no layout of this model, so take another one that sees, such as gemma3 or qwen2.5vl");
}

#[test]
fn a_table_of_characters_in_texts_is_nothing_for_other_models() {
    let writer = pair("snowflake", 1).ollama;
    for (key, value) in [
        ("general.architecture", "t5"),
        ("tokenizer.ggml.model", "bert"),
    ] {
        let bytes = writer.clone().replace(key, value).to_bytes();
        let error = parsed(&bytes).expect_err("llama.cpp would end its process");
        assert!(
            error.to_string().contains("precompiled_charsmap"),
            "{error}"
        );
    }
    let texts = Written::from(vec!["a", "bc"]);
    let errors = attempts(&writer.replace(gguf::CHARSMAP, texts));
    let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["key `tokenizer.ggml.precompiled_charsmap` must be a list of the characters of base64"]
    );
}

#[test]
fn files_of_several_parts_are_refused() {
    let first = pair("gptoss", 1).ollama.split(2).swap_remove(0);
    let foreign = recognise(&parsed(&first).expect("a part")).expect("it is recognised");
    let error = translated(&first, foreign, Part::Weights).expect_err("a part");
    assert!(matches!(error, Error::Split { .. }), "{error}");
}

#[test]
fn most_bytes_stand_at_the_same_place_of_a_block_as_before() {
    let bytes = pair("gptoss", 1).ollama.to_bytes();
    let old = parsed(&bytes).expect("a file");
    let foreign = recognise(&old).expect("it is recognised");
    let new = translated(&bytes, foreign, Part::Weights).expect("translated");
    let new = parsed(&new).expect("a file");
    for (old, new) in old.tensors.iter().zip(&new.tensors) {
        assert_eq!(old.offset % BLOCK, new.offset % BLOCK, "{}", new.name);
    }
}

/// The file with its n-th tensor changed or left out.
fn with_tensor(
    writer: &Writer,
    number: usize,
    change: impl Fn(Tensor) -> Option<Tensor>,
) -> Writer {
    let tensors = writer.tensors().to_vec();
    let mut changed = writer.clone().without_tensors();
    for (place, tensor) in tensors.into_iter().enumerate() {
        match place == number {
            true => changed = change(tensor).into_iter().fold(changed, Writer::tensor),
            false => changed = changed.tensor(tensor),
        }
    }
    changed
}

/// Translates whatever passes the strict reader, for the panic that it would be; returns the errors.
fn attempts(writer: &Writer) -> Vec<Error> {
    let bytes = writer.to_bytes();
    let Ok(gguf) = parsed(&bytes) else {
        return Vec::new();
    };
    let Some(foreign) = recognise(&gguf) else {
        return Vec::new();
    };
    let parts = foreign.parts().iter();
    parts
        .filter_map(|part| translated(&bytes, foreign, *part).err())
        .collect()
}

#[test]
fn missing_and_misshapen_tensors_end_in_errors() {
    let mut errors = 0;
    for Pair { ollama, .. } in pairs(7) {
        for number in 0..ollama.tensors().len() {
            let missing = with_tensor(&ollama, number, |_| None);
            let flat = with_tensor(&ollama, number, |mut tensor| {
                tensor.dims = vec![tensor.dims.iter().product()];
                Some(tensor)
            });
            let turned = with_tensor(&ollama, number, |mut tensor| {
                tensor.dims.reverse();
                Some(tensor)
            });
            let tiny = with_tensor(&ollama, number, |mut tensor| {
                tensor.dims = vec![1; tensor.dims.len()];
                Some(Tensor::f32(
                    &String::from_utf8_lossy(&tensor.name),
                    &tensor.dims,
                    &[1.0],
                ))
            });
            let integers = with_tensor(&ollama, number, |mut tensor| {
                tensor.kind = 26;
                tensor.data.resize(tensor.data.len() * 2, 0);
                Some(tensor)
            });
            for changed in [missing, flat, turned, tiny, integers] {
                errors += attempts(&changed).len();
            }
        }
    }
    assert!(errors > 50, "{errors}");
}

#[test]
fn missing_and_absurd_keys_end_in_errors() {
    let mut errors = 0;
    for Pair { ollama, .. } in pairs(7) {
        let gguf = parsed(&ollama.to_bytes()).expect("a file");
        for entry in gguf.metadata.iter() {
            errors += attempts(&ollama.clone().without(&entry.key)).len();
            for absurd in [
                Written::U32(0),
                Written::U32(u32::MAX),
                Written::U64(u64::MAX),
                Written::I32(-1),
                Written::F32(f32::NAN),
                Written::F32(1e-30),
                Written::Bool(true),
                Written::from("text"),
                Written::from(Vec::<i32>::new()),
                Written::from(vec![-1_i32, i32::MAX, i32::MIN]),
                Written::from(vec![u64::MAX; 3]),
                Written::from(vec!["a"; 2000]),
                Written::from(vec![0_u32; 2000]),
            ] {
                let changed = ollama.clone().replace(&entry.key, absurd);
                errors += attempts(&changed).len();
            }
        }
    }
    assert!(errors > 100, "{errors}");
}

#[test]
fn what_a_family_needs_is_named() {
    let check = |name: &str, change: &dyn Fn(Writer) -> Writer, expected: &str| {
        let errors = attempts(&change(pair(name, 7).ollama));
        let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said, [expected], "{name}");
    };
    let tensor = |name: &'static str, dims: &'static [u64]| {
        move |writer: Writer| {
            let place = |tensor: &Tensor| tensor.name == name.as_bytes();
            let number = writer
                .tensors()
                .iter()
                .position(place)
                .expect("it is there");
            with_tensor(&writer, number, |tensor| {
                let values = vec![0.0; dims.iter().product::<u64>() as usize];
                let name = String::from_utf8(tensor.name).expect("a name");
                (!dims.is_empty()).then(|| Tensor::f32(&name, dims, &values))
            })
        }
    };
    check(
        "gptoss",
        &tensor("blk.0.ffn_gate_exps.weight", &[]),
        "tensor `blk.0.ffn_gate_exps.weight` is missing",
    );
    check(
        "embeddinggemma",
        &tensor("dense.1.weight", &[4, 5]),
        "tensor `dense.1.weight` has the shape [4, 5], and must have two dimensions, the second of 64",
    );
    check(
        "mistral3",
        &tensor("v.blk.0.attn_k.weight", &[32, 31]),
        "tensor `v.blk.0.attn_k.weight` has the shape [32, 31], and must have two dimensions, the second of 2 even heads",
    );
    check(
        "qwen3vl",
        &tensor("v.patch_embed.weight", &[8, 8, 3, 64]),
        "tensor `v.patch_embed.weight` has the shape [8, 8, 3, 64], and must have four dimensions, the third of 2",
    );
    check(
        "qwen3vl",
        &tensor("v.blk.1.attn_k.bias", &[]),
        "tensor `v.blk.1.attn_k.bias` is missing",
    );
    check(
        "qwen25vl",
        &|writer| writer.without("qwen25vl.rope.mrope_section"),
        "the translation needs the key `qwen25vl.rope.mrope_section`, which the file does not have",
    );
    check(
        "gemma3",
        &|writer| writer.without("gemma3.vision.patch_size"),
        "the translation needs the key `gemma3.vision.patch_size`, which the file does not have",
    );
    check(
        "qwen35",
        &|writer| writer.replace("qwen35.vision.block_count", u32::MAX),
        "key `qwen35.vision.block_count`: 4294967295 is beyond the limit of 128",
    );
    check(
        "gemma3",
        &|writer| writer.tensor(Tensor::f32("v.patch_embd.weight", &[1], &[0.0])),
        "two tensors would be called `v.patch_embd.weight`",
    );
}

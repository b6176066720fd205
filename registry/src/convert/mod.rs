//! From a folder of safetensors to one GGUF file, for encoders of the BERT family.
//!
//! ```text
//! config.json ─► sizes ─► tensors that there must be ─┐
//! tokenizer.json, vocab.txt ─► vocabulary ────────────┼─► head of a GGUF file ─► values, copied or rounded
//! *.safetensors ─► tensors that there are ────────────┘
//! ```
//! Everything is checked before the first value is read: the plan knows the size of the file, and only reading and rounding can fail later.
//! The same folder always gives the same bytes.
//! What the file holds is what llama.cpp's own `convert_hf_to_gguf.py` writes for such models: the architecture `bert`, matrices of
//! 16 bits where that is wanted, and all else of 32.

mod config;
mod error;
pub(crate) mod float;
mod folder;
mod safetensors;
mod tensors;
mod vocabulary;

use std::io::{Read, Seek, SeekFrom};

use self::config::{Bert, Sentences};
use self::safetensors::Dtype;
use self::tensors::{OutputTensor, SourceTensor};
use self::vocabulary::Vocabulary;
use crate::gguf::{Head, TensorType};

pub use self::error::{Error, Problem};
pub use self::folder::is_weights;
pub(crate) use self::folder::{Folder, Input};

/// Values that are converted at once.
const CHUNK: u64 = 1 << 18;

/// How matrices are kept; vectors are always of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Rounded to floats of 16 bits: half the size, and vectors that differ in the fourth digit.
    #[default]
    F16,
    /// As floats of 32 bits.
    F32,
}

impl Format {
    /// Reads `f16` or `f32`, in either case; `None` for all else.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "f16" => Some(Self::F16),
            "f32" => Some(Self::F32),
            _ => None,
        }
    }

    /// The type of a tensor, and the name of its format in `enum llama_ftype` of llama.cpp's `llama.h`.
    fn kind(self, precise: bool) -> TensorType {
        let id = match self {
            Self::F16 if !precise => 1,
            _ => 0,
        };
        TensorType::from_id(id).expect("both are known")
    }

    fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
        }
    }
}

/// Checks that a file of this name holds safetensors; reads their header and nothing more.
///
/// # Errors
/// [`Error::Safetensors`] and [`Error::Io`].
pub(crate) fn check(name: &str, file: &mut (impl Read + Seek)) -> Result<(), Error> {
    safetensors::read(name, file).map(drop)
}

/// A file that can be written.
#[derive(Debug)]
pub(crate) struct Plan {
    folder: Folder,
    head: Vec<u8>,
    size: u64,
    values: Vec<Values>,
    /// Tokens of the longest text that the model is used with, where it has positions for more.
    longest: Option<u32>,
}

/// The values of one tensor.
#[derive(Debug)]
struct Values {
    name: String,
    from: SourceTensor,
    rounded: bool,
    /// Bytes in the new file.
    bytes: u64,
}

impl Plan {
    /// Reads every description and the head of every file of weights.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn new(mut folder: Folder, format: Format) -> Result<Self, Error> {
        let bert = Bert::read(&mut folder)?;
        let sentences = Sentences::read(&mut folder, &bert)?;
        let vocabulary = Vocabulary::read(&mut folder, bert.vocabulary)?;
        let mut there = Vec::new();
        for name in folder.weights() {
            let tensors = safetensors::read(&name, folder.file(&name)?)?;
            there.push((name, tensors));
        }
        let wanted = tensors::wanted(&bert);
        let found = tensors::find(&wanted, there)?;

        let mut head = Head::default();
        describe(&mut head, &bert, sentences, format);
        words(&mut head, &vocabulary, sentences, bert.token_types);
        let values = wanted
            .into_iter()
            .zip(found)
            .map(|(wanted, from)| place(&mut head, wanted, from, format))
            .collect();
        let (head, size) = head.finish();
        Ok(Self {
            folder,
            head,
            size,
            values,
            longest: Some(sentences.longest).filter(|longest| *longest < bert.positions),
        })
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Tokens of the longest text that the model is used with, where it has positions for more.
    pub(crate) fn longest(&self) -> Option<u32> {
        self.longest
    }

    /// Gives `out` the bytes of the file, in pieces.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Tensor`] for values that are NaN or out of range; errors of `out`.
    pub(crate) fn write<E: From<Error>>(
        mut self,
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        out(&self.head)?;
        for values in &self.values {
            let file = self.folder.file(&values.from.file)?;
            values.copy(file, &mut out)?;
            let filling = Head::filling(values.bytes) as usize;
            out(&vec![0; filling])?;
        }
        Ok(())
    }
}

/// Says what the model is.
fn describe(head: &mut Head, bert: &Bert, sentences: Sentences, format: Format) {
    head.text("general.architecture", "bert");
    head.text("general.type", "model");
    head.number("general.file_type", format.file_type());
    head.number("general.quantization_version", 2);
    for (key, value) in [
        ("block_count", bert.layers),
        ("context_length", bert.positions),
        ("embedding_length", bert.width),
        ("feed_forward_length", bert.feed_forward),
        ("attention.head_count", bert.heads),
        ("vocab_size", bert.vocabulary),
        ("pooling_type", sentences.pooling as u32),
    ] {
        head.number(&format!("bert.{key}"), value);
    }
    head.float("bert.attention.layer_norm_epsilon", bert.epsilon);
    head.truth("bert.attention.causal", false);
}

/// Says how texts become tokens.
fn words(head: &mut Head, vocabulary: &Vocabulary, sentences: Sentences, token_types: u32) {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let (tokens, marks) = (&vocabulary.tokens, vocabulary.marks);
    head.text(&key("model"), "bert");
    head.texts(&key("tokens"), tokens.iter().map(|(text, _)| text.as_str()));
    head.integers(
        &key("token_type"),
        tokens.iter().map(|(_, kind)| *kind as i32),
    );
    head.number(&key("token_type_count"), token_types);
    for (name, id) in [
        ("bos", Some(marks.begin)),
        ("cls", Some(marks.begin)),
        // The format spells it so.
        ("seperator", Some(marks.separator)),
        ("unknown", Some(marks.unknown)),
        ("padding", marks.padding),
        ("mask", marks.mask),
    ] {
        if let Some(id) = id {
            head.number(&key(&format!("{name}_token_id")), id);
        }
    }
    let lowercase = vocabulary.lowercase || sentences.lowercase;
    head.truth(&key("normalizer.lowercase"), lowercase);
    head.truth(&key("normalizer.strip_accents"), vocabulary.strip_accents);
}

fn place(head: &mut Head, wanted: OutputTensor, from: SourceTensor, format: Format) -> Values {
    let kind = format.kind(wanted.precise);
    let dims: Vec<u64> = wanted.shape.iter().rev().copied().collect();
    Values {
        bytes: head.tensor(&wanted.ours, &dims, kind),
        name: wanted.ours,
        from,
        rounded: kind != Format::F32.kind(true),
    }
}

impl Values {
    fn copy<E: From<Error>>(
        &self,
        file: &mut dyn Input,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let tensor = &self.from.tensor;
        let io = |source| Error::Io {
            file: folder::shown(&self.from.file),
            source,
        };
        file.seek(SeekFrom::Start(tensor.offset)).map_err(io)?;
        let mut left = tensor.bytes;
        let (mut read, mut written) = (Vec::new(), Vec::new());
        while left > 0 {
            let length = left.min(CHUNK * tensor.dtype.bytes());
            read.resize(length as usize, 0);
            file.read_exact(&mut read).map_err(io)?;
            written.clear();
            self.convert(&read, &mut written)?;
            out(&written)?;
            left -= length;
        }
        Ok(())
    }

    /// Appends values that were read as they are written.
    fn convert(&self, read: &[u8], written: &mut Vec<u8>) -> Result<(), Error> {
        match self.from.tensor.dtype {
            Dtype::F32 => self.put(read.as_chunks().0, f32::from_le_bytes, written),
            Dtype::F16 => {
                let value = |bytes| float::from_half(u16::from_le_bytes(bytes));
                self.put(read.as_chunks().0, value, written)
            }
            Dtype::Bf16 => {
                let value = |bytes| float::from_brain(u16::from_le_bytes(bytes));
                self.put(read.as_chunks().0, value, written)
            }
            Dtype::Other(_) => unreachable!("such a tensor was refused"),
        }
    }

    fn put<const N: usize>(
        &self,
        read: &[[u8; N]],
        value: impl Fn([u8; N]) -> f32,
        written: &mut Vec<u8>,
    ) -> Result<(), Error> {
        for &bytes in read {
            let value = value(bytes);
            if !value.is_finite() {
                return Err(self.wrong(format!("holds {value}, so its file is damaged")));
            }
            if self.rounded {
                let half = float::to_half(value).ok_or_else(|| {
                    self.wrong(format!("holds {value}, too large for F16; convert to F32"))
                })?;
                written.extend(half.to_le_bytes());
            } else {
                written.extend(value.to_le_bytes());
            }
        }
        Ok(())
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Tensor {
            tensor: self.name.clone(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use gguf_writer::{tiny_bert, tiny_folder};

    use super::folder::tests::folder;
    use super::*;
    use crate::gguf::{self, Keep, Value};

    type Files = Vec<(&'static str, Vec<u8>)>;

    fn plan(files: &Files, format: Format) -> Result<Plan, Error> {
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (*name, bytes.as_slice()))
            .collect();
        Plan::new(folder(&files), format)
    }

    fn converted(files: &Files, format: Format) -> Result<Vec<u8>, Error> {
        let plan = plan(files, format)?;
        let size = plan.size();
        let mut bytes = Vec::new();
        plan.write(|piece| {
            bytes.extend(piece);
            Ok::<_, Error>(())
        })?;
        assert_eq!(bytes.len() as u64, size, "the size is known before");
        Ok(bytes)
    }

    fn parsed(bytes: &[u8]) -> gguf::Gguf {
        let size = bytes.len() as u64;
        gguf::read_keeping(&mut Cursor::new(bytes), size, Keep::Everything).expect("a good file")
    }

    fn data<'a>(bytes: &'a [u8], gguf: &gguf::Gguf, name: &str) -> &'a [u8] {
        let tensor = gguf.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.unwrap_or_else(|| panic!("there is a {name}"));
        &bytes[tensor.offset as usize..][..tensor.bytes as usize]
    }

    #[test]
    fn a_folder_becomes_the_model_that_it_came_from() {
        let original = tiny_bert::bert(5, tiny_bert::Pooling::Mean);
        let bytes = converted(&tiny_folder::bert(5), Format::F32).expect("a good folder");
        let (new, old) = (parsed(&bytes), parsed(&original));
        assert_eq!(new.tensors.len(), old.tensors.len());
        for tensor in &old.tensors {
            let same = data(&bytes, &new, &tensor.name) == data(&original, &old, &tensor.name);
            assert!(same, "{}", tensor.name);
            let found = new.tensors.iter().find(|it| it.name == tensor.name);
            assert_eq!(
                found.map(|it| &it.dims),
                Some(&tensor.dims),
                "{}",
                tensor.name
            );
        }
        for entry in old
            .metadata
            .iter()
            .filter(|entry| entry.key != "general.name")
        {
            let found = new.metadata.get(&entry.key);
            let found = found.unwrap_or_else(|| panic!("there is a {}", entry.key));
            match (found, &entry.value) {
                (Value::Array(new), Value::Array(old)) => assert_eq!(new.items, old.items),
                (new, old) => assert_eq!(new, old, "{}", entry.key),
            }
        }
        let lowercase = new.metadata.get("tokenizer.ggml.normalizer.lowercase");
        assert_eq!(lowercase, Some(&Value::Bool(true)));
    }

    #[test]
    fn matrices_are_rounded_and_all_else_is_not() {
        let files = tiny_folder::bert(5);
        let (exact, rounded) = (
            converted(&files, Format::F32).expect("a good folder"),
            converted(&files, Format::F16).expect("a good folder"),
        );
        let (old, new) = (parsed(&exact), parsed(&rounded));
        for tensor in &new.tensors {
            let matrix = tensor.dims.len() == 2
                && !["position_embd.weight", "token_types.weight"].contains(&tensor.name.as_str());
            let name = tensor.name.as_str();
            assert_eq!(
                tensor.kind.name(),
                if matrix { "F16" } else { "F32" },
                "{name}"
            );
            let values = data(&exact, &old, name);
            let expected: Vec<u8> = if matrix {
                let values = values
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes));
                let halves = values.map(|value| float::to_half(value).expect("it fits"));
                halves.flat_map(u16::to_le_bytes).collect()
            } else {
                values.to_vec()
            };
            assert!(data(&rounded, &new, name) == expected, "{name}");
        }
        assert_eq!(converted(&files, Format::F16).expect("the same"), rounded);
    }

    #[test]
    fn the_longest_text_is_told_where_it_is_not_the_last_position() {
        let mut files = tiny_folder::bert(5);
        let longest = |files: &Files| plan(files, Format::F16).expect("a good folder").longest();
        assert_eq!(longest(&files), Some(tiny_folder::LONGEST));
        files.retain(|(name, _)| *name != "sentence_bert_config.json");
        assert_eq!(longest(&files), None);
    }

    /// The folder with one value of one file in another place.
    fn with(name: &str, change: impl Fn(&mut Vec<u8>)) -> Files {
        let mut files = tiny_folder::bert(5);
        let file = files.iter_mut().find(|(file, _)| *file == name);
        change(&mut file.expect("the file is there").1);
        files
    }

    #[test]
    fn values_that_are_none_or_too_large_are_refused() {
        let last = |value: f32| {
            with("model.safetensors", move |bytes| {
                // The training head follows; it is not needed.
                let place = bytes.len() - tiny_bert::WIDTH as usize * 4 - 4;
                bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
            })
        };
        let table = |value: f32| {
            with("model.safetensors", move |bytes| {
                let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
                bytes[8 + header..][..4].copy_from_slice(&value.to_le_bytes());
            })
        };
        let refused = |files: Files, format| {
            let error = converted(&files, format).expect_err("a refusal");
            error.to_string()
        };
        assert!(refused(last(f32::NAN), Format::F32).contains("layer_output_norm.bias` holds NaN"));
        assert!(
            refused(table(f32::INFINITY), Format::F16).contains("token_embd.weight` holds inf")
        );
        assert!(refused(table(1e6), Format::F16).contains("1000000, too large for F16"));
        assert!(converted(&table(1e6), Format::F32).is_ok());
        assert!(
            converted(&last(1e6), Format::F16).is_ok(),
            "vectors keep their 32 bits"
        );
    }

    #[test]
    fn a_folder_that_lacks_something_or_disagrees_is_refused() {
        for name in ["config.json", "tokenizer.json", "1_Pooling/config.json"] {
            let mut files = tiny_folder::bert(5);
            files.retain(|(file, _)| *file != name);
            let error = plan(&files, Format::F16).expect_err(name).to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
        let mut files = tiny_folder::bert(5);
        files.retain(|(file, _)| *file != "model.safetensors");
        let error = plan(&files, Format::F16)
            .expect_err("no weights")
            .to_string();
        assert!(
            error.contains("word_embeddings.weight` is missing"),
            "{error}"
        );
        let taller = with("config.json", |bytes| {
            let text = String::from_utf8_lossy(bytes)
                .replace("\"intermediate_size\": 64", "\"intermediate_size\": 65");
            *bytes = text.into_bytes();
        });
        let error = plan(&taller, Format::F16)
            .expect_err("another size")
            .to_string();
        assert!(
            error.contains("[64, 32], and by config.json it is [65, 32]"),
            "{error}"
        );
        let short = with("model.safetensors", |bytes| bytes.truncate(bytes.len() - 1));
        assert!(matches!(
            plan(&short, Format::F16),
            Err(Error::Safetensors { .. })
        ));
    }

    #[test]
    fn a_format_has_a_name() {
        assert_eq!(Format::find("F16"), Some(Format::F16));
        assert_eq!(Format::find("f32"), Some(Format::F32));
        assert_eq!(Format::find("q4_0"), None);
    }
}

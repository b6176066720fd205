//! The tensors of a model: their names in both formats, and their types.

use std::collections::BTreeMap;

use super::config::Bert;
use super::error::Error;
use super::folder::shown;
use super::safetensors::{Dtype, Tensor};

/// A tensor of the GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutputTensor {
    /// Its name in a GGUF file.
    pub(super) ours: String,
    /// Its name in the weights, without what stands before all of them.
    theirs: String,
    /// Its dimensions, the slowest first.
    pub(super) shape: Vec<u64>,
    /// Whether it is kept as it is, because it is small and everything hangs on it, or may be rounded.
    pub(super) precise: bool,
}

/// The source of a tensor's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceTensor {
    /// Name of the file.
    pub(super) file: String,
    /// Place in it.
    pub(super) tensor: Tensor,
}

/// Every tensor of the model, in the order in which they are written.
pub(super) fn wanted(bert: &Bert) -> Vec<OutputTensor> {
    let (width, inner) = (bert.width.into(), bert.feed_forward.into());
    let mut all = Vec::new();
    let tables = [
        ("token_embd", "word_embeddings", bert.vocabulary, false),
        ("position_embd", "position_embeddings", bert.positions, true),
        (
            "token_types",
            "token_type_embeddings",
            bert.token_types,
            true,
        ),
    ];
    for (ours, theirs, rows, precise) in tables {
        all.push(OutputTensor {
            ours: format!("{ours}.weight"),
            theirs: format!("embeddings.{theirs}.weight"),
            shape: vec![rows.into(), width],
            precise,
        });
    }
    norm(&mut all, "token_embd_norm", "embeddings.LayerNorm", width);
    for layer in 0..bert.layers {
        let ours = |part: &str| format!("blk.{layer}.{part}");
        let theirs = |part: &str| format!("encoder.layer.{layer}.{part}");
        for (mine, other, outputs, inputs) in [
            ("attn_q", "attention.self.query", width, width),
            ("attn_k", "attention.self.key", width, width),
            ("attn_v", "attention.self.value", width, width),
            ("attn_output", "attention.output.dense", width, width),
            ("ffn_up", "intermediate.dense", inner, width),
            ("ffn_down", "output.dense", width, inner),
        ] {
            linear(&mut all, &ours(mine), &theirs(other), outputs, inputs);
        }
        for (mine, other) in [
            ("attn_output_norm", "attention.output.LayerNorm"),
            ("layer_output_norm", "output.LayerNorm"),
        ] {
            norm(&mut all, &ours(mine), &theirs(other), width);
        }
    }
    all
}

fn linear(all: &mut Vec<OutputTensor>, ours: &str, theirs: &str, outputs: u64, inputs: u64) {
    for (part, shape, precise) in [
        ("weight", vec![outputs, inputs], false),
        ("bias", vec![outputs], true),
    ] {
        all.push(OutputTensor {
            ours: format!("{ours}.{part}"),
            theirs: format!("{theirs}.{part}"),
            shape,
            precise,
        });
    }
}

fn norm(all: &mut Vec<OutputTensor>, ours: &str, theirs: &str, width: u64) {
    for part in ["weight", "bias"] {
        all.push(OutputTensor {
            ours: format!("{ours}.{part}"),
            theirs: format!("{theirs}.{part}"),
            shape: vec![width],
            precise: true,
        });
    }
}

/// Finds the source of each output tensor.
///
/// # Errors
/// [`Error::Tensor`] when a tensor is missing, has another shape or type, or is one that the engine would not compute with:
/// a model is not converted to less than it is.
pub(super) fn find(
    wanted: &[OutputTensor],
    there: Vec<(String, BTreeMap<String, Tensor>)>,
) -> Result<Vec<SourceTensor>, Error> {
    let mut known = BTreeMap::new();
    for (file, tensors) in there {
        for (name, tensor) in tensors {
            let found = SourceTensor {
                file: file.clone(),
                tensor,
            };
            if known.insert(plain(&name), found).is_some() {
                return Err(wrong(&name, "occurs twice"));
            }
        }
    }
    let mut all = Vec::new();
    for wanted in wanted {
        let Some(found) = known.remove(&wanted.theirs) else {
            return Err(wrong(&wanted.theirs, "is missing"));
        };
        let tensor = &found.tensor;
        if tensor.shape != wanted.shape {
            let reason = format!(
                "has the shape {:?}, and by config.json it is {:?}",
                tensor.shape, wanted.shape
            );
            return Err(wrong(&wanted.theirs, &reason));
        }
        if matches!(tensor.dtype, Dtype::Other(_)) {
            return Err(wrong(&wanted.theirs, "is none of floats of 16 or 32 bits"));
        }
        all.push(found);
    }
    match known.into_keys().find(|name| !is_of_no_use(name)) {
        Some(name) => Err(wrong(
            &name,
            "is no part of an encoder that can be converted",
        )),
        None => Ok(all),
    }
}

/// A tensor's name as the encoder alone has it, in today's spelling.
fn plain(name: &str) -> String {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    match name.rsplit_once('.') {
        Some((rest, "gamma")) => format!("{rest}.weight"),
        Some((rest, "beta")) => format!("{rest}.bias"),
        _ => name.to_owned(),
    }
}

/// Whether vectors of sentences do not depend on a tensor: it counts positions, or belongs to a head for training.
fn is_of_no_use(name: &str) -> bool {
    name == "embeddings.position_ids"
        || ["pooler.dense.", "cls.predictions.", "cls.seq_relationship."]
            .iter()
            .any(|head| name.starts_with(head))
}

fn wrong(tensor: &str, reason: &str) -> Error {
    Error::Tensor {
        tensor: shown(tensor),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERT: Bert = Bert {
        layers: 2,
        width: 4,
        heads: 2,
        feed_forward: 8,
        positions: 16,
        vocabulary: 10,
        token_types: 2,
        epsilon: 1e-12,
    };

    /// A file with exactly what is wanted, under names that `rename` gives.
    fn there(rename: impl Fn(&str) -> String) -> BTreeMap<String, Tensor> {
        let tensors = wanted(&BERT).into_iter();
        tensors
            .map(|wanted| {
                let tensor = Tensor {
                    dtype: Dtype::F32,
                    bytes: wanted.shape.iter().product::<u64>() * 4,
                    shape: wanted.shape,
                    offset: 0,
                };
                (rename(&wanted.theirs), tensor)
            })
            .collect()
    }

    fn refused(files: Vec<BTreeMap<String, Tensor>>) -> String {
        let files = files.into_iter().map(|tensors| ("f".to_owned(), tensors));
        let error = find(&wanted(&BERT), files.collect()).expect_err("a refusal");
        error.to_string()
    }

    #[test]
    fn older_names_and_heads_for_training_are_known() {
        let wanted = wanted(&BERT);
        assert_eq!(wanted.len(), 5 + 2 * 16);
        let mut older = there(|name| {
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
            format!("bert.{}", name.replace("LayerNorm.bias", "LayerNorm.beta"))
        });
        let head = older["bert.embeddings.word_embeddings.weight"].clone();
        for name in ["cls.predictions.bias", "bert.pooler.dense.weight"] {
            older.insert(name.into(), head.clone());
        }
        let (first, second): (BTreeMap<_, _>, _) = older
            .into_iter()
            .partition(|(name, _)| name.contains("layer.1"));
        let files = vec![("1".to_owned(), first), ("2".to_owned(), second)];
        let found = find(&wanted, files).expect("all of them");
        assert_eq!(found.len(), wanted.len());
        assert_eq!(
            (found[0].file.as_str(), found[0].tensor.shape.as_slice()),
            ("2", &[10, 4][..])
        );
    }

    #[test]
    fn what_is_missing_other_or_more_is_named() {
        let same = || there(str::to_owned);
        let name = "encoder.layer.1.output.dense.bias";
        let mut missing = same();
        missing.remove(name);
        assert_eq!(
            refused(vec![missing]),
            format!("tensor `{name}` is missing")
        );
        let changed = |change: fn(&mut Tensor)| {
            let mut tensors = same();
            change(tensors.get_mut(name).expect("it is there"));
            refused(vec![tensors])
        };
        assert!(
            changed(|tensor| tensor.shape = vec![4, 1])
                .contains("[4, 1], and by config.json it is [4]")
        );
        assert!(changed(|tensor| tensor.dtype = Dtype::Other(4)).contains("none of floats"));
        let mut more = same();
        let other = more[name].clone();
        more.insert("classifier.weight".into(), other);
        assert!(refused(vec![more]).contains("`classifier.weight` is no part"));
        assert!(refused(vec![same(), same()]).contains("occurs twice"));
    }
}

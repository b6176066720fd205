//! The tiny encoder as a folder of safetensors, before conversion.
//!
//! Names and values are those of `transformers` and `sentence-transformers`; the tensors are those of [`tiny_bert`], bit for bit.

use crate::tiny_bert::{self, Pooling};

/// The maximum length of texts in the folder's configuration; there are positions for more.
pub const LONGEST: u32 = 96;

/// The files of the encoder whose weights come from `seed`, by their paths in the folder.
#[must_use]
pub fn bert(seed: u64) -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        ("config.json", config()),
        ("tokenizer.json", tokenizer()),
        (
            "tokenizer_config.json",
            r#"{"do_lower_case": true, "model_max_length": 128}"#.to_owned(),
        ),
        (
            "modules.json",
            r#"[{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#
                .to_owned(),
        ),
        (
            "1_Pooling/config.json",
            r#"{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#.to_owned(),
        ),
        (
            "sentence_bert_config.json",
            format!(r#"{{"max_seq_length": {LONGEST}, "do_lower_case": false}}"#),
        ),
    ];
    let mut files: Vec<_> = texts.map(|(name, text)| (name, text.into_bytes())).into();
    files.push(("model.safetensors", weights(seed)));
    files
}

fn config() -> String {
    format!(
        r#"{{"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu",
            "hidden_size": {}, "num_hidden_layers": {}, "num_attention_heads": {}, "intermediate_size": {},
            "max_position_embeddings": {}, "vocab_size": {}, "type_vocab_size": 2, "layer_norm_eps": 1e-12}}"#,
        tiny_bert::WIDTH,
        tiny_bert::LAYERS,
        tiny_bert::HEADS,
        tiny_bert::FEED_FORWARD,
        tiny_bert::CONTEXT_LENGTH,
        tiny_bert::vocabulary().len(),
    )
}

fn tokenizer() -> String {
    let tokens = tiny_bert::vocabulary();
    let theirs = |token: &String| match token.strip_prefix('▁') {
        _ if tiny_bert::SPECIAL.contains(&token.as_str()) => token.clone(),
        Some(word) => word.to_owned(),
        None => format!("##{token}"),
    };
    let ids: Vec<_> = (0..)
        .zip(&tokens)
        .map(|(id, token): (u32, _)| format!("{:?}: {id}", theirs(token)))
        .collect();
    let added: Vec<_> = (0..)
        .zip(tiny_bert::SPECIAL)
        .map(|(id, token): (u32, _)| {
            format!(r#"{{"id": {id}, "content": "{token}", "special": true}}"#)
        })
        .collect();
    format!(
        r###"{{"added_tokens": [{}],
            "normalizer": {{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}},
            "pre_tokenizer": {{"type": "BertPreTokenizer"}},
            "model": {{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {{{}}}}}}}"###,
        added.join(", "),
        ids.join(", ")
    )
}

/// The weights, with a training head that an encoder does not use.
fn weights(seed: u64) -> Vec<u8> {
    let writer = tiny_bert::writer(seed, Pooling::Mean);
    let mut tensors: Vec<_> = writer
        .tensors()
        .iter()
        .map(|tensor| {
            let name = String::from_utf8_lossy(&tensor.name);
            let shape: Vec<u64> = tensor.dims.iter().rev().copied().collect();
            (their_name(&name), shape, tensor.data.as_slice())
        })
        .collect();
    let pooler = vec![0; tiny_bert::WIDTH as usize * 4];
    tensors.push(("pooler.dense.bias".into(), vec![tiny_bert::WIDTH], &pooler));
    safetensors(&tensors)
}

fn their_name(ours: &str) -> String {
    let (rest, part) = ours
        .rsplit_once('.')
        .expect("every name ends in .weight or .bias");
    let theirs = match rest {
        "token_embd" => "embeddings.word_embeddings".to_owned(),
        "position_embd" => "embeddings.position_embeddings".to_owned(),
        "token_types" => "embeddings.token_type_embeddings".to_owned(),
        "token_embd_norm" => "embeddings.LayerNorm".to_owned(),
        block => {
            let block = block.strip_prefix("blk.").expect("a part of a block");
            let (layer, part) = block.split_once('.').expect("number and part");
            let part = match part {
                "attn_q" => "attention.self.query",
                "attn_k" => "attention.self.key",
                "attn_v" => "attention.self.value",
                "attn_output" => "attention.output.dense",
                "attn_output_norm" => "attention.output.LayerNorm",
                "ffn_up" => "intermediate.dense",
                "ffn_down" => "output.dense",
                "layer_output_norm" => "output.LayerNorm",
                other => panic!("no encoder has a {other}"),
            };
            format!("encoder.layer.{layer}.{part}")
        }
    };
    format!("{theirs}.{part}")
}

/// A file of `F32` tensors, each with its name, its dimensions (slowest first) and its bytes.
#[must_use]
pub fn safetensors(tensors: &[(String, Vec<u64>, &[u8])]) -> Vec<u8> {
    let mut begin = 0;
    let entries: Vec<_> = tensors
        .iter()
        .map(|(name, shape, data)| {
            let end = begin + data.len();
            let entry = format!(
                r#""{name}": {{"dtype": "F32", "shape": {shape:?}, "data_offsets": [{begin}, {end}]}}"#
            );
            begin = end;
            entry
        })
        .collect();
    let header = format!("{{{}}}", entries.join(", "));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    for (_, _, data) in tensors {
        file.extend(*data);
    }
    file
}

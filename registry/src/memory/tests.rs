//! Facts of files that the writer of tests makes.

use std::io::Cursor;

use gguf_writer::{Tensor, TensorType, Value, Writer, tiny};

use super::{LayerFacts, LayerRun, MemoryFacts};

fn facts(bytes: &[u8]) -> MemoryFacts {
    let read = crate::gguf::read(&mut Cursor::new(bytes), bytes.len() as u64);
    MemoryFacts::of(&read.expect("the file obeys every rule"))
}

/// A header of `layers` layers that has the keys of `add`, and one tensor in each layer.
fn header(architecture: &str, layers: u32, add: impl FnOnce(Writer) -> Writer) -> Vec<u8> {
    let key = |rest: &str| format!("{architecture}.{rest}");
    let writer = Writer::new()
        .kv("general.architecture", architecture)
        .kv(&key("block_count"), layers)
        .kv(&key("context_length"), 4096_u32)
        .kv(&key("embedding_length"), 64_u32);
    let writer = add(writer);
    let tensors = (0..layers)
        .map(|layer| Tensor::f32(&format!("blk.{layer}.attn_norm.weight"), &[64], &[0.0; 64]));
    tensors.fold(writer, Writer::tensor).to_bytes()
}

fn heads(writer: Writer, architecture: &str) -> Writer {
    writer
        .kv(&format!("{architecture}.attention.head_count"), 4_u32)
        .kv(&format!("{architecture}.attention.head_count_kv"), 2_u32)
}

fn each(facts: &MemoryFacts, of: impl Fn(&LayerFacts) -> u64) -> Vec<u64> {
    facts.each_layer().map(of).collect()
}

#[test]
fn every_byte_of_the_tensors_is_counted_once() {
    let facts = facts(&tiny::llama(0));
    let tensors: u64 = tiny::writer(0)
        .tensors()
        .iter()
        .map(|tensor| tensor.data.len() as u64)
        .sum();
    assert_eq!(facts.tensor_bytes(), tensors);
    assert_eq!(facts.layers.len(), 1, "equal layers are one run");
    assert_eq!(facts.each_layer().count(), 2);
    let layer = &facts.layers[0].layer;
    assert_eq!(
        (layer.query_width, layer.key_width, layer.value_width),
        (64, 32, 32)
    );
    assert_eq!(layer.feed_forward.bytes(), 4 * (3 * 64 * 128 + 64));
    assert!(facts.vocabulary > 300 && facts.vocabulary_bytes > 8 * facts.vocabulary);
}

#[test]
fn facts_survive_the_index() {
    let facts = facts(&tiny::llama_q8_0(0));
    let text = serde_json::to_string(&facts).expect("facts are texts and numbers");
    assert_eq!(serde_json::from_str::<MemoryFacts>(&text).ok(), Some(facts));
    assert_eq!(
        serde_json::from_str::<MemoryFacts>("{}").ok(),
        Some(MemoryFacts::default())
    );
}

#[test]
fn matrices_are_told_by_the_rows_that_kernels_take() {
    let matrix = |name: &str, dims: &[u64]| {
        let bytes = dims.iter().product::<u64>() / 32 * 34;
        Tensor::new(name, dims, TensorType::Q8_0, vec![0; bytes as usize])
    };
    let bytes = header("llama", 1, |writer| {
        heads(writer, "llama")
            .tensor(matrix("blk.0.attn_q.weight", &[32, 64]))
            .tensor(matrix("blk.0.attn_k.weight", &[32, 8]))
            .tensor(matrix("blk.0.attn_v.weight", &[32, 4]))
            .tensor(matrix("blk.0.ffn_up_exps.weight", &[32, 32, 2]))
    });
    let facts = facts(&bytes);
    let layer = &facts.layers[0].layer;
    let attention = layer.attention.0.iter().find(|sum| sum.kind == "Q8_0");
    let attention = attention.expect("there are such tensors");
    assert_eq!(
        (
            attention.bytes,
            attention.matrices_by_8,
            attention.matrices_by_32
        ),
        (76 * 34, 72 * 34, 64 * 34)
    );
    assert_eq!(
        (
            layer.experts.0[0].experts_by_8,
            layer.experts.0[0].matrices_by_8
        ),
        (64 * 34, 0)
    );
}

#[test]
fn experts_and_the_table_of_tokens_are_told_apart() {
    let matrix = |name: &str| Tensor::f32(name, &[64], &[0.0; 64]);
    let bytes = header("llama", 1, |writer| {
        heads(writer, "llama")
            .kv("llama.expert_count", 8_u32)
            .kv("llama.expert_used_count", 2_u32)
            .tensor(matrix("token_embd.weight"))
            .tensor(matrix("position_embd.weight"))
    });
    let facts = facts(&bytes);
    assert_eq!((facts.experts, facts.experts_used), (8, 2));
    assert_eq!(
        (facts.embeddings.bytes(), facts.token_embeddings),
        (512, 256)
    );
}

#[test]
fn windows_follow_the_pattern_of_the_architecture() {
    let pattern = |architecture: &str, layers, add: fn(Writer) -> Writer| {
        let bytes = header(architecture, layers, |writer| {
            add(heads(writer, architecture))
        });
        let facts = facts(&bytes);
        let windowed = each(&facts, |layer| layer.windowed.into());
        (facts.window, windowed)
    };
    let gemma3 = pattern("gemma3", 7, |writer| {
        writer.kv("gemma3.attention.sliding_window", 512_u32)
    });
    assert_eq!(gemma3, (512, vec![1, 1, 1, 1, 1, 0, 1]));
    assert_eq!(pattern("gemma3", 2, |writer| writer), (0, vec![0, 0]));
    assert_eq!(
        pattern("gemma2", 4, |writer| writer),
        (4096, vec![1, 0, 1, 0])
    );
    let listed = pattern("gpt-oss", 3, |writer| {
        writer.kv("gpt-oss.attention.sliding_window", 128_u32).kv(
            "gpt-oss.attention.sliding_window_pattern",
            Value::from(vec![1_i32, 1, 0]),
        )
    });
    assert_eq!(listed, (128, vec![1, 1, 0]));
    let first = pattern("cohere2moe", 5, |writer| {
        writer.kv("cohere2moe.attention.sliding_window", 64_u32)
    });
    assert_eq!(first, (64, vec![0, 1, 1, 1, 0]));
    let phi = pattern("phi3", 2, |writer| {
        writer.kv("phi3.attention.sliding_window", 2047_u32)
    });
    assert_eq!(
        phi,
        (0, vec![0, 0]),
        "llama.cpp ignores the window of Phi-3"
    );
}

#[test]
fn recurrent_layers_have_a_state_and_no_cells() {
    let mamba = facts(&header("mamba", 2, |writer| {
        writer
            .kv("mamba.ssm.conv_kernel", 4_u32)
            .kv("mamba.ssm.inner_size", 128_u32)
            .kv("mamba.ssm.state_size", 16_u32)
    }));
    assert_eq!(each(&mamba, |layer| layer.state), [3 * 128 + 16 * 128; 2]);
    assert_eq!(each(&mamba, |layer| layer.key_width), [0, 0]);
    let hybrid = facts(&header("lfm2", 3, |writer| {
        writer
            .kv("lfm2.attention.head_count", 4_u32)
            .kv(
                "lfm2.attention.head_count_kv",
                Value::from(vec![0_u32, 2, 0]),
            )
            .kv("lfm2.shortconv.l_cache", 3_u32)
    }));
    assert_eq!(each(&hybrid, |layer| layer.state), [128, 0, 128]);
    assert_eq!(each(&hybrid, |layer| layer.key_width), [0, 32, 0]);
    let qwen = facts(&header("qwen35", 4, |writer| {
        heads(writer, "qwen35")
            .kv("qwen35.ssm.inner_size", 32_u32)
            .kv("qwen35.ssm.state_size", 8_u32)
    }));
    assert_eq!(each(&qwen, |layer| layer.state), [256, 256, 256, 0]);
}

#[test]
fn compressed_attention_keeps_one_vector_for_a_cell() {
    let deepseek = facts(&header("deepseek2", 1, |writer| {
        writer
            .kv("deepseek2.attention.head_count", 16_u32)
            .kv("deepseek2.attention.head_count_kv", 1_u32)
            .kv("deepseek2.attention.key_length", 576_u32)
            .kv("deepseek2.attention.value_length", 512_u32)
            .kv("deepseek2.attention.key_length_mla", 192_u32)
            .kv("deepseek2.attention.value_length_mla", 128_u32)
    }));
    let layer = &deepseek.layers[0].layer;
    assert_eq!((layer.key_width, layer.value_width), (576, 0));
}

#[test]
fn embedding_models_have_no_cells() {
    let bert = facts(&header("bert", 2, |writer| heads(writer, "bert")));
    assert_eq!(each(&bert, |layer| layer.key_width), [0, 0]);
}

#[test]
fn shards_know_their_own_tensors() {
    let whole = facts(&tiny::llama(0));
    let shards: Vec<_> = tiny::writer(0)
        .split(3)
        .iter()
        .map(|shard| facts(shard))
        .collect();
    let bytes: u64 = shards.iter().map(MemoryFacts::tensor_bytes).sum();
    assert_eq!(bytes, whole.tensor_bytes());
    assert_eq!(shards[1].architecture, None);
}

#[test]
fn numbers_of_a_hostile_file_become_large_and_not_wrong() {
    let bytes = header("mamba", 512, |writer| {
        writer
            .kv("mamba.ssm.conv_kernel", u32::MAX)
            .kv("mamba.ssm.inner_size", u64::MAX)
            .kv("mamba.ssm.state_size", u64::MAX)
            .kv("mamba.ssm.group_count", u32::MAX)
    });
    let facts = facts(&bytes);
    assert_eq!(facts.each_layer().count(), 512);
    assert_eq!(facts.layers[0].layer.state, u64::MAX);
}

#[test]
fn a_count_in_the_index_cannot_make_more_layers_than_there_are() {
    let run = LayerRun {
        count: u32::MAX,
        layer: LayerFacts::default(),
    };
    let facts = MemoryFacts {
        layers: vec![run.clone(), run],
        ..MemoryFacts::default()
    };
    assert_eq!(facts.each_layer().count(), super::MOST_LAYERS);
}

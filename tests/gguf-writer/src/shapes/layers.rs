//! The tensors of each architecture, and the keys that its layers need.

use crate::{TensorType, Value, Writer};

use super::{
    Architecture, EXPERT_WIDTH, EXPERTS, FEED_FORWARD, Fill, HEAD_WIDTH, HEADS, INNER, KV_HEADS,
    Plan, Quantization, STATE, TIME_STEP, WIDTH, vocabulary,
};

/// Every third layer of the hybrid model has attention.
fn is_recurrent(layer: u32) -> bool {
    layer % 3 != 2
}

/// Adds the keys that not every architecture has.
pub(super) fn describe(architecture: Architecture, writer: Writer) -> Writer {
    let name = architecture.name();
    let key = |rest: &str| format!("{name}.{rest}");
    let heads = |writer: Writer| {
        writer
            .kv(&key("attention.head_count"), HEADS as u32)
            .kv(&key("attention.head_count_kv"), KV_HEADS as u32)
            .kv(&key("attention.key_length"), HEAD_WIDTH as u32)
            .kv(&key("attention.value_length"), HEAD_WIDTH as u32)
            .kv(&key("rope.dimension_count"), HEAD_WIDTH as u32)
    };
    match architecture {
        Architecture::Llama | Architecture::Qwen3 | Architecture::Phi3 => heads(writer),
        Architecture::Gemma3 => heads(writer).kv(&key("attention.sliding_window"), 512_u32),
        Architecture::Qwen3Moe => heads(writer)
            .kv(&key("expert_count"), EXPERTS as u32)
            // Enough that tokens of random text use each of them.
            .kv(&key("expert_used_count"), 6_u32)
            .kv(&key("expert_feed_forward_length"), EXPERT_WIDTH as u32),
        Architecture::Mamba => writer
            .kv(&key("attention.head_count"), 0_u32)
            .kv(&key("ssm.conv_kernel"), 4_u32)
            .kv(&key("ssm.inner_size"), INNER as u32)
            .kv(&key("ssm.state_size"), STATE as u32)
            .kv(&key("ssm.time_step_rank"), TIME_STEP as u32),
        Architecture::Lfm2 => {
            let kv_heads = |layer| {
                if is_recurrent(layer) {
                    0
                } else {
                    KV_HEADS as u32
                }
            };
            let kv_heads: Vec<u32> = (0..architecture.layers()).map(kv_heads).collect();
            heads(writer)
                .replace(&key("attention.head_count_kv"), Value::from(kv_heads))
                .kv(&key("shortconv.l_cache"), 3_u32)
        }
        Architecture::Bert => writer
            .kv(&key("attention.head_count"), HEADS as u32)
            .kv(&key("attention.causal"), false)
            .kv(&key("pooling_type"), 1_u32),
    }
}

/// All tensors in the order of the file. The token embeddings are the output layer too.
pub(super) fn plans(architecture: Architecture, quantization: Quantization) -> Vec<Plan> {
    let mut plans = Plans {
        quantization,
        layer: None,
        plans: Vec::new(),
    };
    plans.matrix("token_embd", WIDTH, vocabulary(architecture));
    match architecture {
        Architecture::Bert => {
            plans.table("token_types", WIDTH, 2);
            plans.table("position_embd", WIDTH, architecture.context().into());
            plans.norm_with_bias("token_embd_norm");
        }
        Architecture::Lfm2 => plans.norm("token_embd_norm", WIDTH),
        _ => plans.norm("output_norm", WIDTH),
    }
    for layer in 0..architecture.layers() {
        plans.layer = Some(layer);
        plans.layer(architecture, layer);
    }
    plans.plans
}

struct Plans {
    quantization: Quantization,
    layer: Option<u32>,
    plans: Vec<Plan>,
}

impl Plans {
    fn layer(&mut self, architecture: Architecture, layer: u32) {
        match architecture {
            Architecture::Mamba => return self.mamba(),
            Architecture::Bert => return self.bert(),
            _ => {}
        }
        self.norm("attn_norm", WIDTH);
        match architecture {
            Architecture::Lfm2 if is_recurrent(layer) => self.convolution(),
            Architecture::Phi3 => {
                let kv_width = KV_HEADS * HEAD_WIDTH;
                self.matrix("attn_qkv", WIDTH, WIDTH + 2 * kv_width);
                self.matrix("attn_output", WIDTH, WIDTH);
            }
            _ => self.attention(),
        }
        let is_normed = match architecture {
            Architecture::Qwen3 | Architecture::Gemma3 | Architecture::Qwen3Moe => true,
            Architecture::Lfm2 => !is_recurrent(layer),
            _ => false,
        };
        if is_normed {
            self.norm("attn_q_norm", HEAD_WIDTH);
            self.norm("attn_k_norm", HEAD_WIDTH);
        }
        self.norm("ffn_norm", WIDTH);
        match architecture {
            Architecture::Qwen3Moe => self.experts(),
            Architecture::Phi3 => {
                self.matrix("ffn_up", WIDTH, 2 * FEED_FORWARD);
                self.matrix("ffn_down", FEED_FORWARD, WIDTH);
            }
            _ => {
                self.matrix("ffn_gate", WIDTH, FEED_FORWARD);
                self.matrix("ffn_up", WIDTH, FEED_FORWARD);
                self.matrix("ffn_down", FEED_FORWARD, WIDTH);
            }
        }
        if architecture == Architecture::Gemma3 {
            self.norm("post_attention_norm", WIDTH);
            self.norm("post_ffw_norm", WIDTH);
        }
    }

    fn attention(&mut self) {
        self.matrix("attn_q", WIDTH, WIDTH);
        self.matrix("attn_k", WIDTH, KV_HEADS * HEAD_WIDTH);
        self.matrix("attn_v", WIDTH, KV_HEADS * HEAD_WIDTH);
        self.matrix("attn_output", WIDTH, WIDTH);
    }

    fn experts(&mut self) {
        self.table("ffn_gate_inp", WIDTH, EXPERTS);
        self.cube("ffn_gate_exps", &[WIDTH, EXPERT_WIDTH, EXPERTS]);
        self.cube("ffn_up_exps", &[WIDTH, EXPERT_WIDTH, EXPERTS]);
        self.cube("ffn_down_exps", &[EXPERT_WIDTH, WIDTH, EXPERTS]);
    }

    fn convolution(&mut self) {
        self.table("shortconv.conv", 3, WIDTH);
        self.matrix("shortconv.in_proj", WIDTH, 3 * WIDTH);
        self.matrix("shortconv.out_proj", WIDTH, WIDTH);
    }

    fn mamba(&mut self) {
        self.norm("attn_norm", WIDTH);
        self.matrix("ssm_in", WIDTH, 2 * INNER);
        self.table("ssm_conv1d", 4, INNER);
        self.plain("ssm_conv1d.bias", &[INNER], Fill::Constant(0.0));
        self.matrix("ssm_x", INNER, TIME_STEP + 2 * STATE);
        self.table("ssm_dt", TIME_STEP, INNER);
        self.plain("ssm_dt.bias", &[INNER], Fill::Constant(0.0));
        // The state decays by the exponential of these.
        self.plain("ssm_a", &[STATE, INNER], Fill::Constant(-1.0));
        self.plain("ssm_d", &[INNER], Fill::Constant(1.0));
        self.matrix("ssm_out", INNER, WIDTH);
    }

    fn bert(&mut self) {
        for part in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            self.matrix(part, WIDTH, WIDTH);
            self.plain(&format!("{part}.bias"), &[WIDTH], Fill::Constant(0.0));
        }
        self.norm_with_bias("attn_output_norm");
        for (part, inputs, outputs) in [
            ("ffn_up", WIDTH, FEED_FORWARD),
            ("ffn_down", FEED_FORWARD, WIDTH),
        ] {
            self.matrix(part, inputs, outputs);
            self.plain(&format!("{part}.bias"), &[outputs], Fill::Constant(0.0));
        }
        self.norm_with_bias("layer_output_norm");
    }

    /// A matrix in the types of the quantization, which keeps the output of a layer as large as its input.
    fn matrix(&mut self, part: &str, inputs: u64, outputs: u64) {
        self.cube(part, &[inputs, outputs]);
    }

    fn cube(&mut self, part: &str, dims: &[u64]) {
        let name = self.name(&format!("{part}.weight"));
        let kind = self.quantization.of(&name, self.layer.unwrap_or(0));
        let fill = Fill::Random((3.0 / dims[0] as f32).sqrt());
        self.add(name, dims, kind, fill);
    }

    /// A matrix that llama.cpp's own quantizer leaves in full precision.
    fn table(&mut self, part: &str, inputs: u64, outputs: u64) {
        let fill = Fill::Random((3.0 / inputs as f32).sqrt());
        self.plain(&format!("{part}.weight"), &[inputs, outputs], fill);
    }

    fn norm(&mut self, part: &str, width: u64) {
        self.plain(&format!("{part}.weight"), &[width], Fill::Constant(1.0));
    }

    fn norm_with_bias(&mut self, part: &str) {
        self.norm(part, WIDTH);
        self.plain(&format!("{part}.bias"), &[WIDTH], Fill::Constant(0.0));
    }

    fn plain(&mut self, part: &str, dims: &[u64], fill: Fill) {
        let name = self.name(part);
        self.add(name, dims, TensorType::F32, fill);
    }

    fn name(&self, part: &str) -> String {
        match self.layer {
            Some(layer) => format!("blk.{layer}.{part}"),
            None => part.to_owned(),
        }
    }

    fn add(&mut self, name: String, dims: &[u64], kind: TensorType, fill: Fill) {
        let dims = dims.to_vec();
        self.plans.push(Plan {
            name,
            dims,
            kind,
            fill,
        });
    }
}

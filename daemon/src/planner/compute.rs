//! The compute buffer: results of operations while a micro-batch is computed.
//!
//! llama.cpp reserves it when the context is made, for a micro-batch of prefill and with every cell in use
//! (`llama_context::sched_reserve` in `src/llama-context.cpp`).
//! The graphs are those of llama.cpp's `src/models/*.cpp`; an architecture without a graph here is computed as one with
//! separate matrices for queries, keys, values, gate and up, which most are.

use registry::memory::{LayerFacts, MemoryFacts};

use super::graph::{Graph, Tensor};
use super::shape::Shape;

/// Equal layers after so many repeat the allocation of the ones before.
const REPEATED: usize = 3;

/// Bytes of a number.
const F32: u64 = 4;
const F16: u64 = 2;
const I64: u64 = 8;

/// The bytes of the compute buffer.
pub(super) fn buffer(facts: &MemoryFacts, shape: &Shape) -> u64 {
    let layers: Vec<&LayerFacts> = facts
        .layers
        .iter()
        .flat_map(|run| std::iter::repeat_n(&run.layer, REPEATED.min(run.count as usize)))
        .take(registry::memory::MOST_LAYERS)
        .collect();
    let mut model = Model::new(facts, shape);
    let mut residual = model.inputs();
    for (number, layer) in layers.iter().enumerate() {
        let is_last = number + 1 == layers.len();
        residual = model.layer(layer, residual, is_last);
    }
    model.logits(residual);
    model.graph.buffer()
}

/// The architectures whose graphs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Gate and up are two matrices.
    Gated,
    /// Queries, keys and values are one matrix, and gate and up too.
    Fused,
    /// Norms before and after each part.
    Sandwich,
    /// Norms behind each part, and no gate.
    Encoder,
    Mamba,
}

struct Model<'a> {
    facts: &'a MemoryFacts,
    shape: &'a Shape,
    kind: Kind,
    /// The graph so far.
    graph: Graph,
    tokens: u64,
    outputs: u64,
    mask: Option<Tensor>,
    window_mask: Option<Tensor>,
    positions: Option<Tensor>,
    cell_numbers: Option<Tensor>,
    output_numbers: Option<Tensor>,
}

impl<'a> Model<'a> {
    fn new(facts: &'a MemoryFacts, shape: &'a Shape) -> Self {
        let kind = match facts.architecture.as_deref() {
            Some("phi3") => Kind::Fused,
            Some("gemma2" | "gemma3" | "gemma4") => Kind::Sandwich,
            Some("bert" | "nomic-bert" | "jina-bert-v2" | "jina-bert-v3") => Kind::Encoder,
            Some("mamba") => Kind::Mamba,
            _ => Kind::Gated,
        };
        // llama.cpp reserves as many tokens for each sequence.
        let sequences = shape.sequences.max(1);
        let tokens = shape
            .micro_batch
            .div_ceil(sequences)
            .saturating_mul(sequences);
        Self {
            facts,
            shape,
            kind,
            graph: Graph::default(),
            tokens,
            outputs: shape.outputs.min(shape.micro_batch),
            mask: None,
            window_mask: None,
            positions: None,
            cell_numbers: None,
            output_numbers: None,
        }
    }

    /// Bytes of so many numbers for each token.
    fn each(&self, width: u64) -> u64 {
        self.tokens.saturating_mul(width).saturating_mul(F32)
    }

    /// The tensors that are set before a micro-batch; returns the embeddings of its tokens.
    fn inputs(&mut self) -> Tensor {
        let width = self.facts.embedding_length;
        let tokens = self.graph.input(self.tokens * F32);
        // Embeddings of images take the place of tokens, all of them or some.
        self.graph.input(self.each(width));
        let mixed = self.graph.input(self.tokens * F32);
        let places = self.graph.input(self.tokens * I64);
        let images = self.graph.input(self.each(width));
        self.positions = Some(self.graph.input(self.tokens * F32));
        let layers = || self.facts.each_layer();
        let has_cells = layers().any(|layer| layer.key_width > 0);
        let is_encoder = self.shape.cells == 0;
        if has_cells || is_encoder {
            let cells = if is_encoder {
                self.tokens
            } else {
                self.shape.cells
            };
            let mask = |cells: u64, tokens: u64| cells.saturating_mul(tokens).saturating_mul(F16);
            if layers().any(|layer| !layer.windowed) {
                self.cell_numbers = Some(self.graph.input(2 * self.tokens * I64));
                self.mask = Some(self.graph.input(mask(cells, self.tokens)));
            }
            if layers().any(|layer| layer.windowed) {
                let cells = self.shape.window_cells.min(cells);
                self.cell_numbers = Some(self.graph.input(2 * self.tokens * I64));
                self.window_mask = Some(self.graph.input(mask(cells, self.tokens)));
            }
        }
        self.output_numbers = Some(self.graph.input(self.outputs * F32));
        let embeddings = self.graph.op(&[tokens], self.each(width));
        let rows = self.graph.op(&[mixed], self.each(width));
        let copy = self.graph.op(&[images], self.each(width));
        self.graph.set_rows(copy, &[rows, places]);
        embeddings
    }

    fn layer(&mut self, layer: &LayerFacts, residual: Tensor, is_last: bool) -> Tensor {
        if self.kind == Kind::Encoder {
            return self.encoder(layer, residual);
        }
        let width = self.facts.embedding_length;
        let mut normed = self.norm(residual, width);
        if layer.key_width > 0 {
            normed = self.attention(layer, normed);
        } else if layer.state > 0 {
            normed = self.state(layer, normed);
        }
        if self.kind == Kind::Mamba {
            let (part, residual) = self.outputs_only(normed, residual, is_last);
            return self.add(part, residual);
        }
        if self.kind == Kind::Sandwich {
            normed = self.norm(normed, width);
        }
        let (part, residual) = self.outputs_only(normed, residual, is_last);
        let sum = self.add(part, residual);
        let normed = self.norm_of(sum);
        let mut part = match layer.experts.bytes() {
            0 => self.feed_forward(layer, normed),
            _ => self.experts(layer, normed),
        };
        if self.kind == Kind::Sandwich {
            part = self.norm_of(part);
        }
        self.add(part, sum)
    }

    /// A norm with its weights.
    fn norm(&mut self, of: Tensor, width: u64) -> Tensor {
        let bytes = self.each(width);
        let normed = self.graph.in_place(&[of], bytes);
        self.graph.in_place(&[normed], bytes)
    }

    fn norm_of(&mut self, of: Tensor) -> Tensor {
        let bytes = self.graph.bytes(of);
        let normed = self.graph.in_place(&[of], bytes);
        self.graph.in_place(&[normed], bytes)
    }

    fn add(&mut self, part: Tensor, residual: Tensor) -> Tensor {
        let bytes = self.graph.bytes(part);
        self.graph.in_place(&[part, residual], bytes)
    }

    /// The last layer goes on with the tokens that have an output.
    fn outputs_only(&mut self, part: Tensor, residual: Tensor, is_last: bool) -> (Tensor, Tensor) {
        let Some(numbers) = self.output_numbers.filter(|_| is_last) else {
            return (part, residual);
        };
        let bytes = self
            .outputs
            .saturating_mul(self.facts.embedding_length)
            .saturating_mul(F32);
        self.tokens = self.outputs;
        let part = self.graph.op(&[part, numbers], bytes);
        let residual = self.graph.op(&[residual, numbers], bytes);
        (part, residual)
    }

    fn attention(&mut self, layer: &LayerFacts, normed: Tensor) -> Tensor {
        let [queries, keys, values] = self.heads(layer, normed);
        let numbers: Vec<Tensor> = self.cell_numbers.into_iter().collect();
        for part in [keys, values] {
            let view = self.graph.view(part);
            self.graph.store(&[&[view][..], &numbers].concat());
        }
        self.attend(layer, queries, None)
    }

    /// Queries, keys and values, each with the position.
    fn heads(&mut self, layer: &LayerFacts, normed: Tensor) -> [Tensor; 3] {
        let widths = [layer.query_width, layer.key_width, layer.value_width];
        let [queries, keys, values] = widths.map(|width| self.each(width));
        let position: Vec<Tensor> = self.positions.into_iter().collect();
        if self.kind == Kind::Fused {
            let all = queries.saturating_add(keys).saturating_add(values);
            let all = self.graph.op(&[normed], all);
            let slices = [queries, keys, values].map(|bytes| (self.graph.slice(all, bytes), bytes));
            let [(query, _), (key, _), (value, _)] = slices;
            let turned = |graph: &mut Graph, slice, bytes| {
                graph.in_place(&[&[slice][..], &position].concat(), bytes)
            };
            let query = turned(&mut self.graph, query, queries);
            // Phi-3 scales the queries.
            let query = self.graph.in_place(&[query], queries);
            let key = turned(&mut self.graph, key, keys);
            return self.rotated([query, key, value], widths);
        }
        let mut head = |bytes: u64, is_turned: bool| {
            let product = self.graph.op(&[normed], bytes);
            let mut head = self.graph.view(product);
            if is_turned
                && matches!(
                    self.facts.architecture.as_deref(),
                    Some("qwen3" | "qwen3moe" | "gemma3" | "lfm2" | "lfm2moe")
                )
            {
                head = self.graph.in_place(&[head], bytes);
                head = self.graph.in_place(&[head], bytes);
            }
            if is_turned {
                head = self
                    .graph
                    .in_place(&[&[head][..], &position].concat(), bytes);
            }
            head
        };
        let query = head(queries, true);
        let value = head(values, false);
        let key = head(keys, true);
        self.rotated([query, key, value], widths)
    }

    /// A quantized cache is less wrong with rotated values (`llama_mul_mat_hadamard`).
    fn rotated(&mut self, heads: [Tensor; 3], widths: [u64; 3]) -> [Tensor; 3] {
        if !self.shape.is_rotated {
            return heads;
        }
        let mut heads = heads.into_iter().zip(widths).map(|(head, width)| {
            let bytes = self.each(width);
            let rotated = self.graph.op(&[head], bytes);
            self.graph.view(rotated)
        });
        [(); 3].map(|()| heads.next().expect("there are three"))
    }

    /// Attention and the matrix behind it. `fresh` are keys and values that are in no cache.
    fn attend(
        &mut self,
        layer: &LayerFacts,
        queries: Tensor,
        fresh: Option<[Tensor; 2]>,
    ) -> Tensor {
        let mask = if layer.windowed {
            self.window_mask
        } else {
            self.mask
        };
        let query = self.graph.view(queries);
        let mut operands = vec![query];
        operands.extend(fresh.into_iter().flatten());
        operands.extend(mask);
        let attended = self.graph.op(&operands, self.each(layer.query_width));
        let mut attended = self.graph.view(attended);
        if self.shape.is_rotated {
            let rotated = self.graph.op(&[attended], self.each(layer.query_width));
            attended = self.graph.view(rotated);
        }
        self.graph
            .op(&[attended], self.each(self.facts.embedding_length))
    }

    fn feed_forward(&mut self, layer: &LayerFacts, normed: Tensor) -> Tensor {
        let inner = self.each(layer.feed_forward_length);
        let product = if self.kind == Kind::Fused {
            let both = self.graph.op(&[normed], inner.saturating_mul(2));
            self.graph.op(&[both], inner)
        } else {
            let gate = self.graph.op(&[normed], inner);
            let up = self.graph.op(&[normed], inner);
            self.graph.op(&[gate, up], inner)
        };
        self.graph
            .op(&[product], self.each(self.facts.embedding_length))
    }

    /// Each expert that a token uses has its own results (`build_moe_ffn`).
    fn experts(&mut self, layer: &LayerFacts, normed: Tensor) -> Tensor {
        let used = self.facts.experts_used.max(1);
        let width = self.facts.embedding_length;
        let inner = self.each(layer.feed_forward_length);
        let choice = self.graph.op(&[normed], self.each(used));
        let weights = self.graph.op(&[choice], self.each(used));
        let input = self.graph.view(normed);
        let gate = self.graph.op(&[input, choice], inner);
        let up = self.graph.op(&[input, choice], inner);
        let product = self.graph.op(&[gate, up], inner);
        let all = self.each(width.saturating_mul(used));
        let results = self.graph.op(&[product, choice], all);
        let weighted = self.graph.in_place(&[results, weights], all);
        let one = self.each(width);
        let mut sum = self.graph.slice(weighted, one);
        for _ in 1..used {
            let next = self.graph.slice(weighted, one);
            sum = self.graph.in_place(&[sum, next], one);
        }
        sum
    }

    /// A recurrent layer: a projection of its input, a short convolution with the state in front, and the recurrence.
    fn state(&mut self, layer: &LayerFacts, normed: Tensor) -> Tensor {
        let width = self.facts.embedding_length;
        if self.kind != Kind::Mamba {
            // The convolution of LFM2: two gates and the values.
            let all = self.graph.op(&[normed], self.each(3 * width));
            let [gate, other, values] = [(); 3].map(|()| self.graph.slice(all, self.each(width)));
            let gated = self.graph.op(&[gate, values], self.each(width));
            let state = layer
                .state
                .saturating_mul(self.shape.sequences)
                .saturating_mul(F32);
            let turned = self
                .graph
                .op(&[gated], self.each(width).saturating_add(state));
            let mixed = self.graph.op(&[turned], self.each(width));
            let product = self.graph.in_place(&[mixed, other], self.each(width));
            return self.graph.op(&[product], self.each(width));
        }
        let inner = self.each(2 * width);
        let state = layer
            .state
            .saturating_mul(self.shape.sequences)
            .saturating_mul(F32);
        let both = self.graph.op(&[normed], inner.saturating_mul(2));
        let [values, gate] = [(); 2].map(|()| self.graph.slice(both, inner));
        let padded = self.graph.op(&[values], inner.saturating_add(state / 4));
        let mixed = self.graph.op(&[padded], inner);
        let mixed = self.graph.in_place(&[mixed], inner);
        let step = self.graph.op(&[mixed], inner);
        let scanned = self.graph.op(&[mixed, step], inner.saturating_add(state));
        let result = self.graph.slice(scanned, inner);
        let skipped = self.graph.op(&[mixed], inner);
        let sum = self.graph.in_place(&[skipped, result], inner);
        let gate = self.graph.op(&[gate], inner);
        let product = self.graph.op(&[gate, sum], inner);
        self.graph.op(&[product], self.each(width))
    }

    /// A layer of an embedding model: every token is an output.
    fn encoder(&mut self, layer: &LayerFacts, residual: Tensor) -> Tensor {
        let width = self.facts.embedding_length;
        let bytes = self.each(width);
        let heads = [(); 3].map(|()| {
            let product = self.graph.op(&[residual], bytes);
            let product = self.graph.in_place(&[product], bytes);
            self.graph.view(product)
        });
        let fresh = [heads[1], heads[2]].map(|head| self.graph.op(&[head], bytes / 2));
        let wide = LayerFacts {
            query_width: width,
            ..layer.clone()
        };
        let attended = self.attend(&wide, heads[0], Some(fresh));
        let attended = self.graph.in_place(&[attended], bytes);
        let sum = self.add(attended, residual);
        let normed = self.norm(sum, width);
        let normed = self.graph.in_place(&[normed], bytes);
        let inner = self.each(layer.feed_forward_length);
        let up = self.graph.op(&[normed], inner);
        let up = self.graph.in_place(&[up], inner);
        let active = self.graph.in_place(&[up], inner);
        let down = self.graph.op(&[active], bytes);
        let down = self.graph.in_place(&[down], bytes);
        let sum = self.add(down, normed);
        let normed = self.norm(sum, width);
        self.graph.in_place(&[normed], bytes)
    }

    fn logits(&mut self, residual: Tensor) {
        if self.kind == Kind::Encoder {
            return;
        }
        let normed = self.norm_of(residual);
        let logits = self
            .outputs
            .saturating_mul(self.facts.vocabulary)
            .saturating_mul(F32);
        self.graph.op(&[normed], logits);
    }
}

//! How many bytes the results of a compute graph take together.
//!
//! ggml gives a result the memory of results that no later operation needs. This is the same allocation, on sizes alone:
//! `ggml_gallocr_alloc_graph_impl` and `ggml_dyn_tallocr_alloc` of llama.cpp's `ggml/src/ggml-alloc.c`.

/// The alignment of tensors in a buffer of the CPU, `TENSOR_ALIGNMENT`.
const ALIGNMENT: u64 = 64;

/// No tensor counts for more, so that sums of sizes do not overflow.
const LARGEST: u64 = 1 << 44;

/// A tensor of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tensor(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Set before the graph is computed.
    Input,
    /// A result with memory of its own.
    Op,
    /// A result that takes the memory of an equal operand, if nothing else needs that.
    InPlace,
    /// Another shape of this tensor's memory.
    View(usize),
    /// Written to memory outside of the graph, such as the KV cache.
    Stored,
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    bytes: u64,
    operands: Vec<usize>,
    /// Whether the values lie one behind the other.
    is_dense: bool,
}

/// Operations in the order of their computation. Weights and cells are no tensors of it.
#[derive(Debug, Default)]
pub(super) struct Graph(Vec<Node>);

impl Graph {
    /// An input tensor. The allocator never frees an input tensor that no operation reads.
    pub(super) fn input(&mut self, bytes: u64) -> Tensor {
        self.push(Kind::Input, bytes, &[], true)
    }

    /// The result of an operation.
    pub(super) fn op(&mut self, operands: &[Tensor], bytes: u64) -> Tensor {
        self.push(Kind::Op, bytes, operands, true)
    }

    /// The result of an operation that ggml computes in place (`ggml_op_can_inplace`).
    pub(super) fn in_place(&mut self, operands: &[Tensor], bytes: u64) -> Tensor {
        self.push(Kind::InPlace, bytes, operands, true)
    }

    /// Another shape of the same values.
    pub(super) fn view(&mut self, of: Tensor) -> Tensor {
        let bytes = self.0[of.0].bytes;
        let is_dense = self.0[of.0].is_dense;
        self.push(Kind::View(self.root(of.0)), bytes, &[of], is_dense)
    }

    /// Some of the values.
    pub(super) fn slice(&mut self, of: Tensor, bytes: u64) -> Tensor {
        self.push(Kind::View(self.root(of.0)), bytes, &[of], false)
    }

    /// Writes rows into a tensor; the result is that tensor, changed.
    pub(super) fn set_rows(&mut self, into: Tensor, operands: &[Tensor]) -> Tensor {
        let bytes = self.0[into.0].bytes;
        let operands = [operands, &[into]].concat();
        self.push(Kind::View(self.root(into.0)), bytes, &operands, true)
    }

    /// Writes values outside of the graph.
    pub(super) fn store(&mut self, operands: &[Tensor]) {
        self.push(Kind::Stored, 0, operands, true);
    }

    /// The size of a tensor.
    pub(super) fn bytes(&self, tensor: Tensor) -> u64 {
        self.0[tensor.0].bytes
    }

    fn root(&self, tensor: usize) -> usize {
        match self.0[tensor].kind {
            Kind::View(root) => root,
            _ => tensor,
        }
    }

    fn push(&mut self, kind: Kind, bytes: u64, operands: &[Tensor], is_dense: bool) -> Tensor {
        self.0.push(Node {
            kind,
            bytes: bytes.min(LARGEST),
            operands: operands.iter().map(|operand| operand.0).collect(),
            is_dense,
        });
        Tensor(self.0.len() - 1)
    }

    /// The size of the buffer that holds every result while it is needed.
    pub(super) fn buffer(&self) -> u64 {
        Allocation::new(&self.0).run()
    }
}

/// Where a tensor is while the graph is allocated.
#[derive(Debug, Clone, Default)]
struct Place {
    uses: usize,
    views: usize,
    offset: u64,
    is_allocated: bool,
}

struct Allocation<'a> {
    nodes: &'a [Node],
    places: Vec<Place>,
    heap: Heap,
}

impl<'a> Allocation<'a> {
    fn new(nodes: &'a [Node]) -> Self {
        let mut places = vec![Place::default(); nodes.len()];
        for node in nodes {
            if let Kind::View(root) = node.kind {
                places[root].views += 1;
            }
            for operand in &node.operands {
                places[*operand].uses += 1;
            }
        }
        Self {
            nodes,
            places,
            heap: Heap::default(),
        }
    }

    fn run(mut self) -> u64 {
        let nodes = self.nodes;
        let inputs = (0..nodes.len()).filter(|number| nodes[*number].kind == Kind::Input);
        inputs.for_each(|number| self.allocate(number));
        for (number, node) in nodes.iter().enumerate() {
            match node.kind {
                Kind::Op => self.allocate(number),
                Kind::InPlace if !self.reuse(number) => self.allocate(number),
                _ => {}
            }
            node.operands
                .iter()
                .for_each(|operand| self.release(*operand));
        }
        self.heap.most
    }

    fn allocate(&mut self, number: usize) {
        self.places[number].offset = self.heap.take(self.nodes[number].bytes);
        self.places[number].is_allocated = true;
    }

    /// Takes the place of an operand that only this operation uses.
    fn reuse(&mut self, number: usize) -> bool {
        let node = &self.nodes[number];
        for operand in &node.operands {
            let place = &self.places[*operand];
            let has_layout =
                self.nodes[*operand].bytes == node.bytes && self.nodes[*operand].is_dense;
            if !has_layout || place.uses != 1 || place.views != 0 {
                continue;
            }
            let owner = match self.nodes[*operand].kind {
                Kind::View(root) => {
                    let root_place = &self.places[root];
                    if root_place.views != 1 || root_place.uses != 0 {
                        continue;
                    }
                    root
                }
                _ => *operand,
            };
            if !self.places[owner].is_allocated {
                continue;
            }
            self.places[owner].is_allocated = false;
            self.places[number].offset = self.places[owner].offset;
            self.places[number].is_allocated = true;
            return true;
        }
        false
    }

    /// One operation less needs this tensor.
    fn release(&mut self, number: usize) {
        self.places[number].uses -= 1;
        if self.places[number].uses > 0 || self.places[number].views > 0 {
            return;
        }
        let owner = match self.nodes[number].kind {
            Kind::View(root) => {
                self.places[root].views -= 1;
                if self.places[root].views > 0 || self.places[root].uses > 0 {
                    return;
                }
                root
            }
            _ => number,
        };
        if self.places[owner].is_allocated {
            self.places[owner].is_allocated = false;
            let offset = self.places[owner].offset;
            self.heap.give_back(offset, self.nodes[owner].bytes);
        }
    }
}

/// Free ranges below the end, by their offset. A range is its offset and its size.
#[derive(Debug, Default)]
struct Heap {
    free: Vec<(u64, u64)>,
    /// Everything behind this is free.
    end: u64,
    most: u64,
}

impl Heap {
    /// Takes from the smallest range that is large enough, or else from the end.
    fn take(&mut self, bytes: u64) -> u64 {
        let bytes = aligned(bytes);
        let fits = self
            .free
            .iter()
            .enumerate()
            .filter(|(_, free)| free.1 >= bytes);
        // Of equal ranges the last one, as ggml does.
        let best = fits.min_by(|one, other| (one.1.1, other.0).cmp(&(other.1.1, one.0)));
        if let Some((number, _)) = best {
            let (offset, size) = self.free[number];
            if size == bytes {
                self.free.remove(number);
            } else {
                self.free[number] = (offset + bytes, size - bytes);
            }
            return offset;
        }
        let offset = self.end;
        self.end += bytes;
        self.most = self.most.max(self.end);
        offset
    }

    fn give_back(&mut self, offset: u64, bytes: u64) {
        let bytes = aligned(bytes);
        if bytes == 0 {
            return;
        }
        let at = self.free.partition_point(|free| free.0 < offset);
        self.free.insert(at, (offset, bytes));
        self.merge(at);
        if at > 0 {
            self.merge(at - 1);
        }
        if let Some((offset, size)) = self.free.last().copied()
            && offset + size == self.end
        {
            self.end = offset;
            self.free.pop();
        }
    }

    /// Joins a range with the next one where they meet.
    fn merge(&mut self, at: usize) {
        if at + 1 < self.free.len() && self.free[at].0 + self.free[at].1 == self.free[at + 1].0 {
            self.free[at].1 += self.free[at + 1].1;
            self.free.remove(at + 1);
        }
    }
}

fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_takes_the_place_of_one_that_is_not_needed() {
        let mut graph = Graph::default();
        let first = graph.input(640);
        let second = graph.op(&[first], 640);
        let third = graph.op(&[second], 640);
        graph.store(&[third]);
        assert_eq!(graph.buffer(), 2 * 640);
    }

    #[test]
    fn an_operation_in_place_takes_nothing() {
        let mut graph = Graph::default();
        let first = graph.input(640);
        let view = graph.view(first);
        let second = graph.in_place(&[view], 640);
        graph.store(&[second]);
        assert_eq!(graph.buffer(), 640);
    }

    #[test]
    fn an_operand_that_is_needed_later_is_not_overwritten() {
        let mut graph = Graph::default();
        let first = graph.input(640);
        let second = graph.in_place(&[first], 640);
        let sum = graph.in_place(&[second, first], 640);
        graph.store(&[sum]);
        assert_eq!(graph.buffer(), 2 * 640);
    }

    #[test]
    fn a_slice_keeps_the_whole() {
        let mut graph = Graph::default();
        let whole = graph.input(640);
        let slice = graph.slice(whole, 320);
        let result = graph.in_place(&[slice], 320);
        graph.store(&[result]);
        assert_eq!(graph.buffer(), 640 + 320);
    }

    #[test]
    fn an_input_without_use_stays() {
        let mut graph = Graph::default();
        graph.input(64);
        let first = graph.input(640);
        let second = graph.op(&[first], 64);
        let third = graph.op(&[second], 640);
        graph.store(&[third]);
        assert_eq!(graph.buffer(), 64 + 640 + 64);
    }

    #[test]
    fn sizes_beyond_any_memory_are_large_numbers() {
        let mut graph = Graph::default();
        let first = graph.input(u64::MAX);
        let second = graph.op(&[first], u64::MAX);
        graph.store(&[second]);
        assert_eq!(graph.buffer(), 2 * LARGEST);
    }
}

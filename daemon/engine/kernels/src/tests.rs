//! The kernels compute what is to be computed, and what they leave alone llama.cpp computes.

mod choice;

use std::{
    ffi::{CStr, c_void},
    path::Path,
    ptr,
};

use llama_cpp_2::llama_backend::load_backends_from_path;
use llama_cpp_sys_2 as sys;

use super::*;

/// Inputs that repeat late, of both signs.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 4_194_304.0 - 2.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The processor as ggml sees it, with so many threads.
struct Processor(sys::ggml_backend_t);

impl Processor {
    fn new(threads: c_int) -> Self {
        // SAFETY: The modules are loaded; no parameters are passed.
        let backend = unsafe {
            sys::ggml_backend_init_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU, ptr::null())
        };
        assert!(!backend.is_null(), "a module for this processor is loaded");
        let processor = Self(backend);
        let set: unsafe extern "C" fn(sys::ggml_backend_t, c_int) =
            // SAFETY: The function of this name has this type, see `ggml-backend.h`.
            unsafe { std::mem::transmute(processor.function(c"ggml_backend_set_n_threads")) };
        // SAFETY: The backend lives.
        unsafe { set(backend, threads) };
        processor
    }

    fn function(&self, name: &CStr) -> *mut c_void {
        // SAFETY: The backend lives, and so does its device.
        let function = unsafe {
            let device = sys::ggml_backend_get_device(self.0);
            sys::ggml_backend_reg_get_proc_address(
                sys::ggml_backend_dev_backend_reg(device),
                name.as_ptr(),
            )
        };
        assert!(!function.is_null());
        function
    }

    /// Whether ggml computes with its reference implementation alone.
    fn use_reference(&self, on: bool) {
        let set: unsafe extern "C" fn(sys::ggml_backend_t, bool) =
            // SAFETY: The function of this name has this type, see `ggml-cpu.h`.
            unsafe { std::mem::transmute(self.function(c"ggml_backend_cpu_set_use_ref")) };
        // SAFETY: The backend lives.
        unsafe { set(self.0, on) };
    }

    /// Weights times inputs.
    fn multiply(&self, product: &Product, reference: bool) -> Vec<f32> {
        self.fill_work_buffer_with_nan();
        let Product {
            kind,
            length,
            rows,
            columns,
        } = *product;
        let tensors = [
            (kind, [length, rows, 1], product.weights()),
            (
                sys::GGML_TYPE_F32,
                [length, columns, 1],
                bytes(&product.inputs()),
            ),
        ];
        // SAFETY: The tensors live in this context.
        self.compute(reference, &tensors, |context, [weights, inputs]| unsafe {
            sys::ggml_mul_mat(context, weights, inputs)
        })
    }

    /// Fills ggml's work buffer with NaN so that stale reads show up.
    fn fill_work_buffer_with_nan(&self) {
        let (length, rows, columns) = (4096, 32, 96);
        let [weights, inputs] = [rows, columns].map(|count| vec![f32::NAN; length * count]);
        let tensors = [
            (sys::GGML_TYPE_F16, [length, rows, 1], packed(&weights)),
            (sys::GGML_TYPE_F32, [length, columns, 1], bytes(&inputs)),
        ];
        // SAFETY: The tensors live in this context.
        self.compute(false, &tensors, |context, [weights, inputs]| unsafe {
            sys::ggml_mul_mat(context, weights, inputs)
        });
    }

    fn gelu(&self, numbers: &[f32], reference: bool) -> Vec<f32> {
        let tensors = [(sys::GGML_TYPE_F32, [numbers.len(), 1, 1], bytes(numbers))];
        // SAFETY: The tensor lives in this context.
        self.compute(reference, &tensors, |context, [numbers]| unsafe {
            sys::ggml_gelu(context, numbers)
        })
    }

    /// What some tokens make of cells.
    fn attend(&self, shape: &Shape, reference: bool) -> Vec<f32> {
        self.attend_to(shape, &shape.keys(), &shape.values(), reference)
    }

    /// What some tokens make of these keys and values, as a cache holds them: the heads of one cell lie side by side.
    fn attend_to(&self, shape: &Shape, keys: &[f32], values: &[f32], reference: bool) -> Vec<f32> {
        self.fill_work_buffer_with_nan();
        let Shape {
            length,
            heads,
            groups,
            tokens,
            cells,
            ..
        } = *shape;
        let halves = sys::GGML_TYPE_F16;
        let tensors = [
            (
                sys::GGML_TYPE_F32,
                [length, heads, tokens],
                bytes(&shape.queries()),
            ),
            (halves, [length, groups, cells], packed(keys)),
            (halves, [length, groups, cells], packed(values)),
            (halves, [cells, tokens, 1], packed(&shape.mask())),
        ];
        // SAFETY: The tensors live in this context.
        self.compute(
            reference,
            &tensors,
            |context, [queries, keys, values, mask]| unsafe {
                let by_head = |tensor| sys::ggml_permute(context, tensor, 0, 2, 1, 3);
                let (queries, keys, values) = (by_head(queries), by_head(keys), by_head(values));
                let mask = if shape.sparse == 0 {
                    ptr::null_mut()
                } else {
                    mask
                };
                sys::ggml_flash_attn_ext(context, queries, keys, values, mask, SCALE, 0.0, 0.0)
            },
        )
    }

    /// Whether weights of a type that are multiplied lie in a buffer that packs them anew.
    fn packs(&self, kind: sys::ggml_type) -> bool {
        let buffers: unsafe extern "C" fn(
            sys::ggml_backend_dev_t,
        ) -> *const sys::ggml_backend_buffer_type_t =
            // SAFETY: The function of this name has this type, see `ggml_backend_dev_get_extra_bufts_t`.
            unsafe { std::mem::transmute(self.function(c"ggml_backend_dev_get_extra_bufts")) };
        // SAFETY: The backend lives; the list ends with null; the tensors' buffer lives as long as they are looked at.
        unsafe {
            let device = sys::ggml_backend_get_device(self.0);
            let mut next = buffers(device);
            while !(*next).is_null()
                && CStr::from_ptr(sys::ggml_backend_buft_name(*next)) != c"CPU_REPACK"
            {
                next = next.add(1);
            }
            assert!(!(*next).is_null(), "llama.cpp packs weights");
            let context = sys::ggml_init(sys::ggml_init_params {
                mem_size: 16 * sys::ggml_tensor_overhead(),
                mem_buffer: ptr::null_mut(),
                no_alloc: true,
            });
            let weights = sys::ggml_new_tensor_2d(context, kind, 256, 8);
            let inputs = sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, 256, 1);
            let product = sys::ggml_mul_mat(context, weights, inputs);
            let buffer = sys::ggml_backend_buft_alloc_buffer(*next, 1);
            (*weights).buffer = buffer;
            let packs = sys::ggml_backend_dev_supports_op(device, product);
            sys::ggml_backend_buffer_free(buffer);
            sys::ggml_free(context);
            packs
        }
    }

    /// All numbers of the tensor that is made of those given.
    fn compute<const N: usize>(
        &self,
        reference: bool,
        tensors: &[(sys::ggml_type, [usize; 3], Vec<u8>); N],
        make: impl FnOnce(*mut sys::ggml_context, [*mut sys::ggml_tensor; N]) -> *mut sys::ggml_tensor,
    ) -> Vec<f32> {
        self.use_reference(reference);
        // SAFETY: Tensors and graph live in a context with room for them until both are freed; all buffers have the sizes given.
        unsafe {
            let context = sys::ggml_init(sys::ggml_init_params {
                mem_size: 16 * sys::ggml_tensor_overhead() + sys::ggml_graph_overhead(),
                mem_buffer: ptr::null_mut(),
                no_alloc: true,
            });
            let given = tensors.each_ref().map(|(kind, [a, b, c], _)| {
                sys::ggml_new_tensor_3d(context, *kind, size(*a), size(*b), size(*c))
            });
            let made = make(context, given);
            let graph = sys::ggml_new_graph(context);
            sys::ggml_build_forward_expand(graph, made);
            let buffer = sys::ggml_backend_alloc_ctx_tensors(context, self.0);
            for (tensor, (_, _, bytes)) in given.into_iter().zip(tensors) {
                assert_eq!(bytes.len(), sys::ggml_nbytes(tensor));
                sys::ggml_backend_tensor_set(tensor, bytes.as_ptr().cast(), 0, bytes.len());
            }
            let status = sys::ggml_backend_graph_compute(self.0, graph);
            assert_eq!(status, sys::GGML_STATUS_SUCCESS);
            let mut result = vec![f32::NAN; sys::ggml_nbytes(made) / 4];
            let bytes = 4 * result.len();
            sys::ggml_backend_tensor_get(made, result.as_mut_ptr().cast(), 0, bytes);
            sys::ggml_backend_buffer_free(buffer);
            sys::ggml_free(context);
            result
        }
    }
}

fn size(count: usize) -> i64 {
    i64::try_from(count).expect("small")
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_ne_bytes()).collect()
}

/// As halves.
fn packed(numbers: &[f32]) -> Vec<u8> {
    let mut halves = vec![0_u16; numbers.len()];
    // SAFETY: Both have so many numbers.
    unsafe {
        let to = halves.as_mut_ptr();
        sys::ggml_fp32_to_fp16_row(numbers.as_ptr(), to, size(numbers.len()));
    }
    halves.iter().flat_map(|x| x.to_ne_bytes()).collect()
}

/// Weights of a type, times inputs.
#[derive(Debug, Clone, Copy)]
struct Product {
    kind: sys::ggml_type,
    /// A multiple of 256, the largest block.
    length: usize,
    rows: usize,
    columns: usize,
}

impl Product {
    fn weights(&self) -> Vec<u8> {
        let weights = numbers(self.length * self.rows);
        let (rows, length) = (size(self.rows), size(self.length));
        // SAFETY: Rows have whole blocks, and both buffers the sizes that are told.
        unsafe {
            let mut packed = vec![0_u8; sys::ggml_row_size(self.kind, length) * self.rows];
            let to = packed.as_mut_ptr().cast();
            let (from, none) = (weights.as_ptr(), ptr::null());
            sys::ggml_quantize_chunk(self.kind, from, to, 0, rows, length, none);
            packed
        }
    }

    /// What the weights stand for.
    fn dequantized(&self) -> Vec<f32> {
        let (packed, count) = (self.weights(), self.length * self.rows);
        let mut weights = vec![0.0; count];
        // SAFETY: There are so many weights, in whole blocks.
        unsafe {
            let traits = &*sys::ggml_get_type_traits(self.kind);
            let to_float = traits.to_float.expect("each type has it");
            to_float(packed.as_ptr().cast(), weights.as_mut_ptr(), size(count));
        }
        weights
    }

    fn inputs(&self) -> Vec<f32> {
        numbers(self.length * self.columns)
    }

    /// What comes of it by the definition, in double precision.
    fn expected(&self) -> Vec<f64> {
        let (weights, inputs) = (self.dequantized(), self.inputs());
        let rows = || weights.chunks(self.length);
        let of = |input| rows().map(move |row| dot(row, input));
        inputs.chunks(self.length).flat_map(of).collect()
    }

    /// Columns for which weights are dequantized, see `shim/kernels/multiply.h`.
    fn gemm_columns(&self, level: Level) -> usize {
        let panel = if at_best(level) { 32 } else { 16 };
        match self.rows.is_multiple_of(panel) && !self.is_left_to_llama_cpp_in_gemm() {
            true => self.columns / 32 * 32,
            false => 0,
        }
    }

    /// Whether llama.cpp computes it where columns are many, see `shim/kernels/x86.h`.
    fn is_left_to_llama_cpp_in_gemm(&self) -> bool {
        matches!(self.kind, sys::GGML_TYPE_Q4_K | sys::GGML_TYPE_Q6_K)
    }

    fn is_ours(&self) -> bool {
        self.columns < 32 || !self.is_left_to_llama_cpp_in_gemm()
    }
}

/// Of the scores of attention.
const SCALE: f32 = 0.125;

/// Tokens that look at cells.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Of each key and value.
    length: usize,
    heads: usize,
    /// Of keys and values.
    groups: usize,
    tokens: usize,
    cells: usize,
    /// Of so many cells a token sees one, and the last of several tokens none. With 0 there is no mask.
    sparse: usize,
    /// Of so many cells all but the first belong to others, who have the mask keep them to themselves.
    others: usize,
}

impl Shape {
    fn queries(&self) -> Vec<f32> {
        numbers(self.length * self.heads * self.tokens)
    }

    /// Numbers that are the same as halves.
    fn keys(&self) -> Vec<f32> {
        self.beside_others(&self.own_numbers())
    }

    fn values(&self) -> Vec<f32> {
        let mut numbers = self.own_numbers();
        numbers.reverse();
        self.beside_others(&numbers)
    }

    fn own_numbers(&self) -> Vec<f32> {
        let numbers = numbers(self.length * self.groups * self.cells / self.others);
        numbers.iter().map(|x| (x * 64.0).round() / 64.0).collect()
    }

    fn beside_others(&self, own: &[f32]) -> Vec<f32> {
        // Whatever they hold.
        let theirs = vec![f32::NAN; self.length * self.groups * (self.others - 1)];
        let cells = own.chunks(self.length * self.groups);
        cells.flat_map(|cell| [cell, &theirs].concat()).collect()
    }

    fn mask(&self) -> Vec<f32> {
        if self.sparse == 0 {
            return vec![0.0; self.tokens * self.cells];
        }
        let (last, sparse) = (self.tokens - 1, self.sparse);
        let of = |token: usize, cell: usize| {
            let own = cell / self.others;
            let sees = cell.is_multiple_of(self.others) && (own * 7 + token).is_multiple_of(sparse);
            match sees && (token < last || last == 0) {
                true => [0.0, -0.5][own % 2],
                false => f32::NEG_INFINITY,
            }
        };
        let tokens = 0..self.tokens;
        tokens
            .flat_map(|token| (0..self.cells).map(move |cell| of(token, cell)))
            .collect()
    }

    /// What comes of it by the definition, in double precision.
    fn expected(&self) -> Vec<f64> {
        let (queries, keys, values, mask) =
            (self.queries(), self.keys(), self.values(), self.mask());
        let mut all = Vec::new();
        for index in 0..self.tokens * self.heads {
            let (token, head) = (index / self.heads, index % self.heads);
            let query = &queries[index * self.length..][..self.length];
            let group = head / (self.heads / self.groups);
            let at = |cell: usize| (cell * self.groups + group) * self.length;
            let weight = |cell: usize| {
                let key = &keys[at(cell)..];
                let product = dot(query, key);
                let mask = f64::from(mask[token * self.cells + cell]);
                (product * f64::from(SCALE) + mask).exp()
            };
            let weights: Vec<f64> = (0..self.cells).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let of = |d: usize| -> f64 {
                let weighed =
                    |(cell, weight): (usize, &f64)| weight * f64::from(values[at(cell) + d]);
                weights.iter().enumerate().map(weighed).sum()
            };
            let sum = if sum == 0.0 { 1.0 } else { sum };
            all.extend((0..self.length).map(|d| of(d) / sum));
        }
        all
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // SAFETY: Made in `new`, and used no more.
        unsafe { sys::ggml_backend_free(self.0) };
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// Largest distance from the expected numbers.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let distances = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| (f64::from(*found) - expected).abs());
    // A NaN distance is the maximum, so the comparison with it fails the test.
    distances.fold(0.0, |most: f64, now| {
        if now <= most || most.is_nan() {
            most
        } else {
            now
        }
    })
}

/// Whether the kernels use all that any of them can.
fn at_best(level: Level) -> bool {
    level == Level::Best
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

fn load_modules() {
    load_backends_from_path(Path::new(env!("SLM_BACKENDS")));
}

/// One test, because the kernels of a module are the same for all of a process.
#[test]
fn the_kernels_compute_what_is_to_be_computed() {
    load_modules();
    check_refusal();
    for level in [Level::Avx2, Level::Best] {
        match register(level, REPACK) {
            Err(Unavailable::Processor) => {
                println!("left out: this processor has no AVX2");
                return;
            }
            added => assert_eq!(added, Ok(())),
        }
        assert!(are_asked());
        for threads in [1, 3] {
            let processor = Processor::new(threads);
            check_products(&processor, level);
            check_attention(&processor);
            check_nan(&processor);
            check_empty(&processor);
            check_gelu(&processor);
            check_packing(&processor);
        }
        check_batches_of_columns(level);
        check_batches_of_tokens();
    }
    remove();
    check_absence();
    assert_eq!(add(), Ok(()));
    check_packing(&Processor::new(1));
    choice::check_choice();
    choice::check_measurement();
}

/// A module without the buffer type that weights are kept out of is not used at all.
fn check_refusal() {
    let refused = register(Level::Best, c"CPU_RENAMED");
    if refused != Err(Unavailable::Processor) {
        let reason = refused.expect_err("it is missing").to_string();
        assert!(reason.contains("CPU_RENAMED"), "{reason}");
    }
    check_absence();
}

/// Nothing is hooked in.
fn check_absence() {
    assert!(!are_asked());
    assert!(Processor::new(1).packs(sys::GGML_TYPE_Q4_K));
}

/// All products that the kernels compute, of this length.
fn products(length: usize) -> impl Iterator<Item = Product> {
    let kinds = [
        sys::GGML_TYPE_F16,
        sys::GGML_TYPE_Q4_1,
        sys::GGML_TYPE_Q8_0,
        sys::GGML_TYPE_Q5_0,
        sys::GGML_TYPE_Q4_K,
        sys::GGML_TYPE_Q6_K,
    ];
    let shapes = [
        (4, 1),
        (4, 2),
        (36, 3),
        (36, 4),
        (40, 7),
        (8, 21),
        (36, 55),
        (32, 32),
        (96, 53),
        (224, 64),
    ];
    let of = move |kind| {
        shapes.map(|(rows, columns)| Product {
            kind,
            length,
            rows,
            columns,
        })
    };
    let all = kinds.into_iter().flat_map(of);
    all.filter(Product::is_ours)
}

/// Every number for few inputs is the same as without the kernels; with weights in half precision, and for many inputs, it is
/// closer to the truth, because inputs are not rounded.
fn check_products(processor: &Processor, level: Level) {
    for product in [256, 512, 1280].into_iter().flat_map(products) {
        let [plain, ours] = [true, false].map(|reference| processor.multiply(&product, reference));
        let inexact = match product.kind {
            sys::GGML_TYPE_F16 => plain.len(),
            _ => product.gemm_columns(level) * product.rows,
        };
        let (plain, plain_few) = plain.split_at(inexact);
        let (ours, ours_few) = ours.split_at(inexact);
        assert!(plain_few.iter().all(|number| number.is_finite()));
        assert!(plain_few == ours_few, "{product:?}");
        if inexact > 0 {
            let expected = &product.expected()[..inexact];
            let [plain, ours] = [plain, ours].map(|found| distance(found, expected));
            // Else both would be ours, or llama.cpp's.
            let fits = ours < 4e-6 * product.length as f64 && plain > 3.0 * ours;
            assert!(fits, "{product:?}: {plain}, {ours}");
        }
    }
}

/// What an input gets is the same, to the last bit, beside others and with any number of threads, as long as its place is as well
/// among few or many.
fn check_batches_of_columns(level: Level) {
    let (few, many) = (Processor::new(1), Processor::new(3));
    for product in products(512).filter(|product| product.columns > 50) {
        let all = many.multiply(&product, false);
        for columns in [1, 3, 7, 32, 52] {
            let less = Product { columns, ..product };
            let alike =
                less.gemm_columns(level).min(columns) == product.gemm_columns(level).min(columns);
            if alike && less.is_ours() {
                assert!(all.starts_with(&few.multiply(&less, false)), "{less:?}");
            }
        }
    }
}

/// What a token gets is the same, to the last bit, alone and with others, whatever lies between its cells, and with any number
/// of threads.
fn check_batches_of_tokens() {
    let few = Processor::new(1);
    let many = Processor::new(3);
    for cells in [200, 256, 512, 1536] {
        let alone = Shape {
            length: 64,
            heads: 9,
            groups: 3,
            tokens: 1,
            cells,
            sparse: 3,
            others: 1,
        };
        let expected = few.attend(&alone, false);
        assert!(many.attend(&alone, false) == expected, "{alone:?}");
        let beside_others = Shape {
            cells: cells * 5,
            others: 5,
            ..alone
        };
        let same = many.attend(&beside_others, false) == expected;
        assert!(same, "{beside_others:?}");
        for tokens in [2, 3, 31] {
            let shape = Shape { tokens, ..alone };
            let all = few.attend(&shape, false);
            assert!(all.starts_with(&expected), "{shape:?}");
            assert!(many.attend(&shape, false) == all, "{shape:?}");
        }
        // So many heads that parts of them are joined before the next ones are computed.
        let heads = Shape {
            heads: 128,
            groups: 1,
            cells: cells * 16,
            ..alone
        };
        let same = many.attend(&heads, false) == few.attend(&heads, false);
        assert!(same, "{heads:?}");
        // Many of them together.
        let shape = Shape {
            tokens: 40,
            ..alone
        };
        let all = few.attend(&shape, false);
        assert!(many.attend(&shape, false) == all, "{shape:?}");
        let beside_others = Shape {
            tokens: 40,
            ..beside_others
        };
        let same = many.attend(&beside_others, false) == all;
        assert!(same, "{beside_others:?}");
    }
}

/// What is multiplied faster as it is, llama.cpp does not pack anew, and the rest it does.
fn check_packing(processor: &Processor) {
    assert!(processor.packs(sys::GGML_TYPE_Q4_0));
    assert!(!processor.packs(sys::GGML_TYPE_Q4_K));
    assert!(!processor.packs(sys::GGML_TYPE_Q6_K));
}

/// Attention is closer to the truth than without the kernels.
fn check_attention(processor: &Processor) {
    for (length, heads, groups) in [
        (64, 9, 3),
        (128, 16, 8),
        (80, 5, 1),
        (16, 2, 2),
        (32, 14, 2),
    ] {
        for (tokens, cells, sparse) in [
            (1, 256, 1),
            (1, 1536, 3),
            (2, 40, 1),
            (5, 768, 5),
            (20, 512, 100),
            (3, 100, 0),
            (32, 40, 1),
            (45, 700, 3),
            (100, 300, 0),
        ] {
            let shape = Shape {
                length,
                heads,
                groups,
                tokens,
                cells,
                sparse,
                others: 1,
            };
            let expected = shape.expected();
            let [plain, ours] = [true, false]
                .map(|reference| distance(&processor.attend(&shape, reference), &expected));
            assert!(ours < 5e-6, "{shape:?}: {ours}");
            // Else both would be ours, or llama.cpp's.
            assert!(plain > ours && plain < 0.05, "{shape:?}: {plain}, {ours}");
        }
    }
}

/// NaN in keys and values reaches the tokens that attend to them, and no others.
fn check_nan(processor: &Processor) {
    for tokens in [1, 3, 40] {
        let shape = Shape {
            length: 64,
            heads: 4,
            groups: 2,
            tokens,
            cells: 300,
            sparse: 3,
            others: 1,
        };
        // Behind the first cell, which has the largest scores, and in the same lane.
        let broken = 48;
        let at = broken * shape.groups * shape.length + 5;
        let mut keys = shape.keys();
        keys[..shape.length].fill(50.0);
        let mut values = shape.values();
        let plain = processor.attend_to(&shape, &keys, &values, false);
        keys[at] = f32::NAN;
        let by_key = processor.attend_to(&shape, &keys, &values, false);
        keys[at] = 0.0;
        values[at] = f32::INFINITY;
        let by_value = processor.attend_to(&shape, &keys, &values, false);
        let mask = shape.mask();
        for index in 0..plain.len() {
            let (row, d) = (index / shape.length, index % shape.length);
            let (token, head) = (row / shape.heads, row % shape.heads);
            // Of the first of two groups.
            let sees = head < 2 && mask[token * shape.cells + broken] == 0.0;
            let found = [plain[index], by_key[index], by_value[index]];
            if !sees {
                assert!(found == [plain[index]; 3], "{shape:?} {index}: {found:?}");
            } else {
                let fits = found[0].is_finite()
                    && !found[1].is_finite()
                    && (d != 5 || !found[2].is_finite());
                assert!(fits, "{shape:?} {index}: {found:?}");
            }
        }
    }
}

/// Nothing comes of nothing.
fn check_empty(processor: &Processor) {
    let shape = Shape {
        length: 64,
        heads: 0,
        groups: 2,
        tokens: 40,
        cells: 32,
        sparse: 1,
        others: 1,
    };
    assert!(processor.attend(&shape, false).is_empty());
}

/// So is GELU.
fn check_gelu(processor: &Processor) {
    let mut from = numbers(1003);
    from.iter_mut().for_each(|x| *x *= 5.0);
    from.extend([0.0, -0.0, 1e-30, -1e-30, 90.0, -90.0, 1e30, -1e30, f32::MIN]);
    let gelu = |x: &f32| {
        let x = f64::from(*x);
        let tanh = ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh();
        0.5 * x * (1.0 + tanh)
    };
    let expected: Vec<f64> = from.iter().map(gelu).collect();
    let [plain, ours] =
        [true, false].map(|reference| distance(&processor.gelu(&from, reference), &expected));
    assert!(
        ours < 2e-6 && plain > 100.0 * ours && plain < 0.01,
        "{plain}, {ours}"
    );
    let ends = processor.gelu(&[f32::NEG_INFINITY, f32::INFINITY, f32::NAN], false);
    assert!(
        ends[..2] == [0.0, f32::INFINITY] && ends[2].is_nan(),
        "{ends:?}"
    );
}

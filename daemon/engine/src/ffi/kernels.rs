//! Products of matrices that the processor's module computes faster with kernels of ours; see `shim/matmul.h`.

use std::ffi::c_int;

unsafe extern "C" {
    fn slm_add_kernels(plain: c_int) -> c_int;
}

/// What of the processor the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// All that helps.
    Best,
    /// Nothing that came after AVX2.
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
    Avx2,
}

/// Adds the kernels to the module. Says for how many types of weights there are any: none, where the processor has no AVX2.
///
/// Call it when the modules are loaded and nothing is computed.
pub(crate) fn add(level: Level) -> c_int {
    let plain = level != Level::Best;
    // SAFETY: The function changes lists that are only read while something is computed, which the caller excludes.
    unsafe { slm_add_kernels(c_int::from(plain)) }
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use std::{
        ffi::{CStr, c_void},
        ptr,
    };

    use llama_cpp_2::llama_backend::load_backends_from_path;
    use llama_cpp_sys_2 as sys;

    use super::*;
    use crate::fs;

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

        /// Whether to compute by the book, without any kernel that is faster.
        fn go_by_the_book(&self, plainly: bool) {
            let set: unsafe extern "C" fn(sys::ggml_backend_t, bool) =
                // SAFETY: The function of this name has this type, see `ggml-cpu.h`.
                unsafe { std::mem::transmute(self.function(c"ggml_backend_cpu_set_use_ref")) };
            // SAFETY: The backend lives.
            unsafe { set(self.0, plainly) };
        }

        /// Weights of a type, times inputs.
        fn multiply(
            &self,
            kind: sys::ggml_type,
            [length, rows, columns]: [usize; 3],
            by_the_book: bool,
        ) -> Vec<f32> {
            self.go_by_the_book(by_the_book);
            let (weights, inputs) = (numbers(length * rows), numbers(length * columns));
            let size = |count: usize| i64::try_from(count).expect("small");
            let mut result = vec![f32::NAN; rows * columns];
            // SAFETY: Tensors and graph live in a context with room for them until both are freed; all buffers have the sizes given.
            unsafe {
                let mut packed = vec![0_u8; sys::ggml_row_size(kind, size(length)) * rows];
                sys::ggml_quantize_chunk(
                    kind,
                    weights.as_ptr(),
                    packed.as_mut_ptr().cast(),
                    0,
                    size(rows),
                    size(length),
                    ptr::null(),
                );
                let context = sys::ggml_init(sys::ggml_init_params {
                    mem_size: 8 * sys::ggml_tensor_overhead() + sys::ggml_graph_overhead(),
                    mem_buffer: ptr::null_mut(),
                    no_alloc: true,
                });
                let a = sys::ggml_new_tensor_2d(context, kind, size(length), size(rows));
                let b = sys::ggml_new_tensor_2d(
                    context,
                    sys::GGML_TYPE_F32,
                    size(length),
                    size(columns),
                );
                let product = sys::ggml_mul_mat(context, a, b);
                let graph = sys::ggml_new_graph(context);
                sys::ggml_build_forward_expand(graph, product);
                let buffer = sys::ggml_backend_alloc_ctx_tensors(context, self.0);
                sys::ggml_backend_tensor_set(a, packed.as_ptr().cast(), 0, packed.len());
                sys::ggml_backend_tensor_set(b, inputs.as_ptr().cast(), 0, 4 * inputs.len());
                let status = sys::ggml_backend_graph_compute(self.0, graph);
                assert_eq!(status, sys::GGML_STATUS_SUCCESS);
                let bytes = 4 * result.len();
                sys::ggml_backend_tensor_get(product, result.as_mut_ptr().cast(), 0, bytes);
                sys::ggml_backend_buffer_free(buffer);
                sys::ggml_free(context);
            }
            result
        }
    }

    impl Drop for Processor {
        fn drop(&mut self) {
            // SAFETY: Made in `new`, and used no more.
            unsafe { sys::ggml_backend_free(self.0) };
        }
    }

    #[test]
    fn every_number_is_the_same_as_without_the_kernels() {
        let program = fs::program().expect("a test has a path");
        let folder = program.ancestors().nth(2).expect("tests lie in deps");
        load_backends_from_path(&folder.join("slm-lib"));
        for level in [Level::Avx2, Level::Best] {
            if add(level) == 0 {
                println!("left out: this processor has no AVX2");
                return;
            }
            assert_eq!(add(level), 2);
            for threads in [1, 3] {
                let processor = Processor::new(threads);
                for (kind, block) in [(sys::GGML_TYPE_Q4_1, 32), (sys::GGML_TYPE_Q6_K, 256)] {
                    for blocks in [1, 2, 18] {
                        for (rows, columns) in [(4, 1), (4, 2), (36, 3), (36, 4), (40, 7), (6, 5)] {
                            let shape = [blocks * block, rows, columns];
                            let [plain, ours] = [true, false]
                                .map(|by_the_book| processor.multiply(kind, shape, by_the_book));
                            assert!(plain.iter().all(|number| number.is_finite()));
                            assert!(plain == ours, "{kind} {shape:?}, {threads} threads");
                        }
                    }
                }
            }
        }
    }
}

// Kernels for ggml's CPU module where it has none as fast; docs/kernels.md has the whole story.

#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Registers the kernels with the CPU module:
//
// - products of small batches with quantized weights, bit-identical to llama.cpp's. Weights of Q4_K are kept out of CPU_REPACK, unless
//   `slm_choose_product` says otherwise or AMX takes them first;
// - products of large batches, whose weights are dequantized once, and products with F16 weights. Inputs stay in F32;
// - attention over an F16 KV cache, with sums in F32;
// - GELU by its definition, where llama.cpp has a table of F16.
//
// Call after the backend's module is loaded, and when nothing is computed. `avx2_only` leaves newer instructions out, for tests;
// called again, it starts anew. `repack` is the name of CPU_REPACK, which a module that says that it was built with it must have.
// Answers 1 when the kernels are registered. Else nothing is: 0 says that there are no kernels for this processor, -1 that the
// module is not what they were written for, and `missing` names the difference.
int slm_add_kernels(int avx2_only, const char * repack, const char ** missing);

// Chooses how products with this type of weights (a `ggml_type`) are computed: small and large batches by a kernel of this crate or by
// the module's, and whether weights may lie in CPU_REPACK and in the buffer type of AMX. Takes effect for weights that are loaded later.
// Call it when nothing is computed.
void slm_choose_product(int type, int gemv, int gemm, int repack, int amx);

// Computes one small operation, and says whether the module asked the registered kernels when it did.
int slm_asks_kernels(void);

// Takes the kernels out of the module again. Call it when nothing is computed.
void slm_remove_kernels(void);

#ifdef __cplusplus
}
#endif

// What llama.cpp computes one number at a time on processors, computed many at a time.

#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Has the CPU backend compute with kernels of ours where llama.cpp has none that read what they need once for many numbers:
//
// - products of few inputs with quantized weights of some types, in tiles. Each number is the very same, to the last bit, because
//   all sums are formed in the same order. Weights of Q4_K stay as they lie in the file, where llama.cpp would pack copies of them:
//   they are multiplied faster so. Where there is AMX, llama.cpp packs them for it first, and these products are its own.
// - products of many inputs with weights of some of these types, which are dequantized once for all of them, and products with
//   weights in half precision. Inputs stay in single precision, where llama.cpp quantizes or rounds them, so numbers are closer to
//   the true ones.
// - attention, over a cache in half precision. Sums are kept in single precision, where llama.cpp keeps those of few tokens in
//   half, so numbers are closer to the true ones, and differ from its own in the last digits. What a token gets is the same with
//   any number of threads and of other tokens beside it, as long as these are few, or are many as well.
// - GELU, as it is defined, where llama.cpp looks it up for the nearest half.
//
// Call after the backend's module is loaded, and when nothing is computed. `avx2_only` leaves newer instructions out, for tests;
// called again, it starts anew. Answers 1 when `expected` operations are registered. Else nothing is: 0 says that there are no
// kernels for this processor, -1 that the module is not what they were written for, and `missing` names the difference.
int slm_add_kernels(int avx2_only, int expected, const char ** missing);

#ifdef __cplusplus
}
#endif

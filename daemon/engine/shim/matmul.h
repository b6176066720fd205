// Matrix products that llama.cpp computes one number at a time.

#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Has the CPU backend compute products with quantized weights of some types in tiles, where llama.cpp has no such kernels of its own:
// a tile reads weights and inputs once for many numbers of the result. Each number is the very same, to the last bit, because
// all sums are formed in the same order.
//
// Call after the backend's module is loaded, and when nothing is computed. Says for how many types of weights it does something,
// which is none on processors without AVX2. `plain` has it use nothing more than that, for tests; called again, it starts anew.
int slm_add_kernels(int plain);

#ifdef __cplusplus
}
#endif

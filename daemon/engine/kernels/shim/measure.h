// How fast this machine reads memory and computes products.

#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How a product was computed.
enum slm_way {
    SLM_PLAIN,  // by the module, with the weights as they are in the file
    SLM_OURS,   // by the kernels of this crate, with the same weights
    SLM_REPACK, // with weights in CPU_REPACK
    SLM_AMX,    // with weights in the buffer type of AMX
};

// The time of one product.
struct slm_time {
    int32_t type;        // of the weights, a `ggml_type`
    int32_t columns;     // of inputs
    int32_t way;         // see `slm_way`
    float nanoseconds;   // of one thread, for each column and each 1,000 weights
    float spread;        // the next shortest time, as a multiple; close to 1 when nothing disturbed the measurement
};

// Computes products of each type and number of columns in each way that there is, with one thread, and writes at most `most` times.
// Returns how many, or none when it takes longer than three seconds. One thread needs no other one at the same time, which a busy machine would delay.
//
// Call it in a process that computes nothing else, with kernels registered or not. It changes the choice of products.
int slm_measure_products(struct slm_time * times, int most);

// Bytes per second that so many threads together read of memory that is in no cache; 0 when there is no memory for it.
double slm_measure_bandwidth(int threads);

#ifdef __cplusplus
}
#endif

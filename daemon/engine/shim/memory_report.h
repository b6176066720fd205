// The bytes that a model and its context take, by device.

#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct llama_context;

// Bytes on one device.
struct slm_device_bytes {
    // The name of the device, such as `CPU` or `CUDA0`, terminated.
    char device[64];
    // Weights that are read from the mapped file.
    uint64_t mapped;
    // Weights in buffers.
    uint64_t weights;
    // KV cache and recurrent states.
    uint64_t cache;
    // Compute buffers.
    uint64_t compute;
};

// Fills at most `most` devices, and returns how many; 0 when llama.cpp fails.
size_t slm_memory_of(const struct llama_context * context, struct slm_device_bytes * devices, size_t most);

#ifdef __cplusplus
}
#endif

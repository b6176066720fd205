// What a kernel for one type of weights is, whatever processor it was compiled for.

#pragma once

#include <cstddef>
#include <cstdint>

namespace slm {

// Turns `count` floats into the blocks that llama.cpp multiplies with the weights: its own function, for this processor.
using Quantize = void (*)(const float * values, void * blocks, int64_t count);

// Weights times inputs: all numbers for some rows of weights, a multiple of four, and some columns of inputs.
struct Product {
    int64_t blocks;            // of each row and each column
    const char * weights;      // the first row
    size_t weights_stride;     // bytes from one row to the next
    int64_t rows;
    const char * inputs;       // the first column
    size_t inputs_stride;
    int64_t columns;
    float * out;               // where the first number goes; those of one column lie side by side
    size_t out_stride;         // numbers from one column to the next
};

struct Kernel {
    const char * quantize;     // name of the module's function
    int type;                  // of the weights: a `ggml_type`
    int64_t block_values;
    size_t input_bytes;        // of one block, prepared
    int64_t least_columns;     // with fewer or more, llama.cpp has something as fast
    int64_t most_columns;
    // Prepares blocks of inputs.
    void (*prepare)(Quantize quantize, const float * values, char * to, int64_t blocks);
    void (*multiply)(const Product & product);
};

constexpr int KERNELS = 2;

// The same kernels, compiled for different processors.
extern const Kernel kernels_avx2[KERNELS];
extern const Kernel kernels_vnni[KERNELS];

} // namespace slm

// The kernels' interface, the same for each instruction set.

#pragma once

#include <cstddef>
#include <cstdint>

namespace slm {

// llama.cpp's own function that quantizes `count` floats for this type of weights.
using Quantize = void (*)(const float * values, void * blocks, int64_t count);

// A product of some rows of weights, a multiple of four, and some columns of inputs.
struct Product {
    int64_t blocks;            // of each row and each column
    const char * weights;      // the first row
    size_t weights_stride;     // bytes from one row to the next
    int64_t rows;
    const char * inputs;       // the first column
    size_t inputs_stride;
    int64_t columns;
    float * out;               // the first result; those of a column are contiguous
    size_t out_stride;         // numbers from one column to the next
};

// Kernels for one type of weights.
struct Kernel {
    const char * quantize;     // name of the module's function, if inputs are quantized
    int type;                  // of the weights: a `ggml_type`
    int64_t block_values;
    size_t input_bytes;        // of one block, prepared
    // Prepares blocks of inputs.
    void (*prepare)(Quantize quantize, const float * values, char * to, int64_t blocks);
    void (*gemv)(const Product & product);
    // For large batches; null where llama.cpp is as fast. `blocks` counts values, and `panels` is scratch space for dequantized rows.
    void (*gemm)(const Product & product, float * panels);
};

// Layout of rows and inputs for gemm.
struct Panels {
    int64_t rows;              // the product's rows are a multiple of this
    int64_t columns;           // whose inputs are interleaved
    int64_t depth;             // weights of each row for which there is room in a panel
    void (*interleave)(const float * values, int64_t length, int64_t columns, float * group);
};

// Attention of one token over some cells, for the query heads that share a KV head.
struct Attention {
    const char * queries;      // single precision
    size_t query_stride;       // bytes from one head to the next
    int heads;
    const char * keys;         // half precision, as are values
    size_t key_stride;         // bytes from one cell to the next
    int64_t key_length;        // a multiple of 16, as is `value_length`
    const char * values;
    size_t value_stride;
    int64_t value_length;
    const uint16_t * mask;     // of this token: halves that are added to the scores of the cells; null adds nothing
    int64_t begin, end;        // the cells
    int64_t skip, most;        // unmasked cells to skip, and to compute at most
    float scale;               // of the scores
    float * out;               // for each head: the sum of e^(score - peak) * values
    size_t out_stride;         // numbers from one head to the next
    float * peaks;             // for each head: the largest score, minus infinity where all are masked
    float * sums;              // for each head: the sum of e^(score - peak)
};

constexpr int PRODUCTS = 6;

// Attention of a large batch over all cells, for the query heads that share a KV head.
struct ManyAttention {
    const char * queries;
    size_t token_stride, head_stride;
    int64_t tokens, heads;
    const char * keys;
    size_t key_stride;
    int64_t key_length;
    const char * values;
    size_t value_stride;
    int64_t value_length;      // a multiple of a panel's rows
    const char * mask;         // of the first token
    size_t mask_stride;        // bytes from one token to the next
    int64_t cells;
    float scale;
    float * out;               // of the first token; those of its heads lie side by side
    size_t out_token_stride;   // numbers from one token to the next
};

// The same kernels, compiled for different processors.
struct Kernels {
    Kernel products[PRODUCTS];
    Panels panels;
    int64_t (*attend)(const Attention & attention); // returns the next cell that is not masked, or the end
    void (*join)(float * to, const float * from, int64_t count, float ours, float theirs); // to * ours + from * theirs
    void (*attend_many)(const ManyAttention & attention, float * room);
    size_t (*room)(int64_t rows, int64_t key_length, int64_t value_length); // floats of scratch space; a row is a head of a token
    void (*gelu)(const float * from, float * to, int64_t count);
};

extern const Kernels kernels_avx2;
extern const Kernels kernels_vnni;

} // namespace slm

// The kernels for the instruction set that this is compiled for. Define KERNELS as their name.

#include "attention.h"
#include "q4_1.h"
#include "q6_k.h"

#include <ggml.h>

const slm::Kernels slm::KERNELS = {
    {
        { "quantize_row_q8_1", GGML_TYPE_Q4_1, q4_1::VALUES, sizeof(q4_1::Input), 1, INT64_MAX, q4_1::prepare, multiply<q4_1::Tiles> },
        // Of a single column nothing is read twice, and from eight on llama.cpp has tiles of its own.
        { "quantize_row_q8_K", GGML_TYPE_Q6_K, q6_k::VALUES, sizeof(q6_k::Input), 2, 7, q6_k::prepare, multiply<q6_k::Tiles> },
    },
    attention::attend,
};

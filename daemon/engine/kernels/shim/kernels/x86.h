// The kernels for the instruction set that this is compiled for. Define KERNELS as their name.

#include "activation.h"
#include "attention.h"
#include "attention_many.h"
#include "f16.h"
#include "panels.h"
#include "q4_1.h"
#include "q4_k.h"
#include "q6_k.h"
#include "scaled.h"

#include <ggml.h>

const slm::Kernels slm::KERNELS = {
    {
        { "quantize_row_q8_1", GGML_TYPE_Q4_1, q4_1::VALUES, sizeof(q4_1::Input), q4_1::prepare, multiply<q4_1::Tiles>, panels::multiply<q4_1::dequantize> },
        { "quantize_row_q8_K", GGML_TYPE_Q4_K, q4_k::VALUES, sizeof(q4_k::Input), q4_k::prepare, multiply<q4_k::Tiles>, nullptr },
        { "quantize_row_q8_K", GGML_TYPE_Q6_K, q6_k::VALUES, sizeof(q6_k::Input), q6_k::prepare, multiply<q6_k::Tiles>, nullptr },
        { "quantize_row_q8_0", GGML_TYPE_Q8_0, scaled::VALUES, sizeof(scaled::Input), scaled::prepare, multiply<scaled::Tiles<scaled::Q8_0>>, panels::multiply<scaled::dequantize<scaled::Q8_0>> },
        { "quantize_row_q8_0", GGML_TYPE_Q5_0, scaled::VALUES, sizeof(scaled::Input), scaled::prepare, multiply<scaled::Tiles<scaled::Q5_0>>, panels::multiply<scaled::dequantize<scaled::Q5_0>> },
        { nullptr, GGML_TYPE_F16, f16::VALUES, sizeof(f16::Input), f16::prepare, multiply<f16::Tiles>, panels::multiply<f16::dequantize> },
    },
    { panels::ROWS, panels::COLUMNS, panels::DEPTH, panels::interleave },
    attention::attend,
    attention::join,
    attention_many::attend,
    attention_many::room,
    activation::gelu,
};

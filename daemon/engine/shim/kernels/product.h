// Which products are computed with kernels.

#pragma once

#include "module.h"

namespace slm {

// One matrix of weights of a type, in rows that kernels read four at a time, times inputs that lie side by side.
inline bool is_plain_product(const ggml_tensor * op, int type) {
    if (op->op != GGML_OP_MUL_MAT) {
        return false;
    }
    const ggml_tensor * const weights = op->src[0];
    const ggml_tensor * const inputs = op->src[1];
    return op->type == GGML_TYPE_F32 && ggml_is_contiguous(op)
        && inputs->type == GGML_TYPE_F32 && ggml_is_contiguous(inputs)
        && weights->type == type && weights->nb[0] == ggml_type_size(weights->type)
        && weights->ne[1] % 4 == 0 && weights->ne[2] == 1 && weights->ne[3] == 1
        && weights->buffer != nullptr && ggml_backend_buffer_is_host(weights->buffer);
}

} // namespace slm

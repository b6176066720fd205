// GELU as an operation of ggml.

#pragma once

#include "kernel.h"
#include "module.h"

#include <algorithm>

namespace slm {

class Activate : public Operation {
  public:
    explicit Activate(const Kernels & kernels) : kernels(kernels) {}

    bool takes(const ggml_tensor * op) const override {
        return op->op == GGML_OP_UNARY && ggml_get_unary_op(op) == GGML_UNARY_OP_GELU && op->type == GGML_TYPE_F32 && ggml_is_contiguous(op)
            && op->src[0]->type == GGML_TYPE_F32 && ggml_is_contiguous(op->src[0]);
    }

    bool work_size(int, const ggml_tensor *, size_t & size) override {
        size = 0;
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const int64_t all = ggml_nelements(op), share = (all + params->nth - 1) / params->nth;
        const int64_t begin = std::min(all, params->ith * share), end = std::min(all, begin + share);
        kernels.gelu(static_cast<const float *>(op->src[0]->data) + begin, static_cast<float *>(op->data) + begin, end - begin);
        return true;
    }

  private:
    const Kernels & kernels;
};

} // namespace slm

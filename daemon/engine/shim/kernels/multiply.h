// Products with quantized weights as an operation of ggml.

#pragma once

#include "kernel.h"
#include "product.h"

#include <algorithm>

namespace slm {

class Multiply : public Operation {
  public:
    Multiply(const Kernel & kernel, Quantize quantize, const Module & module)
        : kernel(kernel), quantize(quantize), module(module) {}

    bool takes(const ggml_tensor * op) const override {
        return is_plain_product(op, kernel.type) && ggml_nrows(op->src[1]) <= kernel.most_columns;
    }

    bool work_size(int, const ggml_tensor * op, size_t & size) override {
        size = column_bytes(op) * static_cast<size_t>(ggml_nrows(op->src[1]));
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const ggml_tensor * const weights = op->src[0];
        const int64_t columns = ggml_nrows(op->src[1]);
        const int64_t rows = weights->ne[1];
        prepare(*params, op);
        module.share(*params, (rows + ROWS - 1) / ROWS, [&](int64_t part) {
            const int64_t first = part * ROWS;
            kernel.multiply({
                blocks(op),
                static_cast<const char *>(weights->data) + first * weights->nb[1],
                weights->nb[1],
                std::min(ROWS, rows - first),
                static_cast<const char *>(params->wdata),
                column_bytes(op),
                columns,
                static_cast<float *>(op->data) + first,
                static_cast<size_t>(rows),
            });
        });
        return true;
    }

  private:
    // Rows of weights that a thread takes at once.
    static constexpr int64_t ROWS = 32;

    int64_t blocks(const ggml_tensor * op) const { return op->src[0]->ne[0] / kernel.block_values; }

    size_t column_bytes(const ggml_tensor * op) const { return static_cast<size_t>(blocks(op)) * kernel.input_bytes; }

    // This thread's part of all columns.
    void prepare(const ggml_compute_params & params, const ggml_tensor * op) const {
        const ggml_tensor * const inputs = op->src[1];
        const int64_t begin = blocks(op) * params.ith / params.nth, end = blocks(op) * (params.ith + 1) / params.nth;
        for (int64_t column = 0; column < ggml_nrows(inputs); column++) {
            const float * const from = static_cast<const float *>(inputs->data) + column * inputs->ne[0];
            char * const to = static_cast<char *>(params.wdata) + column * column_bytes(op);
            kernel.prepare(quantize, from + begin * kernel.block_values, to + begin * kernel.input_bytes, end - begin);
        }
    }

    const Kernel & kernel;
    const Quantize quantize;
    const Module module;
};

} // namespace slm

// Products with weights in half precision as an operation of ggml.

#pragma once

#include "kernel.h"
#include "product.h"

#include <algorithm>

namespace slm {

class MultiplyHalves : public Operation {
  public:
    MultiplyHalves(const Halves & kernel, const Module & module) : kernel(kernel), module(module) {}

    bool takes(const ggml_tensor * op) const override { return is_plain_product(op, GGML_TYPE_F16) && op->src[0]->ne[0] % 16 == 0; }

    // Also what llama.cpp needs for the same, as it computes it where it is asked to go by the book.
    bool work_size(int threads, const ggml_tensor * op, size_t & size) override {
        const Shape s(op);
        const size_t theirs = s.length * s.columns * sizeof(ggml_fp16_t);
        const size_t ours = are_many(s) ? inputs_bytes(s) + threads * panels_bytes(s, threads) + LINE - 1 : 0;
        size = std::max(ours, theirs);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const Shape s(op);
        if (are_many(s)) {
            multiply_many(*params, op, s);
        } else {
            multiply_few(*params, op, s);
        }
        return true;
    }

  private:
    // From so many columns on it is faster to widen weights first.
    static constexpr int64_t MANY = 48;

    // Rows that a thread takes at once of few columns.
    static constexpr int64_t ROWS = 32;

    // Panels that it takes at once of many, if it then has so many turns.
    static constexpr int64_t PANELS = 4, TURNS = 3;

    // Bytes that memory is read in.
    static constexpr size_t LINE = 64;

    struct Shape {
        int64_t length, rows, columns;

        explicit Shape(const ggml_tensor * op) : length(op->src[0]->ne[0]), rows(op->src[0]->ne[1]), columns(ggml_nrows(op->src[1])) {}
    };

    bool are_many(const Shape & s) const { return s.columns >= MANY && s.rows % kernel.panel_rows == 0; }

    int64_t groups(const Shape & s) const { return (s.columns + kernel.group_columns - 1) / kernel.group_columns; }

    size_t inputs_bytes(const Shape & s) const { return groups(s) * kernel.group_columns * s.length * sizeof(float); }

    int64_t panels(const Shape & s, int threads) const {
        return std::clamp<int64_t>(s.rows / kernel.panel_rows / (threads * TURNS), 1, PANELS);
    }

    size_t panels_bytes(const Shape & s, int threads) const {
        return panels(s, threads) * kernel.panel_rows * kernel.depth * sizeof(float);
    }

    void multiply_few(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s) const {
        module.share(params, (s.rows + ROWS - 1) / ROWS, [&](int64_t part) {
            const int64_t row = part * ROWS;
            kernel.few(product(op, s, row, std::min(ROWS, s.rows - row), op->src[1]->data));
        });
    }

    void multiply_many(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s) const {
        const uintptr_t work = reinterpret_cast<uintptr_t>(params.wdata);
        char * const inputs = static_cast<char *>(params.wdata) + (LINE - work % LINE) % LINE;
        float * const own_panels = reinterpret_cast<float *>(inputs + inputs_bytes(s) + params.ith * panels_bytes(s, params.nth));
        for (int64_t group = params.ith; group < groups(s); group += params.nth) {
            const int64_t column = group * kernel.group_columns;
            const float * const from = static_cast<const float *>(op->src[1]->data) + column * s.length;
            float * const to = reinterpret_cast<float *>(inputs) + column * s.length;
            kernel.interleave(from, s.length, std::min(kernel.group_columns, s.columns - column), to);
        }
        const int64_t rows = panels(s, params.nth) * kernel.panel_rows;
        module.share(params, (s.rows + rows - 1) / rows, [&](int64_t part) {
            const int64_t row = part * rows;
            kernel.many(product(op, s, row, std::min(rows, s.rows - row), inputs), own_panels);
        });
    }

    static Product product(const ggml_tensor * op, const Shape & s, int64_t row, int64_t rows, const void * inputs) {
        const ggml_tensor * const weights = op->src[0];
        return {
            s.length,
            static_cast<const char *>(weights->data) + row * weights->nb[1],
            weights->nb[1],
            rows,
            static_cast<const char *>(inputs),
            s.length * sizeof(float),
            s.columns,
            static_cast<float *>(op->data) + row,
            static_cast<size_t>(s.rows),
        };
    }

    const Halves & kernel;
    const Module module;
};

} // namespace slm

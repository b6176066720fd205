// ggml's MUL_MAT with quantized weights.
//
// A small batch (gemv) is multiplied with the weights as they are, in tiles that read a weight once for several columns. For a large
// batch (gemm) it is faster to dequantize the weights first. gemm takes columns in multiples of `GEMM_MIN_COLUMNS`, gemv the rest: which
// one computes a prompt's token depends on its position in the prompt alone, as long as the engine's chunks are such multiples.

#pragma once

#include "kernel.h"
#include "module.h"

#include <algorithm>

namespace slm {

// How products with one type of weights are computed, among the ways that are right.
struct Choice {
    bool gemv = true;   // small batches by the kernel here, not by the module's
    bool gemm = true;   // the same for large ones
    bool repack = true; // weights may lie in CPU_REPACK
    bool amx = true;    // weights may lie in the buffer type of AMX
};

class Multiply : public Operation {
  public:
    Multiply(const Kernel & kernel, const Panels & panels, Quantize quantize, const Module & module, const Choice & choice)
        : kernel(kernel), panels(panels), quantize(quantize), module(module), choice(choice) {}

    // A two-dimensional matrix with a multiple of four rows, times contiguous inputs.
    bool takes(const ggml_tensor * op) const override {
        if (op->op != GGML_OP_MUL_MAT) {
            return false;
        }
        const ggml_tensor * const weights = op->src[0];
        const ggml_tensor * const inputs = op->src[1];
        return op->type == GGML_TYPE_F32 && ggml_is_contiguous(op)
            && inputs->type == GGML_TYPE_F32 && ggml_is_contiguous(inputs)
            && weights->type == kernel.type && !ggml_is_empty(weights) && weights->nb[0] == ggml_type_size(weights->type)
            && weights->ne[0] % kernel.block_values == 0 && weights->ne[1] % 4 == 0 && weights->ne[2] == 1 && weights->ne[3] == 1
            && weights->buffer != nullptr && ggml_backend_buffer_is_host(weights->buffer)
            && (ggml_nrows(inputs) < GEMM_MIN_COLUMNS ? choice.gemv : kernel.gemm != nullptr && choice.gemm);
    }

    // Also covers what llama.cpp needs on its `use_ref` path: inputs of at most an F16 each.
    bool work_size(int threads, const ggml_tensor * op, size_t & size) override {
        const Shape s(*this, op);
        const size_t theirs = s.length * s.columns * sizeof(ggml_fp16_t);
        const size_t room = s.gemm_columns > 0 ? threads * room_bytes() : 0;
        size = std::max(CACHE_LINE + s.gemm_bytes + s.gemv_bytes + room, theirs);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const Shape s(*this, op);
        const Work work = lay_out(*params, s);
        prepare(*params, op, s, work);
        const int64_t gemm_rows = panels_at_once(s, params->nth) * panels.rows;
        const int64_t gemm = s.gemm_columns > 0 ? (s.rows + gemm_rows - 1) / gemm_rows : 0;
        const int64_t gemv = s.columns > s.gemm_columns ? (s.rows + ROWS - 1) / ROWS : 0;
        module.share(*params, gemm + gemv, [&](int64_t part) {
            if (part < gemm) {
                run_gemm(op, s, work, part * gemm_rows, gemm_rows);
            } else {
                run_gemv(op, s, work, (part - gemm) * ROWS);
            }
        });
        return true;
    }

  private:
    // Rows of weights in a work item of gemv.
    static constexpr int64_t ROWS = 32;

    // Panels in a work item of gemm, if each thread still gets at least TURNS items.
    static constexpr int64_t PANELS = 4, TURNS = 3;

    struct Shape {
        int64_t length, rows, columns;
        int64_t gemm_columns; // of the columns, the first ones
        int64_t blocks;
        size_t gemm_bytes, gemv_bytes; // of prepared inputs, whole lines
        size_t column_bytes;          // of one of few

        Shape(const Multiply & by, const ggml_tensor * op)
            : length(op->src[0]->ne[0]), rows(op->src[0]->ne[1]), columns(ggml_nrows(op->src[1])),
              gemm_columns(by.kernel.gemm && rows % by.panels.rows == 0 ? columns / GEMM_MIN_COLUMNS * GEMM_MIN_COLUMNS : 0), blocks(length / by.kernel.block_values) {
            const int64_t groups = (gemm_columns + by.panels.columns - 1) / by.panels.columns;
            gemm_bytes = groups * by.panels.columns * length * sizeof(float);
            column_bytes = blocks * by.kernel.input_bytes;
            gemv_bytes = ((columns - gemm_columns) * column_bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
        }
    };

    // Prepared inputs in the work buffer, and this thread's scratch space.
    struct Work {
        char * gemm;
        char * gemv;
        float * room;
    };

    Work lay_out(const ggml_compute_params & params, const Shape & s) const {
        char * const begin = aligned_work(params);
        char * const gemv = begin + s.gemm_bytes;
        // Scratch space lies last, because fewer threads may compute than `work_size` was told.
        char * const rooms = gemv + s.gemv_bytes;
        return { begin, gemv, reinterpret_cast<float *>(rooms + params.ith * room_bytes()) };
    }

    int64_t panels_at_once(const Shape & s, int threads) const {
        return std::clamp<int64_t>(s.rows / panels.rows / (threads * TURNS), 1, PANELS);
    }

    size_t room_bytes() const { return PANELS * panels.rows * panels.depth * sizeof(float); }

    // Prepares this thread's part of the inputs.
    void prepare(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, const Work & work) const {
        const float * const values = static_cast<const float *>(op->src[1]->data);
        for (int64_t column = params.ith * panels.columns; column < s.gemm_columns; column += params.nth * panels.columns) {
            float * const group = reinterpret_cast<float *>(work.gemm) + column * s.length;
            panels.interleave(values + column * s.length, s.length, std::min(panels.columns, s.gemm_columns - column), group);
        }
        const int64_t begin = s.blocks * params.ith / params.nth, end = s.blocks * (params.ith + 1) / params.nth;
        for (int64_t column = s.gemm_columns; column < s.columns; column++) {
            const float * const from = values + column * s.length + begin * kernel.block_values;
            kernel.prepare(quantize, from, work.gemv + (column - s.gemm_columns) * s.column_bytes + begin * kernel.input_bytes, end - begin);
        }
    }

    void run_gemm(const ggml_tensor * op, const Shape & s, const Work & work, int64_t row, int64_t rows) const {
        const ggml_tensor * const weights = op->src[0];
        kernel.gemm({
            s.length,
            static_cast<const char *>(weights->data) + row * weights->nb[1],
            weights->nb[1],
            std::min(rows, s.rows - row),
            work.gemm,
            s.length * sizeof(float),
            s.gemm_columns,
            static_cast<float *>(op->data) + row,
            static_cast<size_t>(s.rows),
        }, work.room);
    }

    void run_gemv(const ggml_tensor * op, const Shape & s, const Work & work, int64_t row) const {
        const ggml_tensor * const weights = op->src[0];
        kernel.gemv({
            s.blocks,
            static_cast<const char *>(weights->data) + row * weights->nb[1],
            weights->nb[1],
            std::min(ROWS, s.rows - row),
            work.gemv,
            s.column_bytes,
            s.columns - s.gemm_columns,
            static_cast<float *>(op->data) + s.gemm_columns * s.rows + row,
            static_cast<size_t>(s.rows),
        });
    }

    const Kernel & kernel;
    const Panels & panels;
    const Quantize quantize;
    const Module module;
    const Choice & choice;
};

} // namespace slm

// Products with weights as an operation of ggml.
//
// Some inputs are multiplied with weights as they are, in tiles that read a weight once for several of them. For many it is faster
// to dequantize weights first. Many are taken in multiples of `MANY`, and the rest is few: so how a prompt's token is computed depends
// on its place in the prompt, not on how many are read with it, as long as the engine reads multiples of that.

#pragma once

#include "kernel.h"
#include "module.h"

#include <algorithm>

namespace slm {

class Multiply : public Operation {
  public:
    Multiply(const Kernel & kernel, const Panels & panels, Quantize quantize, const Module & module)
        : kernel(kernel), panels(panels), quantize(quantize), module(module) {}

    // One matrix of weights, in rows that kernels read four at a time, times inputs that lie side by side.
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
            && (kernel.many != nullptr || ggml_nrows(inputs) < MANY);
    }

    // Also what llama.cpp needs for the same, as it computes it where it is asked to go by the book: inputs of at most a half each.
    bool work_size(int threads, const ggml_tensor * op, size_t & size) override {
        const Shape s(*this, op);
        const size_t theirs = s.length * s.columns * sizeof(ggml_fp16_t);
        const size_t room = s.many > 0 ? threads * room_bytes() : 0;
        size = std::max(LINE + s.many_bytes + s.few_bytes + room, theirs);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const Shape s(*this, op);
        const Work work = lay_out(*params, s);
        prepare(*params, op, s, work);
        const int64_t many_rows = panels_at_once(s, params->nth) * panels.rows;
        const int64_t many = s.many > 0 ? (s.rows + many_rows - 1) / many_rows : 0;
        const int64_t few = s.columns > s.many ? (s.rows + ROWS - 1) / ROWS : 0;
        module.share(*params, many + few, [&](int64_t part) {
            if (part < many) {
                multiply_many(op, s, work, part * many_rows, many_rows);
            } else {
                multiply_few(op, s, work, (part - many) * ROWS);
            }
        });
        return true;
    }

  private:
    // Rows of weights that a thread takes at once, of few inputs.
    static constexpr int64_t ROWS = 32;

    // Panels that it takes at once, of many, if it has so many turns then.
    static constexpr int64_t PANELS = 4, TURNS = 3;

    struct Shape {
        int64_t length, rows, columns;
        int64_t many; // of the columns, the first ones
        int64_t blocks;
        size_t many_bytes, few_bytes; // of prepared inputs, whole lines
        size_t column_bytes;          // of one of few

        Shape(const Multiply & by, const ggml_tensor * op)
            : length(op->src[0]->ne[0]), rows(op->src[0]->ne[1]), columns(ggml_nrows(op->src[1])),
              many(by.kernel.many && rows % by.panels.rows == 0 ? columns / MANY * MANY : 0), blocks(length / by.kernel.block_values) {
            const int64_t groups = (many + by.panels.columns - 1) / by.panels.columns;
            many_bytes = groups * by.panels.columns * length * sizeof(float);
            column_bytes = blocks * by.kernel.input_bytes;
            few_bytes = ((columns - many) * column_bytes + LINE - 1) / LINE * LINE;
        }
    };

    // Where prepared inputs lie, and the room of this thread.
    struct Work {
        char * many;
        char * few;
        float * room;
    };

    Work lay_out(const ggml_compute_params & params, const Shape & s) const {
        char * const begin = work_of(params);
        char * const few = begin + s.many_bytes;
        // The rooms come last, because fewer threads may come than were asked for.
        char * const rooms = few + s.few_bytes;
        return { begin, few, reinterpret_cast<float *>(rooms + params.ith * room_bytes()) };
    }

    int64_t panels_at_once(const Shape & s, int threads) const {
        return std::clamp<int64_t>(s.rows / panels.rows / (threads * TURNS), 1, PANELS);
    }

    size_t room_bytes() const { return PANELS * panels.rows * panels.depth * sizeof(float); }

    // This thread's part of the inputs.
    void prepare(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, const Work & work) const {
        const float * const values = static_cast<const float *>(op->src[1]->data);
        for (int64_t column = params.ith * panels.columns; column < s.many; column += params.nth * panels.columns) {
            float * const group = reinterpret_cast<float *>(work.many) + column * s.length;
            panels.interleave(values + column * s.length, s.length, std::min(panels.columns, s.many - column), group);
        }
        const int64_t begin = s.blocks * params.ith / params.nth, end = s.blocks * (params.ith + 1) / params.nth;
        for (int64_t column = s.many; column < s.columns; column++) {
            const float * const from = values + column * s.length + begin * kernel.block_values;
            kernel.prepare(quantize, from, work.few + (column - s.many) * s.column_bytes + begin * kernel.input_bytes, end - begin);
        }
    }

    void multiply_many(const ggml_tensor * op, const Shape & s, const Work & work, int64_t row, int64_t rows) const {
        const ggml_tensor * const weights = op->src[0];
        kernel.many({
            s.length,
            static_cast<const char *>(weights->data) + row * weights->nb[1],
            weights->nb[1],
            std::min(rows, s.rows - row),
            work.many,
            s.length * sizeof(float),
            s.many,
            static_cast<float *>(op->data) + row,
            static_cast<size_t>(s.rows),
        }, work.room);
    }

    void multiply_few(const ggml_tensor * op, const Shape & s, const Work & work, int64_t row) const {
        const ggml_tensor * const weights = op->src[0];
        kernel.few({
            s.blocks,
            static_cast<const char *>(weights->data) + row * weights->nb[1],
            weights->nb[1],
            std::min(ROWS, s.rows - row),
            work.few,
            s.column_bytes,
            s.columns - s.many,
            static_cast<float *>(op->data) + s.many * s.rows + row,
            static_cast<size_t>(s.rows),
        });
    }

    const Kernel & kernel;
    const Panels & panels;
    const Quantize quantize;
    const Module module;
};

} // namespace slm

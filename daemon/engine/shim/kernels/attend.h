// Attention as an operation of ggml.

#pragma once

#include "kernel.h"
#include "module.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace slm {

class Attend : public ggml::cpu::tensor_traits {
  public:
    Attend(void (*kernel)(const Attention &), const Module & module) : kernel(kernel), module(module) {}

    // Whether this computes it: without biases by distance, caps of scores and sinks, over a cache of halves.
    bool takes(const ggml_tensor * op) const {
        const ggml_tensor * const queries = op->src[0];
        const ggml_tensor * const keys = op->src[1];
        const ggml_tensor * const values = op->src[2];
        const ggml_tensor * const mask = op->src[3];
        const auto are_halves = [](const ggml_tensor * tensor) {
            return tensor->type == GGML_TYPE_F16 && tensor->nb[0] == sizeof(ggml_fp16_t) && tensor->ne[0] % 16 == 0 && tensor->ne[3] == 1;
        };
        const bool is_masked_alike = mask == nullptr
            || (mask->type == GGML_TYPE_F16 && mask->nb[0] == sizeof(ggml_fp16_t) && mask->ne[2] == 1 && mask->ne[3] == 1
                && mask->ne[0] >= keys->ne[1] && mask->ne[1] >= queries->ne[1]);
        return op->type == GGML_TYPE_F32 && ggml_is_contiguous(op) && op->src[4] == nullptr
            && queries->type == GGML_TYPE_F32 && queries->nb[0] == sizeof(float) && queries->ne[3] == 1
            && are_halves(keys) && are_halves(values) && keys->ne[2] == values->ne[2] && queries->ne[2] % keys->ne[2] == 0
            && queries->ne[2] / keys->ne[2] <= MOST_HEADS
            && is_masked_alike && parameter(op, 1) == 0.0f && parameter(op, 2) == 0.0f;
    }

    // Also what llama.cpp needs for the same, as it computes it where it is asked to go by the book.
    bool work_size(int threads, const ggml_tensor * op, size_t & size) override {
        const Shape s(op, threads);
        const size_t theirs = threads * (s.key_length + 2 * s.value_length + 64) + s.all_heads * threads * (2 + s.value_length);
        const size_t ours = s.parts == 1 ? 0 : s.tokens * s.all_heads * s.parts * (2 + s.value_length);
        size = std::max(ours, theirs) * sizeof(float);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const Shape s(op, params->nth);
        const int64_t all = s.tokens * s.groups * s.parts;
        // Short ones together, so that threads do not wait for each other's counting.
        const int64_t at_once = std::max<int64_t>(1, all / (TURNS * params->nth));
        module.share(*params, (all + at_once - 1) / at_once, [&](int64_t turn) {
            for (int64_t i = turn * at_once; i < std::min(all, (turn + 1) * at_once); i++) {
                attend(*params, op, s, i / (s.groups * s.parts), i / s.parts % s.groups, i % s.parts);
            }
        });
        if (s.parts > 1) {
            module.barrier(params->threadpool);
            for (int64_t i = params->ith; i < s.tokens * s.all_heads; i += params->nth) {
                merge(*params, op, s, i);
            }
        }
        return true;
    }

  private:
    // Parts for each thread, where there are cells enough, so that none waits for long.
    static constexpr int64_t PARTS = 4;

    // In which a thread takes its share where there are many parts.
    static constexpr int64_t TURNS = 32;

    // Most heads that share keys and values.
    static constexpr int64_t MOST_HEADS = 128;

    // Fewest cells of a part.
    static constexpr int64_t CELLS = 256;

    struct Shape {
        int64_t tokens, all_heads, groups, heads, key_length, value_length, cells;
        int64_t parts; // of the cells

        Shape(const ggml_tensor * op, int threads)
            : tokens(op->src[0]->ne[1]), all_heads(op->src[0]->ne[2]), groups(op->src[1]->ne[2]), heads(all_heads / groups),
              key_length(op->src[1]->ne[0]), value_length(op->src[2]->ne[0]), cells(op->src[1]->ne[1]) {
            const int64_t wanted = (PARTS * threads + tokens * groups - 1) / (tokens * groups);
            parts = threads == 1 ? 1 : std::max<int64_t>(1, std::min(wanted, cells / CELLS));
        }
    };

    static float parameter(const ggml_tensor * op, int index) {
        float value;
        memcpy(&value, op->op_params + index, sizeof(value));
        return value;
    }

    // The result of a head: those of all heads lie side by side, and then come those of the next token.
    static float * result(const ggml_tensor * op, const Shape & s, int64_t token, int64_t head) {
        return static_cast<float *>(op->data) + (token * s.all_heads + head) * s.value_length;
    }

    // The sum, peak and weight of one part of a head.
    static float * partial(const ggml_compute_params & params, const Shape & s, int64_t token, int64_t head, int64_t part) {
        return static_cast<float *>(params.wdata) + ((token * s.all_heads + head) * s.parts + part) * (2 + s.value_length);
    }

    void attend(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, int64_t token, int64_t group, int64_t part) const {
        const ggml_tensor * const queries = op->src[0];
        const ggml_tensor * const keys = op->src[1];
        const ggml_tensor * const values = op->src[2];
        const ggml_tensor * const mask = op->src[3];
        const int64_t head = group * s.heads;
        const bool whole = s.parts == 1;
        float peaks[MOST_HEADS], sums[MOST_HEADS];
        kernel({
            static_cast<const char *>(queries->data) + token * queries->nb[1] + head * queries->nb[2],
            queries->nb[2],
            static_cast<int>(s.heads),
            static_cast<const char *>(keys->data) + group * keys->nb[2],
            keys->nb[1],
            s.key_length,
            static_cast<const char *>(values->data) + group * values->nb[2],
            values->nb[1],
            s.value_length,
            mask ? reinterpret_cast<const uint16_t *>(static_cast<const char *>(mask->data) + token * mask->nb[1]) : nullptr,
            s.cells * part / s.parts,
            s.cells * (part + 1) / s.parts,
            parameter(op, 0),
            whole ? result(op, s, token, head) : partial(params, s, token, head, part),
            static_cast<size_t>(whole ? s.value_length : s.parts * (2 + s.value_length)),
            peaks,
            sums,
        });
        for (int64_t i = 0; i < s.heads; i++) {
            if (whole) {
                divide(result(op, s, token, head + i), s.value_length, sums[i]);
            } else {
                float * const end = partial(params, s, token, head + i, part) + s.value_length;
                end[0] = peaks[i];
                end[1] = sums[i];
            }
        }
    }

    // Brings the parts of a head to one peak.
    void merge(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, int64_t index) const {
        const int64_t token = index / s.all_heads, head = index % s.all_heads;
        float peak = -INFINITY;
        for (int64_t part = 0; part < s.parts; part++) {
            peak = std::max(peak, partial(params, s, token, head, part)[s.value_length]);
        }
        float * const to = result(op, s, token, head);
        std::fill(to, to + s.value_length, 0.0f);
        float sum = 0.0f;
        for (int64_t part = 0; part < s.parts; part++) {
            const float * const from = partial(params, s, token, head, part);
            if (from[s.value_length + 1] == 0.0f) {
                continue;
            }
            const float weight = std::exp(from[s.value_length] - peak);
            sum += weight * from[s.value_length + 1];
            for (int64_t d = 0; d < s.value_length; d++) {
                to[d] += weight * from[d];
            }
        }
        divide(to, s.value_length, sum);
    }

    // Where all cells are masked there is nothing to divide.
    static void divide(float * numbers, int64_t count, float by) {
        const float factor = by == 0.0f ? 0.0f : 1.0f / by;
        for (int64_t i = 0; i < count; i++) {
            numbers[i] *= factor;
        }
    }

    void (*const kernel)(const Attention &);
    const Module module;
};

} // namespace slm

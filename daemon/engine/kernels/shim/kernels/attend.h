// ggml's FLASH_ATTN_EXT.

#pragma once

#include "kernel.h"
#include "module.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace slm {

class Attend : public Operation {
  public:
    Attend(const Kernels & kernels, const Module & module) : kernels(kernels), module(module) {}

    // No ALiBi, no soft cap, no sinks, and a KV cache in F16.
    bool takes(const ggml_tensor * op) const override {
        if (op->op != GGML_OP_FLASH_ATTN_EXT) {
            return false;
        }
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
            && queries->type == GGML_TYPE_F32 && queries->nb[0] == sizeof(float) && queries->ne[3] == 1 && !ggml_is_empty(keys)
            && are_halves(keys) && are_halves(values) && keys->ne[2] == values->ne[2] && queries->ne[2] % keys->ne[2] == 0
            && queries->ne[2] / keys->ne[2] <= MOST_HEADS
            && is_masked_alike && parameter(op, 1) == 0.0f && parameter(op, 2) == 0.0f;
    }

    // Also covers what llama.cpp needs on its `use_ref` path.
    bool work_size(int threads, const ggml_tensor * op, size_t & size) override {
        // Fewer threads may compute than are told here, and then split the work differently.
        const Shape s(op, threads, kernels.panels);
        const size_t theirs = threads * (s.key_length + 2 * s.value_length + 64) + s.all_heads * threads * (2 + s.value_length);
        const size_t split = s.split ? s.weights() + s.parts_at_once * s.part() : 0;
        const size_t ours = s.together > 0 ? CACHE_LINE / sizeof(float) + threads * room(s)
                                       : std::max<size_t>(split, threads * s.heads * s.value_length);
        size = std::max(ours, theirs) * sizeof(float);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const Shape s(op, params->nth, kernels.panels);
        if (s.split) {
            for (int64_t part = 0; part < s.parts; part += s.parts_at_once) {
                compute_split(*params, op, s, part, std::min(s.parts_at_once, s.parts - part));
            }
        } else if (s.together > 0) {
            const int64_t turns = (s.tokens + s.together - 1) / s.together;
            float * const own = reinterpret_cast<float *>(aligned_work(*params)) + params->ith * room(s);
            module.share(*params, turns * s.groups, [&](int64_t turn) {
                // The last tokens see most cells, so they come first.
                const int64_t token = (turns - 1 - turn / s.groups) * s.together;
                compute_together(op, s, token, std::min(s.together, s.tokens - token), turn % s.groups, own);
            });
        } else {
            module.share(*params, s.tokens * s.groups, [&](int64_t i) { compute_parts(*params, op, s, i / s.groups, i % s.groups); });
        }
        return true;
    }

  private:
    // The cells of a token are split among threads unless there are at least SHARES (token, KV head) pairs for each thread.
    static constexpr int64_t SHARES = 4;

    // Work items for each thread.
    static constexpr int64_t TURNS = 32;

    // Floats for partial results until they are merged: 16 MiB, or one part of each head if that is more.
    static constexpr int64_t WAITING = 4 << 20;

    // Query rows that go through the cells together, if each thread still gets this many work items.
    static constexpr int64_t ROWS = 96, TURNS_TOGETHER = 4;

    // Most heads that share keys and values.
    static constexpr int64_t MOST_HEADS = 128;

    // Unmasked cells of a part. Sums are formed within parts and merged in order, on whichever thread: the result for a token depends
    // neither on the batch size, nor on the number of threads, nor on masked cells in between.
    static constexpr int64_t CELLS = 128;

    struct Shape {
        int64_t tokens, all_heads, groups, heads, key_length, value_length, cells;
        int64_t parts; // of the cells, if none is masked
        bool split;    // whether threads split the cells of one (token, KV head)
        int64_t parts_at_once; // computed before they are merged
        int64_t most_together, together; // tokens that are computed together, if there are many

        Shape(const ggml_tensor * op, int threads, const Panels & panels)
            : tokens(op->src[0]->ne[1]), all_heads(op->src[0]->ne[2]), groups(op->src[1]->ne[2]), heads(all_heads / groups),
              key_length(op->src[1]->ne[0]), value_length(op->src[2]->ne[0]), cells(op->src[1]->ne[1]),
              parts((cells + CELLS - 1) / CELLS), split(threads > 1 && parts > 1 && tokens * groups < SHARES * threads),
              parts_at_once(std::clamp<int64_t>(WAITING / part(), 1, parts)), most_together(std::max<int64_t>(1, ROWS / heads)), together(0) {
            if (tokens >= GEMM_MIN_COLUMNS && value_length % panels.rows == 0) {
                split = false;
                together = std::clamp<int64_t>(tokens * groups / (TURNS_TOGETHER * threads), 1, most_together);
            }
        }

        // Floats for a part of one head, for a part of all heads, and for the weights of merged results.
        int64_t part_of_head() const { return 2 + value_length; }
        int64_t part() const { return tokens * all_heads * part_of_head(); }
        int64_t weights() const { return tokens * all_heads * 2; }
    };

    // Softmax statistics of one head over some cells; the sum of e^(score - peak) * values is stored elsewhere.
    struct Weight {
        float peak, sum;
    };

    static float parameter(const ggml_tensor * op, int index) {
        float value;
        memcpy(&value, op->op_params + index, sizeof(value));
        return value;
    }

    // The result of a head: [token][head][value_length].
    static float * result(const ggml_tensor * op, const Shape & s, int64_t token, int64_t head) {
        return static_cast<float *>(op->data) + (token * s.all_heads + head) * s.value_length;
    }

    // Floats of scratch space for a thread with a large batch.
    size_t room(const Shape & s) const { return kernels.room(s.most_together * s.heads, s.key_length, s.value_length); }

    // Statistics of the merged result of a head.
    static Weight & joined(const ggml_compute_params & params, const Shape & s, int64_t token, int64_t head) {
        return static_cast<Weight *>(params.wdata)[token * s.all_heads + head];
    }

    // A partial result of a head until it is merged: the sum of values, then its statistics.
    static float * waiting(const ggml_compute_params & params, const Shape & s, int64_t token, int64_t head, int64_t place) {
        float * const first = static_cast<float *>(params.wdata) + s.weights();
        return first + ((token * s.all_heads + head) * s.parts_at_once + place) * s.part_of_head();
    }

    // Computes `parts` parts of all tokens, beginning at `part`, and merges them with the earlier ones.
    void compute_split(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, int64_t part, int64_t parts) const {
        const int64_t all = s.tokens * s.groups * parts;
        // Short parts go into one work item, so that threads do not contend for the counter.
        const int64_t at_once = std::max<int64_t>(1, all / (TURNS * params.nth));
        module.share(params, (all + at_once - 1) / at_once, [&](int64_t turn) {
            for (int64_t i = turn * at_once; i < std::min(all, (turn + 1) * at_once); i++) {
                compute_part(params, op, s, i / (s.groups * parts), i / parts % s.groups, part, i % parts);
            }
        });
        module.barrier(params.threadpool);
        for (int64_t i = params.ith; i < s.tokens * s.all_heads; i += params.nth) {
            join_parts(params, op, s, i / s.all_heads, i % s.all_heads, part, parts);
        }
    }

    // Computes part `first + place`.
    void compute_part(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, int64_t token, int64_t group, int64_t first,
                      int64_t place) const {
        float peaks[MOST_HEADS], sums[MOST_HEADS];
        const int64_t head = group * s.heads;
        const size_t stride = s.parts_at_once * s.part_of_head();
        attend(op, s, token, group, 0, (first + place) * CELLS, waiting(params, s, token, head, place), stride, peaks, sums);
        for (int64_t i = 0; i < s.heads; i++) {
            const Weight weight = { peaks[i], sums[i] };
            memcpy(waiting(params, s, token, head + i, place) + s.value_length, &weight, sizeof(weight));
        }
    }

    void join_parts(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, int64_t token, int64_t head, int64_t first,
                    int64_t parts) const {
        float * const to = result(op, s, token, head);
        Weight & weight = joined(params, s, token, head);
        for (int64_t place = 0; place < parts; place++) {
            const float * const from = waiting(params, s, token, head, place);
            Weight of_part;
            memcpy(&of_part, from + s.value_length, sizeof(of_part));
            if (first + place == 0) {
                weight = of_part;
                memcpy(to, from, s.value_length * sizeof(float));
            } else {
                join(to, weight, from, of_part, s.value_length);
            }
        }
        if (first + parts == s.parts) {
            divide(to, s.value_length, weight.sum);
        }
    }

    // Computes all parts of a (token, KV head) on one thread.
    void compute_parts(const ggml_compute_params & params, const ggml_tensor * op, const Shape & s, int64_t token, int64_t group) const {
        float peaks[MOST_HEADS], sums[MOST_HEADS];
        const int64_t head = group * s.heads;
        int64_t cell = attend(op, s, token, group, 0, 0, result(op, s, token, head), s.value_length, peaks, sums);
        float * const next = static_cast<float *>(params.wdata) + params.ith * s.heads * s.value_length;
        while (cell < s.cells) {
            float next_peaks[MOST_HEADS], next_sums[MOST_HEADS];
            cell = attend(op, s, token, group, cell, 0, next, s.value_length, next_peaks, next_sums);
            for (int64_t i = 0; i < s.heads; i++) {
                Weight weight = { peaks[i], sums[i] };
                join(result(op, s, token, head + i), weight, next + i * s.value_length, { next_peaks[i], next_sums[i] }, s.value_length);
                peaks[i] = weight.peak;
                sums[i] = weight.sum;
            }
        }
        for (int64_t i = 0; i < s.heads; i++) {
            divide(result(op, s, token, head + i), s.value_length, sums[i]);
        }
    }

    static const char * queries_of(const ggml_tensor * op, const Shape & s, int64_t token, int64_t group) {
        const ggml_tensor * const queries = op->src[0];
        return static_cast<const char *>(queries->data) + token * queries->nb[1] + group * s.heads * queries->nb[2];
    }

    // Keys or values of a KV head.
    static const char * of_group(const ggml_tensor * tensor, int64_t group) {
        return static_cast<const char *>(tensor->data) + group * tensor->nb[2];
    }

    static const char * mask_of(const ggml_tensor * op, int64_t token) {
        const ggml_tensor * const mask = op->src[3];
        return mask ? static_cast<const char *>(mask->data) + token * mask->nb[1] : nullptr;
    }

    // Attention of a group's heads over all cells, for some tokens.
    void compute_together(const ggml_tensor * op, const Shape & s, int64_t token, int64_t tokens, int64_t group, float * room) const {
        const ggml_tensor * const queries = op->src[0];
        const ggml_tensor * const keys = op->src[1];
        const ggml_tensor * const values = op->src[2];
        const ggml_tensor * const mask = op->src[3];
        kernels.attend_many({
            queries_of(op, s, token, group),
            queries->nb[1],
            queries->nb[2],
            tokens,
            s.heads,
            of_group(keys, group),
            keys->nb[1],
            s.key_length,
            of_group(values, group),
            values->nb[1],
            s.value_length,
            mask_of(op, token),
            mask ? mask->nb[1] : 0,
            s.cells,
            parameter(op, 0),
            result(op, s, token, group * s.heads),
            static_cast<size_t>(s.all_heads * s.value_length),
        }, room);
    }

    // Attention of a group's heads over the part that begins `skip` unmasked cells after `cell`. `stride` is the distance of two heads'
    // results in floats. Returns the cell at which the next part begins.
    int64_t attend(const ggml_tensor * op, const Shape & s, int64_t token, int64_t group, int64_t cell, int64_t skip, float * out,
                   size_t stride, float * peaks, float * sums) const {
        const ggml_tensor * const queries = op->src[0];
        const ggml_tensor * const keys = op->src[1];
        const ggml_tensor * const values = op->src[2];
        return kernels.attend({
            queries_of(op, s, token, group),
            queries->nb[2],
            static_cast<int>(s.heads),
            of_group(keys, group),
            keys->nb[1],
            s.key_length,
            of_group(values, group),
            values->nb[1],
            s.value_length,
            reinterpret_cast<const uint16_t *>(mask_of(op, token)),
            cell,
            s.cells,
            skip,
            CELLS,
            parameter(op, 0),
            out,
            stride,
            peaks,
            sums,
        });
    }

    // Merges two partial results, rescaled to their common maximum.
    void join(float * to, Weight & weight, const float * from, const Weight & other, int64_t count) const {
        if (other.sum == 0.0f) {
            return; // all masked
        }
        const float ours = weight.peak < other.peak ? std::exp(weight.peak - other.peak) : 1.0f;
        const float theirs = other.peak < weight.peak ? std::exp(other.peak - weight.peak) : 1.0f;
        weight = { std::max(weight.peak, other.peak), weight.sum * ours + other.sum * theirs };
        kernels.join(to, from, count, ours, theirs);
    }

    // With all cells masked the sum is 0.
    static void divide(float * numbers, int64_t count, float by) {
        const float factor = by == 0.0f ? 0.0f : 1.0f / by;
        for (int64_t i = 0; i < count; i++) {
            numbers[i] *= factor;
        }
    }

    const Kernels & kernels;
    const Module module;
};

} // namespace slm

// Q4_1: blocks of 32 weights, each `d * q + m` with q in 0..15, times inputs of Q8_1.
//
// Follows `ggml_vec_dot_q4_1_q8_1` number by number; its blocks are those of `ggml-common.h`.

#pragma once

#include "common.h"

namespace {

namespace q4_1 {

constexpr int64_t VALUES = 32;

struct Weights {
    uint16_t d, m;
    uint8_t low_and_high[VALUES / 2];
};

// As llama.cpp makes it.
struct Quantized {
    uint16_t d, sum;
    int8_t values[VALUES];
};

// The same with its halves widened: they are read once for every four rows.
struct Input {
    float d, sum;
    int8_t values[VALUES];
};

inline void widen(const Quantized & quantized, Input & input) {
    input.d = _cvtsh_ss(quantized.d);
    input.sum = _cvtsh_ss(quantized.sum);
    memcpy(input.values, quantized.values, VALUES);
}

inline void prepare(slm::Quantize quantize, const float * values, char * to, int64_t blocks) {
    prepare_blocks(quantize, values, to, blocks, widen);
}

inline void dequantize(const char * row, int64_t begin, int64_t count, float * to) {
    const Weights * block = reinterpret_cast<const Weights *>(row) + begin / VALUES;
    for (; count > 0; count -= VALUES, block++, to += VALUES) {
        store_floats(load_nibbles(block->low_and_high), _cvtsh_ss(block->d), _cvtsh_ss(block->m), to);
    }
}

// Eight sums of four products each.
inline __m256 dot(__m256i weights, __m256i inputs) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_setzero_si256(), weights, inputs));
#else
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(_mm256_maddubs_epi16(weights, inputs), _mm256_set1_epi16(1)));
#endif
}

// The scales of one block in four rows: d and m of each.
inline __m256 scales(const char * block, size_t stride) {
    int32_t rows[4];
    for (int row = 0; row < 4; row++) {
        memcpy(&rows[row], block + row * stride, sizeof rows[row]);
    }
    return _mm256_cvtph_ps(_mm_set_epi32(rows[3], rows[2], rows[1], rows[0]));
}

// Four rows and so many columns.
template <int COLUMNS>
inline void tile(const slm::Product & p, int64_t row, int64_t column) {
    __m256 products[COLUMNS][4];
    __m128 offsets[COLUMNS]; // one lane for each row
    for (int c = 0; c < COLUMNS; c++) {
        offsets[c] = _mm_setzero_ps();
        for (int r = 0; r < 4; r++) {
            products[c][r] = _mm256_setzero_ps();
        }
    }
    const char * const weights = p.weights + row * p.weights_stride;
    const char * const inputs = p.inputs + column * p.inputs_stride;
    for (int64_t b = 0; b < p.blocks; b++) {
        const char * const block = weights + b * sizeof(Weights);
        prefetch_next_rows(block, p.weights_stride);
        const __m256 dm = scales(block, p.weights_stride);
        const __m128 low = _mm256_castps256_ps128(dm), high = _mm256_extractf128_ps(dm, 1);
        const __m128 d = _mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
        const __m128 m = _mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
        __m256i w[4];
        for (int r = 0; r < 4; r++) {
            w[r] = load_nibbles(reinterpret_cast<const Weights *>(block + r * p.weights_stride)->low_and_high);
        }
        for (int c = 0; c < COLUMNS; c++) {
            const Input * const at = reinterpret_cast<const Input *>(inputs + c * p.inputs_stride) + b;
            const __m256i x = load(at->values);
            offsets[c] = _mm_fmadd_ps(m, _mm_set1_ps(at->sum), offsets[c]);
            __m256 ds[4];
            spread(_mm_mul_ps(d, _mm_set1_ps(at->d)), ds);
            for (int r = 0; r < 4; r++) {
                products[c][r] = _mm256_fmadd_ps(ds[r], dot(w[r], x), products[c][r]);
            }
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        float * const out = p.out + (column + c) * p.out_stride + row;
        float offset[4];
        _mm_storeu_ps(offset, offsets[c]);
        for (int r = 0; r < 4; r++) {
            out[r] = sum(products[c][r]) + offset[r];
        }
    }
}

struct Tiles {
    static constexpr int ROWS = 4, MOST = 4;

    template <int COLUMNS>
    static void compute(const slm::Product & p, int64_t row, int64_t column) {
        tile<COLUMNS>(p, row, column);
    }
};

} // namespace q4_1

} // namespace

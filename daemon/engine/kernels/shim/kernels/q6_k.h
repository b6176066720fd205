// Q6_K: blocks of 256 weights in 16 groups, each `d * scale * (q - 32)` with q in 0..63, times inputs of Q8_K.
//
// Follows `ggml_vec_dot_q6_K_q8_K` number by number; its blocks are those of `ggml-common.h`.

#pragma once

#include "common.h"

namespace {

namespace q6_k {

constexpr int64_t VALUES = 256;

struct Weights {
    uint8_t low[VALUES / 2];  // four bits of each q
    uint8_t high[VALUES / 4]; // two bits of each q
    int8_t scales[VALUES / 16];
    uint16_t d;
};

struct Input {
    float d;
    int8_t values[VALUES];
    int16_t sums[VALUES / 16]; // of the values of each group
};

inline void prepare(slm::Quantize quantize, const float * values, char * to, int64_t blocks) {
    quantize(values, to, blocks * VALUES);
}

// Half a block: the q of 4 x 32 weights.
inline void unpack(const Weights & block, int half, __m256i q[4]) {
    const __m256i a = load(block.low + 64 * half), b = load(block.low + 64 * half + 32), high = load(block.high + 32 * half);
    const __m256i four_bits = _mm256_set1_epi8(15);
    const auto bits = [high](char mask) { return _mm256_and_si256(high, _mm256_set1_epi8(mask)); };
    q[0] = _mm256_or_si256(_mm256_and_si256(a, four_bits), _mm256_slli_epi16(bits(0x03), 4));
    q[1] = _mm256_or_si256(_mm256_and_si256(b, four_bits), _mm256_slli_epi16(bits(0x0c), 2));
    q[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), four_bits), bits(0x30));
    q[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), four_bits), _mm256_srli_epi16(bits(static_cast<char>(0xc0)), 2));
}

// One row and so many columns: what makes the difference is to unpack weights once.
template <int COLUMNS>
inline void tile(const slm::Product & p, int64_t row, int64_t column) {
    const Weights * const weights = reinterpret_cast<const Weights *>(p.weights + row * p.weights_stride);
    const Input * inputs[COLUMNS];
    __m256 products[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) {
        inputs[c] = reinterpret_cast<const Input *>(p.inputs + (column + c) * p.inputs_stride);
        products[c] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < p.blocks; b++) {
        const Weights & block = weights[b];
        prefetch_ahead<sizeof(Weights)>(&block);
        const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i *>(block.scales));
        const __m256i scales = _mm256_cvtepi8_epi16(packed);
        __m256i sums[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) {
            // What the q are too large by.
            const __m256i excess = _mm256_slli_epi32(_mm256_madd_epi16(load(inputs[c][b].sums), scales), 5);
            sums[c] = _mm256_sub_epi32(_mm256_setzero_si256(), excess);
        }
        for (int half = 0; half < 2; half++) {
            __m256i q[4];
            unpack(block, half, q);
            for (int i = 0; i < 4; i++) {
                // Two groups of 16 weights, so two scales, each for eight pairs of products.
                const __m128i both = _mm_set1_epi64x(0x0101010101010101 * (8 * half + 2 * i));
                const __m128i which = _mm_add_epi8(both, _mm_set_epi64x(0x0101010101010101, 0));
                const __m256i scale = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(packed, which));
                for (int c = 0; c < COLUMNS; c++) {
                    const __m256i x = load(inputs[c][b].values + 128 * half + 32 * i);
                    sums[c] = add_products(sums[c], scale, _mm256_maddubs_epi16(q[i], x));
                }
            }
        }
        const float d = _cvtsh_ss(block.d);
        for (int c = 0; c < COLUMNS; c++) {
            products[c] = _mm256_fmadd_ps(_mm256_set1_ps(inputs[c][b].d * d), _mm256_cvtepi32_ps(sums[c]), products[c]);
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        p.out[(column + c) * p.out_stride + row] = sum(products[c]);
    }
}

struct Tiles {
    static constexpr int ROWS = 1, MOST = 4;

    template <int COLUMNS>
    static void compute(const slm::Product & p, int64_t row, int64_t column) {
        tile<COLUMNS>(p, row, column);
    }
};

} // namespace q6_k

} // namespace

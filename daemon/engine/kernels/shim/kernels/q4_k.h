// Q4_K: blocks of 256 weights in 8 groups, each `d * scale * q - dmin * min` with q in 0..15, times inputs of Q8_K.
//
// Follows `ggml_vec_dot_q4_K_q8_K` number by number; its blocks are those of `ggml-common.h`.

#pragma once

#include "common.h"

namespace {

namespace q4_k {

constexpr int64_t VALUES = 256;
constexpr int64_t GROUPS = 8;

struct Weights {
    uint16_t d, dmin;
    uint8_t scales[12]; // six bits of each scale and min
    uint8_t low_and_high[VALUES / 2];
};

// As llama.cpp makes it.
struct Quantized {
    float d;
    int8_t values[VALUES];
    int16_t sums[VALUES / 16];
};

// The same with one sum for each group of weights.
struct Input {
    float d;
    int16_t sums[GROUPS];
    int8_t values[VALUES];
};

inline void widen(const Quantized & quantized, Input & input) {
    input.d = quantized.d;
    memcpy(input.values, quantized.values, VALUES);
    for (int group = 0; group < GROUPS; group++) {
        input.sums[group] = quantized.sums[2 * group] + quantized.sums[2 * group + 1];
    }
}

inline void prepare(slm::Quantize quantize, const float * values, char * to, int64_t blocks) {
    prepare_blocks(quantize, values, to, blocks, widen);
}

// Scales and mins of the groups, a byte each. Four of each have their six bits together; of the others, the upper two are
// the upper ones of those, see `get_scale_min_k4`.
inline __m128i unpack_scales(const uint8_t * packed) {
    uint32_t a, b, c;
    memcpy(&a, packed, 4);
    memcpy(&b, packed + 4, 4);
    memcpy(&c, packed + 8, 4);
    const uint32_t scales = (c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030);
    const uint32_t mins = ((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030);
    return _mm_set_epi32(mins, b & 0x3f3f3f3f, scales, a & 0x3f3f3f3f);
}

// One row and so many columns: what makes the difference is to unpack weights once, and to ask for them early.
template <int COLUMNS>
inline void tile(const slm::Product & p, int64_t row, int64_t column) {
    const Weights * const weights = reinterpret_cast<const Weights *>(p.weights + row * p.weights_stride);
    const Input * inputs[COLUMNS];
    __m256 products[COLUMNS];
    __m128 offsets[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) {
        inputs[c] = reinterpret_cast<const Input *>(p.inputs + (column + c) * p.inputs_stride);
        products[c] = _mm256_setzero_ps();
        offsets[c] = _mm_setzero_ps();
    }
    const __m256i four_bits = _mm256_set1_epi8(15);
    for (int64_t b = 0; b < p.blocks; b++) {
        const Weights & block = weights[b];
        prefetch_ahead<sizeof(Weights)>(&block);
        const __m128i packed = unpack_scales(block.scales);
        const __m128i mins = _mm_cvtepu8_epi16(_mm_unpackhi_epi64(packed, packed));
        const __m256i scales = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(packed));
        __m256i sums[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) {
            sums[c] = _mm256_setzero_si256();
        }
        for (int i = 0; i < 4; i++) {
            // The bytes of one scale in all 16-bit numbers.
            const __m256i which = _mm256_set1_epi16(static_cast<int16_t>(0x0100 + 0x0202 * 2 * i));
            const __m256i low_scale = _mm256_shuffle_epi8(scales, which);
            const __m256i high_scale = _mm256_shuffle_epi8(scales, _mm256_add_epi8(which, _mm256_set1_epi8(2)));
            const __m256i both = load(block.low_and_high + 32 * i);
            const __m256i low = _mm256_and_si256(both, four_bits);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), four_bits);
            for (int c = 0; c < COLUMNS; c++) {
                const int8_t * const x = inputs[c][b].values + 64 * i;
                sums[c] = add_products(sums[c], low_scale, _mm256_maddubs_epi16(low, load(x)));
                sums[c] = add_products(sums[c], high_scale, _mm256_maddubs_epi16(high, load(x + 32)));
            }
        }
        const float d = _cvtsh_ss(block.d), dmin = _cvtsh_ss(block.dmin);
        for (int c = 0; c < COLUMNS; c++) {
            const Input & input = inputs[c][b];
            const __m128i offset = _mm_madd_epi16(mins, _mm_loadu_si128(reinterpret_cast<const __m128i *>(input.sums)));
            offsets[c] = _mm_fmadd_ps(_mm_set1_ps(-input.d * dmin), _mm_cvtepi32_ps(offset), offsets[c]);
            products[c] = _mm256_fmadd_ps(_mm256_set1_ps(input.d * d), _mm256_cvtepi32_ps(sums[c]), products[c]);
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        p.out[(column + c) * p.out_stride + row] = sum(products[c]) + sum(offsets[c]);
    }
}

struct Tiles {
    static constexpr int ROWS = 1, MOST = 4;

    template <int COLUMNS>
    static void compute(const slm::Product & p, int64_t row, int64_t column) {
        tile<COLUMNS>(p, row, column);
    }
};

} // namespace q4_k

} // namespace

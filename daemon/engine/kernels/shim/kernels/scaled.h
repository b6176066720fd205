// Q8_0 and Q5_0: blocks of 32 weights, each `d * q` with a signed q, times inputs in Q8_0.
//
// Follows `ggml_vec_dot_q8_0_q8_0` and `ggml_vec_dot_q5_0_q8_0` number by number; the blocks are those of `ggml-common.h`.

#pragma once

#include "common.h"

namespace {

namespace scaled {

constexpr int64_t VALUES = 32;

// -128..127.
struct Q8_0 {
    uint16_t d;
    int8_t values[VALUES];

    __m256i quants() const { return load(values); }
};

// -16..15: the fifth bits lie by themselves, and where one is 0, 16 is taken away.
struct Q5_0 {
    uint16_t d;
    uint8_t fifths[VALUES / 8];
    uint8_t values[VALUES / 2];

    __m256i quants() const {
        uint32_t bits;
        memcpy(&bits, fifths, sizeof bits);
        const __m256i low = load_nibbles(values), sixteen = _mm256_set1_epi8(16);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
        return _mm256_mask_sub_epi8(low, ~bits, low, sixteen);
#else
        const __m256i places = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
        const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), places);
        const __m256i bit = _mm256_and_si256(bytes, _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201)));
        return _mm256_sub_epi8(low, _mm256_and_si256(_mm256_cmpeq_epi8(bit, _mm256_setzero_si256()), sixteen));
#endif
    }
};

// An input with its half widened: it is read once for every four rows.
struct Input {
    float d;
#if defined(__AVX512VNNI__)
    // The instruction multiplies unsigned bytes with signed ones, so it gets weights that are 128 too large, and starts at what
    // that adds to each sum of four.
    int32_t excess[VALUES / 4];
#endif
    int8_t values[VALUES];
};

inline void widen(const Q8_0 & quantized, Input & input) {
    input.d = _cvtsh_ss(quantized.d);
    memcpy(input.values, quantized.values, VALUES);
#if defined(__AVX512VNNI__)
    const __m256i excess = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(-128), load(input.values));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(input.excess), _mm256_sub_epi32(_mm256_setzero_si256(), excess));
#endif
}

inline void prepare(slm::Quantize quantize, const float * values, char * to, int64_t blocks) {
    prepare_blocks(quantize, values, to, blocks, widen);
}

template <class Block> inline void dequantize(const char * row, int64_t begin, int64_t count, float * to) {
    const Block * block = reinterpret_cast<const Block *>(row) + begin / VALUES;
    for (; count > 0; count -= VALUES, block++, to += VALUES) {
        store_floats(block->quants(), _cvtsh_ss(block->d), 0.0f, to);
    }
}

// The scales of one block in four rows.
inline __m128 scales(const char * block, size_t stride) {
    uint16_t rows[4];
    for (int row = 0; row < 4; row++) {
        memcpy(&rows[row], block + row * stride, sizeof rows[row]);
    }
    return _mm_cvtph_ps(_mm_set_epi16(0, 0, 0, 0, rows[3], rows[2], rows[1], rows[0]));
}

template <class Block> inline __m256i quants(const char * block) {
    return reinterpret_cast<const Block *>(block)->quants();
}

#if defined(__AVX512VNNI__)

// Two rows of weights lie in one register.
constexpr int MOST = 8;

template <class Block> inline __m512i both(const char * block, size_t stride) {
    const __m512i rows = _mm512_inserti64x4(_mm512_castsi256_si512(quants<Block>(block)), quants<Block>(block + stride), 1);
    return _mm512_xor_si512(rows, _mm512_set1_epi8(-128));
}

// Four rows and so many columns.
template <class Block, int COLUMNS>
inline void tile(const slm::Product & p, int64_t row, int64_t column) {
    __m512 sums[COLUMNS][2];
    for (int c = 0; c < COLUMNS; c++) {
        sums[c][0] = sums[c][1] = _mm512_setzero_ps();
    }
    const __m512i first = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(2));
    const char * const weights = p.weights + row * p.weights_stride;
    const char * const inputs = p.inputs + column * p.inputs_stride;
    for (int64_t b = 0; b < p.blocks; b++) {
        const char * const block = weights + b * sizeof(Block);
        prefetch_next_rows(block, p.weights_stride);
        const __m512 d = _mm512_castps128_ps512(scales(block, p.weights_stride));
        const __m512 ds[2] = { _mm512_permutexvar_ps(first, d), _mm512_permutexvar_ps(second, d) };
        const __m512i ws[2] = { both<Block>(block, p.weights_stride), both<Block>(block + 2 * p.weights_stride, p.weights_stride) };
        for (int c = 0; c < COLUMNS; c++) {
            const Input * const at = reinterpret_cast<const Input *>(inputs + c * p.inputs_stride) + b;
            const __m512i x = _mm512_broadcast_i64x4(load(at->values));
            const __m512i excess = _mm512_broadcast_i64x4(load(at->excess));
            for (int half = 0; half < 2; half++) {
                const __m512 product = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(excess, ws[half], x));
                sums[c][half] = _mm512_fmadd_ps(_mm512_mul_ps(ds[half], _mm512_set1_ps(at->d)), product, sums[c][half]);
            }
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        float * const out = p.out + (column + c) * p.out_stride + row;
        for (int half = 0; half < 2; half++) {
            out[2 * half] = sum(_mm512_castps512_ps256(sums[c][half]));
            out[2 * half + 1] = sum(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sums[c][half]), 1)));
        }
    }
}

#else

constexpr int MOST = 4;

// Eight sums of four products each.
inline __m256 dot(__m256i weights, __m256i inputs) {
    const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(inputs, weights));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}

// Four rows and so many columns.
template <class Block, int COLUMNS>
inline void tile(const slm::Product & p, int64_t row, int64_t column) {
    __m256 sums[COLUMNS][4];
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < 4; r++) {
            sums[c][r] = _mm256_setzero_ps();
        }
    }
    const char * const weights = p.weights + row * p.weights_stride;
    const char * const inputs = p.inputs + column * p.inputs_stride;
    for (int64_t b = 0; b < p.blocks; b++) {
        const char * const block = weights + b * sizeof(Block);
        prefetch_next_rows(block, p.weights_stride);
        const __m128 d = scales(block, p.weights_stride);
        __m256i ws[4];
        for (int r = 0; r < 4; r++) {
            ws[r] = quants<Block>(block + r * p.weights_stride);
        }
        for (int c = 0; c < COLUMNS; c++) {
            const Input * const at = reinterpret_cast<const Input *>(inputs + c * p.inputs_stride) + b;
            const __m256i x = load(at->values);
            __m256 ds[4];
            spread(_mm_mul_ps(d, _mm_set1_ps(at->d)), ds);
            for (int r = 0; r < 4; r++) {
                sums[c][r] = _mm256_fmadd_ps(ds[r], dot(ws[r], x), sums[c][r]);
            }
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        float * const out = p.out + (column + c) * p.out_stride + row;
        for (int r = 0; r < 4; r++) {
            out[r] = sum(sums[c][r]);
        }
    }
}

#endif

template <class Block> struct Tiles {
    static constexpr int ROWS = 4, MOST = scaled::MOST;

    template <int COLUMNS>
    static void compute(const slm::Product & p, int64_t row, int64_t column) {
        tile<Block, COLUMNS>(p, row, column);
    }
};

} // namespace scaled

} // namespace

// What the kernels share.
//
// All of them are compiled once for each instruction set, so everything lies in a namespace without a name, and takes no templates
// from elsewhere: the linker might keep the wrong copy.

#pragma once

#include "kernel.h"

#include <immintrin.h>

#include <cstring>

namespace {

// In the order in which llama.cpp adds them.
inline float sum(__m128 x) {
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

inline float sum(__m256 x) {
    return sum(_mm_add_ps(_mm256_extractf128_ps(x, 1), _mm256_castps256_ps128(x)));
}

// Adds eight sums of two products each.
inline __m256i add_products(__m256i sums, __m256i a, __m256i b) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpwssd_epi32(sums, a, b);
#else
    return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
#endif
}

inline __m256i load(const void * at) { return _mm256_loadu_si256(static_cast<const __m256i *>(at)); }

// Asks the memory for a block of weights long before its turn: what reads ahead by itself ends with each page, and so does not
// keep the memory busy. Weights are read in the order in which they lie; what is asked for behind them does no harm.
template <size_t BYTES> inline void ask_ahead(const void * block) {
    constexpr size_t AHEAD = 4096;
    for (size_t i = 0; i < BYTES; i += 64) {
        _mm_prefetch(static_cast<const char *>(block) + AHEAD + i, _MM_HINT_T0);
    }
}

// The same where four rows are read side by side.
inline void ask_for_next_rows(const char * block, size_t stride) {
    for (int row = 4; row < 8; row++) {
        _mm_prefetch(block + row * stride, _MM_HINT_T0);
    }
}

// 32 values of four bits: the first half of them lies in the lower bits of the bytes, and the second half in the upper ones.
inline __m256i load_nibbles(const uint8_t * at) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed), _mm256_set1_epi8(15));
}

// 32 quantized weights, a signed byte each: scale * q + offset.
inline void store_floats(__m256i bytes, float scale, float offset, float * to) {
    const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
    const __m128i eights[4] = { low, _mm_unpackhi_epi64(low, low), high, _mm_unpackhi_epi64(high, high) };
    for (int i = 0; i < 4; i++) {
        const __m256 q = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eights[i]));
        _mm256_storeu_ps(to + 8 * i, _mm256_fmadd_ps(_mm256_set1_ps(scale), q, _mm256_set1_ps(offset)));
    }
}

// Each of four numbers in a register of its own.
inline void spread(__m128 four, __m256 to[4]) {
    to[0] = _mm256_broadcastss_ps(four);
    to[1] = _mm256_broadcastss_ps(_mm_shuffle_ps(four, four, 0x55));
    to[2] = _mm256_broadcastss_ps(_mm_shuffle_ps(four, four, 0xaa));
    to[3] = _mm256_broadcastss_ps(_mm_shuffle_ps(four, four, 0xff));
}

// Has llama.cpp quantize inputs, some blocks at a time, and makes of each what its kernel reads.
template <class Quantized, class Input>
inline void prepare_blocks(slm::Quantize quantize, const float * values, char * to, int64_t blocks, void (*widen)(const Quantized &, Input &)) {
    constexpr int64_t AT_ONCE = 16, VALUES = sizeof(Quantized::values);
    Quantized quantized[AT_ONCE];
    Input * inputs = reinterpret_cast<Input *>(to);
    for (int64_t done = 0; done < blocks; done += AT_ONCE) {
        const int64_t now = blocks - done < AT_ONCE ? blocks - done : AT_ONCE;
        quantize(values + done * VALUES, quantized, now * VALUES);
        for (int64_t i = 0; i < now; i++) {
            widen(quantized[i], inputs[done + i]);
        }
    }
}

// All rows, some at once, and so many columns.
template <class Tiles, int COLUMNS> inline void multiply_rows(const slm::Product & p, int64_t column) {
    for (int64_t row = 0; row < p.rows; row += Tiles::ROWS) {
        Tiles::template compute<COLUMNS>(p, row, column);
    }
}

// What is left of some columns, fewer than `FEWER` of them.
template <class Tiles, int FEWER> inline void multiply_rest(const slm::Product & p, int64_t column) {
    if constexpr (FEWER > 1) {
        if (p.columns - column == FEWER - 1) {
            multiply_rows<Tiles, FEWER - 1>(p, column);
        } else {
            multiply_rest<Tiles, FEWER - 1>(p, column);
        }
    }
}

// As many columns at a time as their sums and those rows of weights that are computed at once fit the registers.
template <class Tiles> inline void multiply(const slm::Product & p) {
    int64_t column = 0;
    for (; column + Tiles::MOST <= p.columns; column += Tiles::MOST) {
        multiply_rows<Tiles, Tiles::MOST>(p, column);
    }
    multiply_rest<Tiles, Tiles::MOST>(p, column);
}

} // namespace

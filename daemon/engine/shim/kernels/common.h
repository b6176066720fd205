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

// Sixteen quantized weights, a byte each: scale * q + offset.
inline void store_floats(__m128i bytes, bool is_signed, float scale, float offset, float * to) {
    const __m128i halves[2] = { bytes, _mm_unpackhi_epi64(bytes, bytes) };
    for (int i = 0; i < 2; i++) {
        const __m256i q = is_signed ? _mm256_cvtepi8_epi32(halves[i]) : _mm256_cvtepu8_epi32(halves[i]);
        _mm256_storeu_ps(to + 8 * i, _mm256_fmadd_ps(_mm256_set1_ps(scale), _mm256_cvtepi32_ps(q), _mm256_set1_ps(offset)));
    }
}

inline __m128i load_sixteen(const void * at) { return _mm_loadu_si128(static_cast<const __m128i *>(at)); }

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

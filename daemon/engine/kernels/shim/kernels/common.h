// Helpers of all kernels.
//
// These headers are compiled once for each instruction set. So everything lies in an anonymous namespace and uses no outside template:
// the linker might keep the copy for the wrong instruction set.

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

// Prefetches a block of weights 4 KiB ahead: the hardware prefetcher stops at each page. Weights are read in order; a prefetch behind
// their end does no harm.
template <size_t BYTES> inline void prefetch_ahead(const void * block) {
    constexpr size_t AHEAD = 4096;
    for (size_t i = 0; i < BYTES; i += 64) {
        _mm_prefetch(static_cast<const char *>(block) + AHEAD + i, _MM_HINT_T0);
    }
}

// The same for kernels that read four rows side by side.
inline void prefetch_next_rows(const char * block, size_t stride) {
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

// Quantizes inputs by llama.cpp's function, some blocks at a time, and widens each block for its kernel.
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

// All rows, Tiles::ROWS at a time, and COLUMNS columns.
template <class Tiles, int COLUMNS> inline void multiply_rows(const slm::Product & p, int64_t column) {
    for (int64_t row = 0; row < p.rows; row += Tiles::ROWS) {
        Tiles::template compute<COLUMNS>(p, row, column);
    }
}

// The remaining columns, fewer than `FEWER`.
template <class Tiles, int FEWER> inline void multiply_rest(const slm::Product & p, int64_t column) {
    if constexpr (FEWER > 1) {
        if (p.columns - column == FEWER - 1) {
            multiply_rows<Tiles, FEWER - 1>(p, column);
        } else {
            multiply_rest<Tiles, FEWER - 1>(p, column);
        }
    }
}

// Tiles::MOST columns at a time: their sums fit the registers.
template <class Tiles> inline void multiply(const slm::Product & p) {
    int64_t column = 0;
    for (; column + Tiles::MOST <= p.columns; column += Tiles::MOST) {
        multiply_rows<Tiles, Tiles::MOST>(p, column);
    }
    multiply_rest<Tiles, Tiles::MOST>(p, column);
}

} // namespace

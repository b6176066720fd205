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
inline float sum(__m256 x) {
    __m128 y = _mm_add_ps(_mm256_extractf128_ps(x, 1), _mm256_castps256_ps128(x));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

// Four columns at a time, as their sums and four rows of weights fit the registers.
template <class Tiles> inline void multiply(const slm::Product & p) {
    int64_t column = 0;
    for (; column + 4 <= p.columns; column += 4) {
        Tiles::template compute<4>(p, column);
    }
    switch (p.columns - column) {
        case 3: Tiles::template compute<3>(p, column); break;
        case 2: Tiles::template compute<2>(p, column); break;
        case 1: Tiles::template compute<1>(p, column); break;
    }
}

} // namespace

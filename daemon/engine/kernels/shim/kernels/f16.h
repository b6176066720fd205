// F16: weights in half precision, times inputs in single precision, which llama.cpp would round to halves.

#pragma once

#include "lanes.h"

namespace {

namespace f16 {

constexpr int64_t VALUES = 16;

struct Input {
    float values[VALUES];
};

inline void prepare(slm::Quantize, const float * values, char * to, int64_t blocks) {
    memcpy(to, values, blocks * sizeof(Input));
}

inline void dequantize(const char * row, int64_t begin, int64_t count, float * to) {
    for (int64_t i = 0; i < count; i += LANES) {
        store(to + i, load_halves(row + (begin + i) * sizeof(uint16_t)));
    }
}

// Four rows and so many columns.
template <int COLUMNS>
inline void tile(const slm::Product & p, int64_t row, int64_t column) {
    Lanes products[COLUMNS][4];
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < 4; r++) {
            products[c][r] = zero();
        }
    }
    const char * const weights = p.weights + row * p.weights_stride;
    const char * const inputs = p.inputs + column * p.inputs_stride;
    for (int64_t i = 0; i < p.blocks * VALUES; i += LANES) {
        const char * const block = weights + i * sizeof(uint16_t);
        prefetch_next_rows(block, p.weights_stride);
        Lanes w[4];
        for (int r = 0; r < 4; r++) {
            w[r] = load_halves(block + r * p.weights_stride);
        }
        for (int c = 0; c < COLUMNS; c++) {
            const Lanes x = load(reinterpret_cast<const float *>(inputs + c * p.inputs_stride) + i);
            for (int r = 0; r < 4; r++) {
                products[c][r] = fma(w[r], x, products[c][r]);
            }
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        float * const out = p.out + (column + c) * p.out_stride + row;
        _mm_storeu_ps(out, sums(products[c][0], products[c][1], products[c][2], products[c][3]));
    }
}

struct Tiles {
    static constexpr int ROWS = 4, MOST = LANES == 16 ? 6 : 3;

    template <int COLUMNS>
    static void compute(const slm::Product & p, int64_t row, int64_t column) {
        tile<COLUMNS>(p, row, column);
    }
};

} // namespace f16

} // namespace

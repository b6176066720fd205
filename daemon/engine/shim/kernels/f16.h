// F16: weights in half precision, times inputs in single precision.
//
// llama.cpp rounds inputs to halves, and widens both again for every few products. Here inputs stay as they are, and of many columns
// weights are widened once.

#pragma once

#include "lanes.h"

namespace {

namespace f16 {

// Few columns: four rows and so many columns, and in each lane a part of the sum of each.
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
    for (int64_t i = 0; i < p.blocks; i += LANES) {
        const char * const block = weights + i * sizeof(uint16_t);
        ask_for_next_rows(block, p.weights_stride);
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

// Many columns: in each lane one row. Weights are widened into panels of some rows, in which those that are multiplied with the same
// input lie side by side, and so do the inputs of some columns that are multiplied with the same weight.
constexpr int REGISTERS = 2, PANEL_ROWS = REGISTERS * LANES, GROUP_COLUMNS = LANES == 16 ? 12 : 6;

// Weights of a row that are widened at once: those of some panels stay in a cache of the second level.
constexpr int64_t DEPTH = 256;

inline void store_transposed(__m128 four[4], float * to, int64_t stride) {
    _MM_TRANSPOSE4_PS(four[0], four[1], four[2], four[3]);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(to + i * stride, four[i]);
    }
}

inline void widen(const char * weights, size_t stride, int64_t depth, float * panel) {
    for (int row = 0; row < PANEL_ROWS; row += 4) {
        for (int64_t i = 0; i < depth; i += 4) {
            __m128 four[4];
            for (int r = 0; r < 4; r++) {
                const char * const at = weights + (row + r) * stride + i * sizeof(uint16_t);
                four[r] = _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(at)));
            }
            store_transposed(four, panel + i * PANEL_ROWS + row, PANEL_ROWS);
        }
    }
}

inline void interleave(const float * values, int64_t length, int64_t columns, float * group) {
    int64_t column = 0;
    for (; column + 4 <= columns; column += 4) {
        for (int64_t i = 0; i < length; i += 4) {
            __m128 four[4];
            for (int c = 0; c < 4; c++) {
                four[c] = _mm_loadu_ps(values + (column + c) * length + i);
            }
            store_transposed(four, group + i * GROUP_COLUMNS + column, GROUP_COLUMNS);
        }
    }
    for (; column < columns; column++) {
        for (int64_t i = 0; i < length; i++) {
            group[i * GROUP_COLUMNS + column] = values[column * length + i];
        }
    }
}

// A panel and so many columns of a group, for what is multiplied first or what comes after it.
template <int COLUMNS, bool FIRST>
inline void panel(const slm::Product & p, int64_t row, int64_t column) {
    const float * const weights = reinterpret_cast<const float *>(p.weights + row * p.weights_stride);
    const float * const inputs = reinterpret_cast<const float *>(p.inputs + column * p.inputs_stride);
    float * const out = p.out + column * p.out_stride + row;
    Lanes products[COLUMNS][REGISTERS];
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < REGISTERS; r++) {
            products[c][r] = FIRST ? zero() : load(out + c * p.out_stride + r * LANES);
        }
    }
    for (int64_t i = 0; i < p.blocks; i++) {
        Lanes w[REGISTERS];
        for (int r = 0; r < REGISTERS; r++) {
            w[r] = load(weights + i * PANEL_ROWS + r * LANES);
        }
        for (int c = 0; c < COLUMNS; c++) {
            const Lanes x = all(inputs[i * GROUP_COLUMNS + c]);
            for (int r = 0; r < REGISTERS; r++) {
                products[c][r] = fma(w[r], x, products[c][r]);
            }
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < REGISTERS; r++) {
            store(out + c * p.out_stride + r * LANES, products[c][r]);
        }
    }
}

template <bool FIRST> struct Panels {
    static constexpr int ROWS = PANEL_ROWS, MOST = GROUP_COLUMNS;

    template <int COLUMNS>
    static void compute(const slm::Product & p, int64_t row, int64_t column) {
        panel<COLUMNS, FIRST>(p, row, column);
    }
};

inline void multiply_many(const slm::Product & p, float * panels) {
    for (int64_t done = 0; done < p.blocks; done += DEPTH) {
        slm::Product part = p;
        part.blocks = p.blocks - done < DEPTH ? p.blocks - done : DEPTH;
        part.weights = reinterpret_cast<const char *>(panels);
        part.weights_stride = part.blocks * sizeof(float);
        part.inputs = p.inputs + done * GROUP_COLUMNS * sizeof(float);
        for (int64_t row = 0; row < p.rows; row += PANEL_ROWS) {
            const char * const weights = p.weights + row * p.weights_stride + done * sizeof(uint16_t);
            widen(weights, p.weights_stride, part.blocks, panels + row * part.blocks);
        }
        if (done == 0) {
            multiply<Panels<true>>(part);
        } else {
            multiply<Panels<false>>(part);
        }
    }
}

} // namespace f16

} // namespace

// gemm with weights of any type: weights are dequantized once for all columns, some rows at a time, and inputs stay in F32. Each lane of
// a register is one row.

#pragma once

#include "lanes.h"

namespace {

namespace panels {

// Rows of a panel are interleaved, and so are the columns of a group of inputs. All sums of a panel and a group fit the registers.
constexpr int REGISTERS = 2, ROWS = REGISTERS * LANES, COLUMNS = LANES == 16 ? 12 : 6;

// Weights of a row that are dequantized at once, a multiple of every type's block: some panels stay in a cache of the second level.
constexpr int64_t DEPTH = 256;

// Makes floats of some weights of a row.
using Dequantize = void (*)(const char * row, int64_t begin, int64_t count, float * to);

inline void store_transposed(const float * const from[4], float * to, int64_t stride) {
    __m128 four[4];
    for (int i = 0; i < 4; i++) {
        four[i] = _mm_loadu_ps(from[i]);
    }
    _MM_TRANSPOSE4_PS(four[0], four[1], four[2], four[3]);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(to + i * stride, four[i]);
    }
}

// Interleaves the inputs of up to a group's columns.
inline void interleave(const float * values, int64_t length, int64_t columns, float * group) {
    int64_t column = 0;
    for (; column + 4 <= columns; column += 4) {
        const float * const from = values + column * length;
        for (int64_t i = 0; i < length; i += 4) {
            const float * const four[4] = { from + i, from + length + i, from + 2 * length + i, from + 3 * length + i };
            store_transposed(four, group + i * COLUMNS + column, COLUMNS);
        }
    }
    for (; column < columns; column++) {
        for (int64_t i = 0; i < length; i++) {
            group[i * COLUMNS + column] = values[column * length + i];
        }
    }
}

template <Dequantize DEQUANTIZE> inline void fill(const slm::Product & p, int64_t begin, int64_t count, float * to) {
    for (int64_t row = 0; row < p.rows; row += ROWS, to += ROWS * count) {
        for (int r = 0; r < ROWS; r += 4) {
            float rows[4][DEPTH];
            for (int i = 0; i < 4; i++) {
                DEQUANTIZE(p.weights + (row + r + i) * p.weights_stride, begin, count, rows[i]);
            }
            for (int64_t i = 0; i < count; i += 4) {
                const float * const four[4] = { rows[0] + i, rows[1] + i, rows[2] + i, rows[3] + i };
                store_transposed(four, to + i * ROWS + r, ROWS);
            }
        }
    }
}

// One panel and up to a group's columns; sums begin at 0 with the first weights of a row, and continue with the next ones.
template <int COUNT, bool FIRST>
inline void tile(const slm::Product & p, int64_t row, int64_t column) {
    const float * const weights = reinterpret_cast<const float *>(p.weights + row * p.weights_stride);
    const float * const inputs = reinterpret_cast<const float *>(p.inputs + column * p.inputs_stride);
    float * const out = p.out + column * p.out_stride + row;
    Lanes products[COUNT][REGISTERS];
    for (int c = 0; c < COUNT; c++) {
        for (int r = 0; r < REGISTERS; r++) {
            products[c][r] = FIRST ? zero() : load(out + c * p.out_stride + r * LANES);
        }
    }
    for (int64_t i = 0; i < p.blocks; i++) {
        Lanes w[REGISTERS];
        for (int r = 0; r < REGISTERS; r++) {
            w[r] = load(weights + i * ROWS + r * LANES);
        }
        for (int c = 0; c < COUNT; c++) {
            const Lanes x = all(inputs[i * COLUMNS + c]);
            for (int r = 0; r < REGISTERS; r++) {
                products[c][r] = fma(w[r], x, products[c][r]);
            }
        }
    }
    for (int c = 0; c < COUNT; c++) {
        for (int r = 0; r < REGISTERS; r++) {
            store(out + c * p.out_stride + r * LANES, products[c][r]);
        }
    }
}

template <bool FIRST> struct Tiles {
    static constexpr int ROWS = panels::ROWS, MOST = COLUMNS;

    template <int COUNT>
    static void compute(const slm::Product & p, int64_t row, int64_t column) {
        tile<COUNT, FIRST>(p, row, column);
    }
};

// `blocks` counts values, rows are a multiple of a panel's, and inputs are interleaved.
template <Dequantize DEQUANTIZE> inline void multiply(const slm::Product & p, float * room) {
    for (int64_t done = 0; done < p.blocks; done += DEPTH) {
        slm::Product part = p;
        part.blocks = p.blocks - done < DEPTH ? p.blocks - done : DEPTH;
        part.weights = reinterpret_cast<const char *>(room);
        part.weights_stride = part.blocks * sizeof(float);
        part.inputs = p.inputs + done * COLUMNS * sizeof(float);
        fill<DEQUANTIZE>(p, done, part.blocks, room);
        if (done == 0) {
            ::multiply<Tiles<true>>(part);
        } else {
            ::multiply<Tiles<false>>(part);
        }
    }
}

} // namespace panels

} // namespace

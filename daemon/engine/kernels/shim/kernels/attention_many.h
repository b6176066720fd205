// Attention of a large batch, whose tokens attend to mostly the same cells: keys and values are converted to F32 once for all of them,
// and scores and sums are computed as products in panels.
//
// Softmax is computed over blocks of cells with a running maximum, see Milakov and Gimelshein, arXiv:1805.02867.

#pragma once

#include "attention.h"
#include "panels.h"

namespace {

namespace attention_many {

// Cells that are computed together.
constexpr int64_t CELLS = 128;

// Softmax weights below e^-this are dropped.
constexpr float LEAST = 80.0f;

// Non-finite keys and values are replaced by 0: 0 * NaN would leak into tokens that mask the cell. Rows that attend to it get NaN later.
inline Lanes load_finite(const char * at) { return where_finite(load_halves(at)); }

// A row is a head of a token: [token][head].
struct Room {
    float * queries; // interleaved
    float * scores;  // by rows; then the weights of values
    float * weights; // the same, interleaved
    float * keys;    // panels of cells
    float * values;  // panels of a value's numbers
    float * sums;    // of weighed values, by rows
    float * peaks;   // of each row: the largest score
    float * totals;  // the sum of weights
    size_t size;

    Room(float * at, int64_t rows, int64_t key_length, int64_t value_length) {
        const int64_t grouped = (rows + panels::COLUMNS - 1) / panels::COLUMNS * panels::COLUMNS;
        float * next = at;
        const auto take = [&next](int64_t count) {
            float * const begin = next;
            next += (count + 15) / 16 * 16;
            return begin;
        };
        queries = take(grouped * key_length);
        scores = take(rows * CELLS);
        weights = take(grouped * CELLS);
        keys = take(CELLS * key_length);
        values = take(CELLS * value_length);
        sums = take(rows * value_length);
        peaks = take(rows);
        totals = take(rows);
        size = next - at;
    }
};

inline size_t room(int64_t rows, int64_t key_length, int64_t value_length) {
    return Room(nullptr, rows, key_length, value_length).size;
}

// The next cells that any token of the batch attends to. Cells that all of them mask are skipped, so they do not change the sums.
struct Part {
    int64_t count = 0;
    int64_t at[CELLS];

    bool is_run() const { return at[count - 1] - at[0] == count - 1; }
};

// Marks cells whose keys or values are not finite.
struct Broken {
    int64_t count = 0;
    int64_t at[CELLS];

    Broken(const slm::ManyAttention & a, const Part & part) {
        for (int64_t i = 0; i < part.count; i++) {
            if (!are_finite(a.keys + part.at[i] * a.key_stride, a.key_length)
                || !are_finite(a.values + part.at[i] * a.value_stride, a.value_length)) {
                at[count++] = i;
            }
        }
    }

    // Whether a token with this mask attends to one of them.
    bool is_seen(const float * mask) const {
        for (int64_t i = 0; i < count; i++) {
            if (mask[at[i]] != -INFINITY) {
                return true;
            }
        }
        return false;
    }

  private:
    static bool are_finite(const char * halves, int64_t count) {
        Lanes differences = zero();
        for (int64_t i = 0; i < count; i += LANES) {
            const Lanes x = load_halves(halves + i * sizeof(uint16_t));
            // 0, where x is finite.
            differences = add(differences, subtract(x, x));
        }
        return sum(fold(differences)) == 0.0f;
    }
};

inline const uint16_t * mask_at(const slm::ManyAttention & a, int64_t token, int64_t cell) {
    return reinterpret_cast<const uint16_t *>(a.mask + token * a.mask_stride) + cell;
}

// A bit for each of the next 32 cells that any token attends to.
inline uint32_t seen(const slm::ManyAttention & a, int64_t cell) {
    slm::Attention row = {};
    row.end = a.cells;
    if (a.mask == nullptr) {
        return attention::open_from(row, cell);
    }
    uint32_t bits = 0;
    for (int64_t token = 0; token < a.tokens; token++) {
        row.mask = mask_at(a, token, 0);
        bits |= attention::open_from(row, cell);
    }
    return bits;
}

inline void interleave_queries(const slm::ManyAttention & a, float * to) {
    for (int64_t row = 0; row < a.tokens * a.heads; row++) {
        const char * const from = a.queries + row / a.heads * a.token_stride + row % a.heads * a.head_stride;
        float * const group = to + row / panels::COLUMNS * panels::COLUMNS * a.key_length + row % panels::COLUMNS;
        for (int64_t i = 0; i < a.key_length; i++) {
            group[i * panels::COLUMNS] = reinterpret_cast<const float *>(from)[i];
        }
    }
}

// Rounded up to whole panels; the last cell is repeated.
inline void widen_keys(const slm::ManyAttention & a, const Part & part, float * to) {
    for (int64_t cell = 0; cell / panels::ROWS * panels::ROWS < part.count; cell += 4) {
        const char * from[4];
        for (int64_t i = 0; i < 4; i++) {
            from[i] = a.keys + part.at[cell + i < part.count ? cell + i : part.count - 1] * a.key_stride;
        }
        float * const panel = to + cell / panels::ROWS * panels::ROWS * a.key_length + cell % panels::ROWS;
        for (int64_t i = 0; i < a.key_length; i += LANES) {
            float keys[4][LANES];
            for (int k = 0; k < 4; k++) {
                store(keys[k], load_finite(from[k] + i * sizeof(uint16_t)));
            }
            for (int j = 0; j < LANES; j += 4) {
                const float * const four[4] = { keys[0] + j, keys[1] + j, keys[2] + j, keys[3] + j };
                panels::store_transposed(four, panel + (i + j) * panels::ROWS, panels::ROWS);
            }
        }
    }
}

inline void widen_values(const slm::ManyAttention & a, const Part & part, float * to) {
    for (int64_t cell = 0; cell < part.count; cell++) {
        const char * const from = a.values + part.at[cell] * a.value_stride;
        for (int64_t i = 0; i < a.value_length; i += LANES) {
            float * const panel = to + i / panels::ROWS * panels::ROWS * CELLS + i % panels::ROWS;
            store(panel + cell * panels::ROWS, load_finite(from + i * sizeof(uint16_t)));
        }
    }
}

// Turns a row's scores into softmax weights, and rescales the earlier sums when the maximum rises.
inline void weigh(const slm::ManyAttention & a, const Room & r, int64_t row, const float * mask) {
    float * const scores = r.scores + row * CELLS;
    Lanes largest = all(r.peaks[row]);
    for (int64_t c = 0; c < CELLS; c += LANES) {
        const Lanes score = fma(load(scores + c), all(a.scale), load(mask + c));
        store(scores + c, score);
        largest = larger(score, largest);
    }
    const float peak = maximum(fold_larger(largest)), fading = r.peaks[row] == peak ? 1.0f : expf(r.peaks[row] - peak);
    Lanes total = zero();
    for (int64_t c = 0; c < CELLS; c += LANES) {
        const Lanes below = subtract(load(scores + c), all(peak));
        // Exactly 0 for masked cells: denormal weights would make the sums slow.
        const Lanes weight = where_negative(add(below, all(LEAST)), zero(), exponential(below));
        store(scores + c, weight);
        total = add(total, weight);
    }
    r.totals[row] = r.totals[row] * fading + sum(fold(total));
    r.peaks[row] = peak;
    if (fading != 1.0f) {
        for (int64_t i = 0; i < a.value_length; i += LANES) {
            float * const at = r.sums + row * a.value_length + i;
            store(at, multiply(load(at), all(fading)));
        }
    }
}

// The mask of a token in F32, minus infinity behind the last cell. Returns whether the token attends to any cell.
inline bool mask_of(const slm::ManyAttention & a, const Part & part, int64_t token, float * to) {
    int64_t i = 0;
    for (; part.is_run() && i + LANES <= part.count; i += LANES) {
        store(to + i, a.mask ? load_halves(mask_at(a, token, part.at[i])) : zero());
    }
    for (; i < CELLS; i++) {
        to[i] = i >= part.count ? -INFINITY : a.mask ? _cvtsh_ss(*mask_at(a, token, part.at[i])) : 0.0f;
    }
    Lanes largest = all(-INFINITY);
    for (i = 0; i < CELLS; i += LANES) {
        largest = larger(largest, load(to + i));
    }
    return maximum(fold_larger(largest)) != -INFINITY;
}

inline void attend_part(const slm::ManyAttention & a, const Room & r, const Part & part) {
    const int64_t rows = a.tokens * a.heads;
    const Broken broken(a, part);
    widen_keys(a, part, r.keys);
    widen_values(a, part, r.values);
    multiply<panels::Tiles<true>>({
        a.key_length,
        reinterpret_cast<const char *>(r.keys),
        a.key_length * sizeof(float),
        (part.count + panels::ROWS - 1) / panels::ROWS * panels::ROWS,
        reinterpret_cast<const char *>(r.queries),
        a.key_length * sizeof(float),
        rows,
        r.scores,
        CELLS,
    });
    for (int64_t token = 0; token < a.tokens; token++) {
        float mask[CELLS];
        if (!mask_of(a, part, token, mask)) {
            memset(r.scores + token * a.heads * CELLS, 0, a.heads * CELLS * sizeof(float));
            continue;
        }
        const bool is_broken = broken.is_seen(mask);
        for (int64_t row = token * a.heads; row < (token + 1) * a.heads; row++) {
            weigh(a, r, row, mask);
            if (is_broken) {
                r.totals[row] = NAN;
            }
        }
    }
    for (int64_t row = 0; row < rows; row += panels::COLUMNS) {
        const int64_t columns = rows - row < panels::COLUMNS ? rows - row : panels::COLUMNS;
        panels::interleave(r.scores + row * CELLS, CELLS, columns, r.weights + row * CELLS);
    }
    multiply<panels::Tiles<false>>({
        part.count,
        reinterpret_cast<const char *>(r.values),
        CELLS * sizeof(float),
        a.value_length,
        reinterpret_cast<const char *>(r.weights),
        CELLS * sizeof(float),
        rows,
        r.sums,
        static_cast<size_t>(a.value_length),
    });
}

inline void attend(const slm::ManyAttention & a, float * at) {
    const int64_t rows = a.tokens * a.heads;
    const Room r(at, rows, a.key_length, a.value_length);
    interleave_queries(a, r.queries);
    memset(r.sums, 0, rows * a.value_length * sizeof(float));
    // Scores behind the last cell are left from an earlier part, finite, and masked.
    memset(r.scores, 0, rows * CELLS * sizeof(float));
    for (int64_t row = 0; row < rows; row++) {
        r.peaks[row] = -INFINITY;
        r.totals[row] = 0.0f;
    }
    Part part;
    for (int64_t cell = 0; cell < a.cells; cell += attention::WORD) {
        for (uint32_t bits = seen(a, cell); bits != 0; bits &= bits - 1) {
            part.at[part.count++] = cell + __builtin_ctz(bits);
            if (part.count == CELLS) {
                attend_part(a, r, part);
                part.count = 0;
            }
        }
    }
    if (part.count > 0) {
        attend_part(a, r, part);
    }
    for (int64_t row = 0; row < rows; row++) {
        float * const out = a.out + row / a.heads * a.out_token_stride + row % a.heads * a.value_length;
        // With all cells masked the sum is 0.
        const float factor = r.totals[row] == 0.0f ? 0.0f : 1.0f / r.totals[row];
        for (int64_t i = 0; i < a.value_length; i += LANES) {
            store(out + i, multiply(load(r.sums + row * a.value_length + i), all(factor)));
        }
    }
}

} // namespace attention_many

} // namespace

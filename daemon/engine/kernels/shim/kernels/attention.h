// Attention of one token, for the query heads that share a KV head.
//
// llama.cpp tests the mask cell by cell, for each head. Here masked cells are skipped 32 at a time, a key and a value are read once for
// all heads, and sums are in F32 throughout.
// Softmax is computed over blocks of cells with a running maximum, see Milakov and Gimelshein, arXiv:1805.02867.

#pragma once

#include "lanes.h"

#include <math.h>

namespace {

namespace attention {

// Cells whose scores are computed before their values are added.
constexpr int BLOCK = 64;

// Cells of the mask that are tested together.
constexpr int WORD = 32;

// Minus infinity in F16.
constexpr uint16_t MASKED = 0xfc00;

// Heads whose sums fit the registers.
constexpr int MOST_HEADS = LANES == 16 ? 4 : 2;

// Registers of values at once.
constexpr int SLICE = 4;

// Unmasked cells, and the mask's values for them.
struct Cells {
    int count = 0;
    int64_t at[BLOCK + 4];
    float mask[BLOCK + 4];

    void add(int64_t cell, const uint16_t * halves) {
        at[count] = cell;
        mask[count] = halves ? _cvtsh_ss(halves[cell]) : 0.0f;
        count++;
    }
};

// A bit for each unmasked cell of 32.
inline uint32_t open(const uint16_t * mask) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
    return _mm512_cmpneq_epi16_mask(_mm512_loadu_si512(mask), _mm512_set1_epi16(static_cast<short>(MASKED)));
#else
    const __m256i masked = _mm256_set1_epi16(static_cast<short>(MASKED));
    const auto equal = [masked](const uint16_t * at) {
        return _mm256_cmpeq_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(at)), masked);
    };
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi16(equal(mask), equal(mask + 16)), 0xd8);
    return ~static_cast<uint32_t>(_mm256_movemask_epi8(both));
#endif
}

// A bit for each unmasked cell of the next 32 or fewer.
inline uint32_t open_from(const slm::Attention & a, int64_t cell) {
    const int64_t width = a.end - cell;
    if (width >= WORD) {
        return a.mask == nullptr ? ~0u : open(a.mask + cell);
    }
    uint32_t bits = 0;
    for (int64_t i = 0; i < width; i++) {
        if (a.mask == nullptr || a.mask[cell + i] != MASKED) {
            bits |= 1u << i;
        }
    }
    return bits;
}

// The cell behind `count` unmasked ones.
inline int64_t pass_over(const slm::Attention & a, int64_t cell, int64_t count) {
    for (; cell < a.end; cell += WORD) {
        uint32_t bits = open_from(a, cell);
        const int there = __builtin_popcount(bits);
        if (there > count) {
            for (; count > 0; count--) {
                bits &= bits - 1;
            }
            return cell + __builtin_ctz(bits);
        }
        count -= there;
    }
    return a.end;
}

// Collects the next unmasked cells from `cell` on.
inline void gather(const slm::Attention & a, int64_t & cell, int64_t count, Cells & cells) {
    cells.count = 0;
    while (cell < a.end && cells.count < count) {
        uint32_t bits = open_from(a, cell);
        int64_t behind = cell + WORD;
        for (; bits != 0 && cells.count < count; bits &= bits - 1) {
            behind = cell + __builtin_ctz(bits);
            cells.add(behind++, a.mask);
        }
        cell = bits == 0 ? cell + WORD : behind;
    }
}

template <int HEADS> struct State {
    float peak[HEADS];   // the largest score
    float sum[HEADS];    // of e^(score - peak)
    float fading[HEADS]; // factor for the earlier sums after the maximum rose
    float scores[HEADS][BLOCK];
};

// Scores of a block, and from them the weights of its values.
template <int HEADS> inline void weigh(const slm::Attention & a, int first_head, Cells & cells, State<HEADS> & state) {
    // Up to a multiple of four, the last one again; its weights become 0.
    const int padded = (cells.count + 3) / 4 * 4;
    for (int i = cells.count; i < padded; i++) {
        cells.at[i] = cells.at[cells.count - 1];
        cells.mask[i] = -INFINITY;
    }
    for (int c = 0; c < padded; c += 4) {
        const char * keys[4];
        Lanes products[HEADS][4];
        for (int i = 0; i < 4; i++) {
            keys[i] = a.keys + cells.at[c + i] * a.key_stride;
            for (int h = 0; h < HEADS; h++) {
                products[h][i] = zero();
            }
        }
        for (int64_t d = 0; d < a.key_length; d += LANES) {
            Lanes key[4];
            for (int i = 0; i < 4; i++) {
                key[i] = load_halves(keys[i] + d * 2);
            }
            for (int h = 0; h < HEADS; h++) {
                const Lanes query = load(reinterpret_cast<const float *>(a.queries + (first_head + h) * a.query_stride) + d);
                for (int i = 0; i < 4; i++) {
                    products[h][i] = fma(key[i], query, products[h][i]);
                }
            }
        }
        const __m128 mask = _mm_loadu_ps(cells.mask + c);
        for (int h = 0; h < HEADS; h++) {
            const __m128 score = sums(products[h][0], products[h][1], products[h][2], products[h][3]);
            _mm_storeu_ps(state.scores[h] + c, _mm_fmadd_ps(score, _mm_set1_ps(a.scale), mask));
        }
    }
    // Up to whole registers.
    const int whole = (padded + LANES - 1) / LANES * LANES;
    for (int h = 0; h < HEADS; h++) {
        float * const scores = state.scores[h];
        for (int c = cells.count; c < whole; c++) {
            scores[c] = -INFINITY;
        }
        Lanes largest = all(state.peak[h]);
        for (int c = 0; c < whole; c += LANES) {
            // A NaN score does not change the maximum; its weight is NaN, and so is the result.
            largest = larger(load(scores + c), largest);
        }
        const float peak = maximum(fold_larger(largest));
        state.fading[h] = state.peak[h] == peak ? 1.0f : expf(state.peak[h] - peak);
        state.peak[h] = peak;
        for (int c = 0; c < whole; c += LANES) {
            store(scores + c, exponential(subtract(load(scores + c), all(peak))));
        }
        for (int c = cells.count; c < whole; c++) {
            scores[c] = 0.0f;
        }
        Lanes total = zero();
        for (int c = 0; c < whole; c += LANES) {
            total = ::add(load(scores + c), total);
        }
        state.sum[h] = state.sum[h] * state.fading[h] + sum(fold(total));
    }
}

// Adds some registers' width of the values of a block.
template <int HEADS, int WIDTH>
inline void add(const slm::Attention & a, int first_head, const Cells & cells, const State<HEADS> & state, int64_t d) {
    Lanes totals[HEADS][WIDTH];
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < WIDTH; i++) {
            totals[h][i] = multiply(load(a.out + (first_head + h) * a.out_stride + d + i * LANES), all(state.fading[h]));
        }
    }
    for (int c = 0; c < cells.count; c++) {
        const char * const from = a.values + cells.at[c] * a.value_stride + d * 2;
        Lanes values[WIDTH];
        for (int i = 0; i < WIDTH; i++) {
            values[i] = load_halves(from + i * LANES * 2);
        }
        for (int h = 0; h < HEADS; h++) {
            const Lanes weight = all(state.scores[h][c]);
            for (int i = 0; i < WIDTH; i++) {
                totals[h][i] = fma(values[i], weight, totals[h][i]);
            }
        }
    }
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < WIDTH; i++) {
            store(a.out + (first_head + h) * a.out_stride + d + i * LANES, totals[h][i]);
        }
    }
}

// All blocks but the last are full, so masked cells in between do not change the sums. Returns the next unmasked cell.
template <int HEADS> inline int64_t heads(const slm::Attention & a, int first_head) {
    State<HEADS> state;
    for (int h = 0; h < HEADS; h++) {
        state.peak[h] = -INFINITY;
        state.sum[h] = 0.0f;
        memset(a.out + (first_head + h) * a.out_stride, 0, a.value_length * sizeof(float));
    }
    Cells cells;
    int64_t cell = pass_over(a, a.begin, a.skip);
    for (int64_t left = a.most; left > 0 && cell < a.end; left -= cells.count) {
        gather(a, cell, left < BLOCK ? left : BLOCK, cells);
        if (cells.count == 0) {
            break;
        }
        weigh<HEADS>(a, first_head, cells, state);
        int64_t d = 0;
        for (; d + SLICE * LANES <= a.value_length; d += SLICE * LANES) {
            add<HEADS, SLICE>(a, first_head, cells, state, d);
        }
        for (; d < a.value_length; d += LANES) {
            add<HEADS, 1>(a, first_head, cells, state, d);
        }
    }
    for (int h = 0; h < HEADS; h++) {
        a.peaks[first_head + h] = state.peak[h];
        a.sums[first_head + h] = state.sum[h];
    }
    return pass_over(a, cell, 0);
}

inline int64_t attend(const slm::Attention & a) {
    int64_t next = a.end;
    int head = 0;
    for (; head + MOST_HEADS <= a.heads; head += MOST_HEADS) {
        next = heads<MOST_HEADS>(a, head);
    }
    switch (a.heads - head) {
        // With four at once three may be left; with fewer they never are.
        case 3: next = heads<MOST_HEADS == 4 ? 3 : 1>(a, head); break;
        case 2: next = heads<2>(a, head); break;
        case 1: next = heads<1>(a, head); break;
    }
    return next;
}

// to * ours + from * theirs, for a multiple of 16 numbers.
inline void join(float * to, const float * from, int64_t count, float ours, float theirs) {
    for (int64_t i = 0; i < count; i += LANES) {
        store(to + i, fma(load(to + i), all(ours), multiply(load(from + i), all(theirs))));
    }
}

} // namespace attention

} // namespace

// GELU, x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))) / 2, which is x / (1 + e^-u) with u twice what tanh is taken of.
//
// llama.cpp rounds x to a half and looks the result up in a table of halves.

#pragma once

#include "lanes.h"

namespace {

namespace activation {

inline Lanes gelu(Lanes x) {
    const Lanes u = multiply(multiply(x, all(2.0f * 0.797884560802865356f)), fma(multiply(x, x), all(0.044715f), all(1.0f)));
    // Of the larger side of 1 / (1 + e^-u) and 1 / (1 + e^u), e to the power of what is not above 0.
    const Lanes e = exponential(smaller(u, subtract(zero(), u)));
    const Lanes share = divide(all(1.0f), add(all(1.0f), e));
    const Lanes some = multiply(x, where_negative(u, multiply(e, share), share));
    // Far enough below 0 it is nothing, however large x is.
    return where_negative(add(u, all(86.0f)), zero(), some);
}

inline void gelu(const float * from, float * to, int64_t count) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        store(to + i, gelu(load(from + i)));
    }
    if (i < count) {
        float rest[LANES] = {};
        memcpy(rest, from + i, (count - i) * sizeof(float));
        store(rest, gelu(load(rest)));
        memcpy(to + i, rest, (count - i) * sizeof(float));
    }
}

} // namespace activation

} // namespace

// Floats side by side, as many as a register of this instruction set holds.

#pragma once

#include "common.h"

namespace {

#if defined(__AVX512F__) && defined(__AVX512BW__)

using Lanes = __m512;
constexpr int LANES = 16;

inline Lanes zero() { return _mm512_setzero_ps(); }
inline Lanes all(float x) { return _mm512_set1_ps(x); }
inline Lanes load(const float * at) { return _mm512_loadu_ps(at); }
inline Lanes load_halves(const void * at) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i *>(at))); }
inline void store(float * at, Lanes x) { _mm512_storeu_ps(at, x); }
inline Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
inline Lanes subtract(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
inline Lanes multiply(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
inline Lanes divide(Lanes a, Lanes b) { return _mm512_div_ps(a, b); }
// Where one of them is no number, both of these are b.
inline Lanes larger(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
inline Lanes smaller(Lanes a, Lanes b) { return _mm512_min_ps(a, b); }
// a where x is negative, and b elsewhere.
inline Lanes where_negative(Lanes x, Lanes a, Lanes b) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, zero(), _CMP_LT_OQ), b, a); }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
inline Lanes whole(Lanes x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// x times two to the power of n, which is whole.
inline Lanes scale(Lanes x, Lanes n) { return _mm512_scalef_ps(x, n); }

// Replaces numbers converted from F16 by 0 if they are not finite.
inline Lanes where_finite(Lanes x) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(x), all(65504.0f), _CMP_LE_OQ), x); }

inline __m256 fold(Lanes x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
}

inline __m256 fold_larger(Lanes x) {
    return _mm256_max_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
}

#else

using Lanes = __m256;
constexpr int LANES = 8;

inline Lanes zero() { return _mm256_setzero_ps(); }
inline Lanes all(float x) { return _mm256_set1_ps(x); }
inline Lanes load(const float * at) { return _mm256_loadu_ps(at); }
inline Lanes load_halves(const void * at) { return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i *>(at))); }
inline void store(float * at, Lanes x) { _mm256_storeu_ps(at, x); }
inline Lanes add(Lanes a, Lanes b) { return _mm256_add_ps(a, b); }
inline Lanes subtract(Lanes a, Lanes b) { return _mm256_sub_ps(a, b); }
inline Lanes multiply(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
inline Lanes divide(Lanes a, Lanes b) { return _mm256_div_ps(a, b); }
inline Lanes larger(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }
inline Lanes smaller(Lanes a, Lanes b) { return _mm256_min_ps(a, b); }
// a where x is negative, and b elsewhere.
inline Lanes where_negative(Lanes x, Lanes a, Lanes b) { return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, zero(), _CMP_LT_OQ)); }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
inline Lanes whole(Lanes x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// x times two to the power of n, which is whole and at least -126.
inline Lanes scale(Lanes x, Lanes n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(exponent));
}

// Replaces numbers converted from F16 by 0 if they are not finite.
inline Lanes where_finite(Lanes x) {
    const __m256 size = _mm256_andnot_ps(all(-0.0f), x);
    return _mm256_and_ps(_mm256_cmp_ps(size, all(65504.0f), _CMP_LE_OQ), x);
}

inline __m256 fold(Lanes x) { return x; }
inline __m256 fold_larger(Lanes x) { return x; }

#endif

inline float maximum(__m256 x) {
    __m128 y = _mm_max_ps(_mm256_extractf128_ps(x, 1), _mm256_castps256_ps128(x));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

inline __m128 fold_twice(Lanes x) {
    const __m256 y = fold(x);
    return _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
}

// The sums of four, each in the order in which llama.cpp adds one.
inline __m128 sums(Lanes a, Lanes b, Lanes c, Lanes d) {
    const auto fold_both = [](__m128 x, __m128 y) { return _mm_add_ps(_mm_movelh_ps(x, y), _mm_movehl_ps(y, x)); };
    return _mm_hadd_ps(fold_both(fold_twice(a), fold_twice(b)), fold_both(fold_twice(c), fold_twice(d)));
}

// e to the power of numbers that are not above 0, to about one unit in the last place, and that of -86 for all below: 4.5e-38. Of what is
// no number it makes none.
// e^x = 2^n * e^r with |r| <= ln(2)/2; the polynomial for e^r is that of Cephes' `expf`, and so is ln(2) in two parts.
inline Lanes exponential(Lanes x) {
    x = larger(all(-86.0f), x);
    const Lanes n = whole(multiply(x, all(1.44269504088896341f)));
    const Lanes r = fma(n, all(2.12194440e-4f), fma(n, all(-0.693359375f), x));
    const float coefficients[] = { 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f };
    Lanes p = all(1.9875691500e-4f);
    for (const float coefficient : coefficients) {
        p = fma(p, r, all(coefficient));
    }
    return scale(fma(multiply(r, r), p, add(r, all(1.0f))), n);
}

} // namespace

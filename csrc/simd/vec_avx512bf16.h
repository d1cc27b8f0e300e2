/* vec_avx512bf16.h - AVX-512 as in vec_avx512.h, and its product of pairs of bfloat16. */

/* There is a vf_dot_bf16. Without one, products are those of the numbers made float32. */
#define VF_DOT_BF16
#include "vec_avx512.h"

/* acc + x[2 l + 1] y[2 l + 1] + x[2 l] y[2 l] in every lane l: the lanes of x and y hold two bfloat16 each. Rounds to
 * nearest after each of the two, takes subnormals for zero and leaves none. */
RGZ_INLINE vf vf_dot_bf16(vf acc, vf x, vf y) { return _mm512_dpbf16_ps(acc, (__m512bh)x, (__m512bh)y); }

/* Pairs of the first n of both, odd NULL for zeros. */
RGZ_INLINE vf vf_pairs_bf16_n(const uint16_t *even, const uint16_t *odd, rgz_int n) {
    const __m512i low = _mm512_cvtepu16_epi32(half_load_n(even, n));
    if (!odd) return _mm512_castsi512_ps(low);
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepu16_epi32(half_load_n(odd, n)), 16)));
}

/* The pairs of 2 VLEN of both, all there. */
RGZ_INLINE void vf_store_pairs_bf16(float *to, const uint16_t *even, const uint16_t *odd) {
    const __m512i x = _mm512_loadu_si512(even), y = _mm512_loadu_si512(odd);
    /* number 2 l of the result is x[l], number 2 l + 1 is y[l], the 32nd of both */
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(VLEN));
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(x, first, y));
    _mm512_storeu_si512(to + VLEN, _mm512_permutex2var_epi16(x, second, y));
}

/* The lanes of x, then those of y, as bfloat16: to nearest even, subnormals to 0, for which the product takes them. */
RGZ_INLINE vf vf_two_bf16(vf x, vf y) { return (vf)_mm512_cvtne2ps_pbh(y, x); }
RGZ_INLINE void vf_store_two_bf16(float *x, float *y, vf two) {
    _mm256_storeu_ps(x, _mm512_castps512_ps256(two));
    _mm256_storeu_ps(y, _mm512_extractf32x8_ps(two, 1));
}
/* The pairs of the two. */
RGZ_INLINE vf vf_pairs_of_two_bf16(vf two) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, _mm512_castps_si512(two)));
}

/* vec_avx512bf16.h - AVX-512 as in vec_avx512.h, and its product of pairs of bfloat16. */
#include "vec_avx512.h"

/* acc + x[2 l + 1] y[2 l + 1] + x[2 l] y[2 l] in every lane l: the lanes of x and y hold two bfloat16 each. Rounds to
 * nearest after each of the two, takes subnormals for zero and leaves none. Without such an instruction products are
 * those of the numbers made float32. */
#define VF_DOT_BF16
RGZ_INLINE vf vf_dot_bf16(vf acc, vf x, vf y) { return _mm512_dpbf16_ps(acc, (__m512bh)x, (__m512bh)y); }

/* Pairs of the first n of both, odd NULL for zeros. */
RGZ_INLINE vf vf_pairs_bf16_n(const uint16_t *even, const uint16_t *odd, rgz_int n) {
    const __m512i low = _mm512_cvtepu16_epi32(half_load_n(even, n));
    if (!odd) return _mm512_castsi512_ps(low);
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepu16_epi32(half_load_n(odd, n)), 16)));
}

/* vec_neonbf16.h - NEON as in vec_neon.h, its products of bfloat16 (BFDOT and BFMMLA of Armv8.6) and of float16 (FMLAL
 * of Armv8.4). */
#include "vec_neon.h"

#define VF_BFMMLA /* see tile_bfmmla.h */
#define VF_FMLAL  /* see tile_fmlal.h */

/* As in vec_avx512bf16.h, but the two products are added to one another first, and every sum is rounded to odd: off by
 * less than a unit of the last place instead of half a one. A term meets half as many sums: n terms are off by no more
 * than rounded to nearest one by one. */
#define VF_DOT_BF16
RGZ_INLINE vf vf_dot_bf16(vf acc, vf x, vf y) {
    return vbfdotq_f32(acc, vreinterpretq_bf16_f32(x), vreinterpretq_bf16_f32(y));
}

/* Pairs of the first n of both, odd NULL for zeros. */
RGZ_INLINE vf vf_pairs_bf16_n(const uint16_t *even, const uint16_t *odd, rgz_int n) {
    const uint32x4_t low = vmovl_u16(half_load_n(even, n));
    return vreinterpretq_f32_u32(odd ? vorrq_u32(low, vshll_n_u16(half_load_n(odd, n), 16)) : low);
}

/* The pairs of 2 VLEN of both, all there. */
RGZ_INLINE void vf_store_pairs_bf16(float *to, const uint16_t *even, const uint16_t *odd) {
    const uint16x8_t x = vld1q_u16(even), y = vld1q_u16(odd);
    vf_store(to, vreinterpretq_f32_u16(vzip1q_u16(x, y)));
    vf_store(to + VLEN, vreinterpretq_f32_u16(vzip2q_u16(x, y)));
}

/* The lanes of x, then those of y, as bfloat16, rounded to nearest even. */
RGZ_INLINE vf vf_two_bf16(vf x, vf y) { return vreinterpretq_f32_u16(vcombine_u16(bf16_of(x), bf16_of(y))); }
RGZ_INLINE void vf_store_two_bf16(float *x, float *y, vf two) {
    vst1_f32(x, vget_low_f32(two));
    vst1_f32(y, vget_high_f32(two));
}
/* The pairs of the two. */
RGZ_INLINE vf vf_pairs_of_two_bf16(vf two) {
    const uint16x8_t xy = vreinterpretq_u16_f32(two);
    const uint16x4x2_t pairs = vzip_u16(vget_low_u16(xy), vget_high_u16(xy));
    return vreinterpretq_f32_u16(vcombine_u16(pairs.val[0], pairs.val[1]));
}

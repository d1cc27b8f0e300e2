/* unit.h - what a lane of a product multiplies: a number as float32, or, where an instruction multiplies them, a pair
 * of bfloat16 of k = 2p and 2p + 1. Where k is odd the last pair ends with zero.
 */
#ifndef RGZ_UNIT_H
#define RGZ_UNIT_H

#if RGZ_STORAGE == RGZ_BF16 && defined(VF_DOT_BF16)
#define UNIT 2
RGZ_INLINE vf unit_multiply_add(vf x, vf y, vf z) { return vf_dot_bf16(z, x, y); }
RGZ_INLINE vf units_of(const rgz_real *even, const rgz_real *odd, rgz_int n) { return vf_pairs_bf16_n(even, odd, n); }
RGZ_INLINE void store_units(float *to, const rgz_real *even, const rgz_real *odd) {
    vf_store_pairs_bf16(to, even, odd);
}
#else
#define UNIT 1
RGZ_INLINE vf unit_multiply_add(vf x, vf y, vf z) { return vf_fma(x, y, z); }
RGZ_INLINE vf units_of(const rgz_real *x, const rgz_real *odd, rgz_int n) { return (void)odd, vr_load_n(x, n); }
RGZ_INLINE void store_units(float *to, const rgz_real *x, const rgz_real *odd) {
    (void)odd;
    vf_store(to, vr_load(x));
    vf_store(to + VLEN, vr_load(x + VLEN));
}
#endif

/* A product's loop over units. AVX2's is so short that where its code happens to lie costs up to an eighth: four of its
 * bodies in a row do not show that. */
#if VLEN == 8
#define FOR_UNITS(p, units) _Pragma("GCC unroll 4") for (rgz_int p = 0; p < (units); p++)
#else
#define FOR_UNITS(p, units) for (rgz_int p = 0; p < (units); p++)
#endif

RGZ_INLINE rgz_int units_in(rgz_int n) { return rgz_blocks(n, UNIT); }

#endif

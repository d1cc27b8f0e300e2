/* pack.h - copies of the operands of a product in the order in which it reads them.
 *
 * What a lane multiplies is a unit: a number as float32, or, where an instruction multiplies them, a pair of bfloat16
 * of k = 2p and 2p + 1. Where the depth is odd the last pair ends with zero.
 */
#ifndef RGZ_PACK_H
#define RGZ_PACK_H

#include "transpose.h"

#if RGZ_STORAGE == RGZ_BF16 && defined(VF_DOT_BF16)
#define UNIT 2
RGZ_INLINE vf unit_multiply_add(vf x, vf y, vf z) { return vf_dot_bf16(z, x, y); }
RGZ_INLINE vf units_of(const rgz_real *even, const rgz_real *odd, rgz_int n) { return vf_pairs_bf16_n(even, odd, n); }
enum { TRANSPOSE_UNITS = TRANSPOSE_BITS };
#else
#define UNIT 1
RGZ_INLINE vf unit_multiply_add(vf x, vf y, vf z) { return vf_fma(x, y, z); }
RGZ_INLINE vf units_of(const rgz_real *x, const rgz_real *odd, rgz_int n) { return (void)odd, vr_load_n(x, n); }
enum { TRANSPOSE_UNITS = TRANSPOSE_REALS };
#endif

/* Vectors [0, n) of k = [0, depth) as panels [vector / wide][unit][wide], zeros beyond. Those of `across` lie a row
 * apart each, k along the row; otherwise k is the number of the row. ld: numbers from one stored row to the next. */
RGZ_INLINE void pack(float *RGZ_RESTRICT panels, const rgz_int wide, const rgz_real *RGZ_RESTRICT x, rgz_int ld,
                     int across, rgz_int depth, rgz_int n) {
    enum { ROWS = 8 }; /* read together from nearby cache lines, before the next panel's turn */
    const rgz_int units = rgz_blocks(depth, UNIT), whole = depth / UNIT, ragged = n / wide * wide;
    if (ragged < n) memset(panels + ragged * units, 0, (size_t)(units * wide) * sizeof *panels);
    if (across) {
        for (rgz_int j = 0; j < n; j += wide) {
            const rgz_int there = rgz_min(wide, n - j);
            float *panel = panels + j * units;
            transpose_columns(TRANSPOSE_UNITS, panel, wide, (const char *)(x + j * ld), ld * (rgz_int)sizeof *x, there,
                              whole);
            for (rgz_int i = 0; i < there && whole < units; i++)
                vf_store_n(panel + whole * wide + i, units_of(x + (j + i) * ld + depth - 1, NULL, 1), 1);
        }
        return;
    }
    for (rgz_int u0 = 0; u0 < units; u0 += ROWS)
        for (rgz_int j = 0; j < n; j += wide)
            for (rgz_int u = u0; u < rgz_min(u0 + ROWS, units); u++)
                RGZ_FOR_VECTORS (i, lanes, rgz_min(wide, n - j)) { /* loads may be whole where stores may not */
                    const rgz_real *even = x + u * UNIT * ld + j + i, *odd = u < whole ? even + ld : NULL;
                    vf_store_n(panels + j * units + u * wide + i, units_of(even, odd, n - j - i), lanes);
                }
}

#endif

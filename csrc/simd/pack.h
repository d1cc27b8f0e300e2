/* pack.h - copies of the operands of a product in the order in which it reads them, in units (unit.h). */
#ifndef RGZ_PACK_H
#define RGZ_PACK_H

#include "transpose.h"
#include "unit.h"

enum { TRANSPOSE_UNITS = UNIT == 2 ? TRANSPOSE_BITS : TRANSPOSE_REALS };

/* One unit of `there` vectors side by side; odd NULL: the last one of an odd depth. Loads may be whole, of numbers that
 * are there in the matrix (`readable` from even), where stores may not. */
RGZ_INLINE void pack_across(float *to, const rgz_real *even, const rgz_real *odd, const rgz_int there,
                            rgz_int readable) {
    rgz_int i = 0;
    for (; odd && i + 2 * VLEN <= there; i += 2 * VLEN) store_units(to + i, even + i, odd + i);
    for (; i < there; i += VLEN)
        vf_store_n(to + i, units_of(even + i, odd ? odd + i : NULL, readable - i), rgz_min(VLEN, there - i));
}

/* Vectors [0, n) of k = [0, depth) as panels [vector / wide][unit][wide], zeros beyond. Those of `across` lie a row
 * apart each, k along the row; otherwise k is the number of the row. ld: numbers from one stored row to the next. */
RGZ_INLINE void pack(float *RGZ_RESTRICT panels, const rgz_int wide, const rgz_real *RGZ_RESTRICT x, rgz_int ld,
                     int across, rgz_int depth, rgz_int n) {
    enum { ROWS = 8 }; /* read together from nearby cache lines, before the next panel's turn; the next are asked for */
    const rgz_int units = units_in(depth), whole = depth / UNIT, ragged = n / wide * wide;
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
            for (rgz_int u = u0; u < rgz_min(u0 + ROWS, units); u++) {
                const rgz_real *even = x + u * UNIT * ld + j, *odd = u < whole ? even + ld : NULL;
                float *to = panels + j * units + u * wide;
                for (rgz_int row = 0; row < UNIT; row++) /* past the end too: that is harmless */
                    RGZ_PREFETCH_READ((uintptr_t)even + (ROWS * UNIT + row) * ld * (rgz_int)sizeof *x);
                if (odd && n - j >= wide) /* the usual case, with loops of known length */
                    pack_across(to, even, odd, wide, n - j);
                else
                    pack_across(to, even, odd, rgz_min(wide, n - j), n - j);
            }
}

#endif

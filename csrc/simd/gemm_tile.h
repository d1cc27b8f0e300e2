/* gemm_tile.h - what a register tile of the packed product multiplies, how it is copied together and how it is summed.
 *
 * A strip or panel holds units of GEMM_UNIT numbers of k, GEMM_UNIT_BYTES each: [unit][vector]. Mostly these are the
 * units of unit.h; two headers have others for instructions that take more.
 */
#ifndef RGZ_GEMM_TILE_H
#define RGZ_GEMM_TILE_H

#include "pack.h"

#define GEMM_PANEL (MM_VECTORS * VLEN) /* columns of a panel */

/* Rows of a, by strips of MM_ROWS: copied together, or where tiles read them (GEMM_READS_ROWS) as they lie. */
typedef struct {
    const void *at;
    rgz_int row, next, strip; /* bytes from a row, a unit, a strip to the next */
} gemm_rows;

/* What is asked for while tiles are multiplied: of rows `stride` bytes apart the first `bytes`, so many lines for every
 * line of units. Counting the rows would cost the loop more than to ask for some that are not there: that is harmless.
 */
typedef struct {
    uintptr_t row;
    rgz_int stride, bytes, lines, asked;
} gemm_wanted;

RGZ_INLINE void ask_for_line(gemm_wanted *w) {
    RGZ_PREFETCH_READ(w->row + (uintptr_t)w->asked);
    w->asked += 64;
    if (w->asked >= w->bytes) {
        w->row += (uintptr_t)w->stride;
        w->asked = 0;
    }
}

/* tile_sums: acc (MM_ROWS, GEMM_PANEL), 0 before, = strip panel; ldp: units from one row of the panel to the next. */
#if RGZ_STORAGE == RGZ_BF16 && defined(VF_BFMMLA)
#include "tile_bfmmla.h"
#elif RGZ_STORAGE == RGZ_F16 && defined(VF_FMLAL)
#include "tile_fmlal.h"
#else

enum { GEMM_UNIT = UNIT, GEMM_UNIT_BYTES = sizeof(float), GEMM_READS_ROWS = UNIT == 2 };

RGZ_INLINE void pack_operand(float *packed, const rgz_int wide, const rgz_real *x, rgz_int ld, int across,
                             rgz_int depth, rgz_int n) {
    pack(packed, wide, x, ld, across, depth, n);
}

#if UNIT == 2
#include "tile_pairs.h"
#elif defined(VF_LANES)
#include "tile_lanes.h"
#else
RGZ_INLINE void tile_sums(vf acc[MM_ROWS][MM_VECTORS], gemm_rows a, const float *panel, rgz_int ldp, rgz_int units,
                          gemm_wanted *wanted) {
    (void)wanted;
    const float *strip = a.at;
    FOR_UNITS (p, units) {
        vf b[MM_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) b[v] = vf_load(panel + p * ldp + v * VLEN);
#pragma GCC unroll 16
        for (int i = 0; i < MM_ROWS; i++) {
            const vf x = vf_set1(strip[p * MM_ROWS + i]);
#pragma GCC unroll 4
            for (int v = 0; v < MM_VECTORS; v++) acc[i][v] = unit_multiply_add(x, b[v], acc[i][v]);
        }
    }
}
#endif

#endif

/* Floats of so many units. Strips and panels are even, so that it comes out whole for units of two bytes, too. */
RGZ_INLINE rgz_int floats_of(rgz_int units) { return units * GEMM_UNIT_BYTES / (rgz_int)sizeof(float); }
_Static_assert(MM_ROWS % 2 == 0 && GEMM_PANEL % 2 == 0, "strips and panels are whole floats");

#endif

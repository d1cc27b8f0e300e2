/* attention_block.h - what both passes of attention do with one block of queries and keys.
 *
 * A block is up to 96 queries by 96 keys, held transposed (keys down, queries across): then maxima and sums of the
 * softmax run down the block, lane by lane, and no step needs a sum across lanes. Above the diagonal nothing is
 * computed beyond the edge of a register tile.
 * Rows of one head lie a whole model's width apart, mostly a power of two, so that few of them fit in a cache at once:
 * blocks are copied together first, in units (simd/unit.h): float32 whatever the storage, or pairs of bfloat16, along
 * the head or across the rows, whichever a product sums over. Weights p and their gradients ds are rounded to pairs,
 * too, once the softmax is done with them: then out is off by up to 2^-8 sum p |v| besides, dv by 2^-8 sum p |dout|, dq
 * and dk by 2^-8 sum |ds| |k| and 2^-8 sum |ds| |q|. Three blocks of queries at a time (a group) share a copy of each
 * block of keys.
 *
 * A query never learns of a key that it does not see, nor a key of a query that does not see it: their weight is 0.
 * But a register tile of `height` rows multiplies some of them all the same, and 0 times NaN or infinity is NaN. So where
 * a result is not finite the pass is done again with tiles of one row, which end where the row's sight does; the sums
 * have the same terms in the same order otherwise.
 */
#ifndef RGZ_ATTENTION_BLOCK_H
#define RGZ_ATTENTION_BLOCK_H

#include "kernel.h"
#include "simd/block_mm.h"
#include "simd/pack.h"

enum { BLOCK = RGZ_ATTENTION_BLOCK, GROUP = RGZ_ATTENTION_GROUP };

/* One block against which keys are masked: query i of the block sees key j where j <= i + diagonal. */
typedef struct {
    rgz_int queries, keys, diagonal;
} block_shape;

RGZ_INLINE rgz_int padded(rgz_int n) { return rgz_blocks(n, VLEN) * VLEN; } /* BLOCK is a multiple of VLEN */

/* First query that sees key j, and the same rounded down to a vector. */
RGZ_INLINE rgz_int first_query(block_shape b, rgz_int j) { return rgz_min(rgz_max(0, j - b.diagonal), b.queries); }
RGZ_INLINE rgz_int first_lane(block_shape b, rgz_int j) { return first_query(b, j) / VLEN * VLEN; }

/* t (units of head_size, BLOCK) = transpose of n rows, zero past them up to a whole vector. */
static void transpose_rows(float *t, const rgz_real *rows, rgz_int stride, rgz_int n, rgz_int head_size) {
    const rgz_int whole = head_size / UNIT, units = units_in(head_size);
    transpose_columns(TRANSPOSE_UNITS, t, BLOCK, (const char *)rows, stride * (rgz_int)sizeof *rows, n, whole);
    if (whole < units)
        for (rgz_int i = 0; i < n; i++)
            vf_store_n(t + whole * BLOCK + i, units_of(rows + i * stride + head_size - 1, NULL, 1), 1);
    for (rgz_int u = 0; u < units; u++)
        for (rgz_int i = n; i < padded(n); i++) t[u * BLOCK + i] = 0.0f;
}

/* to (n, units of head_size) = n rows, end to end */
RGZ_INLINE void gather_rows(float *RGZ_RESTRICT to, const rgz_real *RGZ_RESTRICT rows, rgz_int stride, rgz_int n,
                            rgz_int head_size) {
    const rgz_int units = units_in(head_size);
    for (rgz_int r = 0; r < n; r++) {
        const rgz_real *row = rows + r * stride;
#if UNIT == 2 /* as they are */
        memcpy(to + r * units, row, (size_t)head_size * sizeof *row);
        if (head_size % 2) memset((char *)(to + r * units) + head_size * (rgz_int)sizeof *row, 0, sizeof *row);
#else
        RGZ_FOR_VECTORS (d, live, units) {
            vf_store_n(to + r * units + d, vr_load_n(row + d, live), live);
        }
#endif
    }
}

/* to (units of n, head_size) = n rows, units across them: what gather_rows makes where a unit is a number */
RGZ_INLINE void gather_across(float *RGZ_RESTRICT to, const rgz_real *RGZ_RESTRICT rows, rgz_int stride, rgz_int n,
                              rgz_int head_size) {
    for (rgz_int u = 0; u < units_in(n); u++) {
        const rgz_real *even = rows + u * UNIT * stride;
        pack_across(to + u * head_size, even, (u + 1) * UNIT <= n ? even + stride : NULL, head_size, head_size);
    }
}

/* s (keys, BLOCK) = rows . t, the products of each key's row with each transposed query, where seen */
RGZ_INLINE void products(float *s, block_shape b, const float *rows, const float *t, rgz_int head_size) {
    const rgz_int units = units_in(head_size);
    for (rgz_int j = 0; j < b.keys; j += MM_ROWS) {
        const rgz_int i = first_lane(b, j);
        mm_strip(rgz_min(MM_ROWS, b.keys - j), padded(b.queries) - i, units, rows + j * units, units, 1, t + i, BLOCK,
                 s + j * BLOCK + i, BLOCK, 0);
    }
}

/* sum (head_size) += p row for one unit of a row that is seen in half: its other half counts as 0. */
static void add_half(float *sum, const float *p, const float *row, rgz_int head_size, uint32_t seen) {
    for (rgz_int d = 0; d < head_size; d++) {
        uint32_t bits;
        float half;
        memcpy(&bits, row + d, sizeof bits);
        bits &= seen;
        memcpy(&half, &bits, sizeof half);
        mm_strip(1, 1, 1, p, 1, 1, &half, 1, sum + d, 1, 1);
    }
}

/* sum (queries, head_size) += or = p^T rows: p (units of keys, BLOCK), rows (units of keys, head_size) */
RGZ_INLINE void sum_over_keys(float *sum, block_shape b, const float *p, const float *rows, rgz_int head_size, int add,
                              rgz_int height) {
    for (rgz_int i = 0; i < b.queries; i += height) {
        const rgz_int n = rgz_min(height, b.queries - i), end = rgz_min(b.keys, i + n + b.diagonal);
        const int half = height == 1 && end < b.keys && end % UNIT; /* the last one of another pair is not seen */
        mm_strip(n, head_size, half ? end / UNIT : units_in(end), p + i, 1, BLOCK, rows, head_size, sum + i * head_size,
                 head_size, add);
        if (half)
            add_half(sum + i * head_size, p + end / UNIT * BLOCK + i, rows + end / UNIT * head_size, head_size,
                     0xffffu);
    }
}

/* sum (keys, head_size) += p rows: p (keys, BLOCK), units along a row, rows (units of queries, head_size) */
RGZ_INLINE void sum_over_queries(float *sum, block_shape b, const float *p, const float *rows, rgz_int head_size,
                                 rgz_int height) {
    for (rgz_int j = 0; j < b.keys; j += height) {
        const rgz_int first = first_query(b, j), half = height == 1 && first % UNIT, u = first / UNIT;
        if (half) add_half(sum + j * head_size, p + j * BLOCK + u, rows + u * head_size, head_size, 0xffff0000u);
        mm_strip(rgz_min(height, b.keys - j), head_size, units_in(b.queries) - u - half, p + j * BLOCK + u + half,
                 BLOCK, 1, rows + (u + half) * head_size, head_size, sum + j * head_size, head_size, 1);
    }
}

/* UNIT vectors of weights as units of keys. */
RGZ_INLINE void store_weights(float *to, const vf *p) {
#if UNIT == 2
    vf_store(to, vf_pairs_of_two_bf16(vf_two_bf16(p[0], p[1])));
#else
    vf_store(to, p[0]);
#endif
}

/* UNIT vectors, of queries from i on, as units of queries: one in each of UNIT rows that begin BLOCK apart. */
RGZ_INLINE void store_rows(float *rows, rgz_int i, const vf *p) {
#if UNIT == 2
    vf_store_two_bf16(rows + i / UNIT, rows + BLOCK + i / UNIT, vf_two_bf16(p[0], p[1]));
#else
    vf_store(rows + i, p[0]);
#endif
}

/* From which query on anybody reads what is there for key j: sums run past what is seen by less than a tile. */
RGZ_INLINE rgz_int first_read(block_shape b, rgz_int j) {
    return rgz_max(0, first_query(b, j) - MM_ROWS) / VLEN * VLEN;
}

/* v with something else in its first n lanes, which may be none or all of them. */
RGZ_INLINE vf without_first(vf v, vf instead, rgz_int n) {
    return n <= 0 ? v : n >= VLEN ? instead : vf_keep_n(instead, v, n);
}

/* 0 for -0: the sign of a sum that vanishes depends on how many of its terms were multiplied by 0. */
RGZ_INLINE vf without_sign(vf v) { return vf_add(v, vf_zero()); }

/* `found`, 0 in every lane, becomes NaN where x is not finite. */
RGZ_INLINE vf find_nonfinite(vf x, vf found) { return vf_fma(x, vf_zero(), found); }
RGZ_INLINE int is_nonfinite(vf found) { return vf_sum(found) != 0.0f; }

#endif

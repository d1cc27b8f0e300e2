/* attention_block.h - what both passes of attention do with one block of queries and keys.
 *
 * A block is up to 96 queries by 96 keys, held transposed (keys down, queries across): then maxima and sums of the
 * softmax run down the block, lane by lane, and no step needs a sum across lanes. Above the diagonal nothing is
 * computed beyond the edge of a register tile.
 * Rows of one head lie a whole model's width apart, mostly a power of two, so that few of them fit in a cache at once:
 * blocks are copied together first, as float32 whatever the storage: all that follows is the same for every storage.
 * Three blocks of queries at a time (a group) share a copy of each block of keys.
 *
 * A query never learns of a key that it does not see, nor a key of a query that does not see it: their weight is 0. But a
 * register tile of `height` rows multiplies some of them all the same, and 0 times NaN or infinity is NaN. So where a
 * result is not finite the pass is done again with tiles of one row, which end where the row's sight does; the sums have
 * the same terms in the same order otherwise.
 */
#ifndef RGZ_ATTENTION_BLOCK_H
#define RGZ_ATTENTION_BLOCK_H

#include "kernel.h"
#include "simd/block_mm.h"
#include "simd/transpose.h"

enum { BLOCK = RGZ_ATTENTION_BLOCK, GROUP = RGZ_ATTENTION_GROUP };

/* One block against which keys are masked: query i of the block sees key j where j <= i + diagonal. */
typedef struct {
    rgz_int queries, keys, diagonal;
} block_shape;

RGZ_INLINE rgz_int padded(rgz_int n) { return rgz_blocks(n, VLEN) * VLEN; } /* BLOCK is a multiple of VLEN */

/* First query that sees key j, and the same rounded down to a vector. */
RGZ_INLINE rgz_int first_query(block_shape b, rgz_int j) { return rgz_min(rgz_max(0, j - b.diagonal), b.queries); }
RGZ_INLINE rgz_int first_lane(block_shape b, rgz_int j) { return first_query(b, j) / VLEN * VLEN; }

/* t (head_size, BLOCK) = transpose of rows (n, head_size), zero past them up to a whole vector. */
static void transpose_rows(float *t, const float *rows, rgz_int n, rgz_int head_size) {
    transpose(t, BLOCK, rows, head_size, n, head_size);
    for (rgz_int d = 0; d < head_size; d++)
        for (rgz_int i = n; i < padded(n); i++) t[d * BLOCK + i] = 0.0f;
}

/* to (n, head_size) = n rows, end to end */
RGZ_INLINE void gather_rows(float *RGZ_RESTRICT to, const rgz_real *RGZ_RESTRICT rows, rgz_int stride, rgz_int n,
                            rgz_int head_size) {
    for (rgz_int r = 0; r < n; r++)
        RGZ_FOR_VECTORS (d, live, head_size) {
            vf_store_n(to + r * head_size + d, vr_load_n(rows + r * stride + d, live), live);
        }
}

/* s (keys, BLOCK) = rows . t, the products of each key's row with each transposed query, where seen */
RGZ_INLINE void products(float *s, block_shape b, const float *rows, const float *t, rgz_int head_size) {
    for (rgz_int j = 0; j < b.keys; j += MM_ROWS) {
        const rgz_int i = first_lane(b, j);
        mm_strip(rgz_min(MM_ROWS, b.keys - j), padded(b.queries) - i, head_size, rows + j * head_size, head_size, 1,
                 t + i, BLOCK, s + j * BLOCK + i, BLOCK, 0);
    }
}

/* sum (queries, head_size) += or = p^T rows, rows those of the keys */
RGZ_INLINE void sum_over_keys(float *sum, block_shape b, const float *p, const float *rows, rgz_int head_size, int add,
                              rgz_int height) {
    for (rgz_int i = 0; i < b.queries; i += height) {
        const rgz_int n = rgz_min(height, b.queries - i);
        mm_strip(n, head_size, rgz_min(b.keys, i + n + b.diagonal), p + i, 1, BLOCK, rows, head_size,
                 sum + i * head_size, head_size, add);
    }
}

/* sum (keys, head_size) += p rows, rows those of the queries */
RGZ_INLINE void sum_over_queries(float *sum, block_shape b, const float *p, const float *rows, rgz_int head_size,
                                 rgz_int height) {
    for (rgz_int j = 0; j < b.keys; j += height) {
        const rgz_int i = first_query(b, j);
        mm_strip(rgz_min(height, b.keys - j), head_size, b.queries - i, p + j * BLOCK + i, BLOCK, 1,
                 rows + i * head_size, head_size, sum + j * head_size, head_size, 1);
    }
}

/* Writes value where a query does not see a key, as far as anybody reads there: the products run past what is seen by
 * less than a register tile, the softmax by less than a vector besides. */
RGZ_INLINE void fill_unseen(float *s, block_shape b, float value) {
    for (rgz_int j = 0; j < b.keys; j++) {
        const rgz_int end = first_query(b, j);
        for (rgz_int i = rgz_max(0, end - MM_ROWS - VLEN) / VLEN * VLEN; i < end; i += VLEN)
            vf_store_n(s + j * BLOCK + i, vf_set1(value), rgz_min(VLEN, end - i));
    }
}

/* `found`, 0 in every lane, becomes NaN where x is not finite. */
RGZ_INLINE vf find_nonfinite(vf x, vf found) { return vf_fma(x, vf_zero(), found); }
RGZ_INLINE int is_nonfinite(vf found) { return vf_sum(found) != 0.0f; }

#endif

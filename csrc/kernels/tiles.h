/* tiles.h - how a matrix product is cut into tiles that threads take one by one, and what computes a tile.
 * Boundaries depend on shapes only.
 */
#ifndef RGZ_TILES_H
#define RGZ_TILES_H

#include "gemm.h"
#include "kernel.h"
#include "simd/block_mm.h"

/* Without SciPy: the same product in C. b is packed in panels of 128 x 64 on the stack, which mm then reads. */
static void own_gemm(int a_trans, int b_trans, rgz_int m, rgz_int n, rgz_int k, const float *a, rgz_int lda,
                     const float *b, rgz_int ldb, float *c, rgz_int ldc, int add) {
    enum { DEPTH = 128, WIDTH = 64 };
    float panel[DEPTH * WIDTH];
    if (k == 0 && !add)
        for (rgz_int i = 0; i < m; i++) memset(c + i * ldc, 0, (size_t)n * sizeof *c);
    for (rgz_int p0 = 0; p0 < k; p0 += DEPTH)
        for (rgz_int j0 = 0; j0 < n; j0 += WIDTH) {
            const rgz_int depth = rgz_min(DEPTH, k - p0), width = rgz_min(WIDTH, n - j0);
            for (rgz_int p = 0; p < depth; p++)
                for (rgz_int j = 0; j < width; j++)
                    panel[p * WIDTH + j] = b_trans ? b[(j0 + j) * ldb + p0 + p] : b[(p0 + p) * ldb + j0 + j];
            mm(m, width, depth, a + p0 * (a_trans ? lda : 1), a_trans ? 1 : lda, a_trans ? lda : 1, panel, WIDTH,
               c + j0, ldc, add || p0 > 0);
        }
}

RGZ_INLINE rgz_gemm_fn *tile_gemm(void) {
    rgz_gemm_fn *borrowed = rgz_borrowed_gemm();
    return borrowed ? borrowed : own_gemm;
}

/* An (m, n) output in tiles of height x width. */
typedef struct {
    rgz_int m, n, height, width, across, count;
} tiling;

/* Large tiles read their operands fewer times, small ones keep many threads busy: halve the longer side, down to
 * 128, until there are 16 tiles (benches/test_tiles.py holds up these numbers). */
RGZ_INLINE tiling tile(rgz_int m, rgz_int n) {
    enum { LARGEST = 512, SMALLEST = 128, ENOUGH = 16 };
    rgz_int height = rgz_min(LARGEST, rgz_max(m, 1)), width = rgz_min(LARGEST, rgz_max(n, 1));
    while (rgz_blocks(m, height) * rgz_blocks(n, width) < ENOUGH && rgz_max(height, width) > SMALLEST) {
        if (height >= width)
            height = (height + 1) / 2;
        else
            width = (width + 1) / 2;
    }
    tiling t = {m, n, height, width, rgz_blocks(n, width), rgz_blocks(m, height) * rgz_blocks(n, width)};
    return t;
}

typedef struct {
    rgz_int row, col, rows, cols;
} tile_place;

RGZ_INLINE tile_place tile_at(const tiling *t, rgz_int index) {
    tile_place p = {index / t->across * t->height, index % t->across * t->width, 0, 0};
    p.rows = rgz_min(t->height, t->m - p.row);
    p.cols = rgz_min(t->width, t->n - p.col);
    return p;
}

/* One tile of y (rows, out) = x (rows, in) weight (out, in)^T + bias + residual: the tile starts as bias + residual
 * and the product is added to it, which costs no more than the zeroing that sgemm would do itself. */
RGZ_INLINE void linear_tile(tile_place p, float *y, const float *x, const float *weight, const float *bias,
                            const float *residual, rgz_int in, rgz_int out) {
    float *tile_y = y + p.row * out + p.col;
    if (bias || residual)
        for (rgz_int r = 0; r < p.rows; r++) {
            float *row = tile_y + r * out;
            const float *from = residual ? residual + (p.row + r) * out + p.col : NULL;
            RGZ_FOR_VECTORS (c, live, p.cols) {
                vf v = from ? vf_load_n(from + c, live) : vf_zero();
                if (bias) v = vf_add(v, vf_load_n(bias + p.col + c, live));
                vf_store_n(row + c, v, live);
            }
        }
    tile_gemm()(0, 1, p.rows, p.cols, in, x + p.row * in, in, weight + p.col * in, in, tile_y, out, bias || residual);
}

/* ADDS the sums over rows of dy (rows, out) to dbias for columns [col, col + cols). */
RGZ_INLINE void bias_gradient(float *dbias, const float *dy, rgz_int rows, rgz_int out, rgz_int col, rgz_int cols) {
    RGZ_FOR_VECTORS (c, live, cols) {
        vf sum = vf_load_n(dbias + col + c, live);
        for (rgz_int r = 0; r < rows; r++) sum = vf_add(sum, vf_load_n(dy + r * out + col + c, live));
        vf_store_n(dbias + col + c, sum, live);
    }
}

#endif

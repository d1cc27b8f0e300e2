/* tiles.h - how a matrix product is cut into tiles that threads take one by one, and what computes a tile.
 *
 * Our own product gives an element the same bits however the matrix is cut, so tiles may suit the number of threads.
 * The borrowed sgemm promises nothing of the kind: its tiles depend on shapes only.
 */
#ifndef RGZ_TILES_H
#define RGZ_TILES_H

#include "kernel.h"
#include "simd/packed_gemm.h"

/* An (m, n) output in tiles of height x width. */
typedef struct {
    rgz_int m, n, height, width, across, count;
} tiling;

RGZ_INLINE tiling tiles_of(rgz_int m, rgz_int n, rgz_int height, rgz_int width) {
    tiling t = {m, n, height, width, rgz_blocks(n, width), rgz_blocks(m, height) * rgz_blocks(n, width)};
    return t;
}

/* For the borrowed sgemm. Large tiles read their operands fewer times, small ones keep many threads busy: halve the
 * longer side, down to 128, until there are 16 tiles. */
RGZ_INLINE tiling tile_by_shape(rgz_int m, rgz_int n) {
    enum { LARGEST = 512, SMALLEST = 128, ENOUGH = 16 };
    rgz_int height = rgz_min(LARGEST, rgz_max(m, 1)), width = rgz_min(LARGEST, rgz_max(n, 1));
    while (rgz_blocks(m, height) * rgz_blocks(n, width) < ENOUGH && rgz_max(height, width) > SMALLEST) {
        if (height >= width)
            height = (height + 1) / 2;
        else
            width = (width + 1) / 2;
    }
    return tiles_of(m, n, height, width);
}

/* For our own, which copies its block of b anew for every tile, and of a where that is transposed: so the tiles are as
 * high, and then also as wide, as leaves enough of them. */
RGZ_INLINE tiling tile_by_threads(const rgz_product *g, int n_threads) {
    enum { EACH = 2, NARROW = 64 / GEMM_PANEL }; /* tiles for every thread: one that is held up holds few others up */
    rgz_int strips = rgz_max(rgz_blocks(g->m, MM_ROWS), 1), panels = rgz_max(rgz_blocks(g->n, GEMM_PANEL), 1);
    rgz_int across = rgz_blocks(g->n, GEMM_WIDTH), down = 1;
    while (across * down < EACH * n_threads) {
        const rgz_int height = rgz_blocks(strips, down) * MM_ROWS, width = rgz_blocks(panels, across) * GEMM_PANEL;
        if (width > NARROW * GEMM_PANEL && (!g->a_trans || width >= height))
            across *= 2;
        else if (height > 2 * MM_ROWS)
            down *= 2;
        else
            break;
    }
    return tiles_of(g->m, g->n, rgz_blocks(strips, down) * MM_ROWS, rgz_blocks(panels, across) * GEMM_PANEL);
}

RGZ_INLINE tiling tile(const rgz_product *g, int n_threads) {
    return rgz_has_sgemm() ? tile_by_shape(g->m, g->n) : tile_by_threads(g, n_threads);
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

/* Tile `index` of a product, computed by this thread alone. */
RGZ_INLINE void product_tile(const rgz_product *whole, const tiling *t, rgz_int index) {
    const tile_place at = tile_at(t, index);
    rgz_product g = *whole;
    g.m = at.rows;
    g.n = at.cols;
    g.a += at.row * (g.a_trans ? 1 : g.lda);
    g.b += at.col * (g.b_trans ? g.ldb : 1);
    g.c += at.row * g.ldc + at.col;
    if (g.bias) g.bias += at.col;
    if (g.residual) g.residual += at.row * g.ldc + at.col;
    if (!rgz_has_sgemm()) {
        own_gemm(&g);
        return;
    }
    /* Adding to what is there costs sgemm no more than the zeroing that it would do itself. */
    if (g.bias || g.residual) start_block(g.c, g.ldc, g.bias, g.residual, g.m, g.n);
    rgz_borrowed_gemm(&g, g.add || g.bias || g.residual);
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

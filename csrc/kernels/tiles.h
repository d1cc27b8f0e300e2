/* tiles.h - how a matrix product is cut into tiles that threads take one by one, and what computes a tile.
 *
 * Our own product gives an element the same bits however the matrix is cut, so tiles may suit the number of threads.
 * The borrowed sgemm promises nothing of the kind: its tiles depend on shapes only.
 */
#ifndef RGZ_TILES_H
#define RGZ_TILES_H

#include "kernel.h"
#include "simd/packed_gemm.h"

/* An (m, n) output in down x across tiles, as even as whole units of row_unit x col_unit allow. */
typedef struct {
    rgz_int m, n, row_unit, col_unit, down, across, count;
} tiling;

RGZ_INLINE tiling tiles_of(rgz_int m, rgz_int n, rgz_int row_unit, rgz_int col_unit, rgz_int down, rgz_int across) {
    tiling t = {m, n, row_unit, col_unit, down, across, down * across};
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
    return tiles_of(m, n, 1, 1, rgz_blocks(m, height), rgz_blocks(n, width));
}

/* For our own, which copies b, or reads it, anew for every row of tiles and a for every column of them: of the ways to
 * cut that leave enough tiles, the one that is done first. A number copied takes about as long as a vector multiplied,
 * one read in place half of that. Tiles as wide as large blocks were timed on AVX2 only. */
RGZ_INLINE tiling tile_by_threads(const rgz_product *g, int n_threads, int each) {
    const rgz_int strips = rgz_max(rgz_blocks(g->m, MM_ROWS), 1), panels = rgz_max(rgz_blocks(g->n, GEMM_PANEL), 1);
    const rgz_int wanted = rgz_min(each * n_threads, strips * panels),
                  widest = rgz_max(rgz_blocks(g->n, panel_stays(g) ? GEMM_WIDEST : GEMM_WIDTH), 1);
    const rgz_int most = rgz_min(rgz_max(widest + n_threads, wanted), panels);
    const double a_read = reads_rows(g) ? 0.5 * g->m : g->m;
    const double b_read = reads_in_place(g, g->n) ? 0.5 * g->n : g->n, work = (double)g->m * g->n / VLEN;
    double least = INFINITY;
    rgz_int across = panels, down = strips;
    for (rgz_int columns = widest; columns <= most; columns++) {
        const rgz_int rows = rgz_min(rgz_blocks(wanted, columns), strips), tiles = rows * columns;
        const rgz_int turns = rgz_blocks(tiles, n_threads);
        const double time = (work + columns * a_read + rows * b_read) * turns / tiles;
        if (tiles >= wanted && time < least) least = time, across = columns, down = rows;
    }
    return tiles_of(g->m, g->n, MM_ROWS, GEMM_PANEL, down, across);
}

RGZ_INLINE tiling tile(const rgz_product *g, int n_threads) {
    return RGZ_STORAGE == RGZ_F32 && rgz_has_sgemm() ? tile_by_shape(g->m, g->n)
                                                     : tile_by_threads(g, n_threads, RGZ_TILES_EACH);
}

/* The same where other tiles follow in the queue: those will keep busy whoever is done early. */
RGZ_INLINE tiling first_tile(const rgz_product *g, int n_threads) {
    return RGZ_STORAGE == RGZ_F32 && rgz_has_sgemm() ? tile_by_shape(g->m, g->n) : tile_by_threads(g, n_threads, 1);
}

typedef struct {
    rgz_int row, col, rows, cols;
} tile_place;

/* Where part `index` of `parts` begins. */
RGZ_INLINE rgz_int part_begin(rgz_int index, rgz_int parts, rgz_int size, rgz_int unit) {
    return rgz_min(index * rgz_blocks(size, unit) / parts * unit, size);
}

RGZ_INLINE tile_place tile_at(const tiling *t, rgz_int index) {
    const rgz_int i = index / t->across, j = index % t->across;
    tile_place p = {part_begin(i, t->down, t->m, t->row_unit), part_begin(j, t->across, t->n, t->col_unit), 0, 0};
    p.rows = part_begin(i + 1, t->down, t->m, t->row_unit) - p.row;
    p.cols = part_begin(j + 1, t->across, t->n, t->col_unit) - p.col;
    return p;
}

#if RGZ_STORAGE == RGZ_F32
/* A tile by the borrowed sgemm. Adding to what is there costs it no more than the zeroing that it would do itself. */
static void borrowed_tile(rgz_product *g) {
    if (g->sums) g->c = g->sums;
    if (g->bias || g->residual)
        for (rgz_int r = 0; r < g->m; r++)
            RGZ_FOR_VECTORS (i, live, g->n) {
                vf v = g->residual ? vf_load_n(g->residual + r * g->ldc + i, live) : vf_zero();
                if (g->bias) v = vf_add(v, vf_load_n(g->bias + i, live));
                vf_store_n(g->c + r * g->ldc + i, v, live);
            }
    rgz_borrowed_gemm(g, g->add || g->bias || g->residual);
    if (g->activation) activate_block(g->activation, g->activated, g->c, g->ldc, g->m, g->n);
}
#endif

/* Tile `index` of a product, computed by this thread alone. */
RGZ_INLINE void product_tile(const rgz_product *whole, const tiling *t, rgz_int index) {
    const tile_place at = tile_at(t, index);
    rgz_product g = *whole;
    g.m = at.rows;
    g.n = at.cols;
    g.a += at.row * (g.a_trans ? 1 : g.lda);
    g.b += at.col * (g.b_trans ? g.ldb : 1);
    if (g.c) g.c += at.row * g.ldc + at.col;
    if (g.sums) g.sums += at.row * g.ldc + at.col;
    if (g.bias) g.bias += at.col;
    if (g.residual) g.residual += at.row * g.ldc + at.col;
    if (g.activation) g.activated += at.row * g.ldc + at.col;
#if RGZ_STORAGE == RGZ_F32
    if (rgz_has_sgemm()) {
        borrowed_tile(&g);
        return;
    }
#endif
    own_gemm(&g);
}

/* ADDS the sums over rows of dy to dbias for columns [col, col + cols); stride: elements from one row to the next. */
RGZ_INLINE void bias_gradient(float *dbias, const rgz_real *dy, rgz_int stride, rgz_int rows, rgz_int col,
                              rgz_int cols) {
    RGZ_FOR_VECTORS (c, live, cols) {
        vf sum = vf_load_n(dbias + col + c, live);
        for (rgz_int r = 0; r < rows; r++) sum = vf_add(sum, vr_load_n(dy + r * stride + col + c, live));
        vf_store_n(dbias + col + c, sum, live);
    }
}

#endif

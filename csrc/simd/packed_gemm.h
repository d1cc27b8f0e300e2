/* packed_gemm.h - the product of large row-major matrices on one thread, after Goto, van de Geijn 2008, "Anatomy of
 * high-performance matrix multiplication", ACM TOMS 34(3).
 *
 * b is copied, a block of GEMM_DEPTH x GEMM_WIDTH at a time, into panels as wide as a register tile, which then stay
 * in the second cache while all rows of a pass by, unless b lies that closely together anyway; the rows of a are
 * copied into strips as high as a register tile, for rows a power of two apart would throw each other out of the
 * first cache. Each element of c is the sum, in the order of k, of one chain of fused multiply-adds for every
 * GEMM_DEPTH terms: its bits depend neither on the other sizes of the blocks nor on how c is cut into tiles.
 */
#ifndef RGZ_PACKED_GEMM_H
#define RGZ_PACKED_GEMM_H

#include "activations.h"
#include "block_mm.h"
#include "gemm.h"
#include "scratch.h"
#include "transpose.h"

#define GEMM_PANEL (MM_VECTORS * VLEN) /* columns of a panel */
enum { GEMM_DEPTH = 256, GEMM_WIDTH = 16 * GEMM_PANEL, GEMM_HEIGHT = 4 * MM_ROWS };

/* Whether a block of b may be read where it is: copying rows of up to 3 KiB costs more than it saves, measured for 120
 * to 1,000 rows of a; longer ones a power of two apart are thrown out of the caches before they are read again. */
RGZ_INLINE int reads_in_place(const rgz_product *g, rgz_int width) {
    return !g->b_trans && g->ldb <= 768 && width % GEMM_PANEL == 0;
}

#if RGZ_STORAGE == RGZ_F32
/* Rows [0, depth) and columns [0, width) of b, as panels [column / GEMM_PANEL][p][GEMM_PANEL], zeros beyond. */
static void pack_b(float *RGZ_RESTRICT panels, const float *RGZ_RESTRICT b, rgz_int ldb, int b_trans, rgz_int depth,
                   rgz_int width) {
    enum { ROWS = 8 }; /* read together from nearby cache lines, before the next panel's turn */
    const rgz_int ragged = width / GEMM_PANEL * GEMM_PANEL;
    if (ragged < width) memset(panels + ragged * depth, 0, (size_t)(depth * GEMM_PANEL) * sizeof *panels);
    if (b_trans) {
        for (rgz_int j = 0; j < width; j += GEMM_PANEL)
            transpose(panels + j * depth, GEMM_PANEL, b + j * ldb, ldb, rgz_min(GEMM_PANEL, width - j), depth);
        return;
    }
    for (rgz_int p0 = 0; p0 < depth; p0 += ROWS)
        for (rgz_int j = 0; j < width; j += GEMM_PANEL)
            for (rgz_int p = p0; p < rgz_min(p0 + ROWS, depth); p++)
                RGZ_FOR_VECTORS (i, lanes, rgz_min(GEMM_PANEL, width - j)) {
                    vf_store_n(panels + j * depth + p * GEMM_PANEL + i, vf_load_n(b + p * ldb + j + i, lanes), lanes);
                }
}

/* Rows [0, height) and columns [0, depth) of a, as strips [row / MM_ROWS][p][MM_ROWS], zeros beyond. */
static void pack_a(float *RGZ_RESTRICT strips, const float *RGZ_RESTRICT a, rgz_int lda, int a_trans, rgz_int depth,
                   rgz_int height) {
    const rgz_int ragged = height / MM_ROWS * MM_ROWS;
    if (ragged < height) memset(strips + ragged * depth, 0, (size_t)(depth * MM_ROWS) * sizeof *strips);
    if (!a_trans) {
        for (rgz_int i = 0; i < height; i += MM_ROWS)
            transpose(strips + i * depth, MM_ROWS, a + i * lda, lda, rgz_min(MM_ROWS, height - i), depth);
        return;
    }
    for (rgz_int p = 0; p < depth; p++)
        for (rgz_int i = 0; i < height; i += MM_ROWS)
            RGZ_FOR_VECTORS (r, lanes, rgz_min(MM_ROWS, height - i)) {
                vf_store_n(strips + i * depth + p * MM_ROWS + r, vf_load_n(a + p * lda + i + r, lanes), lanes);
            }
}

/* What a register tile adds to its sums before it stores them: `from` (NULL: nothing), with the strides of c, and the
 * columns of bias (NULL: none). */
typedef struct {
    const float *from, *bias;
} tile_base;

/* c (MM_ROWS, GEMM_PANEL) = strip panel + base; ldp: floats from one row of the panel to the next. */
RGZ_INLINE void register_tile(float *c, rgz_int ldc, const float *strip, const float *panel, rgz_int ldp, rgz_int depth,
                              tile_base base) {
    vf acc[MM_ROWS][MM_VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < MM_ROWS; i++) {
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) {
            RGZ_PREFETCH_WRITE(c + i * ldc + v * VLEN); /* wanted when the sums are done */
            acc[i][v] = vf_zero();
        }
    }
    for (rgz_int p = 0; p < depth; p++) {
        vf b[MM_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) b[v] = vf_load(panel + p * ldp + v * VLEN);
#pragma GCC unroll 16
        for (int i = 0; i < MM_ROWS; i++) {
            const vf a = vf_set1(strip[p * MM_ROWS + i]);
#pragma GCC unroll 4
            for (int v = 0; v < MM_VECTORS; v++) acc[i][v] = vf_fma(a, b[v], acc[i][v]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MM_ROWS; i++)
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) {
            if (base.from) acc[i][v] = vf_add(acc[i][v], vf_load(base.from + i * ldc + v * VLEN));
            if (base.bias) acc[i][v] = vf_add(acc[i][v], vf_load(base.bias + v * VLEN));
            vf_store(c + i * ldc + v * VLEN, acc[i][v]);
        }
}

/* The same at an edge of c, of which rows x cols are there. */
static void edge_tile(float *c, rgz_int ldc, const float *strip, const float *panel, rgz_int ldp, rgz_int depth,
                      tile_base base, rgz_int rows, rgz_int cols) {
    _Alignas(64) float sums[MM_ROWS * GEMM_PANEL];
    const tile_base nothing = {NULL, NULL};
    register_tile(sums, GEMM_PANEL, strip, panel, ldp, depth, nothing);
    for (rgz_int i = 0; i < rows; i++)
        RGZ_FOR_VECTORS (j, live, cols) {
            vf v = vf_load_n(sums + i * GEMM_PANEL + j, live);
            if (base.from) v = vf_add(v, vf_load_n(base.from + i * ldc + j, live));
            if (base.bias) v = vf_add(v, vf_load_n(base.bias + j, live));
            vf_store_n(c + i * ldc + j, v, live);
        }
}

/* c (rows, cols) = strips b + base, in register tiles. Panels of b are `next` floats apart, their rows ldp. */
RGZ_INLINE void packed_block(float *c, rgz_int ldc, const float *strips, const float *b, rgz_int next, rgz_int ldp,
                             rgz_int depth, tile_base base, rgz_int rows, rgz_int cols) {
    for (rgz_int i = 0; i < rows; i += MM_ROWS)
        for (rgz_int j = 0; j < cols; j += GEMM_PANEL) {
            const float *strip = strips + i * depth, *panel = b + j / GEMM_PANEL * next;
            const tile_base here = {base.from ? base.from + i * ldc + j : NULL, base.bias ? base.bias + j : NULL};
            const rgz_int high = rgz_min(MM_ROWS, rows - i), wide = rgz_min(GEMM_PANEL, cols - j);
            float *to = c + i * ldc + j;
            if (high < MM_ROWS || wide < GEMM_PANEL)
                edge_tile(to, ldc, strip, panel, ldp, depth, here, high, wide);
            else /* for each of the usual cases, code without the others */
                if (here.bias)
                    register_tile(to, ldc, strip, panel, ldp, depth, here);
                else if (here.from)
                    register_tile(to, ldc, strip, panel, ldp, depth, (tile_base){here.from, NULL});
                else
                    register_tile(to, ldc, strip, panel, ldp, depth, (tile_base){NULL, NULL});
        }
}

#endif

/* y = activation(x), a block of rows x cols; x and y have the same strides. */
static void activate_block(int activation, rgz_real *y, const rgz_real *x, rgz_int stride, rgz_int rows, rgz_int cols) {
    for (rgz_int r = 0; r < rows; r++)
        RGZ_FOR_VECTORS (c, live, cols) {
            const vf v = vr_load_n(x + r * stride + c, live);
            const vf a = activation == RGZ_RELU ? vf_relu(v) : activation == RGZ_GELU ? vf_gelu(v) : vf_gelu_tanh(v);
            vr_store_n(y + r * stride + c, a, live);
        }
}

#if RGZ_STORAGE == RGZ_F32
_Static_assert((GEMM_WIDTH + GEMM_HEIGHT) * GEMM_DEPTH <= RGZ_PRODUCT_SCRATCH, "panels and strips fit");

static void own_gemm(const rgz_product *g) {
    float *panels = rgz_product_scratch(), *strips = panels + GEMM_DEPTH * GEMM_WIDTH;
    for (rgz_int j0 = 0; j0 < g->n; j0 += GEMM_WIDTH) {
        const rgz_int width = rgz_min(GEMM_WIDTH, g->n - j0);
        const int in_place = reads_in_place(g, width);
        for (rgz_int p0 = 0; p0 < g->k; p0 += GEMM_DEPTH) {
            const rgz_int depth = rgz_min(GEMM_DEPTH, g->k - p0);
            const float *b = g->b_trans ? g->b + j0 * g->ldb + p0 : g->b + p0 * g->ldb + j0;
            if (!in_place) pack_b(panels, b, g->ldb, g->b_trans, depth, width);
            for (rgz_int i0 = 0; i0 < g->m; i0 += GEMM_HEIGHT) {
                const rgz_int height = rgz_min(GEMM_HEIGHT, g->m - i0), at = i0 * g->ldc + j0;
                tile_base base = {g->add || p0 ? g->c + at : NULL, NULL};
                if (p0 == 0 && g->residual) base.from = g->residual + at;
                if (p0 == 0 && g->bias) base.bias = g->bias + j0;
                pack_a(strips, g->a_trans ? g->a + p0 * g->lda + i0 : g->a + i0 * g->lda + p0, g->lda, g->a_trans,
                       depth, height);
                packed_block(g->c + at, g->ldc, strips, in_place ? b : panels,
                             in_place ? GEMM_PANEL : depth * GEMM_PANEL, in_place ? g->ldb : GEMM_PANEL, depth, base,
                             height, width);
                if (g->activation && p0 + depth == g->k)
                    activate_block(g->activation, g->activated + at, g->c + at, g->ldc, height, width);
            }
        }
    }
}
#endif

#endif

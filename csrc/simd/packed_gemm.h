/* packed_gemm.h - the product of large row-major matrices on one thread, after Goto, van de Geijn 2008, "Anatomy of
 * high-performance matrix multiplication", ACM TOMS 34(3).
 *
 * b is copied, a block of GEMM_DEPTH x GEMM_WIDTH at a time, into micropanels as wide as a register tile, which then
 * stay in the second cache while all rows of a pass by. a is read where it stands if its rows are contiguous; a
 * transposed one is copied too. Each element of c is one chain of fused multiply-adds in the order of k, begun with
 * bias + residual (or c) and continued through memory from block to block: its bits depend neither on the sizes of
 * the blocks nor on how c is cut into tiles.
 */
#ifndef RGZ_PACKED_GEMM_H
#define RGZ_PACKED_GEMM_H

#include "block_mm.h"
#include "gemm.h"
#include "transpose.h"

#define GEMM_PANEL (MM_VECTORS * VLEN) /* columns of a micropanel */
enum { GEMM_DEPTH = 256, GEMM_WIDTH = 256, GEMM_HEIGHT = 8 * MM_ROWS };

/* Rows [0, depth) and columns [0, width) of b, as micropanels [column / GEMM_PANEL][p][GEMM_PANEL], zeros beyond. */
static void pack_b(float *RGZ_RESTRICT panel, const float *RGZ_RESTRICT b, rgz_int ldb, int b_trans, rgz_int depth,
                   rgz_int width) {
    for (rgz_int j0 = 0; j0 < width; j0 += GEMM_PANEL, panel += depth * GEMM_PANEL) {
        const rgz_int live = rgz_min(GEMM_PANEL, width - j0);
        if (live < GEMM_PANEL) memset(panel, 0, (size_t)(depth * GEMM_PANEL) * sizeof *panel);
        if (b_trans)
            transpose(panel, GEMM_PANEL, b + j0 * ldb, ldb, live, depth);
        else
            for (rgz_int p = 0; p < depth; p++)
                RGZ_FOR_VECTORS (j, lanes, live) {
                    vf_store_n(panel + p * GEMM_PANEL + j, vf_load_n(b + p * ldb + j0 + j, lanes), lanes);
                }
    }
}

/* Rows [0, height) of a transposed a, which is stored (k, height), as strips [row / MM_ROWS][p][MM_ROWS]. */
static void pack_a(float *RGZ_RESTRICT strips, const float *RGZ_RESTRICT a, rgz_int lda, rgz_int depth,
                   rgz_int height) {
    for (rgz_int i0 = 0; i0 < height; i0 += MM_ROWS, strips += depth * MM_ROWS) {
        const rgz_int rows = rgz_min(MM_ROWS, height - i0);
        for (rgz_int p = 0; p < depth; p++)
            for (rgz_int i = 0; i < rows; i++) strips[p * MM_ROWS + i] = a[p * lda + i0 + i];
    }
}

/* A block of c before anything is added to it. */
RGZ_INLINE void start_block(float *c, rgz_int ldc, const float *bias, const float *residual, rgz_int rows,
                            rgz_int cols) {
    for (rgz_int r = 0; r < rows; r++)
        RGZ_FOR_VECTORS (i, live, cols) {
            vf v = residual ? vf_load_n(residual + r * ldc + i, live) : vf_zero();
            if (bias) v = vf_add(v, vf_load_n(bias + i, live));
            vf_store_n(c + r * ldc + i, v, live);
        }
}

static void own_gemm(const rgz_product *g) {
    _Alignas(64) float panel[GEMM_DEPTH * GEMM_WIDTH];
    _Alignas(64) float strips[GEMM_DEPTH * GEMM_HEIGHT];
    for (rgz_int j0 = 0; j0 < g->n; j0 += GEMM_WIDTH) {
        const rgz_int width = rgz_min(GEMM_WIDTH, g->n - j0);
        for (rgz_int p0 = 0; p0 < g->k; p0 += GEMM_DEPTH) {
            const rgz_int depth = rgz_min(GEMM_DEPTH, g->k - p0);
            pack_b(panel, g->b_trans ? g->b + j0 * g->ldb + p0 : g->b + p0 * g->ldb + j0, g->ldb, g->b_trans, depth,
                   width);
            for (rgz_int i0 = 0; i0 < g->m; i0 += GEMM_HEIGHT) {
                const rgz_int height = rgz_min(GEMM_HEIGHT, g->m - i0);
                float *c = g->c + i0 * g->ldc + j0;
                int add = g->add || p0 > 0;
                if (p0 == 0 && (g->bias || g->residual)) {
                    start_block(c, g->ldc, g->bias ? g->bias + j0 : NULL,
                                g->residual ? g->residual + i0 * g->ldc + j0 : NULL, height, width);
                    add = 1;
                }
                const float *a = g->a_trans ? strips : g->a + i0 * g->lda + p0;
                if (g->a_trans) pack_a(strips, g->a + p0 * g->lda + i0, g->lda, depth, height);
                for (rgz_int j = 0; j < width; j += GEMM_PANEL)
                    for (rgz_int i = 0; i < height; i += MM_ROWS)
                        mm_strip(rgz_min(MM_ROWS, height - i), rgz_min(GEMM_PANEL, width - j), depth,
                                 a + i * (g->a_trans ? depth : g->lda), g->a_trans ? 1 : g->lda,
                                 g->a_trans ? MM_ROWS : 1, panel + j * depth, GEMM_PANEL, c + i * g->ldc + j, g->ldc,
                                 add);
            }
        }
    }
}

#endif

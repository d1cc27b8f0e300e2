/* half_product.h - a tile of a product of half precision operands: blocks of them are widened to float32, summed over
 * the whole of k, and rounded once.
 */
#ifndef RGZ_HALF_PRODUCT_H
#define RGZ_HALF_PRODUCT_H

#if RGZ_STORAGE != RGZ_F32
enum { HALF_ROWS = 4 * MM_ROWS, HALF_COLS = 4 * GEMM_PANEL, HALF_DEPTH = 128 };

static void widen(float *to, rgz_int ldt, const rgz_real *rows, rgz_int ldr, rgz_int n, rgz_int cols) {
    for (rgz_int r = 0; r < n; r++)
        RGZ_FOR_VECTORS (c, live, cols) {
            vf_store_n(to + r * ldt + c, vr_load_n(rows + r * ldr + c, live), live);
        }
}

static void half_gemm(const rgz_product *g) {
    float *sums = rgz_product_scratch(), *a = sums + HALF_ROWS * HALF_COLS, *b = a + HALF_ROWS * HALF_DEPTH;
    float *bt = b + HALF_DEPTH * HALF_COLS;
    for (rgz_int j0 = 0; j0 < g->n; j0 += HALF_COLS)
        for (rgz_int i0 = 0; i0 < g->m; i0 += HALF_ROWS) {
            const rgz_int height = rgz_min(HALF_ROWS, g->m - i0), width = rgz_min(HALF_COLS, g->n - j0);
            for (rgz_int p0 = 0; p0 < g->k; p0 += HALF_DEPTH) {
                const rgz_int depth = rgz_min(HALF_DEPTH, g->k - p0);
                if (g->a_trans)
                    widen(a, HALF_ROWS, g->a + p0 * g->lda + i0, g->lda, depth, height);
                else
                    widen(a, HALF_DEPTH, g->a + i0 * g->lda + p0, g->lda, height, depth);
                if (g->b_trans) {
                    widen(bt, HALF_DEPTH, g->b + j0 * g->ldb + p0, g->ldb, width, depth);
                    transpose(b, HALF_COLS, bt, HALF_DEPTH, width, depth);
                } else {
                    widen(b, HALF_COLS, g->b + p0 * g->ldb + j0, g->ldb, depth, width);
                }
                for (rgz_int i = 0; i < height; i += MM_ROWS)
                    mm_strip(rgz_min(MM_ROWS, height - i), width, depth, a + i * (g->a_trans ? 1 : HALF_DEPTH),
                             g->a_trans ? 1 : HALF_DEPTH, g->a_trans ? HALF_ROWS : 1, b, HALF_COLS,
                             sums + i * HALF_COLS, HALF_COLS, p0 > 0);
            }
            for (rgz_int i = 0; i < height; i++)
                RGZ_FOR_VECTORS (j, live, width) {
                    const rgz_int at = (i0 + i) * g->ldc + j0 + j;
                    vf v = vf_load_n(sums + i * HALF_COLS + j, live);
                    if (g->bias) v = vf_add(v, vf_load_n(g->bias + j0 + j, live));
                    if (g->residual) v = vf_add(v, vr_load_n(g->residual + at, live));
                    if (g->sums)
                        vf_store_n(g->sums + at, g->add ? vf_add(vf_load_n(g->sums + at, live), v) : v, live);
                    else
                        vr_store_n(g->c + at, v, live);
                }
            if (g->activation)
                activate_block(g->activation, g->activated + i0 * g->ldc + j0, g->c + i0 * g->ldc + j0, g->ldc, height,
                               width);
        }
}
_Static_assert(HALF_ROWS *HALF_COLS + HALF_ROWS * HALF_DEPTH + 2 * HALF_DEPTH * HALF_COLS <= RGZ_PRODUCT_SCRATCH,
               "blocks fit");
#endif
#endif

/* linear.c - the affine map of a layer, its gradients, and plain matrix product.
 *
 *   y[r,o] = sum_i x[r,i] weight[o,i] + bias[o] + residual[r,o]
 *   activated[r,o] = activation(y[r,o])        (linear_activation_forward: relu, gelu, gelu_tanh; see activation.c)
 *   dx = dy weight,  dweight += dy^T x,  dbias[o] += sum_r dy[r,o]
 *   lm_logits: y without residual, in float32 whatever the storage
 *
 * Shapes: x (rows, in); y, activated, dy, residual (rows, out); weight (out, in); bias (out). bias and residual may be
 * NULL; residual may be y itself. Backward WRITES dx and ADDS to dweight and dbias, each of which may be NULL.
 * Threads: tiles of the outputs, one queue; same bits for any n_threads.
 */
#include "tiles.h"

/* Few rows (a token being generated): bound by reading weight once, so each output is a dot product over a row of
 * weight, for all rows of x at once. */
#define FEW_ROWS 4

RGZ_INLINE void few_rows(const int count, rgz_real *y, float *sums, const rgz_real *x, const rgz_real *weight,
                         const float *bias, const rgz_real *residual, rgz_int in, rgz_int out, rgz_int o) {
    vf even[FEW_ROWS], odd[FEW_ROWS];
    const rgz_real *w = weight + o * in;
#pragma GCC unroll 4
    for (int r = 0; r < count; r++) even[r] = odd[r] = vf_zero();
    rgz_int i = 0;
    for (; i + 2 * VLEN <= in; i += 2 * VLEN) {
        for (size_t line = 0; line < 2 * VLEN * sizeof *w; line += 64) /* past the end too: that is harmless */
            RGZ_PREFETCH_READ((uintptr_t)(w + i) + RGZ_WEIGHT_AHEAD + line);
        vf w0 = vr_load(w + i), w1 = vr_load(w + i + VLEN);
#pragma GCC unroll 4
        for (int r = 0; r < count; r++) {
            even[r] = vf_fma(w0, vr_load(x + r * in + i), even[r]);
            odd[r] = vf_fma(w1, vr_load(x + r * in + i + VLEN), odd[r]);
        }
    }
    for (; i < in; i += VLEN) {
        const rgz_int live = rgz_min(VLEN, in - i);
        vf w0 = vr_load_n(w + i, live);
#pragma GCC unroll 4
        for (int r = 0; r < count; r++) even[r] = vf_fma(w0, vr_load_n(x + r * in + i, live), even[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < count; r++) {
        float sum = vf_sum(vf_add(even[r], odd[r]));
        if (bias) sum += bias[o];
        if (residual) sum += vf_sum(vr_load_n(residual + r * out + o, 1));
        if (sums)
            sums[r * out + o] = sum;
        else
            vr_store_n(y + r * out + o, vf_set1(sum), 1);
    }
}

/* y, or with y NULL sums; activated with an activation */
static void affine(rgz_real *y, float *sums, const rgz_real *x, const rgz_real *weight, const float *bias,
                   const rgz_real *residual, int activation, rgz_real *activated, rgz_int rows, rgz_int in, rgz_int out,
                   int n_threads) {
    if (rows <= FEW_ROWS) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (in * out > 65536)
        for (rgz_int o = 0; o < out; o++) {
            switch (rows) {
            case 1: few_rows(1, y, sums, x, weight, bias, residual, in, out, o); break;
            case 2: few_rows(2, y, sums, x, weight, bias, residual, in, out, o); break;
            case 3: few_rows(3, y, sums, x, weight, bias, residual, in, out, o); break;
            case 4: few_rows(4, y, sums, x, weight, bias, residual, in, out, o); break;
            }
        }
        if (activation) activate_block(activation, activated, y, out, rows, out);
        return;
    }
    rgz_product g = rgz_product_nt(y, x, weight, rows, out, in);
    g.sums = sums;
    g.bias = bias;
    g.residual = residual;
    g.activation = activation;
    g.activated = activated;
    const tiling t = tile(&g, n_threads);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int i = 0; i < t.count; i++) product_tile(&g, &t, i);
}

void RGZ_FN(linear_forward)(rgz_real *y, const rgz_real *x, const rgz_real *weight, const float *bias,
                            const rgz_real *residual, rgz_int rows, rgz_int in, rgz_int out, int n_threads) {
    affine(y, NULL, x, weight, bias, residual, RGZ_NO_ACTIVATION, NULL, rows, in, out, n_threads);
}

void RGZ_FN(lm_logits)(float *y, const rgz_real *x, const rgz_real *weight, const float *bias, rgz_int rows, rgz_int in,
                       rgz_int out, int n_threads) {
    affine(NULL, y, x, weight, bias, NULL, RGZ_NO_ACTIVATION, NULL, rows, in, out, n_threads);
}

void RGZ_FN(linear_activation_forward)(rgz_real *activated, rgz_real *y, const rgz_real *x, const rgz_real *weight,
                                       const float *bias, int activation, rgz_int rows, rgz_int in, rgz_int out,
                                       int n_threads) {
    affine(y, NULL, x, weight, bias, NULL, activation, activated, rows, in, out, n_threads);
}

void RGZ_FN(linear_backward)(rgz_real *dx, float *dweight, float *dbias, const rgz_real *dy, const rgz_real *x,
                             const rgz_real *weight, rgz_int rows, rgz_int in, rgz_int out, int n_threads) {
    const rgz_product gx = rgz_product_nn(dx, dy, weight, rows, in, out);
    rgz_product gw = rgz_product_tn(NULL, dy, x, out, in, rows);
    gw.sums = dweight;
    gw.add = 1;
    const tiling tx = tile(&gx, n_threads), tw = first_tile(&gw, n_threads), tb = tile_by_shape(1, out);
    const rgz_int n_x = dx ? tx.count : 0, n_w = dweight ? tw.count : 0, n_b = dbias ? tb.count : 0;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int i = 0; i < n_w + n_x + n_b; i++) {
        if (i < n_w) { /* the longest sums first */
            product_tile(&gw, &tw, i);
        } else if (i < n_w + n_x) {
            product_tile(&gx, &tx, i - n_w);
        } else {
            tile_place p = tile_at(&tb, i - n_w - n_x);
            bias_gradient(dbias, dy, out, rows, p.col, p.cols);
        }
    }
}

/* c (m,n) = a (m,k) b (k,n) */
void RGZ_FN(matmul)(rgz_real *c, const rgz_real *a, const rgz_real *b, rgz_int m, rgz_int k, rgz_int n, int n_threads) {
    const rgz_product g = rgz_product_nn(c, a, b, m, n, k);
    const tiling t = tile(&g, n_threads);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int i = 0; i < t.count; i++) product_tile(&g, &t, i);
}

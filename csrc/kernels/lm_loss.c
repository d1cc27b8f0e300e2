/* lm_loss.c - output layer, softmax and cross-entropy in one, a slice of rows at a time, so that the (rows, vocab)
 * logits never exist whole.
 *
 *   logits[r,v] = sum_c x[r,c] weight[v,c] + bias[v];  lse[r] = log sum_v exp(logits[r,v])
 *   losses[r] = lse[r] - logits[r, targets[r]]
 *   d_logits[r,v] = loss_scale (exp(logits[r,v] - lse[r]) - (v == targets[r]))      (of loss_scale times their SUM)
 *   dx = d_logits weight,  dweight += d_logits^T x,  dbias[v] += sum_r d_logits[r,v]
 *
 * Shapes: x, dx (rows, channels); weight (vocab, channels); bias (vocab) or NULL; targets, losses (rows); logits is
 * scratch of (slice, vocab) float32, slice >= 1. A target below 0 is ignored: its loss and gradient are 0.
 * WRITES losses and dx, ADDS to dweight and dbias. dx NULL: losses only.
 * Threads: tiles and rows within each slice; same bits for any n_threads.
 */
#include "tiles.h"

/* Loss of one row; d (NULL: no gradient) becomes d_logits. It may begin where logits begins: what is stored there has
 * been read before. */
static float softmax_row(rgz_real *d, float *logits, rgz_int vocab, int32_t target, float loss_scale) {
    if (target < 0) {
        if (d) memset(d, 0, (size_t)vocab * sizeof *d);
        return 0.0f;
    }
    vf top = vf_set1(-INFINITY);
    RGZ_FOR_VECTORS (i, live, vocab) {
        top = vf_max(top, vf_keep_n(vf_load_n(logits + i, live), top, live));
    }
    const float largest = vf_max_lane(top), at_target = logits[target];
    const vf shift = vf_set1(largest);
    vf sum = vf_zero();
    RGZ_FOR_VECTORS (i, live, vocab) {
        vf e = vf_exp(vf_sub(vf_load_n(logits + i, live), shift));
        if (d) vf_store_n(logits + i, e, live);
        sum = vf_add(sum, vf_keep_n(e, vf_zero(), live));
    }
    const float total = vf_sum(sum);
    if (d) {
        const vf scale = vf_set1(loss_scale / total);
        const vf of_target = vf_sub(vf_mul(vf_set1(logits[target]), scale), vf_set1(loss_scale));
        RGZ_FOR_VECTORS (i, live, vocab) {
            vr_store_n(d + i, vf_mul(vf_load_n(logits + i, live), scale), live);
        }
        vr_store_n(d + target, of_target, 1);
    }
    return logf(total) + (largest - at_target);
}

void RGZ_FN(lm_loss)(float *losses, rgz_real *dx, float *dweight, float *dbias, const rgz_real *x,
                     const rgz_real *weight, const float *bias, const int32_t *targets, float *logits, rgz_int rows,
                     rgz_int channels, rgz_int vocab, rgz_int slice, float loss_scale, int n_threads) {
    const rgz_int row_stride = vocab * (rgz_int)(sizeof *logits / sizeof *dx); /* of d_logits, in the logits' memory */
    rgz_real *const d_logits = dx ? (rgz_real *)logits : NULL;
    const tiling tb = tile_by_shape(1, vocab);
    const rgz_int n_b = dbias ? tb.count : 0;
#pragma omp parallel num_threads(n_threads)
    for (rgz_int row = 0; row < rows; row += slice) {
        const rgz_int count = rgz_min(slice, rows - row);
        const rgz_real *slice_x = x + row * channels;
        rgz_product gl = rgz_product_nt(NULL, slice_x, weight, count, vocab, channels);
        gl.sums = logits;
        gl.bias = bias;
        const tiling tl = tile(&gl, n_threads);
#pragma omp for schedule(dynamic, 1)
        for (rgz_int i = 0; i < tl.count; i++) product_tile(&gl, &tl, i);
#pragma omp for schedule(dynamic, 4)
        for (rgz_int r = 0; r < count; r++)
            losses[row + r] = softmax_row(dx ? d_logits + r * row_stride : NULL, logits + r * vocab, vocab,
                                          targets[row + r], loss_scale);
        if (dx) {
            rgz_product gx = rgz_product_nn(dx + row * channels, d_logits, weight, count, channels, vocab);
            rgz_product gw = rgz_product_tn(NULL, d_logits, slice_x, vocab, channels, count);
            gx.lda = gw.lda = row_stride;
            gw.sums = dweight;
            gw.add = 1;
            const tiling tx = first_tile(&gx, n_threads), tw = tile(&gw, n_threads);
#pragma omp for schedule(dynamic, 1)
            for (rgz_int i = 0; i < tx.count + tw.count + n_b; i++) {
                if (i < tx.count) { /* the longest sums first */
                    product_tile(&gx, &tx, i);
                } else if (i < tx.count + tw.count) {
                    product_tile(&gw, &tw, i - tx.count);
                } else {
                    tile_place p = tile_at(&tb, i - tx.count - tw.count);
                    bias_gradient(dbias, d_logits, row_stride, count, p.col, p.cols);
                }
            }
        }
    }
}

/* lm_loss.c - output layer, softmax and cross-entropy in one, a slice of rows at a time, so that the (rows, vocab)
 * logits never exist whole.
 *
 *   logits[r,v] = sum_c x[r,c] weight[v,c] + bias[v];  lse[r] = log sum_v exp(logits[r,v])
 *   losses[r] = lse[r] - logits[r, targets[r]]
 *   d_logits[r,v] = exp(logits[r,v] - lse[r]) - (v == targets[r])        (gradient of the SUM of the losses)
 *   dx = d_logits weight,  dweight += d_logits^T x,  dbias[v] += sum_r d_logits[r,v]
 *
 * Shapes: x, dx (rows, channels); weight (vocab, channels); bias (vocab) or NULL; targets, losses (rows); logits is
 * scratch of (slice, vocab), slice >= 1. A target below 0 is ignored: its loss and gradient are 0.
 * WRITES losses and dx, ADDS to dweight and dbias. dx NULL: losses only.
 * Threads: tiles and rows within each slice; same bits for any n_threads.
 */
#include "tiles.h"

/* Loss of one row; with gradient, logits becomes d_logits in place. */
static float softmax_row(float *logits, rgz_int vocab, int32_t target, int gradient) {
    if (target < 0) {
        if (gradient) memset(logits, 0, (size_t)vocab * sizeof *logits);
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
        if (gradient) vf_store_n(logits + i, e, live);
        sum = vf_add(sum, vf_keep_n(e, vf_zero(), live));
    }
    const float total = vf_sum(sum);
    if (gradient) {
        const vf scale = vf_set1(1.0f / total);
        RGZ_FOR_VECTORS (i, live, vocab) {
            vf_store_n(logits + i, vf_mul(vf_load_n(logits + i, live), scale), live);
        }
        logits[target] -= 1.0f;
    }
    return logf(total) + (largest - at_target);
}

void RGZ_FN(lm_loss)(float *losses, float *dx, float *dweight, float *dbias, const float *x, const float *weight,
                     const float *bias, const int32_t *targets, float *logits, rgz_int rows, rgz_int channels,
                     rgz_int vocab, rgz_int slice, int n_threads) {
    const tiling tb = tile_by_shape(1, vocab);
    const rgz_int n_b = dbias ? tb.count : 0;
#pragma omp parallel num_threads(n_threads)
    for (rgz_int row = 0; row < rows; row += slice) {
        const rgz_int count = rgz_min(slice, rows - row);
        const float *slice_x = x + row * channels;
        rgz_product gl = rgz_product_nt(logits, slice_x, weight, count, vocab, channels);
        gl.bias = bias;
        const tiling tl = tile(&gl, n_threads);
#pragma omp for schedule(dynamic, 1)
        for (rgz_int i = 0; i < tl.count; i++) product_tile(&gl, &tl, i);
#pragma omp for schedule(dynamic, 4)
        for (rgz_int r = 0; r < count; r++)
            losses[row + r] = softmax_row(logits + r * vocab, vocab, targets[row + r], dx != NULL);
        if (dx) {
            const rgz_product gx = rgz_product_nn(dx + row * channels, logits, weight, count, channels, vocab);
            rgz_product gw = rgz_product_tn(dweight, logits, slice_x, vocab, channels, count);
            gw.add = 1;
            const tiling tx = tile(&gx, n_threads), tw = tile(&gw, n_threads);
#pragma omp for schedule(dynamic, 1)
            for (rgz_int i = 0; i < tx.count + tw.count + n_b; i++) {
                if (i < tx.count) { /* the longest sums first */
                    product_tile(&gx, &tx, i);
                } else if (i < tx.count + tw.count) {
                    product_tile(&gw, &tw, i - tx.count);
                } else {
                    tile_place p = tile_at(&tb, i - tx.count - tw.count);
                    bias_gradient(dbias, logits, count, vocab, p.col, p.cols);
                }
            }
        }
    }
}

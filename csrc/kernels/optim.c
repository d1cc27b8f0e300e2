/* optim.c - the norm of a gradient and the AdamW update, each one pass over flat vectors.
 *
 *   squared_norm: *total = sum_i x[i]^2: sums of at most 256 squares in float32, these added in float64
 *   adamw, with g = grad * grad_scale (1 / tokens, clipping and any loss scale folded into one number):
 *     m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
 *     weight <- weight (1 - lr weight_decay) - lr (m / correction1) / (sqrt(v / correction2) + eps),  grad <- 0
 *   correction_k = 1 - beta_k^t at update t. Decay applies to the first n_decayed elements only. copy (n_decayed; NULL:
 *   none) is the new weight of these, rounded to the storage that passes compute with.
 *
 * Shapes: all of n floats; partial is scratch of ceil(n / RGZ_NORM_BLOCK) doubles.
 * Threads: fixed blocks whose sums are added in order; same bits for any n_threads.
 * Source: Loshchilov, Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2.
 */
#include "kernel.h"

void RGZ_FN(squared_norm)(double *total, double *partial, const float *x, rgz_int n, int n_threads) {
    const rgz_int blocks = rgz_blocks(n, RGZ_NORM_BLOCK);
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int b = 0; b < blocks; b++) {
        double sum = 0.0;
        const rgz_int end = rgz_min(n, (b + 1) * RGZ_NORM_BLOCK);
        for (rgz_int i = b * RGZ_NORM_BLOCK; i < end; i += 256) { /* float32 sums of 256 squares at most */
            vf squares = vf_zero();
            RGZ_FOR_VECTORS (j, live, rgz_min(256, end - i)) {
                vf v = vf_load_n(x + i + j, live);
                squares = vf_fma(v, v, squares);
            }
            sum += vf_sum(squares);
        }
        partial[b] = sum;
    }
    *total = 0.0;
    for (rgz_int b = 0; b < blocks; b++) *total += partial[b];
}

void RGZ_FN(adamw)(float *weight, rgz_real *copy, float *grad, float *m, float *v, rgz_int n, rgz_int n_decayed,
                   float lr, float beta1, float beta2, float eps, float weight_decay, float correction1,
                   float correction2, float grad_scale, int n_threads) {
    const vf b1 = vf_set1(beta1), b2 = vf_set1(beta2), scale = vf_set1(grad_scale), epsilon = vf_set1(eps);
    const vf rest1 = vf_set1(1.0f - beta1), rest2 = vf_set1(1.0f - beta2);
    const vf step = vf_set1(lr / correction1), root = vf_set1(1.0f / sqrtf(correction2));
    const rgz_int head = rgz_blocks(n_decayed, RGZ_CHUNK); /* chunks that start among the decayed elements */
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int chunk = 0; chunk < head + rgz_blocks(n - n_decayed, RGZ_CHUNK); chunk++) {
        const int decayed = chunk < head;
        const rgz_int begin = decayed ? chunk * RGZ_CHUNK : n_decayed + (chunk - head) * RGZ_CHUNK;
        const rgz_int end = rgz_min(decayed ? n_decayed : n, begin + RGZ_CHUNK);
        const vf keep = vf_set1(decayed ? 1.0f - lr * weight_decay : 1.0f);
        for (rgz_int i = begin; i < end; i += VLEN) {
            const rgz_int live = rgz_min(VLEN, end - i);
            vf g = vf_mul(vf_load_n(grad + i, live), scale);
            vf mean = vf_fma(b1, vf_load_n(m + i, live), vf_mul(rest1, g));
            vf square = vf_fma(b2, vf_load_n(v + i, live), vf_mul(rest2, vf_mul(g, g)));
            vf down = vf_add(vf_mul(vf_sqrt(square), root), epsilon);
            vf w = vf_mul(vf_load_n(weight + i, live), keep);
            w = vf_fnma(step, vf_div(mean, down), w);
            vf_store_n(weight + i, w, live);
            if (copy && decayed) vr_store_n(copy + i, w, live);
            vf_store_n(m + i, mean, live);
            vf_store_n(v + i, square, live);
            vf_store_n(grad + i, vf_zero(), live);
        }
    }
}

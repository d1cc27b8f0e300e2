/* rope.c - rotary position embedding, in place, and its inverse, which is also its gradient.
 *
 *   for i < head_size/2, angle = position * theta^(-2i / head_size):
 *   x[i], x[i + head_size/2] <- x[i] cos - x[i + head_size/2] sin,  x[i + head_size/2] cos + x[i] sin
 *
 * Shapes: x (rows, row_stride), the first heads * head_size of a row are turned; positions (rows); cosines,
 * sines (max positions, head_size / 2). Halves, not neighbours, make a pair (Llama's layout in transformers).
 * Threads: rows. Source: Su et al. 2021, arXiv:2104.09864, eq. 34.
 */
#include "kernel.h"

void RGZ_FN(rope)(rgz_real *x, const int32_t *positions, const float *cosines, const float *sines, rgz_int rows,
                  rgz_int row_stride, rgz_int heads, rgz_int head_size, int inverse, int n_threads) {
    const rgz_int half = head_size / 2;
    const vf direction = vf_set1(inverse ? -1.0f : 1.0f);
#pragma omp parallel for num_threads(n_threads) schedule(static) if (rows * heads * head_size > RGZ_SMALL)
    for (rgz_int r = 0; r < rows; r++) {
        const float *cosine = cosines + positions[r] * half, *sine = sines + positions[r] * half;
        for (rgz_int h = 0; h < heads; h++) {
            rgz_real *low = x + r * row_stride + h * head_size, *high = low + half;
            RGZ_FOR_VECTORS (i, live, half) {
                vf c = vf_load_n(cosine + i, live), s = vf_mul(vf_load_n(sine + i, live), direction);
                vf a = vr_load_n(low + i, live), b = vr_load_n(high + i, live);
                vr_store_n(low + i, vf_fnma(b, s, vf_mul(a, c)), live);
                vr_store_n(high + i, vf_fma(a, s, vf_mul(b, c)), live);
            }
        }
    }
}

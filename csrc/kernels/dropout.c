/* dropout.c - zero each element with probability p, scale the rest by 1 / (1 - p), add a residual; and the gradient.
 *
 *   y[i] = residual[i] + keep[i] x[i] / (1 - p),   dx[i] = keep[i] dy[i] / (1 - p)
 *
 * keep is not stored: element i's draw is word i mod 4 of Philox4x32-10 with key `seed` and counter (i / 4, stream),
 * so backward draws it again and no thread count can change it. residual may be NULL; y may be x or residual,
 * dx may be dy. WRITES y, dx.
 */
#include "kernel.h"
#include "simd/philox.h"

/* The factor of each of the four elements from 4 * quad on: 0 or 1 / (1 - p). */
RGZ_INLINE vf factors(rgz_int quad, float p, uint64_t seed, uint64_t stream) {
    const uint32_t threshold = (uint32_t)((double)p * 4294967296.0); /* p < 1 */
    const float scale = 1.0f / (1.0f - p);
    uint32_t words[4];
    float f[4];
    philox4x32(words, 1, (uint64_t)quad, stream, seed);
    for (int j = 0; j < 4; j++) f[j] = words[j] >= threshold ? scale : 0.0f;
    return vf_load_n(f, 4);
}

void RGZ_FN(dropout_forward)(rgz_real *y, const rgz_real *x, const rgz_real *residual, rgz_int n, float p,
                             uint64_t seed, uint64_t stream, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int quad = 0; quad < rgz_blocks(n, 4); quad++) {
        const rgz_int i = 4 * quad, live = rgz_min(4, n - i);
        const vf kept = vf_mul(factors(quad, p, seed, stream), vr_load_n(x + i, live));
        vr_store_n(y + i, vf_add(kept, residual ? vr_load_n(residual + i, live) : vf_zero()), live);
    }
}

void RGZ_FN(dropout_backward)(rgz_real *dx, const rgz_real *dy, rgz_int n, float p, uint64_t seed, uint64_t stream,
                              int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int quad = 0; quad < rgz_blocks(n, 4); quad++) {
        const rgz_int i = 4 * quad, live = rgz_min(4, n - i);
        vr_store_n(dx + i, vf_mul(factors(quad, p, seed, stream), vr_load_n(dy + i, live)), live);
    }
}

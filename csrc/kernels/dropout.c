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

/* What the elements from `first`, a multiple of PHILOX_WORDS, on are multiplied by: 0 or 1 / (1 - p). */
RGZ_INLINE void draw_factors(float factors[PHILOX_WORDS], rgz_int first, float p, uint64_t seed, uint64_t stream) {
    const uint32_t threshold = (uint32_t)((double)p * 4294967296.0); /* p < 1 */
    const float scale = 1.0f / (1.0f - p);
    uint32_t words[PHILOX_WORDS];
    philox4x32(words, (uint64_t)first / 4, stream, seed);
    for (int i = 0; i < PHILOX_WORDS; i++) factors[i] = words[i] >= threshold ? scale : 0.0f;
}

void RGZ_FN(dropout_forward)(rgz_real *y, const rgz_real *x, const rgz_real *residual, rgz_int n, float p,
                             uint64_t seed, uint64_t stream, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int block = 0; block < rgz_blocks(n, PHILOX_WORDS); block++) {
        const rgz_int first = PHILOX_WORDS * block;
        float factors[PHILOX_WORDS];
        draw_factors(factors, first, p, seed, stream);
        RGZ_FOR_VECTORS (i, live, rgz_min(PHILOX_WORDS, n - first)) {
            const rgz_int at = first + i;
            vf kept = vf_mul(vf_load(factors + i), vr_load_n(x + at, live));
            if (residual) kept = vf_add(kept, vr_load_n(residual + at, live));
            vr_store_n(y + at, kept, live);
        }
    }
}

void RGZ_FN(dropout_backward)(rgz_real *dx, const rgz_real *dy, rgz_int n, float p, uint64_t seed, uint64_t stream,
                              int n_threads) {
    RGZ_FN(dropout_forward)(dx, dy, NULL, n, p, seed, stream, n_threads);
}

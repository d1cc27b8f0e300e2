/* activation.c - elementwise activations and their gradients.
 *
 *   relu       max(x, 0)                                        gradient at 0: 0
 *   gelu       x Phi(x), Phi the normal distribution function   (Hendrycks, Gimpel 2016, arXiv:1606.08415)
 *   gelu_tanh  x s(2u), u = sqrt(2/pi) (x + 0.044715 x^3), s the logistic function: the same as
 *              0.5 x (1 + tanh u), without the cancellation for negative x (GPT-2's "gelu_new")
 *   swiglu     y[r,c] = g s(g) u, with g = x[r,c], u = x[r, cols + c]   (Shazeer 2020, arXiv:2002.05202, eq. 6)
 *
 * Shapes: x, y, dy, dx of n; for swiglu y, dy (rows, cols) and x, dx (rows, 2 cols).
 * WRITES y, dx. y may be x; dx may be dy or x (swiglu: dx may be x).
 * Threads: fixed chunks; every element on its own, so bits cannot depend on them.
 */
#include "kernel.h"
#include "simd/activations.h"

// clang-format off
#define RGZ_ELEMENTWISE(n, ...)                                                        \
    _Pragma("omp parallel for num_threads(n_threads) schedule(static) if (n > RGZ_SMALL)") \
    for (rgz_int chunk = 0; chunk < rgz_blocks(n, RGZ_CHUNK); chunk++)                 \
        for (rgz_int i = chunk * RGZ_CHUNK, end = rgz_min(n, i + RGZ_CHUNK); i < end; i += VLEN) { \
            const rgz_int live = rgz_min(VLEN, end - i);                               \
            __VA_ARGS__                                                                \
        }
// clang-format on

void RGZ_FN(relu_forward)(rgz_real *y, const rgz_real *x, rgz_int n, int n_threads) {
    RGZ_ELEMENTWISE(n, vr_store_n(y + i, vf_relu(vr_load_n(x + i, live)), live);)
}

void RGZ_FN(relu_backward)(rgz_real *dx, const rgz_real *dy, const rgz_real *x, rgz_int n, int n_threads) {
    RGZ_ELEMENTWISE(n, vf g = vf_if_less(vf_zero(), vr_load_n(x + i, live), vr_load_n(dy + i, live), vf_zero());
                    vr_store_n(dx + i, g, live);)
}

void RGZ_FN(gelu_forward)(rgz_real *y, const rgz_real *x, rgz_int n, int n_threads) {
    RGZ_ELEMENTWISE(n, vr_store_n(y + i, vf_gelu(vr_load_n(x + i, live)), live);)
}

void RGZ_FN(gelu_backward)(rgz_real *dx, const rgz_real *dy, const rgz_real *x, rgz_int n, int n_threads) {
    RGZ_ELEMENTWISE(n, vf slope = vf_gelu_gradient(vr_load_n(x + i, live));
                    vr_store_n(dx + i, vf_mul(vr_load_n(dy + i, live), slope), live);)
}

/* The derivative of 2u: 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2) */
RGZ_INLINE vf gelu_tanh_slope(vf x) { return vf_fma(vf_mul(x, x), vf_set1(0.214064449f), vf_set1(1.59576912f)); }

void RGZ_FN(gelu_tanh_forward)(rgz_real *y, const rgz_real *x, rgz_int n, int n_threads) {
    RGZ_ELEMENTWISE(n, vr_store_n(y + i, vf_gelu_tanh(vr_load_n(x + i, live)), live);)
}

void RGZ_FN(gelu_tanh_backward)(rgz_real *dx, const rgz_real *dy, const rgz_real *x, rgz_int n, int n_threads) {
    RGZ_ELEMENTWISE(n, vf v = vr_load_n(x + i, live), s = vf_sigmoid(gelu_tanh_argument(v));
                    vf ds = vf_mul(vf_mul(s, vf_sub(vf_set1(1.0f), s)), gelu_tanh_slope(v));
                    vr_store_n(dx + i, vf_mul(vr_load_n(dy + i, live), vf_fma(v, ds, s)), live);)
}

void RGZ_FN(swiglu_forward)(rgz_real *y, const rgz_real *x, rgz_int rows, rgz_int cols, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (rows * cols > RGZ_SMALL)
    for (rgz_int r = 0; r < rows; r++) {
        const rgz_real *gate = x + r * 2 * cols, *up = gate + cols;
        RGZ_FOR_VECTORS (c, live, cols) {
            vf g = vr_load_n(gate + c, live);
            vr_store_n(y + r * cols + c, vf_mul(vf_mul(g, vf_sigmoid(g)), vr_load_n(up + c, live)), live);
        }
    }
}

void RGZ_FN(swiglu_backward)(rgz_real *dx, const rgz_real *dy, const rgz_real *x, rgz_int rows, rgz_int cols,
                             int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (rows * cols > RGZ_SMALL)
    for (rgz_int r = 0; r < rows; r++) {
        const rgz_real *gate = x + r * 2 * cols, *up = gate + cols;
        RGZ_FOR_VECTORS (c, live, cols) {
            vf g = vr_load_n(gate + c, live), u = vr_load_n(up + c, live), d = vr_load_n(dy + r * cols + c, live);
            vf s = vf_sigmoid(g), silu = vf_mul(g, s);
            vf dsilu = vf_fma(silu, vf_sub(vf_set1(1.0f), s), s); /* s + g s (1 - s) */
            vr_store_n(dx + r * 2 * cols + c, vf_mul(vf_mul(d, u), dsilu), live);
            vr_store_n(dx + r * 2 * cols + cols + c, vf_mul(d, silu), live);
        }
    }
}

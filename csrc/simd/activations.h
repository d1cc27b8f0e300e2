/* activations.h - the activations that a product can be followed by while its tile is in cache; formulas and sources:
 * kernels/activation.c.
 */
#ifndef RGZ_ACTIVATIONS_H
#define RGZ_ACTIVATIONS_H

RGZ_INLINE vf vf_relu(vf x) { return vf_max(vf_zero(), x); }

RGZ_INLINE vf vf_gelu(vf x) { return vf_mul(x, vf_normal_cdf(x)); }

/* 2u = 2 sqrt(2/pi) (x + 0.044715 x^3) */
RGZ_INLINE vf gelu_tanh_argument(vf x) {
    return vf_mul(x, vf_fma(vf_mul(x, x), vf_set1(0.0713548163f), vf_set1(1.59576912f)));
}
RGZ_INLINE vf vf_gelu_tanh(vf x) { return vf_mul(x, vf_sigmoid(gelu_tanh_argument(x))); }

#endif

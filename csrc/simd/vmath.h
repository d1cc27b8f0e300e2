/* vmath.h - exp, the logistic function and the normal distribution function, written once in the operations of
 * vec_*.h. Errors were measured against float64 over every float in the stated range; tests/kernels hold them.
 */

/* e^x: at most 1.5 ulp for -87.33 <= x <= 88.02. Below it 0 (no subnormals), above it 2^127; NaN stays NaN.
 * x = n ln 2 + r with |r| <= ln(2)/2 (ln 2 in two parts: Cody and Waite, 1980), then a degree-6 polynomial fitted
 * to the relative error (1e-8 before rounding). */
RGZ_INLINE vf vf_exp(vf x) {
    const vf low = vf_set1(-87.3365f), high = vf_set1(88.02f);
    vf inside = vf_max(vf_min(x, high), low);
    vf n = vf_round(vf_mul(inside, vf_set1(1.44269504f)));
    vf clamped = vf_if_less(high, x, high, x); /* keeps NaN, which the clamp for n does not */
    vf r = vf_fnma(n, vf_set1(0.693359375f), clamped);
    r = vf_fnma(n, vf_set1(-2.12194440e-4f), r);
    vf p = vf_set1(1.38145988e-3f);
    p = vf_fma(p, r, vf_set1(8.36871658e-3f));
    p = vf_fma(p, r, vf_set1(4.16683890e-2f));
    p = vf_fma(p, r, vf_set1(1.66665211e-1f));
    p = vf_fma(p, r, vf_set1(4.99999940e-1f));
    p = vf_fma(p, vf_mul(r, r), vf_add(r, vf_set1(1.0f)));
    return vf_if_less(x, low, vf_zero(), vf_scale2(p, n));
}

/* 1 / (1 + e^-x): at most 3 ulp above x = -87, 0 to the left of -88.02 up to 1e-38. */
RGZ_INLINE vf vf_sigmoid(vf x) { return vf_div(vf_set1(1.0f), vf_add(vf_set1(1.0f), vf_exp(vf_sub(vf_zero(), x)))); }

/* Normal distribution function and density of x; absolute error of *cdf at most 3e-7.
 * erfc(z) = t (a1 + t (a2 + ...)) e^(-z^2), t = 1 / (1 + p z): Abramowitz and Stegun 1964, eq. 7.1.26. */
RGZ_INLINE void vf_normal(vf x, vf *cdf, vf *density) {
    vf gauss = vf_exp(vf_mul(vf_mul(x, x), vf_set1(-0.5f)));
    vf z = vf_mul(vf_max(x, vf_sub(vf_zero(), x)), vf_set1(0.707106781f));
    vf t = vf_div(vf_set1(1.0f), vf_fma(z, vf_set1(0.3275911f), vf_set1(1.0f)));
    vf p = vf_set1(1.061405429f);
    p = vf_fma(p, t, vf_set1(-1.453152027f));
    p = vf_fma(p, t, vf_set1(1.421413741f));
    p = vf_fma(p, t, vf_set1(-0.284496736f));
    p = vf_fma(p, t, vf_set1(0.254829592f));
    vf tail = vf_mul(vf_mul(vf_mul(p, t), gauss), vf_set1(0.5f)); /* of the side away from 0 */
    *cdf = vf_if_less(x, vf_zero(), tail, vf_sub(vf_set1(1.0f), tail));
    *density = vf_mul(gauss, vf_set1(0.398942280f));
}

/* vmath.h - exp, the logistic function, the normal distribution function and GELU's derivative, written once in the
 * operations of vec_*.h. Errors were measured against float64 over every float in the stated range; tests/kernels hold
 * them.
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

/* x p(s) with s = 2 (x / limit)^2 - 1 and a polynomial p of odd `degree`, highest power first; beyond +-limit its value
 * there. NaN stays NaN. */
RGZ_INLINE vf vf_odd(vf x, const float limit, const float *p, const int degree) {
    /* x last: of two arguments vf_min and vf_max give the last where one is NaN */
    const vf inside = vf_min(vf_set1(limit), vf_max(vf_set1(-limit), x));
    const vf s = vf_fma(vf_mul(inside, inside), vf_set1(2.0f / (limit * limit)), vf_set1(-1.0f));
    const vf square = vf_mul(s, s);
    vf odd = vf_set1(p[0]), even = vf_set1(p[1]); /* two chains, for one would wait for itself */
#pragma GCC unroll 16
    for (int i = 2; i <= degree; i += 2) {
        odd = vf_fma(odd, square, vf_set1(p[i]));
        even = vf_fma(even, square, vf_set1(p[i + 1]));
    }
    return vf_mul(inside, vf_fma(odd, s, even));
}

/* Normal distribution function of x: absolute error at most 3.2e-7, exactly 0 and 1 beyond 5.4. Relative to the small
 * values on the left the error is large. A polynomial fitted for the least maximum of the absolute error, 2e-7 before
 * rounding (Lawson's iteration): half the operations of an exponential function and a quotient. */
RGZ_INLINE vf vf_normal_cdf(vf x) {
    static const float p[] = {-0.000426927349f, 0.00161838415f, -0.00212912238f, 0.00205896096f, -0.00463888282f,
                              0.00946757384f,   -0.0138629219f, 0.0187336374f,   -0.0251151696f, 0.0321065895f,
                              -0.0396099836f,   0.0492627583f,  -0.0665178224f,  0.133392572f};
    const vf half = vf_set1(0.5f), centred = vf_odd(x, 5.3f, p, 13);
    return vf_add(half, vf_min(half, vf_max(vf_set1(-0.5f), centred)));
}

/* Derivative of x times that function: absolute error at most 9e-7, at most 2e-7 beyond 6. Fitted alike, 3.5e-7. */
RGZ_INLINE vf vf_gelu_gradient(vf x) {
    static const float p[] = {-0.0072687557f, 0.0166392121f, -0.00530243199f, 0.000596485042f,
                              -0.0341856107f, 0.0590322949f, -0.0546039566f,  0.0591526516f,
                              -0.0725887492f, 0.073465988f,  -0.0651150495f,  0.0564639717f,
                              -0.0509521142f, 0.0518180244f, -0.0642828122f,  0.126416564f};
    return vf_add(vf_set1(0.5f), vf_odd(x, 5.6f, p, 15));
}

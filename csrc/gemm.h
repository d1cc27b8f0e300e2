/* gemm.h - a product of row-major matrices, or a tile of one, and what may compute it on one thread: the borrowed
 * Fortran sgemm, or our own (simd/packed_gemm.h).
 */
#ifndef RGZ_GEMM_H
#define RGZ_GEMM_H

#include "rgz.h"

/* c (m,n) = a (m,k) b (k,n) + bias (n) + residual (m,n) [+ c when add].
 * a_trans: a is stored (k,m); b_trans: b is stored (n,k). lda, ldb, ldc: floats from one stored row to the next.
 * bias and residual may be NULL, neither goes with add; residual has c's strides and may be c. */
typedef struct {
    rgz_int m, n, k;
    const float *a;
    rgz_int lda;
    int a_trans;
    const float *b;
    rgz_int ldb;
    int b_trans;
    float *c;
    rgz_int ldc;
    int add;
    const float *bias, *residual;
    int activation; /* RGZ_NO_ACTIVATION, or that of c goes to activated, which has c's strides */
    float *activated;
} rgz_product;

/* Of whole matrices without gaps: c (m,n) = a (m,k) b (k,n), a (m,k) b (n,k)^T, a (k,m)^T b (k,n). */
static inline rgz_product rgz_product_nn(float *c, const float *a, const float *b, rgz_int m, rgz_int n, rgz_int k) {
    rgz_product g = {m, n, k, a, k, 0, b, n, 0, c, n, 0, NULL, NULL, RGZ_NO_ACTIVATION, NULL};
    return g;
}
static inline rgz_product rgz_product_nt(float *c, const float *a, const float *b, rgz_int m, rgz_int n, rgz_int k) {
    rgz_product g = {m, n, k, a, k, 0, b, k, 1, c, n, 0, NULL, NULL, RGZ_NO_ACTIVATION, NULL};
    return g;
}
static inline rgz_product rgz_product_tn(float *c, const float *a, const float *b, rgz_int m, rgz_int n, rgz_int k) {
    rgz_product g = {m, n, k, a, m, 1, b, n, 0, c, n, 0, NULL, NULL, RGZ_NO_ACTIVATION, NULL};
    return g;
}

/* c (m,n) = a b [+ c when add] by the borrowed sgemm; bias and residual are the caller's. */
void rgz_borrowed_gemm(const rgz_product *p, int add);

#endif

/* gemm.h - a product of row-major matrices, or a tile of one, and what may compute it on one thread: the borrowed
 * Fortran sgemm, or our own (simd/packed_gemm.h).
 */
#ifndef RGZ_GEMM_H
#define RGZ_GEMM_H

#include "rgz.h"

#ifndef RGZ_STORAGE /* a file without storage: the borrowed sgemm */
typedef float rgz_real;
#endif

/* c (m,n) = a (m,k) b (k,n) + bias (n) + residual (m,n), or with c NULL sums (m,n), float32 [+ sums when add].
 * a_trans: a is stored (k,m); b_trans: b is stored (n,k). lda, ldb, ldc: elements from one stored row to the next.
 * bias and residual may be NULL, neither goes with add; residual has c's strides and may be c. */
typedef struct {
    rgz_int m, n, k;
    const rgz_real *a;
    rgz_int lda;
    int a_trans;
    const rgz_real *b;
    rgz_int ldb;
    int b_trans;
    rgz_real *c;
    rgz_int ldc;
    float *sums;
    int add;
    const float *bias;
    const rgz_real *residual;
    int activation; /* RGZ_NO_ACTIVATION, or that of c goes to activated, which has c's strides */
    rgz_real *activated;
} rgz_product;

/* Of whole matrices without gaps: c (m,n) = a (m,k) b (k,n), a (m,k) b (n,k)^T, a (k,m)^T b (k,n). */
static inline rgz_product rgz_product_nn(rgz_real *c, const rgz_real *a, const rgz_real *b, rgz_int m, rgz_int n,
                                         rgz_int k) {
    rgz_product g = {m, n, k, a, k, 0, b, n, 0, c, n, NULL, 0, NULL, NULL, RGZ_NO_ACTIVATION, NULL};
    return g;
}
static inline rgz_product rgz_product_nt(rgz_real *c, const rgz_real *a, const rgz_real *b, rgz_int m, rgz_int n,
                                         rgz_int k) {
    rgz_product g = {m, n, k, a, k, 0, b, k, 1, c, n, NULL, 0, NULL, NULL, RGZ_NO_ACTIVATION, NULL};
    return g;
}
static inline rgz_product rgz_product_tn(rgz_real *c, const rgz_real *a, const rgz_real *b, rgz_int m, rgz_int n,
                                         rgz_int k) {
    rgz_product g = {m, n, k, a, m, 1, b, n, 0, c, n, NULL, 0, NULL, NULL, RGZ_NO_ACTIVATION, NULL};
    return g;
}

/* c (m,n) = a b [+ c when add] by the borrowed sgemm; bias and residual are the caller's. */
void rgz_borrowed_gemm(const rgz_product *p, int add);

#endif

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
} rgz_product;

/* c (m,n) = a b [+ c when add] by the borrowed sgemm; bias and residual are the caller's. */
void rgz_borrowed_gemm(const rgz_product *p, int add);

#endif

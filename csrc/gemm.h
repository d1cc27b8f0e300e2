/* gemm.h - products of row-major matrices on one thread, for kernels that cut their output into tiles.
 *
 * A tile is one call of the borrowed Fortran sgemm, told to run on one thread, or of our own C sgemm. Both round
 * each tile the same way whoever runs it, so a kernel whose tiles depend on shapes only has the same bits for any
 * number of threads.
 */
#ifndef RGZ_GEMM_H
#define RGZ_GEMM_H

#include "rgz.h"

/* c (m,n) = a (m,k) b (k,n) [+ c when add]; a_trans: a is stored (k,m); b_trans: b is stored (n,k).
 * lda, ldb, ldc: floats from one stored row to the next. */
typedef void rgz_gemm_fn(int a_trans, int b_trans, rgz_int m, rgz_int n, rgz_int k, const float *a, rgz_int lda,
                         const float *b, rgz_int ldb, float *c, rgz_int ldc, int add);

/* The borrowed sgemm, or NULL (sgemm.c). */
rgz_gemm_fn *rgz_borrowed_gemm(void);

#endif

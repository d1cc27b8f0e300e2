/* sgemm.c - the borrowed Fortran sgemm behind a row-major face. Row-major C = A B is column-major C^T = B^T A^T.
 *
 * BLAS integers are 32 or 64 bits wide, depending on who built it. All our targets are little-endian and the binding
 * refuses sizes of 2^31 and more, so a pointer to an int64 serves both: the low half comes first.
 */
#include "gemm.h"

typedef void sgemm_fn(const char *, const char *, const int64_t *, const int64_t *, const int64_t *, const float *,
                      const float *, const int64_t *, const float *, const int64_t *, const float *, float *,
                      const int64_t *);

static sgemm_fn *borrowed;

static void gemm(int a_trans, int b_trans, rgz_int m, rgz_int n, rgz_int k, const float *a, rgz_int lda, const float *b,
                 rgz_int ldb, float *c, rgz_int ldc, int add) {
    const int64_t m_ = m, n_ = n, k_ = k, lda_ = lda, ldb_ = ldb, ldc_ = ldc;
    const float one = 1.0f, beta = add ? 1.0f : 0.0f;
    borrowed(b_trans ? "T" : "N", a_trans ? "T" : "N", &n_, &m_, &k_, &one, b, &ldb_, a, &lda_, &beta, c, &ldc_);
}

void rgz_set_sgemm(void *address) { *(void **)&borrowed = address; }
int rgz_has_sgemm(void) { return borrowed != NULL; }
rgz_gemm_fn *rgz_borrowed_gemm(void) { return borrowed ? gemm : NULL; }

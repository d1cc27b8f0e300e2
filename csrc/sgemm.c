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

void rgz_set_sgemm(void *address) { *(void **)&borrowed = address; }
int rgz_has_sgemm(void) { return borrowed != NULL; }

void rgz_borrowed_gemm(const rgz_product *p, int add) {
    const int64_t m = p->m, n = p->n, k = p->k, lda = p->lda, ldb = p->ldb, ldc = p->ldc;
    const float one = 1.0f, beta = add ? 1.0f : 0.0f;
    borrowed(p->b_trans ? "T" : "N", p->a_trans ? "T" : "N", &n, &m, &k, &one, p->b, &ldb, p->a, &lda, &beta, p->c,
             &ldc);
}

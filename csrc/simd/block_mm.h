/* block_mm.h - the small matrix product inside attention: operands already in cache, in units (unit.h).
 *
 *   c[i,j] = (add ? c[i,j] : 0) + sum_p a[i * a_row + p * a_col] * b[p * ldb + j]     i < m, j < n, p < k
 *
 * a is read one element at a time and broadcast, so any strides will do (a_row = 1 multiplies by a transpose);
 * rows of b and c are contiguous. Tiles of MM_ROWS x MM_VECTORS registers stay in registers for all of k, so an
 * element of c is summed in the order of p whatever tile it falls in.
 */
#ifndef RGZ_BLOCK_MM_H
#define RGZ_BLOCK_MM_H

#include "unit.h"

/* One register tile; rows and vectors are constants at every call, so the loops over them unroll. */
RGZ_INLINE void mm_tile(const int rows, const int vectors, rgz_int live, rgz_int k, const float *a, rgz_int a_row,
                        rgz_int a_col, const float *b, rgz_int ldb, float *c, rgz_int ldc, int add) {
    vf acc[MM_ROWS][MM_VECTORS];
    const rgz_int last = live - (vectors - 1) * VLEN; /* live lanes of the last vector */
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            acc[i][v] = !add              ? vf_zero()
                        : v < vectors - 1 ? vf_load(c + i * ldc + v * VLEN)
                                          : vf_load_n(c + i * ldc + v * VLEN, last);
    if (last >= VLEN) /* the usual case */
        FOR_UNITS (p, k) {
            vf bv[MM_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) bv[v] = vf_load(b + p * ldb + v * VLEN);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) {
                vf ai = vf_set1(a[i * a_row + p * a_col]);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) acc[i][v] = unit_multiply_add(ai, bv[v], acc[i][v]);
            }
        }
    else
        for (rgz_int p = 0; p < k; p++) {
            vf bv[MM_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                bv[v] = v < vectors - 1 ? vf_load(b + p * ldb + v * VLEN) : vf_load_n(b + p * ldb + v * VLEN, last);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) {
                vf ai = vf_set1(a[i * a_row + p * a_col]);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) acc[i][v] = unit_multiply_add(ai, bv[v], acc[i][v]);
            }
        }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            if (v < vectors - 1)
                vf_store(c + i * ldc + v * VLEN, acc[i][v]);
            else
                vf_store_n(c + i * ldc + v * VLEN, acc[i][v], last);
}

#if MM_VECTORS == 2
#define MM_ROW_CASE(rows)                                                                                              \
    case rows:                                                                                                         \
        if (live > VLEN)                                                                                               \
            mm_tile(rows, 2, live, k, a, a_row, a_col, b, ldb, c, ldc, add);                                           \
        else                                                                                                           \
            mm_tile(rows, 1, live, k, a, a_row, a_col, b, ldb, c, ldc, add);                                           \
        break;
#else
#define MM_ROW_CASE(rows)                                                                                              \
    case rows:                                                                                                         \
        if (live > 3 * VLEN)                                                                                           \
            mm_tile(rows, 4, live, k, a, a_row, a_col, b, ldb, c, ldc, add);                                           \
        else if (live > 2 * VLEN)                                                                                      \
            mm_tile(rows, 3, live, k, a, a_row, a_col, b, ldb, c, ldc, add);                                           \
        else if (live > VLEN)                                                                                          \
            mm_tile(rows, 2, live, k, a, a_row, a_col, b, ldb, c, ldc, add);                                           \
        else                                                                                                           \
            mm_tile(rows, 1, live, k, a, a_row, a_col, b, ldb, c, ldc, add);                                           \
        break;
#endif

/* rows <= MM_ROWS rows of c, n columns */
static inline void mm_strip(rgz_int rows, rgz_int n, rgz_int k, const float *a, rgz_int a_row, rgz_int a_col,
                            const float *b, rgz_int ldb, float *c, rgz_int ldc, int add) {
    for (rgz_int j = 0; j < n; j += MM_VECTORS * VLEN, b += MM_VECTORS * VLEN, c += MM_VECTORS * VLEN) {
        const rgz_int live = rgz_min(n - j, MM_VECTORS * VLEN);
        switch (rows) {
            MM_ROW_CASE(1)
            MM_ROW_CASE(2)
            MM_ROW_CASE(3)
            MM_ROW_CASE(4)
#if MM_ROWS >= 6
            MM_ROW_CASE(5)
            MM_ROW_CASE(6)
#endif
#if MM_ROWS >= 12
            MM_ROW_CASE(7)
            MM_ROW_CASE(8)
            MM_ROW_CASE(9)
            MM_ROW_CASE(10)
            MM_ROW_CASE(11)
            MM_ROW_CASE(12)
#endif
        }
    }
}

#endif

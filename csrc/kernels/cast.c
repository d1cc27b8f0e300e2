/* cast.c - flat vectors from float32 to the storage and back.
 *
 * cast_from_float: rounded to nearest, halves to even, subnormals kept, too large becomes inf; what becomes of a NaN
 * stands in simd/vec_generic.h. cast_to_float: exact. WRITES y; x and y have n entries.
 * Threads: chunks; same bits for any n_threads and any instruction set.
 */
#include "kernel.h"

void RGZ_FN(cast_from_float)(rgz_real *y, const float *x, rgz_int n, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (n > RGZ_SMALL)
    for (rgz_int begin = 0; begin < n; begin += RGZ_CHUNK)
        RGZ_FOR_VECTORS (i, live, rgz_min(RGZ_CHUNK, n - begin)) {
            vr_store_n(y + begin + i, vf_load_n(x + begin + i, live), live);
        }
}

void RGZ_FN(cast_to_float)(float *y, const rgz_real *x, rgz_int n, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (n > RGZ_SMALL)
    for (rgz_int begin = 0; begin < n; begin += RGZ_CHUNK)
        RGZ_FOR_VECTORS (i, live, rgz_min(RGZ_CHUNK, n - begin)) {
            vf_store_n(y + begin + i, vr_load_n(x + begin + i, live), live);
        }
}

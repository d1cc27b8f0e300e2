/* cast.c - flat vectors between float32 and the two storages of 16 bits, bfloat16 and float16 (IEEE 754 binary16).
 *
 * To half: rounded to nearest, halves to even, subnormals kept, too large becomes inf; what becomes of a NaN stands in
 * simd/vec_generic.h. From half: exact. WRITES its first argument; x and half have n entries.
 * Threads: chunks; same bits for any n_threads and any instruction set.
 */
#include "kernel.h"

#define CAST(name, to, from, load, store)                                                                              \
    void RGZ_FN(name)(to * y, const from *x, rgz_int n, int n_threads) {                                               \
        _Pragma("omp parallel for num_threads(n_threads) schedule(static) if (n > RGZ_SMALL)") for (rgz_int begin = 0; \
                                                                                                    begin < n;         \
                                                                                                    begin +=           \
                                                                                                    RGZ_CHUNK) {       \
            const rgz_int end = rgz_min(begin + RGZ_CHUNK, n), whole = begin + (end - begin) / VLEN * VLEN;            \
            for (rgz_int i = begin; i < whole; i += VLEN) store(y + i, load(x + i));                                   \
            if (whole < end) store##_n(y + whole, load##_n(x + whole, end - whole), end - whole);                      \
        }                                                                                                              \
    }

CAST(to_bf16, uint16_t, float, vf_load, vf_store_bf16)
CAST(from_bf16, float, uint16_t, vf_load_bf16, vf_store)
CAST(to_f16, uint16_t, float, vf_load, vf_store_f16)
CAST(from_f16, float, uint16_t, vf_load_f16, vf_store)

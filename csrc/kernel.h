/* kernel.h - what every kernel file includes: the vector operations of the instruction set that it is being
 * compiled for, the names of its functions, and the threads' small conveniences.
 */
#ifndef RGZ_KERNEL_H
#define RGZ_KERNEL_H

#include <math.h>
#include <string.h>

#include "rgz.h"
#include "thread.h"

#ifdef _MSC_VER
#define RGZ_INLINE static __forceinline
#define RGZ_NOT_INLINE static inline __declspec(noinline)
#define RGZ_RESTRICT __restrict
#define RGZ_PREFETCH_READ(address) ((void)(address))
#define RGZ_PREFETCH_WRITE(p) ((void)(p))
#else
#ifndef RGZ_INLINE /* with sanitizers the compiler had better choose: checks in every copy take it minutes */
#define RGZ_INLINE static inline __attribute__((always_inline))
#endif
#define RGZ_NOT_INLINE static __attribute__((noinline, unused))
#define RGZ_RESTRICT restrict
#define RGZ_PREFETCH_READ(address) __builtin_prefetch((const void *)(address), 0, 3)
#define RGZ_PREFETCH_WRITE(p) __builtin_prefetch(p, 1, 3)
#endif

#define RGZ_CONCAT_(a, b) a##b
#define RGZ_CONCAT(a, b) RGZ_CONCAT_(a, b)
/* layernorm_forward -> layernorm_forward_bf16_avx2 */
#define RGZ_FN(name) RGZ_CONCAT(RGZ_CONCAT(name, _), RGZ_CONCAT(RGZ_CONCAT(RGZ_STORAGE_NAME, _), RGZ_ISA))

#if RGZ_STORAGE == RGZ_F32
typedef float rgz_real;
#else
typedef uint16_t rgz_real;
#endif

#define RGZ_KERNEL(name, arguments, names) void RGZ_FN(name) arguments;
#include "kernels.def"
#undef RGZ_KERNEL

/* setup.py passes -DRGZ_VEC_HEADER="simd/vec_avx2.h" */
#include RGZ_VEC_HEADER
#include "simd/storage.h"
#include "simd/vmath.h"

RGZ_INLINE rgz_int rgz_min(rgz_int a, rgz_int b) { return a < b ? a : b; }
RGZ_INLINE rgz_int rgz_max(rgz_int a, rgz_int b) { return a > b ? a : b; }
RGZ_INLINE rgz_int rgz_blocks(rgz_int n, rgz_int block) { return (n + block - 1) / block; }

/* A loop over n floats in vectors, the last one partial: body sees i and the count of live lanes `live`. */
#define RGZ_FOR_VECTORS(i, live, n) for (rgz_int i = 0, live; i < (n) && (live = rgz_min(VLEN, (n) - i), 1); i += VLEN)

/* Floats of less work than waking a team takes: a token being generated is done by the calling thread alone. */
#define RGZ_SMALL 16384

/* Elementwise kernels give threads whole chunks of this many floats: 16 KiB, so that no cache line is shared. */
#define RGZ_CHUNK 4096

#endif

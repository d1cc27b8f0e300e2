/* scratch.h - see scratch.c */
#ifndef RGZ_SCRATCH_H
#define RGZ_SCRATCH_H

/* Floats of a thread's block: the most that simd/packed_gemm.h needs with any instruction set. */
enum { RGZ_PRODUCT_SCRATCH = 256 * (512 + 48) + 288 * 512 };

/* The calling thread's block, on a cache line; its contents are lost with the next call that multiplies. */
float *rgz_product_scratch(void);

#endif

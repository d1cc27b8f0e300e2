/* scratch.h - see scratch.c */
#ifndef RGZ_SCRATCH_H
#define RGZ_SCRATCH_H

/* The calling thread's block, on a cache line; its contents are lost with the next call that multiplies. */
float *rgz_product_scratch(void);

#endif

/* rgz.h - everything the outside may call: the table of kernels, its dispatch, the borrowed sgemm.
 *
 * csrc knows neither Python nor NumPy nor which BLAS it calls. The list of kernels is kernels.def; this
 * header turns it into one struct of function pointers, and every instruction set fills one such struct.
 */
#ifndef RGZ_H
#define RGZ_H

#include <stddef.h>
#include <stdint.h>

#include "sizes.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef ptrdiff_t rgz_int;

/* What activations and the weights to compute with are stored as: float, or the 16 bits of bfloat16 or IEEE binary16.
 * Statistics, losses, sums and gradients of parameters are float32 with each of them. */
#define RGZ_F32 0
#define RGZ_BF16 1
#define RGZ_F16 2
#define RGZ_STORAGES 3

/* Seen from outside an rgz_real is void: one struct serves all storages. */
typedef struct rgz_kernels {
#define rgz_real void
#define RGZ_KERNEL(name, arguments, names) void(*name) arguments;
#include "kernels.def"
#undef RGZ_KERNEL
#undef rgz_real
} rgz_kernels;

/* Instruction sets, weakest first. rgz_isa_name(i) is NULL past the last one. */
const char *rgz_isa_name(int isa);
int rgz_isa_compiled(int isa); /* this build has kernels for it */
int rgz_isa_usable(int isa);   /* compiled, and CPU and OS can run it */
int rgz_isa_best(void);        /* the strongest usable one */
int rgz_isa_active(void);      /* the one rgz_active() serves */
int rgz_isa_select(int isa);   /* 1 if it is now active, 0 if it is not usable */
const rgz_kernels *rgz_active(int storage);

/* Fortran sgemm, borrowed from the program that loads us. Without one (address NULL) products are rgz's own. */
void rgz_set_sgemm(void *address);
int rgz_has_sgemm(void);

/* What each thread needs for attention. */
rgz_int rgz_attention_scratch_floats(rgz_int head_size);

/* Activations that a product can be followed by. */
enum { RGZ_NO_ACTIVATION, RGZ_RELU, RGZ_GELU, RGZ_GELU_TANH };

/* Rows per block of the fixed partial sums in the norm and bias gradients. */
#define RGZ_ROW_BLOCK 64

/* Floats per block of the fixed partial sums in squared_norm. */
#define RGZ_NORM_BLOCK 65536

/* Elements that share a unit in adamw_int8. */
#define RGZ_MOMENT_BLOCK 256

int rgz_openmp(void);       /* the OpenMP version this was built with, 0 if without */
int rgz_openmp_limit(void); /* the most threads that OpenMP gives this program (OMP_THREAD_LIMIT); 1 without it */
/* The CPUs to which OpenMP binds a team that the calling thread starts (OMP_PROC_BIND), and their number; 0: it binds
 * none. */
int rgz_openmp_cpus(int *cpus);

#ifdef __cplusplus
}
#endif
#endif

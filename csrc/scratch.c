/* scratch.c - room to work in. Kernels do not allocate: what attention needs is its caller's; for the copies that a
 * product makes of its operands, a megabyte and more than some threads' whole stack (musl's are 128 KiB), each thread
 * brings a block.
 */
#include "scratch.h"

#include "rgz.h"

#ifdef _MSC_VER
#define RGZ_THREAD_LOCAL __declspec(thread)
#else
#define RGZ_THREAD_LOCAL _Thread_local
#endif

static RGZ_THREAD_LOCAL _Alignas(64) float block[RGZ_PRODUCT_SCRATCH];

float *rgz_product_scratch(void) { return block; }

/* keys, values and their gradients; scores and theirs; keys and gradients of scores as pairs; for each block of a group
 * of queries: q, dout, both transposed, dq, and two vectors. Forward needs less. See attention_backward.c. */
rgz_int rgz_attention_scratch_floats(rgz_int head_size) {
    const rgz_int block = RGZ_ATTENTION_BLOCK, area = head_size * block;
    return 5 * area + 5 * block * block / 2 + RGZ_ATTENTION_GROUP * (5 * area + 2 * block);
}

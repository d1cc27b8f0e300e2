/* scratch.c - room for the copies that a product makes of its operands, one block for every thread that multiplies.
 *
 * Kernels do not allocate, and a megabyte is more than some threads' whole stack (musl's are 128 KiB): each
 * thread's block comes with the thread.
 */
#include "scratch.h"

#include "sizes.h"

#ifdef _MSC_VER
#define RGZ_THREAD_LOCAL __declspec(thread)
#else
#define RGZ_THREAD_LOCAL _Thread_local
#endif

static RGZ_THREAD_LOCAL _Alignas(64) float block[RGZ_PRODUCT_SCRATCH];

float *rgz_product_scratch(void) { return block; }

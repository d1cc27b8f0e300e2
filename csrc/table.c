/* table.c - the table of kernels of one instruction set and one storage, filled from the list. Outside, where every
 * storage is void, a kernel is called through a function that knows its type.
 */
#include "kernel.h"

#define rgz_real void
#define RGZ_KERNEL(name, arguments, names)                                                                             \
    static void call_##name arguments { RGZ_FN(name) names; }
#include "kernels.def"
#undef RGZ_KERNEL

const rgz_kernels RGZ_FN(rgz_table) = {
#define RGZ_KERNEL(name, arguments, names) .name = call_##name,
#include "kernels.def"
#undef RGZ_KERNEL
};

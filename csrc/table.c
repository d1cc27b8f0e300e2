/* table.c - one instruction set's table of kernels, filled from the list. */
#include "kernel.h"

const rgz_kernels RGZ_CONCAT(rgz_table_, RGZ_ISA) = {
#define RGZ_KERNEL(name, arguments) .name = RGZ_FN(name),
#include "kernels.def"
#undef RGZ_KERNEL
};

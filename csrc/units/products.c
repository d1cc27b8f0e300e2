/* products.c - the kernels that multiply matrices, compiled as one: the packed product takes most of their time. */
#include "kernels/linear.c"
#include "kernels/lm_loss.c"

/* attention.c - both passes of attention, compiled as one: their small products take most of their time. */
#include "kernels/attention.c"
#include "kernels/attention_backward.c"

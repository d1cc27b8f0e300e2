/* thread.h - the number of the calling thread in its team, with and without OpenMP. */
#ifndef RGZ_THREAD_H
#define RGZ_THREAD_H

#ifdef _OPENMP
#include <omp.h>
#define RGZ_THREAD() omp_get_thread_num()
#else
#define RGZ_THREAD() 0
#endif

#endif

/* dispatch.c - which instruction sets this build has, which of them CPU *and OS* can run, which one is active.
 *
 * Built with the platform's baseline flags only. The CPU is asked directly (cpuid + XGETBV, or the kernel's HWCAP):
 * __builtin_cpu_supports answers 0 under some compilers without saying so.
 */
#include "rgz.h"

#include <limits.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define RGZ_X86 1
#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) && defined(__linux__) /* Android too */
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#define RGZ_CONCAT_(a, b) a##b
#define RGZ_CONCAT(a, b) RGZ_CONCAT_(a, b)

/* setup.py defines RGZ_HAVE_<ISA> for every set whose files the compiler took. */
#define RGZ_TABLES(isa) extern const rgz_kernels rgz_table_f32_##isa, rgz_table_bf16_##isa, rgz_table_f16_##isa;
RGZ_TABLES(generic)
#ifdef RGZ_HAVE_AVX2
RGZ_TABLES(avx2)
#endif
#ifdef RGZ_HAVE_AVX512
RGZ_TABLES(avx512)
#endif
#ifdef RGZ_HAVE_AVX512BF16
extern const rgz_kernels rgz_table_bf16_avx512bf16;
#endif
#ifdef RGZ_HAVE_NEON
RGZ_TABLES(neon)
#endif
#ifdef RGZ_HAVE_NEONBF16
extern const rgz_kernels rgz_table_bf16_neonbf16, rgz_table_f16_neonbf16;
#endif
#undef RGZ_TABLES
#define RGZ_TABLES(isa) {&rgz_table_f32_##isa, &rgz_table_bf16_##isa, &rgz_table_f16_##isa}
/* Sets that differ from another in bfloat16 only, or in both of 16 bits; setup.py knows which. */
#define RGZ_TABLES_BF16(isa, other) {&rgz_table_f32_##other, &rgz_table_bf16_##isa, &rgz_table_f16_##other}
#define RGZ_TABLES_HALF(isa, other) {&rgz_table_f32_##other, &rgz_table_bf16_##isa, &rgz_table_f16_##isa}

#ifdef RGZ_X86
static void cpuid(int leaf, int sub, unsigned r[4]) {
#ifdef _MSC_VER
    __cpuidex((int *)r, leaf, sub);
#else
    __cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
#endif
}

/* Register files that the OS saves on a context switch (XCR0): 6 = SSE+AVX, 0xe6 = those and AVX-512's. */
static uint64_t saved_registers(void) {
    unsigned r[4];
    cpuid(1, 0, r);
    if (!(r[2] >> 27 & 1)) return 0;
#ifdef _MSC_VER
    return _xgetbv(0);
#else
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
#endif
}

static int can_avx2(void) {
    unsigned r[4];
    cpuid(0, 0, r);
    if (r[0] < 7) return 0;
    cpuid(1, 0, r);
    int fma = r[2] >> 12 & 1, f16c = r[2] >> 29 & 1;
    cpuid(7, 0, r);
    int avx2 = r[1] >> 5 & 1;
    return fma && f16c && avx2 && (saved_registers() & 6) == 6;
}

static int can_avx512(void) {
    unsigned r[4];
    if (!can_avx2()) return 0;
    cpuid(7, 0, r);
    unsigned f = r[1] >> 16 & 1, dq = r[1] >> 17 & 1, bw = r[1] >> 30 & 1, vl = r[1] >> 31 & 1;
    return f && dq && bw && vl && (saved_registers() & 0xe6) == 0xe6;
}

static int can_avx512bf16(void) {
    unsigned r[4];
    if (!can_avx512()) return 0;
    cpuid(7, 0, r);
    if (r[0] < 1) return 0; /* no further leaf of features */
    cpuid(7, 1, r);
    return r[0] >> 5 & 1;
}
#else
static int can_avx2(void) { return 0; }
static int can_avx512(void) { return 0; }
static int can_avx512bf16(void) { return 0; }
#endif

#if defined(__aarch64__) && defined(__APPLE__)
static int feature(const char *name) {
    int has = 0;
    size_t size = sizeof has;
    return sysctlbyname(name, &has, &size, NULL, 0) == 0 && has;
}
#endif

static int can_neonbf16(void) {
#if defined(__aarch64__) && defined(__linux__)
    const unsigned long fmlal = getauxval(AT_HWCAP) >> 23, bf16 = getauxval(AT_HWCAP2) >> 14;
    return fmlal & bf16 & 1; /* HWCAP_ASIMDFHM, HWCAP2_BF16 */
#elif defined(__aarch64__) && defined(__APPLE__)
    return feature("hw.optional.arm.FEAT_FHM") && feature("hw.optional.arm.FEAT_BF16");
#else
    return 0;
#endif
}

static int always(void) { return 1; }

static const struct {
    const char *name;
    const rgz_kernels *tables[RGZ_STORAGES];
    int (*can_run)(void);
} isas[] = {
    {"generic", RGZ_TABLES(generic), always},
#ifdef RGZ_HAVE_NEON /* part of the armv8-a baseline */
    {"neon", RGZ_TABLES(neon), always},
#else
    {"neon", {NULL}, always},
#endif
#ifdef RGZ_HAVE_NEONBF16
    {"neonbf16", RGZ_TABLES_HALF(neonbf16, neon), can_neonbf16},
#else
    {"neonbf16", {NULL}, can_neonbf16},
#endif
#ifdef RGZ_HAVE_AVX2
    {"avx2", RGZ_TABLES(avx2), can_avx2},
#else
    {"avx2", {NULL}, can_avx2},
#endif
#ifdef RGZ_HAVE_AVX512
    {"avx512", RGZ_TABLES(avx512), can_avx512},
#else
    {"avx512", {NULL}, can_avx512},
#endif
#ifdef RGZ_HAVE_AVX512BF16
    {"avx512bf16", RGZ_TABLES_BF16(avx512bf16, avx512), can_avx512bf16},
#else
    {"avx512bf16", {NULL}, can_avx512bf16},
#endif
};
enum { N_ISAS = sizeof isas / sizeof isas[0] };

static int active = -1; /* set once, while the binding is imported */

const char *rgz_isa_name(int isa) { return isa >= 0 && isa < N_ISAS ? isas[isa].name : NULL; }
int rgz_isa_compiled(int isa) { return isa >= 0 && isa < N_ISAS && isas[isa].tables[RGZ_F32]; }
int rgz_isa_usable(int isa) { return rgz_isa_compiled(isa) && isas[isa].can_run(); }

int rgz_isa_best(void) {
    int best = 0;
    for (int i = 0; i < N_ISAS; i++)
        if (rgz_isa_usable(i)) best = i;
    return best;
}

int rgz_isa_select(int isa) {
    if (!rgz_isa_usable(isa)) return 0;
    active = isa;
    return 1;
}

int rgz_isa_active(void) {
    if (active < 0) active = rgz_isa_best();
    return active;
}

const rgz_kernels *rgz_active(int storage) { return isas[rgz_isa_active()].tables[storage]; }

int rgz_openmp(void) {
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}

int rgz_openmp_limit(void) {
#if !defined(_OPENMP)
    return 1;
#elif _OPENMP < 200805 /* MSVC's, which has no such limit */
    return INT_MAX;
#else
    return omp_get_thread_limit();
#endif
}

int rgz_openmp_cpus(int *cpus) {
    int count = 0;
#if defined(_OPENMP) && _OPENMP >= 201511
    const int bound = omp_get_proc_bind(), mine = omp_get_place_num();
    for (int place = 0; bound != omp_proc_bind_false && place < omp_get_num_places(); place++) {
        if (bound == omp_proc_bind_master && place != mine) continue; /* the whole team goes where its first one is */
        if (cpus) omp_get_place_proc_ids(place, cpus + count);
        count += omp_get_place_num_procs(place);
    }
#else
    (void)cpus;
#endif
    return count;
}

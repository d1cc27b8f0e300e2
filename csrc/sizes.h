/* sizes.h - how large the pieces are that kernels work on, in one place: `python -m benches.tiles` varies them one at a
 * time (-DNAME=VALUE) and shows what each costs here.
 */
#ifndef RGZ_SIZES_H
#define RGZ_SIZES_H

/* simd/packed_gemm.h: units of k in a block, and where it is the only one; panels of b and strips of a in one, and the
 * same where k runs across the rows of a (twice as many on AVX2); blocks of strips whose sums are kept. */
#ifndef RGZ_GEMM_DEPTH
#define RGZ_GEMM_DEPTH 256
#endif
#ifndef RGZ_GEMM_DEEPEST
#define RGZ_GEMM_DEEPEST 384
#endif
#ifndef RGZ_GEMM_PANELS
#define RGZ_GEMM_PANELS 16
#endif
#ifndef RGZ_GEMM_STRIPS
#define RGZ_GEMM_STRIPS 8
#endif
#ifndef RGZ_GEMM_PANELS_ACROSS
#define RGZ_GEMM_PANELS_ACROSS 24
#endif
#ifndef RGZ_GEMM_STRIPS_ACROSS
#define RGZ_GEMM_STRIPS_ACROSS 16
#endif
/* Where the rows of a are read as they lie: the most units of k in a block, and at most these times its panels. */
#ifndef RGZ_GEMM_DEEP
#define RGZ_GEMM_DEEP 768
#endif
#ifndef RGZ_GEMM_AREA
#define RGZ_GEMM_AREA 3072
#endif
#ifndef RGZ_GEMM_KEPT
#define RGZ_GEMM_KEPT 3
#endif

/* Floats of a thread's scratch: the most that products need with any instruction set. */
#ifndef RGZ_PRODUCT_SCRATCH
#define RGZ_PRODUCT_SCRATCH (256 * (512 + 96) + 288 * 512)
#endif

/* kernels/tiles.h: tiles for every thread, so that one that is held up holds few others up. */
#ifndef RGZ_TILES_EACH
#define RGZ_TILES_EACH 2
#endif

/* kernels/linear.c: bytes of a weight that are asked for ahead of those that are multiplied, with few rows. */
#ifndef RGZ_WEIGHT_AHEAD
#define RGZ_WEIGHT_AHEAD 2048
#endif

/* kernels/attention_block.h: blocks of queries x keys, and how many blocks of queries at a time. */
#ifndef RGZ_ATTENTION_BLOCK
#define RGZ_ATTENTION_BLOCK 96
#endif
#ifndef RGZ_ATTENTION_GROUP
#define RGZ_ATTENTION_GROUP 3
#endif

#endif

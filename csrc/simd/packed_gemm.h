/* packed_gemm.h - the product of large row-major matrices on one thread, after Goto, van de Geijn 2008, "Anatomy of
 * high-performance matrix multiplication", ACM TOMS 34(3).
 *
 * b is copied, some hundred rows of k by some hundred columns at a time (gemm_blocks), into panels as wide as a
 * register tile, which then mostly stay in the second cache while all rows of a pass by (where a panel stays in the
 * first, strips of a do), unless b lies that closely together anyway (AVX-512: reads_in_place); the rows of a are
 * copied into strips as high as a register tile, for rows a power of two apart would throw each other out of the first
 * cache, or read where they are (reads_rows). Each element of c is the sum, in the order of k, of one chain of fused
 * multiply-adds for every block of k, whose depth follows from k and from how a lies: its bits depend neither on the
 * other sizes of the blocks nor on how c is cut into tiles. Until the last of k, sums are float32: in c, or where c is
 * in half precision in a block of their own.
 */
#ifndef RGZ_PACKED_GEMM_H
#define RGZ_PACKED_GEMM_H

#include "activations.h"
#include "block_mm.h"
#include "gemm.h"
#include "gemm_tile.h"
#include "scratch.h"

enum {
    GEMM_DEPTH = RGZ_GEMM_DEPTH,
    GEMM_DEEPEST = RGZ_GEMM_DEEPEST,
    GEMM_WIDTH = RGZ_GEMM_PANELS * GEMM_PANEL,
    GEMM_HEIGHT = RGZ_GEMM_STRIPS * MM_ROWS,
    GEMM_SUMS = RGZ_GEMM_KEPT * GEMM_HEIGHT,
    GEMM_PANEL_STAYS = VLEN == 8, /* large_blocks on AVX2 */
    GEMM_WIDEST = RGZ_GEMM_PANELS_ACROSS * GEMM_PANEL * (GEMM_PANEL_STAYS ? 2 : 1),
    GEMM_HIGHEST = RGZ_GEMM_STRIPS_ACROSS * MM_ROWS * (GEMM_PANEL_STAYS ? 2 : 1),
    GEMM_HEIGHT_DEEP = RGZ_GEMM_STRIPS / 2 * MM_ROWS,      /* with blocks of RGZ_GEMM_DEEP */
    GEMM_COPIED = GEMM_DEPTH * (GEMM_WIDTH + GEMM_HEIGHT), /* floats of panels and strips beside kept sums */
    GEMM_COPIED_DEEP = RGZ_GEMM_AREA * GEMM_PANEL + RGZ_GEMM_DEEP * GEMM_HEIGHT_DEEP,
    GEMM_BEFORE_SUMS = GEMM_COPIED > GEMM_COPIED_DEEP ? GEMM_COPIED : GEMM_COPIED_DEEP
};

/* Whether a block of b may be read where it is: copying rows of up to 3 KiB costs more than it saves, measured for 120
 * to 1,000 rows of a; longer ones a power of two apart are thrown out of the caches before they are read again, and
 * what comes from memory (more than 16 MiB) comes faster row by row. Where a panel is no wider than a cache line (all
 * but AVX-512), each line read would lie a whole row after the one before: there the product with the copy takes as
 * little as half the time where b comes from memory, measured for 1 to 1,000 rows of a; where b is in the caches, up to
 * a dozen rows take up to half as long again, on two threads up to 1.8 times as long. */
RGZ_INLINE int reads_in_place(const rgz_product *g, rgz_int width) {
    return RGZ_STORAGE == RGZ_F32 && GEMM_PANEL * sizeof(float) >= 128 && !g->b_trans && g->ldb <= 768 &&
           g->k * g->ldb <= 1 << 22 && width % GEMM_PANEL == 0;
}

/* Whether the rows of a are read where they are: those a multiple of 4 KiB apart throw each other out of a first cache
 * of eight ways. */
RGZ_INLINE int reads_rows(const rgz_product *g) {
    return GEMM_READS_ROWS && !g->a_trans && g->lda * (rgz_int)sizeof *g->a % 4096 != 0;
}

/* What becomes of a tile's sums: bias (columns; NULL: none), residual (NULL: none) and, with add, what is in sums are
 * added to them; they are stored in c, rounded, or with c NULL in sums. */
typedef struct {
    float *sums;
    rgz_int lds;
    int add;
    const float *bias;
    const rgz_real *residual; /* with the strides of c */
    rgz_real *c;
    rgz_int ldc;
} tile_target;

RGZ_INLINE tile_target target_at(tile_target t, rgz_int row, rgz_int col) {
    if (t.sums) t.sums += row * t.lds + col;
    if (t.bias) t.bias += col;
    if (t.residual) t.residual += row * t.ldc + col;
    if (t.c) t.c += row * t.ldc + col;
    return t;
}

RGZ_INLINE void store_sums(tile_target t, rgz_int row, rgz_int col, vf v, rgz_int live) {
    if (t.add) v = vf_add(v, vf_load_n(t.sums + row * t.lds + col, live));
    if (t.residual) v = vf_add(v, vr_load_n(t.residual + row * t.ldc + col, live));
    if (t.bias) v = vf_add(v, vf_load_n(t.bias + col, live));
    if (t.c)
        vr_store_n(t.c + row * t.ldc + col, v, live);
    else
        vf_store_n(t.sums + row * t.lds + col, v, live);
}

/* A tile (MM_ROWS, GEMM_PANEL) = strip panel. */
RGZ_INLINE void register_tile(tile_target t, gemm_rows a, const float *panel, rgz_int ldp, rgz_int units,
                              gemm_wanted *wanted) {
    vf acc[MM_ROWS][MM_VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < MM_ROWS; i++)
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) {
            if (t.c) /* wanted when the sums are done */
                RGZ_PREFETCH_WRITE(t.c + i * t.ldc + v * VLEN);
            else
                RGZ_PREFETCH_WRITE(t.sums + i * t.lds + v * VLEN);
            acc[i][v] = vf_zero();
        }
    tile_sums(acc, a, panel, ldp, units, wanted);
#pragma GCC unroll 16
    for (int i = 0; i < MM_ROWS; i++)
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) store_sums(t, i, v * VLEN, acc[i][v], VLEN);
}

/* A tile in two steps, sums first and then what becomes of them: at an edge of c, of which rows x cols are there, and
 * where rounding to bfloat16 is integer arithmetic. Its constants would take registers from the sums, for gcc loads
 * them before the loop, though not where a bias or a residual is added; so this is not inlined either. */
enum { ROUNDED_APART = RGZ_STORAGE == RGZ_BF16 && GEMM_UNIT == 1 && VLEN < 16 }; /* AVX-512 has enough */

RGZ_NOT_INLINE void tile_in_steps(tile_target t, gemm_rows a, const float *panel, rgz_int ldp, rgz_int units,
                                  gemm_wanted *wanted, rgz_int rows, rgz_int cols) {
    _Alignas(64) float sums[MM_ROWS * GEMM_PANEL];
    register_tile((tile_target){sums, GEMM_PANEL, 0, NULL, NULL, NULL, 0}, a, panel, ldp, units, wanted);
    for (rgz_int i = 0; i < rows; i++)
        RGZ_FOR_VECTORS (j, live, cols) {
            store_sums(t, i, j, vf_load_n(sums + i * GEMM_PANEL + j, live), live);
        }
}

/* For each of the usual targets, code without the others. */
RGZ_INLINE void whole_tile(tile_target t, gemm_rows a, const float *panel, rgz_int ldp, rgz_int units,
                           gemm_wanted *wanted) {
    if (t.bias || t.residual)
        register_tile(t, a, panel, ldp, units, wanted);
    else if (ROUNDED_APART && t.c)
        tile_in_steps(t, a, panel, ldp, units, wanted, MM_ROWS, GEMM_PANEL);
    else if (t.c && t.add)
        register_tile((tile_target){t.sums, t.lds, 1, NULL, NULL, t.c, t.ldc}, a, panel, ldp, units, wanted);
    else if (t.c)
        register_tile((tile_target){NULL, 0, 0, NULL, NULL, t.c, t.ldc}, a, panel, ldp, units, wanted);
    else if (t.add)
        register_tile((tile_target){t.sums, t.lds, 1, NULL, NULL, NULL, 0}, a, panel, ldp, units, wanted);
    else
        register_tile((tile_target){t.sums, t.lds, 0, NULL, NULL, NULL, 0}, a, panel, ldp, units, wanted);
}

/* A block (rows, cols) = strips b, in register tiles. Panels of b are `next` units apart, their rows ldp. A strip stays
 * in the first cache while the panels pass by, or with panel_stays a panel while the strips do. wanted NULL, never with
 * panel_stays: strips lie in a; for each what comes after it is asked for, as much as a strip during four panels. */
RGZ_INLINE void packed_block(tile_target block, gemm_rows strips, gemm_wanted *wanted, const float *b, rgz_int next,
                             rgz_int ldp, rgz_int units, rgz_int rows, rgz_int cols, int panel_stays) {
    const rgz_int down = rgz_blocks(rows, MM_ROWS), across = rgz_blocks(cols, GEMM_PANEL);
    gemm_wanted strip_after = {0};
    for (rgz_int stays = 0; stays < (panel_stays ? across : down); stays++)
        for (rgz_int passes = 0; passes < (panel_stays ? down : across); passes++) {
            const rgz_int strip = panel_stays ? passes : stays, panel = panel_stays ? stays : passes;
            const rgz_int i = strip * MM_ROWS, j = panel * GEMM_PANEL;
            gemm_rows a = strips;
            a.at = (const char *)strips.at + strip * strips.strip;
            if (!wanted && panel == 0)
                strip_after =
                    (gemm_wanted){(uintptr_t)a.at + (uintptr_t)a.strip, a.row, units * GEMM_UNIT_BYTES, MM_ROWS / 4, 0};
            gemm_wanted *const meanwhile = wanted ? wanted : &strip_after;
            const float *columns = b + floats_of(panel * next);
            const tile_target t = target_at(block, i, j);
            const rgz_int high = rgz_min(MM_ROWS, rows - i), wide = rgz_min(GEMM_PANEL, cols - j);
            if (high < MM_ROWS || wide < GEMM_PANEL)
                tile_in_steps(t, a, columns, ldp, units, meanwhile, high, wide);
            else
                whole_tile(t, a, columns, ldp, units, meanwhile);
        }
}

/* y = activation(x), a block of rows x cols; x and y have the same strides. */
static void activate_block(int activation, rgz_real *y, const rgz_real *x, rgz_int stride, rgz_int rows, rgz_int cols) {
    for (rgz_int r = 0; r < rows; r++)
        RGZ_FOR_VECTORS (c, live, cols) {
            const vf v = vr_load_n(x + r * stride + c, live);
            const vf a = activation == RGZ_RELU ? vf_relu(v) : activation == RGZ_GELU ? vf_gelu(v) : vf_gelu_tanh(v);
            vr_store_n(y + r * stride + c, a, live);
        }
}

_Static_assert(GEMM_BEFORE_SUMS + GEMM_SUMS * GEMM_WIDTH <= RGZ_PRODUCT_SCRATCH &&
                   GEMM_DEEPEST * (GEMM_WIDTH + GEMM_HEIGHT) <= RGZ_PRODUCT_SCRATCH &&
                   GEMM_DEPTH * (GEMM_WIDEST + GEMM_HIGHEST) <= RGZ_PRODUCT_SCRATCH,
               "panels, strips and sums fit");
_Static_assert(RGZ_GEMM_AREA >= RGZ_GEMM_DEEP && GEMM_HEIGHT_DEEP > 0, "deep blocks have a panel and a strip");

/* Numbers of k, rows and columns of what is copied at a time. */
typedef struct {
    rgz_int depth, height, width;
} gemm_blocks;

/* Where k runs across the rows of a, large blocks use more of the lines in which a lies, and with sums that have a
 * place of their own there is room. On AVX2, whose panels are a cache line wide, still larger ones with a panel staying
 * made gradients of weights 3 to 14 % faster (Zen 3); other products would lose up to 3 %, and NEON, which has panels
 * like these, was never timed. */
RGZ_INLINE int large_blocks(const rgz_product *g) { return g->a_trans && (RGZ_STORAGE == RGZ_F32 || g->sums); }
RGZ_INLINE int panel_stays(const rgz_product *g) { return GEMM_PANEL_STAYS && large_blocks(g); }

/* Where all of k is one block, no sums need to be kept, which pays for a deeper one. Where a is mostly not copied,
 * narrow blocks cost nothing, and deep ones that leave half the second cache to a and c are best. */
RGZ_INLINE gemm_blocks blocks_of(const rgz_product *g) {
    if (reads_rows(g)) {
        const rgz_int units = rgz_max(rgz_blocks(g->k, UNIT), 1);
        const rgz_int depth = rgz_blocks(units, rgz_blocks(units, RGZ_GEMM_DEEP));
        return (gemm_blocks){depth * UNIT, GEMM_HEIGHT_DEEP, RGZ_GEMM_AREA / depth * GEMM_PANEL};
    }
    if (large_blocks(g)) return (gemm_blocks){GEMM_DEPTH * UNIT, GEMM_HIGHEST, GEMM_WIDEST};
    return (gemm_blocks){(g->k <= GEMM_DEEPEST * UNIT ? GEMM_DEEPEST : GEMM_DEPTH) * UNIT, GEMM_HEIGHT, GEMM_WIDTH};
}

/* `height` rows of a from i on, numbers [p0, p0 + depth) of k, copied to strips unless they are read in place. */
RGZ_INLINE gemm_rows rows_of(const rgz_product *g, rgz_int i, rgz_int p0, rgz_int depth, int in_place, rgz_int height,
                             float *strips) {
    const rgz_real *a = g->a_trans ? g->a + p0 * g->lda + i : g->a + i * g->lda + p0;
    const rgz_int row = g->lda * (rgz_int)sizeof *a, unit = GEMM_UNIT_BYTES, units = rgz_blocks(depth, GEMM_UNIT);
    if (in_place) return (gemm_rows){a, row, unit, MM_ROWS * row};
    pack_operand(strips, MM_ROWS, a, g->lda, !g->a_trans, depth, height);
    return (gemm_rows){strips, unit, MM_ROWS * unit, MM_ROWS * units * unit};
}

/* What is asked for before it is copied, where k runs across the rows of a: `count` columns from i on, and of them, if
 * there is time, also what the next blocks of k copy, which then comes from the last cache. */
RGZ_INLINE gemm_wanted columns_of(const rgz_product *g, rgz_int i, rgz_int count, rgz_int p0) {
    if (!g->a_trans || count == 0) return (gemm_wanted){0};
    const rgz_int size = sizeof *g->a;
    return (gemm_wanted){(uintptr_t)(g->a + p0 * g->lda + i), g->lda * size, count * size, 1, 0};
}

/* Rows [i0, end) and columns [j0, j0 + width) of c. Partial sums are kept in `kept`, or with it NULL in g->sums. */
RGZ_INLINE void own_gemm_block(const rgz_product *g, rgz_int i0, rgz_int end, rgz_int j0, rgz_int width,
                               const gemm_blocks *size, float *kept) {
    float *panels = rgz_product_scratch(), *strips = panels + size->depth / UNIT * size->width;
    const int b_in_place = reads_in_place(g, width);
    for (rgz_int p0 = 0; p0 < g->k; p0 += size->depth) {
        const rgz_int depth = rgz_min(size->depth, g->k - p0), units = rgz_blocks(depth, GEMM_UNIT);
        const int last = p0 + depth == g->k;
        const rgz_real *b = g->b_trans ? g->b + j0 * g->ldb + p0 : g->b + p0 * g->ldb + j0;
        if (!b_in_place) pack_operand(panels, GEMM_PANEL, b, g->ldb, g->b_trans, depth, width);
        tile_target t = {.ldc = g->ldc, .add = g->add || p0};
        t.sums = kept ? kept : g->sums + i0 * g->ldc + j0;
        t.lds = kept ? size->width : g->ldc;
        if (p0 == 0 && g->bias) t.bias = g->bias + j0;
        if (p0 == 0 && g->residual) t.residual = g->residual + i0 * g->ldc + j0;
        if (kept && last) t.c = g->c + i0 * g->ldc + j0;
        for (rgz_int i = i0, height; i < end; i += height) {
            height = rgz_min(size->height, end - i);
            const int in_place = reads_rows(g) && depth % UNIT == 0 && height >= MM_ROWS;
            if (in_place) height -= height % MM_ROWS; /* the rest of the rows is copied */
            gemm_wanted wanted = columns_of(g, i + height, rgz_min(height, end - i - height), p0);
            packed_block(target_at(t, i - i0, 0), rows_of(g, i, p0, depth, in_place, height, strips),
                         in_place ? NULL : &wanted, b_in_place ? (const float *)b : panels,
                         b_in_place ? GEMM_PANEL : units * GEMM_PANEL, b_in_place ? g->ldb : GEMM_PANEL, units, height,
                         width, panel_stays(g));
            if (g->activation && last) {
                const rgz_int at = i * g->ldc + j0;
                activate_block(g->activation, g->activated + at, g->c + at, g->ldc, height, width);
            }
        }
    }
}

/* Where k takes several blocks and c is in half precision, b is copied anew for every part of rows whose sums fit. */
static void own_gemm(const rgz_product *whole) {
    rgz_product g = *whole;
#if RGZ_STORAGE == RGZ_F32
    if (!g.sums) g.sums = g.c;
    float *const kept = NULL;
#else
    float *const kept = g.sums ? NULL : rgz_product_scratch() + GEMM_BEFORE_SUMS;
#endif
    const gemm_blocks size = blocks_of(&g);
    const rgz_int rows_kept = GEMM_SUMS * GEMM_WIDTH / size.width / MM_ROWS * MM_ROWS;
    const rgz_int parts = kept && g.k > size.depth ? rgz_blocks(g.m, rows_kept) : 1;
    const rgz_int high = rgz_blocks(rgz_blocks(g.m, parts), MM_ROWS) * MM_ROWS;
    for (rgz_int j0 = 0; j0 < g.n; j0 += size.width)
        for (rgz_int i0 = 0; i0 < g.m; i0 += high)
            own_gemm_block(&g, i0, rgz_min(i0 + high, g.m), j0, rgz_min(size.width, g.n - j0), &size, kept);
}

#endif

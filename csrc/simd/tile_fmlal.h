/* tile_fmlal.h - a register tile by FMLAL of Armv8.4, which multiplies float16 and adds to float32, rounded once: the
 * bits are those of the same numbers made float32, but copies and loads are half as large.
 *
 * A unit is one float16.
 */
enum { GEMM_UNIT = 1, GEMM_UNIT_BYTES = 2, GEMM_READS_ROWS = 0 };

/* Strips and panels as in pack.h. */
RGZ_INLINE void pack_operand(float *packed, const rgz_int wide, const rgz_real *x, rgz_int ld, int across,
                             rgz_int depth, rgz_int n) {
    for (rgz_int j = 0; j < n; j += wide) {
        rgz_real *to = (rgz_real *)packed + j * depth;
        const rgz_int there = rgz_min(wide, n - j);
        if (!across) {
            for (rgz_int k = 0; k < depth; k++) {
                memcpy(to + k * wide, x + k * ld + j, (size_t)there * sizeof *x);
                memset(to + k * wide + there, 0, (size_t)(wide - there) * sizeof *x);
            }
            continue;
        }
        for (rgz_int k = 0; k < depth; k += 4) {
            const rgz_int live = rgz_min(4, depth - k);
            rgz_int i = 0;
            if (live == 4)
                for (; i + 4 <= there; i += 4) { /* a square of 4 x 4 */
                    const rgz_real *from = x + (j + i) * ld + k;
                    const uint16x4x2_t low = vtrn_u16(vld1_u16(from), vld1_u16(from + ld));
                    const uint16x4x2_t high = vtrn_u16(vld1_u16(from + 2 * ld), vld1_u16(from + 3 * ld));
                    for (int odd = 0; odd < 2; odd++) {
                        const uint32x2x2_t columns =
                            vtrn_u32(vreinterpret_u32_u16(low.val[odd]), vreinterpret_u32_u16(high.val[odd]));
                        vst1_u16(to + (k + odd) * wide + i, vreinterpret_u16_u32(columns.val[0]));
                        vst1_u16(to + (k + odd + 2) * wide + i, vreinterpret_u16_u32(columns.val[1]));
                    }
                }
            for (; i < wide; i++)
                for (rgz_int l = 0; l < live; l++) to[(k + l) * wide + i] = i < there ? x[(j + i) * ld + k + l] : 0;
        }
    }
}

/* Eight of them, read as what they were written as. */
RGZ_INLINE float16x8_t float16s(const float *packed, rgz_int at) {
    return vreinterpretq_f16_u16(vld1q_u16((const rgz_real *)packed + at));
}

RGZ_INLINE void tile_sums(vf acc[MM_ROWS][MM_VECTORS], gemm_rows rows, const float *panel, rgz_int ldp, rgz_int units,
                          gemm_wanted *wanted) {
    (void)wanted;
    const float *strip = rows.at;
    for (rgz_int p = 0; p < units; p++) {
        float16x8_t a, b[MM_VECTORS / 2];
#pragma GCC unroll 2
        for (int v = 0; v < MM_VECTORS / 2; v++) b[v] = float16s(panel, p * ldp + v * 2 * VLEN);
        a = float16s(strip, p * MM_ROWS); /* past the row, too: that is the next one, or the scratch after it */
#define RGZ_ROW(i)                                                                                                     \
    acc[i][0] = vfmlalq_laneq_low_f16(acc[i][0], b[0], a, i),                                                          \
    acc[i][1] = vfmlalq_laneq_high_f16(acc[i][1], b[0], a, i),                                                         \
    acc[i][2] = vfmlalq_laneq_low_f16(acc[i][2], b[1], a, i),                                                          \
    acc[i][3] = vfmlalq_laneq_high_f16(acc[i][3], b[1], a, i)
        RGZ_ROW(0), RGZ_ROW(1), RGZ_ROW(2), RGZ_ROW(3), RGZ_ROW(4), RGZ_ROW(5);
#undef RGZ_ROW
    }
}
_Static_assert(MM_ROWS == 6 && MM_VECTORS == 4, "the lanes of a");

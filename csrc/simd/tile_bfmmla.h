/* tile_bfmmla.h - a register tile by BFMMLA of Armv8.6, which multiplies two rows of a by two columns of b, four
 * numbers of k at once: twice what BFDOT does. The sums are those of two BFDOT, bit for bit.
 *
 * A unit is four bfloat16 of one vector, zeros past the end of k; two vectors side by side are a register.
 */
enum { GEMM_UNIT = 4, GEMM_UNIT_BYTES = 8, GEMM_READS_ROWS = 0 };

/* Strips and panels as in pack.h. */
RGZ_INLINE void pack_operand(float *packed, const rgz_int wide, const rgz_real *x, rgz_int ld, int across,
                             rgz_int depth, rgz_int n) {
    const rgz_int units = rgz_blocks(depth, 4);
    for (rgz_int j = 0; j < n; j += wide) {
        rgz_real *to = (rgz_real *)packed + j * units * 4;
        const rgz_int there = rgz_min(wide, n - j);
        for (rgz_int u = 0; u < units; u++, to += 4 * wide) {
            const rgz_real *from = across ? x + j * ld + 4 * u : x + 4 * u * ld + j;
            const rgz_int live = rgz_min(4, depth - 4 * u), step = across ? ld : 1, along = across ? 1 : ld;
            rgz_int i = 0;
            if (live == 4 && across)
                for (; i < there; i++) vst1_u16(to + 4 * i, vld1_u16(from + i * ld));
            else if (live == 4)
                for (; i + 4 <= there; i += 4) {
                    const uint16x4x4_t rows = {{vld1_u16(from + i), vld1_u16(from + ld + i),
                                                vld1_u16(from + 2 * ld + i), vld1_u16(from + 3 * ld + i)}};
                    vst4_u16(to + 4 * i, rows);
                }
            for (; i < wide; i++)
                for (rgz_int k = 0; k < 4; k++) to[4 * i + k] = i < there && k < live ? from[i * step + k * along] : 0;
        }
    }
}

/* Eight of them, read as what they were written as. */
RGZ_INLINE bfloat16x8_t bfloat16s(const float *packed, rgz_int at) {
    return vreinterpretq_bf16_u16(vld1q_u16((const rgz_real *)packed + at));
}

RGZ_INLINE void tile_sums(vf acc[MM_ROWS][MM_VECTORS], gemm_rows rows, const float *panel, rgz_int ldp, rgz_int units,
                          gemm_wanted *wanted) {
    (void)wanted;
    const float *strip = rows.at;
    vf sums[MM_ROWS / 2][GEMM_PANEL / 2]; /* two rows by two columns each */
#pragma GCC unroll 3
    for (int i = 0; i < MM_ROWS / 2; i++)
#pragma GCC unroll 8
        for (int j = 0; j < GEMM_PANEL / 2; j++) sums[i][j] = vf_zero();
    for (rgz_int p = 0; p < units; p++) {
        bfloat16x8_t a[MM_ROWS / 2];
#pragma GCC unroll 3
        for (int i = 0; i < MM_ROWS / 2; i++) a[i] = bfloat16s(strip, p * 4 * MM_ROWS + i * 8);
#pragma GCC unroll 8
        for (int j = 0; j < GEMM_PANEL / 2; j++) {
            const bfloat16x8_t b = bfloat16s(panel, p * 4 * ldp + j * 8);
#pragma GCC unroll 3
            for (int i = 0; i < MM_ROWS / 2; i++) sums[i][j] = vbfmmlaq_f32(sums[i][j], a[i], b);
        }
    }
#pragma GCC unroll 3
    for (int i = 0; i < MM_ROWS / 2; i++)
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) {
            acc[2 * i][v] = vcombine_f32(vget_low_f32(sums[i][2 * v]), vget_low_f32(sums[i][2 * v + 1]));
            acc[2 * i + 1][v] = vcombine_f32(vget_high_f32(sums[i][2 * v]), vget_high_f32(sums[i][2 * v + 1]));
        }
}

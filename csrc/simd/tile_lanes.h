/* tile_lanes.h - a register tile by NEON's product with one lane. The six numbers of a strip come in two registers of
 * four, which overlap; gcc would give each of the six a register, and beside 24 of sums and four of b there are only
 * four left.
 */
RGZ_INLINE void tile_sums(vf acc[MM_ROWS][MM_VECTORS], gemm_rows rows, const float *panel, rgz_int ldp, rgz_int units,
                          gemm_wanted *wanted) {
    (void)wanted;
    const float *strip = rows.at;
    for (rgz_int p = 0; p < units; p++) {
        const float32x4_t first = vld1q_f32(strip + p * MM_ROWS);
        const float32x4_t last = vld1q_f32(strip + p * MM_ROWS + 2);
        vf b[MM_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) b[v] = vf_load(panel + p * ldp + v * VLEN);
#pragma GCC unroll 4
        for (int v = 0; v < MM_VECTORS; v++) {
            acc[0][v] = vfmaq_laneq_f32(acc[0][v], b[v], first, 0);
            acc[1][v] = vfmaq_laneq_f32(acc[1][v], b[v], first, 1);
            acc[2][v] = vfmaq_laneq_f32(acc[2][v], b[v], first, 2);
            acc[3][v] = vfmaq_laneq_f32(acc[3][v], b[v], first, 3);
            acc[4][v] = vfmaq_laneq_f32(acc[4][v], b[v], last, 2);
            acc[5][v] = vfmaq_laneq_f32(acc[5][v], b[v], last, 3);
        }
    }
}
_Static_assert(MM_ROWS == 6, "the lanes of a");

/* tile_pairs.h - a register tile by the product of pairs of bfloat16 (unit.h). The pairs of a row of a lie side by side
 * as the instruction takes them: rows of a can be multiplied where they are (reads_rows in packed_gemm.h), but for
 * those at the edges and an odd last number of k.
 */
RGZ_INLINE void tile_sums(vf acc[MM_ROWS][MM_VECTORS], gemm_rows a, const float *panel, rgz_int ldp, rgz_int units,
                          gemm_wanted *wanted) {
    enum { LINE = 64 / GEMM_UNIT_BYTES };
    /* two pointers and a few multiples of a.row, which stay in registers */
    const char *low = a.at, *high = low + MM_ROWS / 2 * a.row;
    const rgz_int step = wanted->lines ? LINE : units;
    for (rgz_int p0 = 0; p0 < units; p0 += step) {
        for (rgz_int i = 0; i < wanted->lines; i++) ask_for_line(wanted);
        for (rgz_int p = p0; p < rgz_min(units, p0 + step); p++) {
            vf b[MM_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < MM_VECTORS; v++) b[v] = vf_load(panel + p * ldp + v * VLEN);
#pragma GCC unroll 16
            for (int i = 0; i < MM_ROWS; i++) {
                float pair; /* which need not lie where floats may */
                memcpy(&pair, (i < MM_ROWS / 2 ? low : high) + i % (MM_ROWS / 2) * a.row, sizeof pair);
#pragma GCC unroll 4
                for (int v = 0; v < MM_VECTORS; v++) acc[i][v] = unit_multiply_add(vf_set1(pair), b[v], acc[i][v]);
            }
            low += a.next;
            high += a.next;
        }
    }
}

/* transpose.h - t[c * ldt + r] = column c of row r, for r < n, c < cols, in squares as wide as a vector.
 *
 * Rows are read along, not across: where they lie a power of two apart, few of them fit in the first cache at once.
 * The rows after them are asked for meanwhile: they come from memory, and are mostly copied next.
 */
#ifndef RGZ_TRANSPOSE_H
#define RGZ_TRANSPOSE_H

/* Columns of 32 bits, moved as they are (floats, or pairs of halves), or of rgz_real, which become float32. */
enum { TRANSPOSE_BITS, TRANSPOSE_REALS };

/* n numbers of 32 bits, which need not lie where floats may: pairs of halves */
RGZ_INLINE vf load_bits(const char *p, rgz_int n) {
    float lanes[VLEN] = {0.0f};
    if (n >= VLEN) {
        vf v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    memcpy(lanes, p, (size_t)n * sizeof *lanes);
    return vf_load(lanes);
}

RGZ_INLINE void transpose_square(const int columns, float *t, rgz_int ldt, const char *rows, rgz_int row_bytes,
                                 rgz_int n, rgz_int live) {
    vf r[VLEN];
#pragma GCC unroll 16
    for (int i = 0; i < n; i++) RGZ_PREFETCH_READ((uintptr_t)rows + (n + i) * row_bytes);
#pragma GCC unroll 16
    for (int i = 0; i < VLEN; i++)
        if (i >= n)
            r[i] = vf_zero();
        else if (columns == TRANSPOSE_REALS)
            r[i] = vr_load_n((const rgz_real *)(rows + i * row_bytes), live);
        else
            r[i] = load_bits(rows + i * row_bytes, live);
    vf_transpose(r);
#pragma GCC unroll 16
    for (int c = 0; c < VLEN; c++)
        if (c < live) vf_store_n(t + c * ldt, r[c], n);
}

RGZ_INLINE void transpose_columns(const int columns, float *t, rgz_int ldt, const char *rows, rgz_int row_bytes,
                                  rgz_int n, rgz_int cols) {
    enum { REST = MM_ROWS % VLEN }; /* rows of a register tile that are no whole square */
    const rgz_int column_bytes = columns == TRANSPOSE_REALS ? (rgz_int)sizeof(rgz_real) : (rgz_int)sizeof *t;
    const rgz_int whole = cols / VLEN * VLEN;
    for (rgz_int r = 0; r < n; r += VLEN) {
        const rgz_int high = rgz_min(VLEN, n - r);
        const char *from = rows + r * row_bytes;
        if (high == VLEN) /* for each of the usual cases, code without the others */
            for (rgz_int c = 0; c < whole; c += VLEN)
                transpose_square(columns, t + c * ldt + r, ldt, from + c * column_bytes, row_bytes, VLEN, VLEN);
        else if (high == REST)
            for (rgz_int c = 0; c < whole; c += VLEN)
                transpose_square(columns, t + c * ldt + r, ldt, from + c * column_bytes, row_bytes, REST, VLEN);
        else
            for (rgz_int c = 0; c < whole; c += VLEN)
                transpose_square(columns, t + c * ldt + r, ldt, from + c * column_bytes, row_bytes, high, VLEN);
        if (whole < cols)
            transpose_square(columns, t + whole * ldt + r, ldt, from + whole * column_bytes, row_bytes, high,
                             cols - whole);
    }
}

#endif

/* transpose.h - t[c * ldt + r] = rows[r * ldr + c] for r < n, c < cols, in squares of eight. */
#ifndef RGZ_TRANSPOSE_H
#define RGZ_TRANSPOSE_H

#ifdef __AVX2__
RGZ_INLINE void transpose_square(float *t, rgz_int ldt, const float *rows, rgz_int ldr) {
    __m256 r[8], u[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(rows + i * ldr);
    for (int i = 0; i < 8; i += 2) { /* pairs of rows, then of pairs, then of halves */
        u[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        u[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm256_shuffle_ps(u[i + j], u[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm256_shuffle_ps(u[i + j], u[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(t + i * ldt, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(t + (i + 4) * ldt, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
#else
RGZ_INLINE void transpose_square(float *t, rgz_int ldt, const float *rows, rgz_int ldr) {
    for (int c = 0; c < 8; c++)
        for (int r = 0; r < 8; r++) t[c * ldt + r] = rows[r * ldr + c];
}
#endif

static void transpose(float *RGZ_RESTRICT t, rgz_int ldt, const float *RGZ_RESTRICT rows, rgz_int ldr, rgz_int n,
                      rgz_int cols) {
    const rgz_int whole_n = n / 8 * 8, whole_cols = cols / 8 * 8;
    for (rgz_int c = 0; c < whole_cols; c += 8)
        for (rgz_int r = 0; r < whole_n; r += 8) transpose_square(t + c * ldt + r, ldt, rows + r * ldr + c, ldr);
    for (rgz_int c = 0; c < cols; c++)
        for (rgz_int r = c < whole_cols ? whole_n : 0; r < n; r++) t[c * ldt + r] = rows[r * ldr + c];
}

#endif

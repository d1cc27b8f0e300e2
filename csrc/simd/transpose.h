/* transpose.h - t[c * ldt + r] = rows[r * ldr + c] for r < n, c < cols, in squares of sixteen or eight. */
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
/* Four rows of eight. */
RGZ_INLINE void transpose_half(float *t, rgz_int ldt, const float *rows, rgz_int ldr) {
    __m256 r[4], u[4];
    for (int i = 0; i < 4; i++) r[i] = _mm256_loadu_ps(rows + i * ldr);
    for (int i = 0; i < 4; i += 2) {
        u[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        u[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        r[2 * i] = _mm256_shuffle_ps(u[i], u[i + 2], 0x44);
        r[2 * i + 1] = _mm256_shuffle_ps(u[i], u[i + 2], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(t + i * ldt, _mm256_castps256_ps128(r[i]));
        _mm_storeu_ps(t + (i + 4) * ldt, _mm256_extractf128_ps(r[i], 1));
    }
}
#else
RGZ_INLINE void transpose_square(float *t, rgz_int ldt, const float *rows, rgz_int ldr) {
    for (int c = 0; c < 8; c++)
        for (int r = 0; r < 8; r++) t[c * ldt + r] = rows[r * ldr + c];
}
RGZ_INLINE void transpose_half(float *t, rgz_int ldt, const float *rows, rgz_int ldr) {
    for (int c = 0; c < 8; c++)
        for (int r = 0; r < 4; r++) t[c * ldt + r] = rows[r * ldr + c];
}
#endif

#ifdef __AVX512F__
/* Up to sixteen rows of sixteen. */
RGZ_INLINE void transpose_sixteen(float *t, rgz_int ldt, const float *rows, rgz_int ldr, const int n) {
    const __mmask16 there = (__mmask16)((1u << n) - 1u);
    __m512 r[16], u[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = i < n ? _mm512_loadu_ps(rows + i * ldr) : _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) { /* pairs of rows, then of pairs: u[4 g + c] has columns c + 4 l of rows 4 g .. */
        u[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        u[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_shuffle_ps(u[i + j], u[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm512_shuffle_ps(u[i + j], u[i + j + 2], 0xee);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* then quarters of them: even and odd l */
        const __m512 even_low = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88);
        const __m512 even_high = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88);
        const __m512 odd_low = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd);
        const __m512 odd_high = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
        u[c] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
        u[c + 8] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
        u[c + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
        u[c + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
#pragma GCC unroll 16
    for (int c = 0; c < 16; c++)
        if (n == 16)
            _mm512_storeu_ps(t + c * ldt, u[c]);
        else
            _mm512_mask_storeu_ps(t + c * ldt, there, u[c]);
}

/* What sixteen columns at a time can do, where cols allows: returns the first row that is left. Twelve rows are those
 * of a register tile. */
RGZ_INLINE rgz_int transpose_sixteens(float *t, rgz_int ldt, const float *rows, rgz_int ldr, rgz_int n, rgz_int cols) {
    rgz_int r = 0;
    if (cols % 16) return 0;
    for (; r + 16 <= n; r += 16)
        for (rgz_int c = 0; c < cols; c += 16) transpose_sixteen(t + c * ldt + r, ldt, rows + r * ldr + c, ldr, 16);
    if (n - r != 12) return r;
    for (rgz_int c = 0; c < cols; c += 16) transpose_sixteen(t + c * ldt + r, ldt, rows + r * ldr + c, ldr, 12);
    return n;
}
#else
RGZ_INLINE rgz_int transpose_sixteens(float *t, rgz_int ldt, const float *rows, rgz_int ldr, rgz_int n, rgz_int cols) {
    (void)t, (void)ldt, (void)rows, (void)ldr, (void)n, (void)cols;
    return 0;
}
#endif

/* Rows are read along, not across: where they lie a power of two apart, few of them fit in the first cache at once. */
static void transpose(float *RGZ_RESTRICT t, rgz_int ldt, const float *RGZ_RESTRICT rows, rgz_int ldr, rgz_int n,
                      rgz_int cols) {
    const rgz_int begin = transpose_sixteens(t, ldt, rows, ldr, n, cols);
    const rgz_int eights = begin + (n - begin) / 8 * 8, fours = n / 4 * 4, whole_cols = cols / 8 * 8;
    for (rgz_int r = begin; r < eights; r += 8)
        for (rgz_int c = 0; c < whole_cols; c += 8) transpose_square(t + c * ldt + r, ldt, rows + r * ldr + c, ldr);
    if (eights < fours)
        for (rgz_int c = 0; c < whole_cols; c += 8)
            transpose_half(t + c * ldt + eights, ldt, rows + eights * ldr + c, ldr);
    for (rgz_int c = 0; c < cols; c++)
        for (rgz_int r = c < whole_cols ? fours : begin; r < n; r++) t[c * ldt + r] = rows[r * ldr + c];
}

#endif

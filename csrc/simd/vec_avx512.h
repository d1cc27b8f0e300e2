/* vec_avx512.h - the vector operations in AVX-512 F+DQ+BW+VL: sixteen lanes. Meaning of each: vec_generic.h. */
#include <immintrin.h>

#define VLEN 16
typedef __m512 vf;

RGZ_INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
RGZ_INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
RGZ_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
RGZ_INLINE void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }

RGZ_INLINE __mmask16 vf_lanes_below(rgz_int n) { return (__mmask16)((1u << n) - 1u); } /* 0 <= n <= 16 */
RGZ_INLINE vf vf_load_n(const float *p, rgz_int n) {
    return n >= VLEN ? vf_load(p) : _mm512_maskz_loadu_ps(vf_lanes_below(n), p);
}
RGZ_INLINE void vf_store_n(float *p, vf v, rgz_int n) {
    if (n >= VLEN)
        vf_store(p, v);
    else
        _mm512_mask_storeu_ps(p, vf_lanes_below(n), v);
}
RGZ_INLINE vf vf_keep_n(vf v, vf otherwise, rgz_int n) {
    return n >= VLEN ? v : _mm512_mask_blend_ps(vf_lanes_below(n), otherwise, v);
}

RGZ_INLINE vf vf_add(vf x, vf y) { return _mm512_add_ps(x, y); }
RGZ_INLINE vf vf_sub(vf x, vf y) { return _mm512_sub_ps(x, y); }
RGZ_INLINE vf vf_mul(vf x, vf y) { return _mm512_mul_ps(x, y); }
RGZ_INLINE vf vf_div(vf x, vf y) { return _mm512_div_ps(x, y); }
RGZ_INLINE vf vf_sqrt(vf x) { return _mm512_sqrt_ps(x); }
RGZ_INLINE vf vf_max(vf x, vf y) { return _mm512_max_ps(x, y); }
RGZ_INLINE vf vf_min(vf x, vf y) { return _mm512_min_ps(x, y); }
RGZ_INLINE vf vf_fma(vf x, vf y, vf z) { return _mm512_fmadd_ps(x, y, z); }
RGZ_INLINE vf vf_fnma(vf x, vf y, vf z) { return _mm512_fnmadd_ps(x, y, z); }
RGZ_INLINE vf vf_round(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
RGZ_INLINE vf vf_if_less(vf x, vf y, vf a, vf b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a);
}
RGZ_INLINE vf vf_scale2(vf x, vf n) { return _mm512_scalef_ps(x, n); }
RGZ_INLINE float vf_sum(vf v) { return _mm512_reduce_add_ps(v); }
RGZ_INLINE float vf_max_lane(vf v) { return _mm512_reduce_max_ps(v); }

RGZ_INLINE void vf_transpose(vf r[VLEN]) {
    vf u[VLEN];
#pragma GCC unroll 8
    for (int i = 0; i < VLEN;
         i += 2) { /* pairs of rows, then of pairs: r[4 g + c] has columns c + 4 l of rows 4 g .. */
        u[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        u[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < VLEN; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_shuffle_ps(u[i + j], u[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm512_shuffle_ps(u[i + j], u[i + j + 2], 0xee);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* then quarters of them: even and odd l */
        const vf even_low = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88);
        const vf even_high = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88);
        const vf odd_low = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd);
        const vf odd_high = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
        u[c] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
        u[c + 8] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
        u[c + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
        u[c + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < VLEN; i++) r[i] = u[i];
}

#define VW_LANES 8
typedef __m512i vw;

RGZ_INLINE vw vw_set1(uint64_t x) { return _mm512_set1_epi64((long long)x); }
RGZ_INLINE vw vw_from(uint64_t x) { return _mm512_add_epi64(vw_set1(x), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)); }
RGZ_INLINE vw vw_xor(vw x, vw y) { return _mm512_xor_si512(x, y); }
RGZ_INLINE vw vw_high(vw x) { return _mm512_srli_epi64(x, 32); }
RGZ_INLINE vw vw_product(vw x, vw y) { return _mm512_mul_epu32(x, y); }
RGZ_INLINE vw vw_pairs(vw x, vw y) { return _mm512_mask_shuffle_epi32(x, 0xaaaa, y, _MM_PERM_CCAA); }
RGZ_INLINE void vw_store_quads(uint32_t *p, const vw c[4]) {
    const vw first = vw_pairs(c[0], c[1]), second = vw_pairs(c[2], c[3]);
    const vw lower = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), upper = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    _mm512_storeu_si512(p, _mm512_permutex2var_epi64(first, lower, second));
    _mm512_storeu_si512(p + 16, _mm512_permutex2var_epi64(first, upper, second));
}

RGZ_INLINE __m256i half_load_n(const uint16_t *p, rgz_int n) {
    return n >= VLEN ? _mm256_loadu_si256((const __m256i *)p) : _mm256_maskz_loadu_epi16(vf_lanes_below(n), p);
}
RGZ_INLINE void half_store_n(uint16_t *p, __m256i v, rgz_int n) {
    if (n >= VLEN)
        _mm256_storeu_si256((__m256i *)p, v);
    else
        _mm256_mask_storeu_epi16(p, vf_lanes_below(n), v);
}
RGZ_INLINE vf of_bf16(__m256i v) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16)); }
RGZ_INLINE __m256i bf16_of(vf v) {
#ifdef VF_DOT_BF16 /* its own conversion takes subnormals for zero and keeps bits of NaN: there may be none of either */
    enum { QUIET_NAN = 0x01, SUBNORMAL = 0x20, SIGNALING_NAN = 0x80 };
    if (!_mm512_fpclass_ps_mask(v, QUIET_NAN | SUBNORMAL | SIGNALING_NAN)) return (__m256i)_mm512_cvtneps_pbh(v);
#endif
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i nan =
        _mm512_or_si512(_mm512_and_si512(bits, _mm512_set1_epi32(INT32_MIN)), _mm512_set1_epi32(0x7fc00000));
    const __m512i either = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), nan);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(either, 16));
}
RGZ_INLINE vf vf_load_bf16(const uint16_t *p) { return of_bf16(_mm256_loadu_si256((const __m256i *)p)); }
RGZ_INLINE vf vf_load_bf16_n(const uint16_t *p, rgz_int n) { return of_bf16(half_load_n(p, n)); }
RGZ_INLINE void vf_store_bf16(uint16_t *p, vf v) { _mm256_storeu_si256((__m256i *)p, bf16_of(v)); }
RGZ_INLINE void vf_store_bf16_n(uint16_t *p, vf v, rgz_int n) { half_store_n(p, bf16_of(v), n); }
RGZ_INLINE __m256i f16_of(vf v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
RGZ_INLINE vf vf_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
RGZ_INLINE vf vf_load_f16_n(const uint16_t *p, rgz_int n) { return _mm512_cvtph_ps(half_load_n(p, n)); }
RGZ_INLINE void vf_store_f16(uint16_t *p, vf v) { _mm256_storeu_si256((__m256i *)p, f16_of(v)); }
RGZ_INLINE void vf_store_f16_n(uint16_t *p, vf v, rgz_int n) { half_store_n(p, f16_of(v), n); }

/* 24 accumulators + 2 of b + 1 of a = 27 of 32 registers */
#define MM_ROWS 12
#define MM_VECTORS 2

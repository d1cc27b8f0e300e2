/* vec_avx2.h - the vector operations in AVX2 + FMA: eight lanes. Meaning of each: vec_generic.h. */
#include <immintrin.h>

#define VLEN 8
typedef __m256 vf;

RGZ_INLINE vf vf_set1(float x) { return _mm256_set1_ps(x); }
RGZ_INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }
RGZ_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
RGZ_INLINE void vf_store(float *p, vf v) { _mm256_storeu_ps(p, v); }

RGZ_INLINE __m256i vf_lanes_below(rgz_int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RGZ_INLINE vf vf_load_n(const float *p, rgz_int n) {
    return n >= VLEN ? vf_load(p) : _mm256_maskload_ps(p, vf_lanes_below(n));
}
RGZ_INLINE void vf_store_n(float *p, vf v, rgz_int n) {
    if (n >= VLEN) {
        vf_store(p, v);
        return;
    }
    __m128 part = _mm256_castps256_ps128(v); /* a masked store is slow on AMD's */
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, part);
}
RGZ_INLINE vf vf_keep_n(vf v, vf otherwise, rgz_int n) {
    return n >= VLEN ? v : _mm256_blendv_ps(otherwise, v, _mm256_castsi256_ps(vf_lanes_below(n)));
}

RGZ_INLINE vf vf_add(vf x, vf y) { return _mm256_add_ps(x, y); }
RGZ_INLINE vf vf_sub(vf x, vf y) { return _mm256_sub_ps(x, y); }
RGZ_INLINE vf vf_mul(vf x, vf y) { return _mm256_mul_ps(x, y); }
RGZ_INLINE vf vf_div(vf x, vf y) { return _mm256_div_ps(x, y); }
RGZ_INLINE vf vf_sqrt(vf x) { return _mm256_sqrt_ps(x); }
RGZ_INLINE vf vf_max(vf x, vf y) { return _mm256_max_ps(x, y); }
RGZ_INLINE vf vf_min(vf x, vf y) { return _mm256_min_ps(x, y); }
RGZ_INLINE vf vf_fma(vf x, vf y, vf z) { return _mm256_fmadd_ps(x, y, z); }
RGZ_INLINE vf vf_fnma(vf x, vf y, vf z) { return _mm256_fnmadd_ps(x, y, z); }
RGZ_INLINE vf vf_round(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
RGZ_INLINE vf vf_if_less(vf x, vf y, vf a, vf b) { return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ)); }
RGZ_INLINE vf vf_scale2(vf x, vf n) {
    __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(bits));
}
RGZ_INLINE float vf_sum(vf v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
RGZ_INLINE float vf_max_lane(vf v) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

RGZ_INLINE void vf_transpose(vf r[VLEN]) {
    vf u[VLEN];
#pragma GCC unroll 4
    for (int i = 0; i < VLEN; i += 2) { /* pairs of rows, then of pairs, then of halves */
        u[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        u[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < VLEN; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm256_shuffle_ps(u[i + j], u[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm256_shuffle_ps(u[i + j], u[i + j + 2], 0xee);
        }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        u[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        u[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < VLEN; i++) r[i] = u[i];
}

#define VW_LANES 4
typedef __m256i vw;

RGZ_INLINE vw vw_set1(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
RGZ_INLINE vw vw_from(uint64_t x) { return _mm256_add_epi64(vw_set1(x), _mm256_setr_epi64x(0, 1, 2, 3)); }
RGZ_INLINE vw vw_xor(vw x, vw y) { return _mm256_xor_si256(x, y); }
RGZ_INLINE vw vw_high(vw x) { return _mm256_srli_epi64(x, 32); }
RGZ_INLINE vw vw_product(vw x, vw y) { return _mm256_mul_epu32(x, y); }
RGZ_INLINE vw vw_pairs(vw x, vw y) { return _mm256_blend_epi32(x, _mm256_slli_epi64(y, 32), 0xaa); }
RGZ_INLINE void vw_store_quads(uint32_t *p, const vw c[4]) {
    const vw first = vw_pairs(c[0], c[1]), second = vw_pairs(c[2], c[3]);
    const vw even = _mm256_unpacklo_epi64(first, second), odd = _mm256_unpackhi_epi64(first, second);
    _mm256_storeu_si256((__m256i *)p, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)(p + 8), _mm256_permute2x128_si256(even, odd, 0x31));
}

RGZ_INLINE __m128i half_load_n(const uint16_t *p, rgz_int n) {
    if (n >= VLEN) return _mm_loadu_si128((const __m128i *)p);
    uint16_t lanes[VLEN] = {0};
    for (rgz_int l = 0; l < n; l++) lanes[l] = p[l];
    return _mm_loadu_si128((const __m128i *)lanes);
}
RGZ_INLINE void half_store_n(uint16_t *p, __m128i v, rgz_int n) {
    if (n >= VLEN) {
        _mm_storeu_si128((__m128i *)p, v);
        return;
    }
    uint16_t lanes[VLEN];
    _mm_storeu_si128((__m128i *)lanes, v);
    for (rgz_int l = 0; l < n; l++) p[l] = lanes[l];
}
RGZ_INLINE vf of_bf16(__m128i v) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16)); }
RGZ_INLINE __m128i bf16_of(vf v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan =
        _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN)), _mm256_set1_epi32(0x7fc00000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i halves = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, nan, is_nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}
RGZ_INLINE vf vf_load_bf16(const uint16_t *p) { return of_bf16(_mm_loadu_si128((const __m128i *)p)); }
RGZ_INLINE vf vf_load_bf16_n(const uint16_t *p, rgz_int n) { return of_bf16(half_load_n(p, n)); }
RGZ_INLINE void vf_store_bf16(uint16_t *p, vf v) { _mm_storeu_si128((__m128i *)p, bf16_of(v)); }
RGZ_INLINE void vf_store_bf16_n(uint16_t *p, vf v, rgz_int n) { half_store_n(p, bf16_of(v), n); }
RGZ_INLINE __m128i f16_of(vf v) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
RGZ_INLINE vf vf_load_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
RGZ_INLINE vf vf_load_f16_n(const uint16_t *p, rgz_int n) { return _mm256_cvtph_ps(half_load_n(p, n)); }
RGZ_INLINE void vf_store_f16(uint16_t *p, vf v) { _mm_storeu_si128((__m128i *)p, f16_of(v)); }
RGZ_INLINE void vf_store_f16_n(uint16_t *p, vf v, rgz_int n) { half_store_n(p, f16_of(v), n); }

/* 12 accumulators + 2 of b + 1 of a = 15 of 16 registers */
#define MM_ROWS 6
#define MM_VECTORS 2

/* vec_neon.h - the vector operations in AArch64 NEON: four lanes. Meaning of each: vec_generic.h. */
#include <arm_neon.h>

#define VLEN 4
typedef float32x4_t vf;

RGZ_INLINE vf vf_set1(float x) { return vdupq_n_f32(x); }
RGZ_INLINE vf vf_zero(void) { return vdupq_n_f32(0.0f); }
RGZ_INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
RGZ_INLINE void vf_store(float *p, vf v) { vst1q_f32(p, v); }

RGZ_INLINE vf vf_load_n(const float *p, rgz_int n) {
    if (n >= VLEN) return vf_load(p);
    float lanes[VLEN] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (rgz_int l = 0; l < n; l++) lanes[l] = p[l];
    return vld1q_f32(lanes);
}
RGZ_INLINE void vf_store_n(float *p, vf v, rgz_int n) {
    if (n >= VLEN) {
        vf_store(p, v);
        return;
    }
    float lanes[VLEN];
    vst1q_f32(lanes, v);
    for (rgz_int l = 0; l < n; l++) p[l] = lanes[l];
}
RGZ_INLINE vf vf_keep_n(vf v, vf otherwise, rgz_int n) {
    static const uint32_t index[VLEN] = {0, 1, 2, 3};
    if (n >= VLEN) return v;
    return vbslq_f32(vcltq_u32(vld1q_u32(index), vdupq_n_u32((uint32_t)n)), v, otherwise);
}

RGZ_INLINE vf vf_add(vf x, vf y) { return vaddq_f32(x, y); }
RGZ_INLINE vf vf_sub(vf x, vf y) { return vsubq_f32(x, y); }
RGZ_INLINE vf vf_mul(vf x, vf y) { return vmulq_f32(x, y); }
RGZ_INLINE vf vf_div(vf x, vf y) { return vdivq_f32(x, y); }
RGZ_INLINE vf vf_sqrt(vf x) { return vsqrtq_f32(x); }
RGZ_INLINE vf vf_max(vf x, vf y) { return vbslq_f32(vcgtq_f32(x, y), x, y); } /* NaN as in vec_generic.h */
RGZ_INLINE vf vf_min(vf x, vf y) { return vbslq_f32(vcltq_f32(x, y), x, y); }
RGZ_INLINE vf vf_fma(vf x, vf y, vf z) { return vfmaq_f32(z, x, y); }
RGZ_INLINE vf vf_fnma(vf x, vf y, vf z) { return vfmsq_f32(z, x, y); }
RGZ_INLINE vf vf_round(vf x) { return vrndnq_f32(x); }
RGZ_INLINE vf vf_if_less(vf x, vf y, vf a, vf b) { return vbslq_f32(vcltq_f32(x, y), a, b); }
RGZ_INLINE vf vf_scale2(vf x, vf n) {
    int32x4_t bits = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(x, vreinterpretq_f32_s32(bits));
}
RGZ_INLINE float vf_sum(vf v) {
    float32x2_t half = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(half, 0) + vget_lane_f32(half, 1);
}
RGZ_INLINE float vf_max_lane(vf v) { return vmaxvq_f32(v); }

RGZ_INLINE void vf_transpose(vf r[VLEN]) {
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r[0], r[1])),
                      b = vreinterpretq_f64_f32(vtrn2q_f32(r[0], r[1]));
    const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(r[2], r[3])),
                      d = vreinterpretq_f64_f32(vtrn2q_f32(r[2], r[3]));
    r[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    r[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    r[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    r[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

#define VW_LANES 2
typedef uint64x2_t vw;

RGZ_INLINE vw vw_set1(uint64_t x) { return vdupq_n_u64(x); }
RGZ_INLINE vw vw_from(uint64_t x) { return vcombine_u64(vcreate_u64(x), vcreate_u64(x + 1)); }
RGZ_INLINE vw vw_xor(vw x, vw y) { return veorq_u64(x, y); }
RGZ_INLINE vw vw_high(vw x) { return vshrq_n_u64(x, 32); }
RGZ_INLINE vw vw_product(vw x, vw y) { return vmull_u32(vmovn_u64(x), vmovn_u64(y)); }
RGZ_INLINE void vw_store_quads(uint32_t *p, const vw c[4]) {
    const vw first = vsliq_n_u64(c[0], c[1], 32), second = vsliq_n_u64(c[2], c[3], 32);
    vst1q_u32(p, vreinterpretq_u32_u64(vzip1q_u64(first, second)));
    vst1q_u32(p + 4, vreinterpretq_u32_u64(vzip2q_u64(first, second)));
}

RGZ_INLINE uint16x4_t half_load_n(const uint16_t *p, rgz_int n) {
    if (n >= VLEN) return vld1_u16(p);
    uint16_t lanes[VLEN] = {0, 0, 0, 0};
    for (rgz_int l = 0; l < n; l++) lanes[l] = p[l];
    return vld1_u16(lanes);
}
RGZ_INLINE void half_store_n(uint16_t *p, uint16x4_t v, rgz_int n) {
    if (n >= VLEN) {
        vst1_u16(p, v);
        return;
    }
    uint16_t lanes[VLEN];
    vst1_u16(lanes, v);
    for (rgz_int l = 0; l < n; l++) p[l] = lanes[l];
}
RGZ_INLINE vf of_bf16(uint16x4_t v) { return vreinterpretq_f32_u32(vshll_n_u16(v, 16)); }
RGZ_INLINE uint16x4_t bf16_of(vf v) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t nan = vorrq_u32(vandq_u32(bits, vdupq_n_u32(0x80000000u)), vdupq_n_u32(0x7fc00000u));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, nan), 16);
}
RGZ_INLINE vf vf_load_bf16(const uint16_t *p) { return of_bf16(vld1_u16(p)); }
RGZ_INLINE vf vf_load_bf16_n(const uint16_t *p, rgz_int n) { return of_bf16(half_load_n(p, n)); }
RGZ_INLINE void vf_store_bf16(uint16_t *p, vf v) { vst1_u16(p, bf16_of(v)); }
RGZ_INLINE void vf_store_bf16_n(uint16_t *p, vf v, rgz_int n) { half_store_n(p, bf16_of(v), n); }
RGZ_INLINE vf of_f16(uint16x4_t v) { return vcvt_f32_f16(vreinterpret_f16_u16(v)); }
RGZ_INLINE uint16x4_t f16_of(vf v) { return vreinterpret_u16_f16(vcvt_f16_f32(v)); }
RGZ_INLINE vf vf_load_f16(const uint16_t *p) { return of_f16(vld1_u16(p)); }
RGZ_INLINE vf vf_load_f16_n(const uint16_t *p, rgz_int n) { return of_f16(half_load_n(p, n)); }
RGZ_INLINE void vf_store_f16(uint16_t *p, vf v) { vst1_u16(p, f16_of(v)); }
RGZ_INLINE void vf_store_f16_n(uint16_t *p, vf v, rgz_int n) { half_store_n(p, f16_of(v), n); }

/* 24 accumulators + 4 of b + 2 of a = 30 of 32 registers */
#define MM_ROWS 6
#define MM_VECTORS 4
#define VF_LANES /* see tile_lanes.h */

/* vec_generic.h - the vector operations in plain C: four lanes that any compiler may put in one register.
 * The reference for what each operation means; the other vec_*.h differ in width, and in that their fma rounds once.
 */
#define VLEN 4
typedef struct {
    float a[VLEN];
} vf;

// clang-format off
#define RGZ_LANES for (int l = 0; l < VLEN; l++)

RGZ_INLINE vf vf_set1(float x) { vf r; RGZ_LANES r.a[l] = x; return r; }
RGZ_INLINE vf vf_zero(void) { return vf_set1(0.0f); }
RGZ_INLINE vf vf_load(const float *p) { vf r; RGZ_LANES r.a[l] = p[l]; return r; }
RGZ_INLINE void vf_store(float *p, vf v) { RGZ_LANES p[l] = v.a[l]; }

/* The first n lanes (any n >= 1; all when n >= VLEN); lanes past n read as 0 and are never written. */
RGZ_INLINE vf vf_load_n(const float *p, rgz_int n) { vf r; RGZ_LANES r.a[l] = l < n ? p[l] : 0.0f; return r; }
RGZ_INLINE void vf_store_n(float *p, vf v, rgz_int n) { RGZ_LANES if (l < n) p[l] = v.a[l]; }
RGZ_INLINE vf vf_keep_n(vf v, vf otherwise, rgz_int n) { RGZ_LANES if (l >= n) v.a[l] = otherwise.a[l]; return v; }

RGZ_INLINE vf vf_add(vf x, vf y) { RGZ_LANES x.a[l] += y.a[l]; return x; }
RGZ_INLINE vf vf_sub(vf x, vf y) { RGZ_LANES x.a[l] -= y.a[l]; return x; }
RGZ_INLINE vf vf_mul(vf x, vf y) { RGZ_LANES x.a[l] *= y.a[l]; return x; }
RGZ_INLINE vf vf_div(vf x, vf y) { RGZ_LANES x.a[l] /= y.a[l]; return x; }
RGZ_INLINE vf vf_sqrt(vf x) { RGZ_LANES x.a[l] = sqrtf(x.a[l]); return x; }
RGZ_INLINE vf vf_max(vf x, vf y) { RGZ_LANES x.a[l] = x.a[l] > y.a[l] ? x.a[l] : y.a[l]; return x; }
RGZ_INLINE vf vf_min(vf x, vf y) { RGZ_LANES x.a[l] = x.a[l] < y.a[l] ? x.a[l] : y.a[l]; return x; }
RGZ_INLINE vf vf_fma(vf x, vf y, vf z) { RGZ_LANES z.a[l] += x.a[l] * y.a[l]; return z; }  /* x y + z */
RGZ_INLINE vf vf_fnma(vf x, vf y, vf z) { RGZ_LANES z.a[l] -= x.a[l] * y.a[l]; return z; } /* z - x y */
RGZ_INLINE vf vf_round(vf x) { RGZ_LANES x.a[l] = (x.a[l] + 12582912.0f) - 12582912.0f; return x; } /* |x| < 2^22 */

/* where x < y: a, else b */
RGZ_INLINE vf vf_if_less(vf x, vf y, vf a, vf b) { RGZ_LANES if (!(x.a[l] < y.a[l])) a.a[l] = b.a[l]; return a; }

/* x * 2^n for whole n in [-126, 127] */
RGZ_INLINE vf vf_scale2(vf x, vf n) {
    RGZ_LANES {
        uint32_t bits = (uint32_t)((int32_t)n.a[l] + 127) << 23;
        float power;
        memcpy(&power, &bits, sizeof power);
        x.a[l] *= power;
    }
    return x;
}

/* Across the lanes, in a fixed order. */
RGZ_INLINE float vf_sum(vf v) { return (v.a[0] + v.a[2]) + (v.a[1] + v.a[3]); }
RGZ_INLINE float vf_max_lane(vf v) {
    float r = v.a[0];
    RGZ_LANES if (v.a[l] > r) r = v.a[l];
    return r;
}

/* Lane c of vector r becomes lane r of vector c. */
RGZ_INLINE void vf_transpose(vf r[VLEN]) {
    RGZ_LANES for (int c = 0; c < l; c++) {
        const float x = r[l].a[c];
        r[l].a[c] = r[c].a[l];
        r[c].a[l] = x;
    }
}

/* Words of 64 bits, half as many as a vector has lanes. */
#define VW_LANES (VLEN / 2)
typedef struct {
    uint64_t a[VW_LANES];
} vw;
#define RGZ_WORDS for (int l = 0; l < VW_LANES; l++)

RGZ_INLINE vw vw_set1(uint64_t x) { vw r; RGZ_WORDS r.a[l] = x; return r; }
RGZ_INLINE vw vw_from(uint64_t x) { vw r; RGZ_WORDS r.a[l] = x + (uint64_t)l; return r; } /* x, x + 1, .. */
RGZ_INLINE vw vw_xor(vw x, vw y) { RGZ_WORDS x.a[l] ^= y.a[l]; return x; }
RGZ_INLINE vw vw_high(vw x) { RGZ_WORDS x.a[l] >>= 32; return x; } /* upper halves */
RGZ_INLINE vw vw_product(vw x, vw y) { /* of lower halves */
    RGZ_WORDS x.a[l] = (x.a[l] & 0xffffffffu) * (y.a[l] & 0xffffffffu);
    return x;
}
/* The lower halves of the first lanes of all four, then of the second lanes, .. */
RGZ_INLINE void vw_store_quads(uint32_t *p, const vw c[4]) {
    RGZ_WORDS for (int w = 0; w < 4; w++) p[4 * l + w] = (uint32_t)c[w].a[l];
}

/* Storage in 16 bits: each lane rounded to nearest, halves to even, subnormals kept; what is too large becomes inf.
 * NaN becomes, and stays, a NaN of its sign: in bfloat16 always 0x7fc0; in float16 a quiet one with the upper bits of
 * its payload. Wider again every value is exact, and a signalling NaN of float16 quiet. */
RGZ_INLINE uint32_t float_bits(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
RGZ_INLINE float bits_float(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }

RGZ_INLINE uint16_t bf16_of(float x) {
    const uint32_t bits = float_bits(x), rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 & 0x8000u) | 0x7fc0u : rounded);
}
RGZ_INLINE float of_bf16(uint16_t half) { return bits_float((uint32_t)half << 16); }

RGZ_INLINE uint16_t f16_of(float x) {
    const uint32_t bits = float_bits(x), size = bits & 0x7fffffffu;
    const uint32_t normal = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
    const uint32_t subnormal = float_bits(bits_float(size) + 0.5f) - 0x3f000000u; /* 0.5 has an ulp of 2^-24 */
    const uint32_t special = size > 0x7f800000u ? 0x7e00u | (size >> 13 & 0x1ffu) : 0x7c00u;
    const uint32_t half = size >= 0x47800000u ? special : size < 0x38800000u ? subnormal : normal;
    return (uint16_t)(bits >> 16 & 0x8000u) | (uint16_t)half;
}
RGZ_INLINE float of_f16(uint16_t half) {
    const uint32_t size = (half & 0x7fffu) << 13, normal = size + (112u << 23);
    const uint32_t subnormal = float_bits(bits_float(size + (113u << 23)) - bits_float(113u << 23));
    const uint32_t special = size | 0x7f800000u | (size > 0x0f800000u ? 0x400000u : 0u);
    const uint32_t bits = size >= 0x0f800000u ? special : size < 0x00800000u ? subnormal : normal;
    return bits_float(bits | (uint32_t)(half & 0x8000u) << 16);
}

RGZ_INLINE vf vf_load_bf16(const uint16_t *p) { vf r; RGZ_LANES r.a[l] = of_bf16(p[l]); return r; }
RGZ_INLINE void vf_store_bf16(uint16_t *p, vf v) { RGZ_LANES p[l] = bf16_of(v.a[l]); }
/* Only this one is inline: the others would be copied into every tile of products, two thirds of compiling those. */
RGZ_INLINE vf vf_load_f16(const uint16_t *p) { vf r; RGZ_LANES r.a[l] = of_f16(p[l]); return r; }
RGZ_NOT_INLINE void vf_store_f16(uint16_t *p, vf v) { RGZ_LANES p[l] = f16_of(v.a[l]); }

RGZ_INLINE vf vf_load_bf16_n(const uint16_t *p, rgz_int n) {
    vf r;
    RGZ_LANES r.a[l] = l < n ? of_bf16(p[l]) : 0.0f;
    return r;
}
RGZ_INLINE void vf_store_bf16_n(uint16_t *p, vf v, rgz_int n) { RGZ_LANES if (l < n) p[l] = bf16_of(v.a[l]); }
RGZ_NOT_INLINE vf vf_load_f16_n(const uint16_t *p, rgz_int n) {
    vf r;
    RGZ_LANES r.a[l] = l < n ? of_f16(p[l]) : 0.0f;
    return r;
}
RGZ_NOT_INLINE void vf_store_f16_n(uint16_t *p, vf v, rgz_int n) { RGZ_LANES if (l < n) p[l] = f16_of(v.a[l]); }

// clang-format on

/* Register tile of block_mm.h: rows x vectors of accumulators that stay in registers. */
#define MM_ROWS 4
#define MM_VECTORS 2

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

// clang-format on

/* Register tile of block_mm.h: rows x vectors of accumulators that stay in registers. */
#define MM_ROWS 4
#define MM_VECTORS 2

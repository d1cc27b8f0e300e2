/* optim.c - the norm of a gradient and the AdamW update, each one pass over flat vectors.
 *
 *   squared_norm: *total = sum_i x[i]^2: sums of at most 256 squares in float32, these added in float64. Of numbers of
 *     any size, subnormal ones too: it is infinite only where an x is, and 0 only where all are.
 *   adamw, with g = grad * grad_scale (1 / tokens, clipping and any loss scale folded into one number):
 *     m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
 *     weight <- weight (1 - lr weight_decay) - lr (m / correction1) / (sqrt(v / correction2) + eps),  grad <- 0
 *   correction_k = 1 - beta_k^t at update t. Decay applies to the first n_decayed elements only. copy (n_decayed; NULL:
 *   none) is the new weight of these, rounded to the storage that passes compute with.
 *
 *   adamw_bf16: the same with m and v stored in bfloat16, each rounded up or down by 16 random bits: m by the lower half
 *     and v by the upper half of a word of Philox with key seed. Element i of a block of 64, the first of which is at
 *     place p, has word i mod 4 of counter (p + i / 4, stream); blocks begin at 0 and anew at n_decayed.
 *
 *   adamw_int8: the same with each in 8 bits and, for every block of RGZ_MOMENT_BLOCK elements (the decayed ones have
 *     blocks of their own), a unit u: m = sign(q) q^2 u of -127 <= q <= 127 and v = q^4 u of 0 <= q <= 255, rounded to one
 *     of the two neighbours by the same random bits, so that the mean is right to 2^-17 of their distance. A v that is not 0 never becomes 0, by
 *     which m would be divided, but at least the smallest one of its block: the largest times 2.4e-10.
 *
 * Shapes: all of n floats, units of one for every block; partial is scratch of ceil(n / RGZ_NORM_BLOCK) doubles.
 * Threads: fixed blocks whose sums are added in order; same bits for any n_threads.
 * Sources: Loshchilov, Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2; stochastic
 * rounding: Gupta et al. 2015, arXiv:1502.02551, section 3.1; a unit for every block: Dettmers et al. 2022, "8-bit
 * optimizers via block-wise quantization", arXiv:2110.02861, section 2.1.
 */
#include "kernel.h"
#include "simd/philox.h"

RGZ_INLINE float sum_of_squares(const float *x, rgz_int n, float scale) {
    vf squares = vf_zero();
    RGZ_FOR_VECTORS (i, live, n) {
        const vf v = vf_mul(vf_load_n(x + i, live), vf_set1(scale));
        squares = vf_fma(v, v, squares);
    }
    return vf_sum(squares);
}

/* Of at most 256 numbers. Where squares overflow, or so small a sum may have lost some to underflow, they are taken again
 * of the numbers times a power of two: 2^-70 brings the largest sum to 2^124; 2^100 the least square to 2^-98, and the
 * sums below 2^-110 to less than 2^90. */
RGZ_INLINE double exact_enough(const float *x, rgz_int n) {
    const float sum = sum_of_squares(x, n, 1.0f);
    if (sum >= 0x1p-110f && sum < INFINITY) return sum;
    return sum < 0x1p-110f ? sum_of_squares(x, n, 0x1p100f) * 0x1p-200 : sum_of_squares(x, n, 0x1p-70f) * 0x1p140;
}

void RGZ_FN(squared_norm)(double *total, double *partial, const float *x, rgz_int n, int n_threads) {
    const rgz_int blocks = rgz_blocks(n, RGZ_NORM_BLOCK);
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int b = 0; b < blocks; b++) {
        double sum = 0.0;
        const rgz_int end = rgz_min(n, (b + 1) * RGZ_NORM_BLOCK);
        for (rgz_int i = b * RGZ_NORM_BLOCK; i < end; i += 256) sum += exact_enough(x + i, rgz_min(256, end - i));
        partial[b] = sum;
    }
    *total = 0.0;
    for (rgz_int b = 0; b < blocks; b++) *total += partial[b];
}

/* Moments of bfloat16 are rounded up or down at random, in proportion to what is left of the number: what they are moved
 * by is often less than half a step, and always rounding to the nearest would leave them where they are. */
static void round_stochastically(uint16_t *to, const float *x, const uint32_t *random, int shift, rgz_int n) {
    for (rgz_int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const int finite = (bits & 0x7f800000u) != 0x7f800000u;
        to[i] = (uint16_t)((bits + (finite ? random[i] >> shift & 0xffffu : 0u)) >> 16);
    }
}

enum { BLOCK = RGZ_MOMENT_BLOCK };
_Static_assert(RGZ_CHUNK % BLOCK == 0 && BLOCK % PHILOX_WORDS == 0, "blocks fill chunks, draws fill blocks");

/* Where the largest of a block is smaller, its moments move nothing. */
#define LEAST_LARGEST 1e-30f

RGZ_INLINE vf vf_size(vf x) { return vf_max(x, vf_sub(vf_zero(), x)); }

RGZ_INLINE float largest_of(const float *x, rgz_int n) {
    vf top = vf_zero();
    RGZ_FOR_VECTORS (i, live, n) {
        top = vf_max(vf_size(vf_load_n(x + i, live)), top); /* NaN leaves it; lanes that are not live are 0 */
    }
    const float largest = vf_max_lane(top);
    return largest > LEAST_LARGEST ? largest : LEAST_LARGEST;
}

/* From (0, 1): a level goes up where it is less than the share of the step that is left of the number. Loops have no
 * branches, which draws would have mispredicted every other time. */
RGZ_INLINE float draw(uint32_t random) { return (float)(int32_t)(random & 0xffffu) * 0x1p-16f + 0x1p-17f; }

/* NaN becomes the largest level, for no integer holds it: that it was there shows in the weight. */
static float round_to_squares(int8_t *to, const float *x, const uint32_t *random, rgz_int n) {
    const float largest = largest_of(x, n);
    const vf inverse = vf_set1(1.0f / largest), top = vf_set1(127.0f);
    float root[BLOCK];
    RGZ_FOR_VECTORS (i, live, n) {
        const vf share = vf_mul(vf_size(vf_load_n(x + i, live)), inverse);
        vf_store(root + i, vf_min(vf_mul(vf_sqrt(share), top), top));
    }
    for (rgz_int i = 0; i < n; i++) {
        const float level = (float)(int32_t)root[i], step = 2.0f * level + 1.0f;
        const int up = draw(random[i]) * step < root[i] * root[i] - level * level;
        to[i] = (int8_t)(int32_t)copysignf(level + (float)up, x[i]);
    }
    return largest / (127.0f * 127.0f);
}

static float round_to_fourth_powers(uint8_t *to, const float *x, const uint32_t *random, rgz_int n) {
    const float largest = largest_of(x, n);
    const vf inverse = vf_set1(1.0f / largest), top = vf_set1(255.0f);
    float root[BLOCK];
    RGZ_FOR_VECTORS (i, live, n) {
        const vf share = vf_mul(vf_load_n(x + i, live), inverse);
        vf_store(root + i, vf_min(vf_mul(vf_sqrt(vf_sqrt(share)), top), top));
    }
    for (rgz_int i = 0; i < n; i++) {
        const float level = (float)(int32_t)root[i], next = level + 1.0f;
        const float below = level * level * level * level, power = root[i] * root[i] * root[i] * root[i];
        const int up = draw(random[i] >> 16) * (next * next * next * next - below) < power - below;
        const int32_t q = (int32_t)level + up;
        int32_t bits; /* above 0 where x is */
        memcpy(&bits, x + i, sizeof bits);
        to[i] = (uint8_t)(q + ((q == 0) & (bits > 0)));
    }
    return largest / (255.0f * 255.0f * 255.0f * 255.0f);
}

/* What an update is told besides the vectors. */
typedef struct {
    float lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale;
    uint64_t seed, stream;
} update;

/* m and v: float, the bits of bfloat16, or int8_t and uint8_t with their units. */
typedef enum { IN_FLOAT, IN_BF16, IN_INT8 } moment_kind;
typedef struct {
    void *m, *v;
    float *m_units, *v_units;
} moments;

RGZ_INLINE void read_moments(const moment_kind kind, float *m, float *v, moments from, rgz_int first, rgz_int block,
                             rgz_int n) {
    if (kind == IN_BF16) {
        RGZ_FOR_VECTORS (i, live, n) {
            vf_store(m + i, vf_load_bf16_n((uint16_t *)from.m + first + i, live));
            vf_store(v + i, vf_load_bf16_n((uint16_t *)from.v + first + i, live));
        }
        return;
    }
    const int8_t *m8 = (int8_t *)from.m + first;
    const uint8_t *v8 = (uint8_t *)from.v + first;
    const float m_unit = from.m_units[block], v_unit = from.v_units[block];
    for (rgz_int i = 0; i < n; i++) {
        const float q = (float)m8[i], square = (float)v8[i] * (float)v8[i];
        m[i] = q * fabsf(q) * m_unit;
        v[i] = square * square * v_unit;
    }
}

RGZ_INLINE void write_moments(const moment_kind kind, moments to, const float *m, const float *v, rgz_int first,
                              rgz_int block, rgz_int n, update u) {
    uint32_t random[BLOCK];
    for (rgz_int i = 0; i < n; i += PHILOX_WORDS) philox4x32(random + i, (uint64_t)(first + i), u.stream, u.seed);
    if (kind == IN_BF16) {
        round_stochastically((uint16_t *)to.m + first, m, random, 0, n);
        round_stochastically((uint16_t *)to.v + first, v, random, 16, n);
    } else {
        to.m_units[block] = round_to_squares((int8_t *)to.m + first, m, random, n);
        to.v_units[block] = round_to_fourth_powers((uint8_t *)to.v + first, v, random, n);
    }
}

RGZ_INLINE void adamw_pass(const moment_kind kind, float *weight, rgz_real *copy, float *grad, moments kept, rgz_int n,
                           rgz_int n_decayed, update u, int n_threads) {
    const vf b1 = vf_set1(u.beta1), b2 = vf_set1(u.beta2), scale = vf_set1(u.grad_scale), epsilon = vf_set1(u.eps);
    const vf rest1 = vf_set1(1.0f - u.beta1), rest2 = vf_set1(1.0f - u.beta2);
    const vf step = vf_set1(u.lr / u.correction1), root = vf_set1(1.0f / sqrtf(u.correction2));
    const rgz_int head = rgz_blocks(n_decayed, RGZ_CHUNK); /* chunks that start among the decayed elements */
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int chunk = 0; chunk < head + rgz_blocks(n - n_decayed, RGZ_CHUNK); chunk++) {
        const int decayed = chunk < head;
        const rgz_int begin = decayed ? chunk * RGZ_CHUNK : n_decayed + (chunk - head) * RGZ_CHUNK;
        const rgz_int end = rgz_min(decayed ? n_decayed : n, begin + RGZ_CHUNK);
        const vf keep = vf_set1(decayed ? 1.0f - u.lr * u.weight_decay : 1.0f);
        for (rgz_int first = begin; first < end; first += BLOCK) {
            const rgz_int block = decayed ? first / BLOCK : rgz_blocks(n_decayed, BLOCK) + (first - n_decayed) / BLOCK;
            const rgz_int count = rgz_min(BLOCK, end - first);
            float read_m[BLOCK], read_v[BLOCK];
            float *const m = kind == IN_FLOAT ? (float *)kept.m + first : read_m;
            float *const v = kind == IN_FLOAT ? (float *)kept.v + first : read_v;
            if (kind != IN_FLOAT) read_moments(kind, m, v, kept, first, block, count);
            RGZ_FOR_VECTORS (j, live, count) {
                const rgz_int i = first + j;
                vf g = vf_mul(vf_load_n(grad + i, live), scale);
                vf mean = vf_fma(b1, vf_load_n(m + j, live), vf_mul(rest1, g));
                vf square = vf_fma(b2, vf_load_n(v + j, live), vf_mul(rest2, vf_mul(g, g)));
                vf down = vf_add(vf_mul(vf_sqrt(square), root), epsilon);
                vf w = vf_mul(vf_load_n(weight + i, live), keep);
                w = vf_fnma(step, vf_div(mean, down), w);
                vf_store_n(weight + i, w, live);
                if (copy && decayed) vr_store_n(copy + i, w, live);
                vf_store_n(m + j, mean, live);
                vf_store_n(v + j, square, live);
                vf_store_n(grad + i, vf_zero(), live);
            }
            if (kind != IN_FLOAT) write_moments(kind, kept, m, v, first, block, count, u);
        }
    }
}

void RGZ_FN(adamw)(float *weight, rgz_real *copy, float *grad, float *m, float *v, rgz_int n, rgz_int n_decayed,
                   float lr, float beta1, float beta2, float eps, float weight_decay, float correction1,
                   float correction2, float grad_scale, int n_threads) {
    const update u = {lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale, 0, 0};
    adamw_pass(IN_FLOAT, weight, copy, grad, (moments){m, v, NULL, NULL}, n, n_decayed, u, n_threads);
}

void RGZ_FN(adamw_bf16)(float *weight, rgz_real *copy, float *grad, uint16_t *m, uint16_t *v, rgz_int n,
                        rgz_int n_decayed, float lr, float beta1, float beta2, float eps, float weight_decay,
                        float correction1, float correction2, float grad_scale, uint64_t seed, uint64_t stream,
                        int n_threads) {
    const update u = {lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale, seed, stream};
    adamw_pass(IN_BF16, weight, copy, grad, (moments){m, v, NULL, NULL}, n, n_decayed, u, n_threads);
}

void RGZ_FN(adamw_int8)(float *weight, rgz_real *copy, float *grad, int8_t *m, uint8_t *v, float *m_units,
                        float *v_units, rgz_int n, rgz_int n_decayed, float lr, float beta1, float beta2, float eps,
                        float weight_decay, float correction1, float correction2, float grad_scale, uint64_t seed,
                        uint64_t stream, int n_threads) {
    const update u = {lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale, seed, stream};
    adamw_pass(IN_INT8, weight, copy, grad, (moments){m, v, m_units, v_units}, n, n_decayed, u, n_threads);
}

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
 *   adamw_bf16: the same with m and v stored in bfloat16, each rounded up or down by 16 random bits: those of Philox with
 *     key seed and counter (the element's place rounded down to a block of 64, plus its place there mod 16, stream)
 *
 * Shapes: all of n floats; partial is scratch of ceil(n / RGZ_NORM_BLOCK) doubles.
 * Threads: fixed blocks whose sums are added in order; same bits for any n_threads.
 * Sources: Loshchilov, Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2; stochastic
 * rounding: Gupta et al. 2015, arXiv:1502.02551, section 3.1.
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

/* What an update is told besides the vectors. */
typedef struct {
    float lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale;
    uint64_t seed, stream;
} update;

/* m and v are float, or with m16 and v16 the bits of bfloat16. */
RGZ_INLINE void adamw_pass(float *weight, rgz_real *copy, float *grad, float *m, float *v, uint16_t *m16, uint16_t *v16,
                           rgz_int n, rgz_int n_decayed, update u, int n_threads) {
    enum { AT_ONCE = PHILOX_WORDS };
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
        for (rgz_int block = begin; block < end; block += AT_ONCE) {
            float means[AT_ONCE], squares[AT_ONCE];
            const rgz_int count = rgz_min(AT_ONCE, end - block);
            RGZ_FOR_VECTORS (j, live, count) {
                const rgz_int i = block + j;
                const vf m_before = m16 ? vf_load_bf16_n(m16 + i, live) : vf_load_n(m + i, live);
                const vf v_before = v16 ? vf_load_bf16_n(v16 + i, live) : vf_load_n(v + i, live);
                vf g = vf_mul(vf_load_n(grad + i, live), scale);
                vf mean = vf_fma(b1, m_before, vf_mul(rest1, g));
                vf square = vf_fma(b2, v_before, vf_mul(rest2, vf_mul(g, g)));
                vf down = vf_add(vf_mul(vf_sqrt(square), root), epsilon);
                vf w = vf_mul(vf_load_n(weight + i, live), keep);
                w = vf_fnma(step, vf_div(mean, down), w);
                vf_store_n(weight + i, w, live);
                if (copy && decayed) vr_store_n(copy + i, w, live);
                if (m16) {
                    vf_store(means + j, mean);
                    vf_store(squares + j, square);
                } else {
                    vf_store_n(m + i, mean, live);
                    vf_store_n(v + i, square, live);
                }
                vf_store_n(grad + i, vf_zero(), live);
            }
            if (m16) { /* the draws of a block are those of its first element's place */
                uint32_t random[AT_ONCE];
                philox4x32(random, PHILOX_QUADS, (uint64_t)block, u.stream, u.seed);
                round_stochastically(m16 + block, means, random, 0, count);
                round_stochastically(v16 + block, squares, random, 16, count);
            }
        }
    }
}

void RGZ_FN(adamw)(float *weight, rgz_real *copy, float *grad, float *m, float *v, rgz_int n, rgz_int n_decayed,
                   float lr, float beta1, float beta2, float eps, float weight_decay, float correction1,
                   float correction2, float grad_scale, int n_threads) {
    const update u = {lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale, 0, 0};
    adamw_pass(weight, copy, grad, m, v, NULL, NULL, n, n_decayed, u, n_threads);
}

void RGZ_FN(adamw_bf16)(float *weight, rgz_real *copy, float *grad, uint16_t *m, uint16_t *v, rgz_int n,
                        rgz_int n_decayed, float lr, float beta1, float beta2, float eps, float weight_decay,
                        float correction1, float correction2, float grad_scale, uint64_t seed, uint64_t stream,
                        int n_threads) {
    const update u = {lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale, seed, stream};
    adamw_pass(weight, copy, grad, NULL, NULL, m, v, n, n_decayed, u, n_threads);
}

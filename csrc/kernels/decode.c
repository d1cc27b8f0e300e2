/* decode.c - one new token per sequence: its keys and values are kept, its query attends to all that are.
 *
 *   k_cache[b,g,lengths[b] - 1] = k[b,g], and v likewise                             (cache_append)
 *
 *   out[b,h] = sum_j softmax_j(scale q[b,h] . k_cache[b,g,j]) v_cache[b,g,j],  j < lengths[b], g = h / (heads/kv_heads)
 *
 * Shapes: q (batch, q_stride), the first heads * head_size of a row are read; k, v likewise (batch, k_stride),
 * (batch, v_stride), of kv_heads * head_size; out (batch, heads, head_size); k_cache,
 * v_cache (batch, kv_heads, capacity, head_size); lengths (batch) >= 1; scores is scratch of (batch, heads, capacity).
 * WRITES out, and of the caches the place of the new token. Threads: (sequence, head); cache_append needs none.
 */
#include "kernel.h"

void RGZ_FN(cache_append)(rgz_real *k_cache, rgz_real *v_cache, const rgz_real *k, const rgz_real *v,
                          const int32_t *lengths, rgz_int batch, rgz_int k_stride, rgz_int v_stride, rgz_int capacity,
                          rgz_int kv_heads, rgz_int head_size) {
    for (rgz_int b = 0; b < batch; b++)
        for (rgz_int g = 0; g < kv_heads; g++) {
            const rgz_int place = ((b * kv_heads + g) * capacity + lengths[b] - 1) * head_size;
            memcpy(k_cache + place, k + b * k_stride + g * head_size, head_size * sizeof *k);
            memcpy(v_cache + place, v + b * v_stride + g * head_size, head_size * sizeof *v);
        }
}

void RGZ_FN(attention_decode)(rgz_real *out, const rgz_real *q, const rgz_real *k_cache, const rgz_real *v_cache,
                              const int32_t *lengths, float *scores, rgz_int batch, rgz_int q_stride, rgz_int capacity,
                              rgz_int heads, rgz_int kv_heads, rgz_int head_size, float scale, int n_threads) {
    const rgz_int group = heads / kv_heads;
#pragma omp parallel for num_threads(n_threads) schedule(static) if (batch * heads * capacity * head_size > 65536)
    for (rgz_int task = 0; task < batch * heads; task++) {
        const rgz_int b = task / heads, h = task % heads, length = lengths[b];
        const rgz_int cache = (b * kv_heads + h / group) * capacity * head_size;
        const rgz_real *query = q + b * q_stride + h * head_size;
        float *s = scores + task * capacity;
        rgz_real *result = out + task * head_size;
        for (rgz_int j = 0; j < length; j++) {
            vf sum = vf_zero();
            RGZ_FOR_VECTORS (d, live, head_size) {
                sum = vf_fma(vr_load_n(query + d, live), vr_load_n(k_cache + cache + j * head_size + d, live), sum);
            }
            s[j] = vf_sum(sum) * scale;
        }
        vf top = vf_set1(s[0]);
        RGZ_FOR_VECTORS (j, live, length) {
            top = vf_max(vf_keep_n(vf_load_n(s + j, live), top, live), top);
        }
        const vf shift = vf_set1(vf_max_lane(top));
        vf total = vf_zero();
        RGZ_FOR_VECTORS (j, live, length) {
            vf e = vf_exp(vf_sub(vf_load_n(s + j, live), shift));
            vf_store_n(s + j, e, live);
            total = vf_add(total, vf_keep_n(e, vf_zero(), live));
        }
        const float share = 1.0f / vf_sum(total);
        RGZ_FOR_VECTORS (d, live, head_size) {
            vf sum = vf_zero();
            for (rgz_int j = 0; j < length; j++)
                sum = vf_fma(vf_set1(s[j] * share), vr_load_n(v_cache + cache + j * head_size + d, live), sum);
            vr_store_n(result + d, sum, live);
        }
    }
}

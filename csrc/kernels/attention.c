/* attention.c - exact attention over ragged batches in tiles, with the online softmax. Its gradients:
 * attention_backward.c.
 *
 *   s[i,j] = scale q[i] . k[j]  (causal: j <= i),  lse[i] = log sum_j exp(s[i,j]),  p = exp(s - lse),  out = p v
 *
 * Shapes: N rows hold all sequences end to end, sequence s is rows cu_seqlens[s] .. cu_seqlens[s+1] - 1 and sees only
 * itself. q (N, heads, head_size); k, v (N, kv_heads, head_size); out (N, heads, head_size); lse (N, heads). The
 * *_stride is elements from one row of N to the next, so q, k, v may be parts of one qkv matrix. Query head h reads key
 * head h / (heads / kv_heads). Products of q and k must be finite before they are scaled, too. scratch for each thread:
 * rgz_attention_scratch_floats(head_size). WRITES out and lse; no T x T matrix exists.
 * Threads: by (sequence, head, group), each in fixed order.
 * Sources: Dao et al. 2022, arXiv:2205.14135, algorithm 1; Dao 2023, arXiv:2307.08691.
 */
#include "attention_block.h"

/* Scores of a vector of queries and a key, scaled: -inf where a query does not see the key. */
RGZ_INLINE vf scaled(const float *s, vf scale, rgz_int unseen) {
    return without_first(vf_mul(vf_load(s), scale), vf_set1(-INFINITY), unseen);
}

/* One step of the online softmax: s becomes exp(scale s - top), in units of keys, and top, total and the factor for
 * earlier sums move on. */
RGZ_INLINE void online_softmax(float *s, float *top, float *total, float *rescale, block_shape b, float scale) {
    const vf factor = vf_set1(scale);
    for (rgz_int i = 0; i < b.queries; i += VLEN) {
        /* sum_over_keys reads past the last key that these queries see by less than a register tile */
        const rgz_int keys = rgz_min(b.keys, i + VLEN + b.diagonal + MM_ROWS);
        const vf before = vf_load(top + i);
        vf now = before;
        for (rgz_int j = 0; j < keys; j++) now = vf_max(scaled(s + j * BLOCK + i, factor, first_query(b, j) - i), now);
        const vf shrink = vf_exp(vf_sub(before, now));
        vf sum = vf_mul(vf_load(total + i), shrink);
        for (rgz_int j = 0; j < keys; j += UNIT) {
            vf e[UNIT];
            for (rgz_int u = 0; u < UNIT; u++) {
                e[u] = vf_zero();
                if (j + u == keys) break;
                e[u] = vf_exp(vf_sub(scaled(s + (j + u) * BLOCK + i, factor, first_query(b, j + u) - i), now));
                sum = vf_add(sum, e[u]);
            }
            store_weights(s + j / UNIT * BLOCK + i, e);
        }
        vf_store(top + i, now);
        vf_store(total + i, sum);
        vf_store(rescale + i, shrink);
    }
}

/* What forward keeps for a block of queries while the keys pass by. */
typedef struct {
    float *qt, *sum, *top, *total;
    rgz_int first, queries;
} query_state;

RGZ_INLINE void rescale_rows(float *sum, const float *rescale, rgz_int queries, rgz_int head_size) {
    for (rgz_int i = 0; i < queries; i++) {
        if (rescale[i] == 1.0f) continue; /* the usual case, once the largest score has been met */
        const vf factor = vf_set1(rescale[i]);
        RGZ_FOR_VECTORS (d, live, head_size) {
            float *p = sum + i * head_size + d;
            vf_store_n(p, vf_mul(vf_load_n(p, live), factor), live);
        }
    }
}

/* Queries [first, first + count) of one head of one sequence; returns whether out is finite. */
static int forward_group(rgz_real *out, float *lse, const rgz_real *q, const rgz_real *k, const rgz_real *v,
                         float *scratch, rgz_int first, rgz_int count, rgz_int length, rgz_int out_stride,
                         rgz_int lse_stride, rgz_int q_stride, rgz_int k_stride, rgz_int v_stride, rgz_int head_size,
                         float scale, int causal, rgz_int height) {
    const rgz_int area = head_size * BLOCK, blocks = rgz_blocks(count, BLOCK);
    float *keys = scratch, *values = keys + area, *s = values + area, *rescale = s + BLOCK * BLOCK;
    query_state states[GROUP];
    for (rgz_int g = 0; g < blocks; g++) {
        query_state *state = states + g;
        state->qt = rescale + BLOCK + g * (2 * area + 2 * BLOCK);
        state->sum = state->qt + area;
        state->top = state->sum + area;
        state->total = state->top + BLOCK;
        state->first = first + g * BLOCK;
        state->queries = rgz_min(BLOCK, count - g * BLOCK);
        transpose_rows(state->qt, q + g * BLOCK * q_stride, q_stride, state->queries, head_size);
        for (rgz_int i = 0; i < BLOCK; i++) {
            state->top[i] = -INFINITY;
            state->total[i] = 0.0f;
        }
    }
    const rgz_int end = causal ? first + count : length;
    for (rgz_int at = 0; at < end; at += BLOCK) {
        gather_rows(keys, k + at * k_stride, k_stride, rgz_min(BLOCK, end - at), head_size);
        gather_across(values, v + at * v_stride, v_stride, rgz_min(BLOCK, end - at), head_size);
        for (rgz_int g = 0; g < blocks; g++) {
            query_state *state = states + g;
            const rgz_int last = causal ? state->first + state->queries : length;
            if (at >= last) continue;
            const block_shape b = {state->queries, rgz_min(BLOCK, last - at), causal ? state->first - at : BLOCK};
            products(s, b, keys, state->qt, head_size);
            online_softmax(s, state->top, state->total, rescale, b, scale);
            if (at > 0) rescale_rows(state->sum, rescale, state->queries, head_size);
            sum_over_keys(state->sum, b, s, values, head_size, at > 0, height);
        }
    }
    vf found = vf_zero();
    for (rgz_int g = 0; g < blocks; g++)
        for (rgz_int i = 0; i < states[g].queries; i++) {
            const vf share = vf_set1(1.0f / states[g].total[i]);
            const rgz_int row = g * BLOCK + i;
            RGZ_FOR_VECTORS (d, live, head_size) {
                const vf sum = vf_load_n(states[g].sum + i * head_size + d, live);
                found = find_nonfinite(sum, found);
                vr_store_n(out + row * out_stride + d, without_sign(vf_mul(sum, share)), live);
            }
            lse[row * lse_stride] = states[g].top[i] + logf(states[g].total[i]);
        }
    return !is_nonfinite(found);
}

void RGZ_FN(attention_forward)(rgz_real *out, float *lse, const rgz_real *q, const rgz_real *k, const rgz_real *v,
                               const int32_t *cu_seqlens, float *scratch, rgz_int sequences, rgz_int out_stride,
                               rgz_int q_stride, rgz_int k_stride, rgz_int v_stride, rgz_int heads, rgz_int kv_heads,
                               rgz_int head_size, float scale, int causal, int n_threads) {
    enum { ROWS = GROUP * BLOCK };
    const rgz_int ratio = heads / kv_heads, per_thread = rgz_attention_scratch_floats(head_size);
    rgz_int groups = 0;
    for (rgz_int s = 0; s < sequences; s++) groups += rgz_blocks(cu_seqlens[s + 1] - cu_seqlens[s], ROWS);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int task = 0; task < groups * heads; task++) {
        const rgz_int h = task % heads;
        rgz_int group = groups - 1 - task / heads, s = 0; /* from the end: under causality the last are the longest */
        while (group >= rgz_blocks(cu_seqlens[s + 1] - cu_seqlens[s], ROWS))
            group -= rgz_blocks(cu_seqlens[s + 1] - cu_seqlens[s], ROWS), s++;
        const rgz_int begin = cu_seqlens[s], length = cu_seqlens[s + 1] - begin;
        const rgz_int first = group * ROWS, row = begin + first;
        rgz_int height = MM_ROWS;
        while (!forward_group(out + row * out_stride + h * head_size, lse + row * heads + h,
                              q + row * q_stride + h * head_size, k + begin * k_stride + h / ratio * head_size,
                              v + begin * v_stride + h / ratio * head_size, scratch + RGZ_THREAD() * per_thread, first,
                              rgz_min(ROWS, length - first), length, out_stride, heads, q_stride, k_stride, v_stride,
                              head_size, scale, causal, height) &&
               causal && height > 1)
            height = 1;
    }
}

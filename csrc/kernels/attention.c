/* attention.c - exact attention over ragged batches in tiles, with the online softmax; and its gradients.
 *
 *   s[i,j] = scale q[i] . k[j]  (causal: j <= i),  lse[i] = log sum_j exp(s[i,j]),  p = exp(s - lse),  out = p v
 *   dv = p^T dout,  dp = dout v^T,  ds = p (dp - delta),  delta[i] = dout[i] . out[i],
 *   dq = scale ds k,  dk = scale ds^T q
 *
 * Shapes: N rows hold all sequences end to end, sequence s is rows cu_seqlens[s] .. cu_seqlens[s+1] - 1 and sees only
 * itself. q, dq (N, heads, head_size); k, v, dk, dv (N, kv_heads, head_size); out, dout (N, heads, head_size); lse
 * (N, heads). The *_stride is elements from one row of N to the next, so q, k, v may be parts of one qkv matrix; dout
 * has out's stride. Query head h reads key head h / (heads / kv_heads). scratch for each thread:
 * rgz_attention_scratch_floats(head_size). Forward WRITES out and lse, backward WRITES dq, dk, dv; no T x T matrix exists.
 *
 * A block is up to 96 queries by 96 keys, held transposed (keys down, queries across): then maxima and sums of the
 * softmax run down the block, lane by lane, and no step needs a sum across lanes. Above the diagonal nothing is
 * computed beyond the edge of a register tile.
 * Rows of one head lie a whole model's width apart, mostly a power of two, so that few of them fit in a cache at once:
 * blocks are copied together first, as float32 whatever the storage: all that follows is the same for every storage. Three blocks of queries at a time (a group) share a copy of each block of keys.
 * Threads: forward by (sequence, head, group), backward by (sequence, kv head), each in fixed order.
 * Sources: Dao et al. 2022, arXiv:2205.14135, algorithms 1 and 4; Dao 2023, arXiv:2307.08691.
 */
#include "kernel.h"
#include "simd/block_mm.h"
#include "simd/transpose.h"

enum { BLOCK = RGZ_ATTENTION_BLOCK, GROUP = RGZ_ATTENTION_GROUP };

/* One block against which keys are masked: query i of the block sees key j where j <= i + diagonal. */
typedef struct {
    rgz_int queries, keys, diagonal;
} block_shape;

RGZ_INLINE rgz_int padded(rgz_int n) { return rgz_blocks(n, VLEN) * VLEN; } /* BLOCK is a multiple of VLEN */

/* First query that sees key j, and the same rounded down to a vector. */
RGZ_INLINE rgz_int first_query(block_shape b, rgz_int j) { return rgz_min(rgz_max(0, j - b.diagonal), b.queries); }
RGZ_INLINE rgz_int first_lane(block_shape b, rgz_int j) { return first_query(b, j) / VLEN * VLEN; }

/* t (head_size, BLOCK) = transpose of rows (n, head_size), zero past them up to a whole vector. */
static void transpose_rows(float *t, const float *rows, rgz_int n, rgz_int head_size) {
    transpose(t, BLOCK, rows, head_size, n, head_size);
    for (rgz_int d = 0; d < head_size; d++)
        for (rgz_int i = n; i < padded(n); i++) t[d * BLOCK + i] = 0.0f;
}

/* to (n, head_size) = n rows, end to end */
RGZ_INLINE void gather_rows(float *RGZ_RESTRICT to, const rgz_real *RGZ_RESTRICT rows, rgz_int stride, rgz_int n,
                            rgz_int head_size) {
    for (rgz_int r = 0; r < n; r++)
        RGZ_FOR_VECTORS (d, live, head_size) {
            vf_store_n(to + r * head_size + d, vr_load_n(rows + r * stride + d, live), live);
        }
}

/* s (keys, BLOCK) = rows . t, the products of each key's row with each transposed query, where seen */
RGZ_INLINE void products(float *s, block_shape b, const float *rows, const float *t, rgz_int head_size) {
    for (rgz_int j = 0; j < b.keys; j += MM_ROWS) {
        const rgz_int i = first_lane(b, j);
        mm_strip(rgz_min(MM_ROWS, b.keys - j), padded(b.queries) - i, head_size, rows + j * head_size, head_size, 1,
                 t + i, BLOCK, s + j * BLOCK + i, BLOCK, 0);
    }
}

/* sum (queries, head_size) += or = p^T rows, rows those of the keys */
RGZ_INLINE void sum_over_keys(float *sum, block_shape b, const float *p, const float *rows, rgz_int head_size,
                              int add) {
    for (rgz_int i = 0; i < b.queries; i += MM_ROWS) {
        const rgz_int n = rgz_min(MM_ROWS, b.queries - i);
        mm_strip(n, head_size, rgz_min(b.keys, i + n + b.diagonal), p + i, 1, BLOCK, rows, head_size,
                 sum + i * head_size, head_size, add);
    }
}

/* sum (keys, head_size) += p rows, rows those of the queries */
RGZ_INLINE void sum_over_queries(float *sum, block_shape b, const float *p, const float *rows, rgz_int head_size) {
    for (rgz_int j = 0; j < b.keys; j += MM_ROWS) {
        const rgz_int i = first_query(b, j);
        mm_strip(rgz_min(MM_ROWS, b.keys - j), head_size, b.queries - i, p + j * BLOCK + i, BLOCK, 1,
                 rows + i * head_size, head_size, sum + j * head_size, head_size, 1);
    }
}

/* Writes value where a query does not see a key, as far as anybody reads there: the products run past what is seen by
 * less than a register tile, the softmax by less than a vector besides. */
RGZ_INLINE void fill_unseen(float *s, block_shape b, float value) {
    for (rgz_int j = 0; j < b.keys; j++) {
        const rgz_int end = first_query(b, j);
        for (rgz_int i = rgz_max(0, end - MM_ROWS - VLEN) / VLEN * VLEN; i < end; i += VLEN)
            vf_store_n(s + j * BLOCK + i, vf_set1(value), rgz_min(VLEN, end - i));
    }
}

/* One step of the online softmax: s becomes exp(s - top), and top, total and the factor for earlier sums move on. */
RGZ_INLINE void online_softmax(float *s, float *top, float *total, float *rescale, block_shape b) {
    for (rgz_int i = 0; i < b.queries; i += VLEN) {
        /* sum_over_keys reads past the last key that these queries see by less than a register tile */
        const rgz_int keys = rgz_min(b.keys, i + VLEN + b.diagonal + MM_ROWS);
        const vf before = vf_load(top + i);
        vf now = before;
        for (rgz_int j = 0; j < keys; j++) now = vf_max(vf_load(s + j * BLOCK + i), now);
        const vf factor = vf_exp(vf_sub(before, now));
        vf sum = vf_mul(vf_load(total + i), factor);
        for (rgz_int j = 0; j < keys; j++) {
            vf e = vf_exp(vf_sub(vf_load(s + j * BLOCK + i), now));
            vf_store(s + j * BLOCK + i, e);
            sum = vf_add(sum, e);
        }
        vf_store(top + i, now);
        vf_store(total + i, sum);
        vf_store(rescale + i, factor);
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

/* Queries [first, first + count) of one head of one sequence. */
static void forward_group(rgz_real *out, float *lse, const rgz_real *q, const rgz_real *k, const rgz_real *v,
                          float *scratch, rgz_int first, rgz_int count, rgz_int length, rgz_int out_stride,
                          rgz_int lse_stride, rgz_int q_stride, rgz_int k_stride, rgz_int v_stride, rgz_int head_size,
                          float scale, int causal) {
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
        gather_rows(keys, q + g * BLOCK * q_stride, q_stride, state->queries, head_size);
        transpose_rows(state->qt, keys, state->queries, head_size);
        for (rgz_int i = 0; i < area; i += VLEN)
            vf_store(state->qt + i, vf_mul(vf_load(state->qt + i), vf_set1(scale)));
        for (rgz_int i = 0; i < BLOCK; i++) {
            state->top[i] = -INFINITY;
            state->total[i] = 0.0f;
        }
    }
    const rgz_int end = causal ? first + count : length;
    for (rgz_int at = 0; at < end; at += BLOCK) {
        gather_rows(keys, k + at * k_stride, k_stride, rgz_min(BLOCK, end - at), head_size);
        gather_rows(values, v + at * v_stride, v_stride, rgz_min(BLOCK, end - at), head_size);
        for (rgz_int g = 0; g < blocks; g++) {
            query_state *state = states + g;
            const rgz_int last = causal ? state->first + state->queries : length;
            if (at >= last) continue;
            const block_shape b = {state->queries, rgz_min(BLOCK, last - at), causal ? state->first - at : BLOCK};
            products(s, b, keys, state->qt, head_size);
            fill_unseen(s, b, -INFINITY);
            online_softmax(s, state->top, state->total, rescale, b);
            if (at > 0) rescale_rows(state->sum, rescale, state->queries, head_size);
            sum_over_keys(state->sum, b, s, values, head_size, at > 0);
        }
    }
    for (rgz_int g = 0; g < blocks; g++)
        for (rgz_int i = 0; i < states[g].queries; i++) {
            const vf share = vf_set1(1.0f / states[g].total[i]);
            const rgz_int row = g * BLOCK + i;
            RGZ_FOR_VECTORS (d, live, head_size) {
                vr_store_n(out + row * out_stride + d,
                           vf_mul(vf_load_n(states[g].sum + i * head_size + d, live), share), live);
            }
            lse[row * lse_stride] = states[g].top[i] + logf(states[g].total[i]);
        }
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
        forward_group(out + row * out_stride + h * head_size, lse + row * heads + h, q + row * q_stride + h * head_size,
                      k + begin * k_stride + h / ratio * head_size, v + begin * v_stride + h / ratio * head_size,
                      scratch + RGZ_THREAD() * per_thread, first, rgz_min(ROWS, length - first), length, out_stride,
                      heads, q_stride, k_stride, v_stride, head_size, scale, causal);
    }
}

/* s, the products q k, becomes p; ds, the products dout v, becomes scale p (ds - delta) */
RGZ_INLINE void softmax_gradient(float *s, float *ds, const float *lse, const float *delta, block_shape b,
                                 float scale) {
    const vf factor = vf_set1(scale);
    for (rgz_int j = 0; j < b.keys; j++)
        for (rgz_int i = first_lane(b, j); i < b.queries; i += VLEN) {
            vf p = vf_exp(vf_sub(vf_mul(vf_load(s + j * BLOCK + i), factor), vf_load(lse + i)));
            vf d = vf_sub(vf_load(ds + j * BLOCK + i), vf_load(delta + i));
            vf_store(s + j * BLOCK + i, p);
            vf_store(ds + j * BLOCK + i, vf_mul(vf_mul(p, d), factor));
        }
}

RGZ_INLINE void add_rows(rgz_real *to, rgz_int stride, const float *rows, rgz_int n, rgz_int head_size, int add) {
    for (rgz_int r = 0; r < n; r++)
        RGZ_FOR_VECTORS (d, live, head_size) {
            vf x = vf_load_n(rows + r * head_size + d, live);
            if (add) x = vf_add(vr_load_n(to + r * stride + d, live), x);
            vr_store_n(to + r * stride + d, x, live);
        }
}

/* What backward keeps for a block of queries while the keys pass by. */
typedef struct {
    float *q, *dout, *qt, *dout_t, *dq, *lse, *delta;
    rgz_int first, queries;
} query_gradient;

/* One head's block of queries, gathered, and delta. */
static void gather_queries(query_gradient *b, const rgz_real *q, const rgz_real *out, const rgz_real *dout,
                           const float *lse, rgz_int q_stride, rgz_int out_stride, rgz_int lse_stride,
                           rgz_int head_size) {
    gather_rows(b->q, q, q_stride, b->queries, head_size);
    gather_rows(b->dout, dout, out_stride, b->queries, head_size);
    transpose_rows(b->qt, b->q, b->queries, head_size);
    transpose_rows(b->dout_t, b->dout, b->queries, head_size);
    for (rgz_int i = 0; i < padded(b->queries); i++) {
        vf sum = vf_zero();
        if (i < b->queries)
            RGZ_FOR_VECTORS (d, live, head_size) {
                sum = vf_fma(vr_load_n(out + i * out_stride + d, live), vf_load_n(b->dout + i * head_size + d, live),
                             sum);
            }
        b->delta[i] = vf_sum(sum);
        b->lse[i] = i < b->queries ? lse[i * lse_stride] : 0.0f;
    }
}

void RGZ_FN(attention_backward)(rgz_real *dq, rgz_real *dk, rgz_real *dv, const rgz_real *dout, const rgz_real *q,
                                const rgz_real *k, const rgz_real *v, const rgz_real *out, const float *lse,
                                const int32_t *cu_seqlens, float *scratch, rgz_int sequences, rgz_int dq_stride,
                                rgz_int dk_stride, rgz_int dv_stride, rgz_int out_stride, rgz_int q_stride,
                                rgz_int k_stride, rgz_int v_stride, rgz_int heads, rgz_int kv_heads, rgz_int head_size,
                                float scale, int causal, int n_threads) {
    const rgz_int ratio = heads / kv_heads, per_thread = rgz_attention_scratch_floats(head_size);
    const rgz_int area = head_size * BLOCK;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int task = 0; task < sequences * kv_heads; task++) {
        const rgz_int begin = cu_seqlens[task / kv_heads], length = cu_seqlens[task / kv_heads + 1] - begin;
        const rgz_int kv = task % kv_heads;
        float *keys = scratch + RGZ_THREAD() * per_thread, *values = keys + area, *dkeys = values + area;
        float *dvalues = dkeys + area, *s = dvalues + area, *ds = s + BLOCK * BLOCK, *rest = ds + BLOCK * BLOCK;
        query_gradient states[GROUP];
        for (rgz_int g = 0; g < GROUP; g++, rest += 5 * area + 2 * BLOCK) {
            query_gradient state = {rest,
                                    rest + area,
                                    rest + 2 * area,
                                    rest + 3 * area,
                                    rest + 4 * area,
                                    rest + 5 * area,
                                    rest + 5 * area + BLOCK,
                                    0,
                                    0};
            states[g] = state;
        }
        /* All queries that share these keys, group by group; the first one to reach a key writes its gradients. */
        for (rgz_int h = kv * ratio; h < (kv + 1) * ratio; h++)
            for (rgz_int first = 0; first < length; first += GROUP * BLOCK) {
                const rgz_int count = rgz_min(GROUP * BLOCK, length - first), blocks = rgz_blocks(count, BLOCK);
                for (rgz_int g = 0; g < blocks; g++) {
                    const rgz_int row = begin + first + g * BLOCK;
                    states[g].first = first + g * BLOCK;
                    states[g].queries = rgz_min(BLOCK, count - g * BLOCK);
                    gather_queries(states + g, q + row * q_stride + h * head_size,
                                   out + row * out_stride + h * head_size, dout + row * out_stride + h * head_size,
                                   lse + row * heads + h, q_stride, out_stride, heads, head_size);
                }
                const rgz_int end = causal ? first + count : length;
                for (rgz_int at = 0; at < end; at += BLOCK) {
                    const rgz_int row = begin + at, n = rgz_min(BLOCK, end - at);
                    const int add = h > kv * ratio || (causal ? at < first : first > 0);
                    gather_rows(keys, k + row * k_stride + kv * head_size, k_stride, n, head_size);
                    gather_rows(values, v + row * v_stride + kv * head_size, v_stride, n, head_size);
                    memset(dkeys, 0, 2 * (size_t)area * sizeof *dkeys); /* and dvalues */
                    for (rgz_int g = 0; g < blocks; g++) {
                        const query_gradient *state = states + g;
                        const rgz_int last = causal ? state->first + state->queries : length;
                        if (at >= last) continue;
                        const block_shape b = {state->queries, rgz_min(BLOCK, last - at),
                                               causal ? state->first - at : BLOCK};
                        products(s, b, keys, state->qt, head_size);
                        products(ds, b, values, state->dout_t, head_size);
                        softmax_gradient(s, ds, state->lse, state->delta, b, scale);
                        fill_unseen(s, b, 0.0f);
                        fill_unseen(ds, b, 0.0f);
                        sum_over_queries(dvalues, b, s, state->dout, head_size);
                        sum_over_queries(dkeys, b, ds, state->q, head_size);
                        sum_over_keys(state->dq, b, ds, keys, head_size, at > 0);
                    }
                    add_rows(dk + row * dk_stride + kv * head_size, dk_stride, dkeys, n, head_size, add);
                    add_rows(dv + row * dv_stride + kv * head_size, dv_stride, dvalues, n, head_size, add);
                }
                for (rgz_int g = 0; g < blocks; g++)
                    add_rows(dq + (begin + states[g].first) * dq_stride + h * head_size, dq_stride, states[g].dq,
                             states[g].queries, head_size, 0);
            }
    }
}

/* attention.c - exact attention over ragged batches in tiles, with the online softmax; and its gradients.
 *
 *   s[i,j] = scale q[i] . k[j]  (causal: j <= i),  lse[i] = log sum_j exp(s[i,j]),  p = exp(s - lse),  out = p v
 *   dv = p^T dout,  dp = dout v^T,  ds = p (dp - delta),  delta[i] = dout[i] . out[i],
 *   dq = scale ds k,  dk = scale ds^T q
 *
 * Shapes: N rows hold all sequences end to end, sequence s is rows cu_seqlens[s] .. cu_seqlens[s+1] - 1 and sees only
 * itself. q, dq (N, heads, head_size); k, v, dk, dv (N, kv_heads, head_size); out, dout (N, heads, head_size); lse
 * (N, heads). The *_stride is floats from one row of N to the next, so q, k, v may be parts of one qkv matrix; dout
 * has out's stride. Query head h reads key head h / (heads / kv_heads). scratch: rgz_attention_scratch_floats(head_size)
 * for each thread. Forward WRITES out and lse, backward WRITES dq, dk, dv; no T x T matrix exists.
 *
 * A block is up to 64 queries by 64 keys, held transposed (keys down, queries across): then maxima and sums of the
 * softmax run down the block, lane by lane, and no step needs a sum across lanes. Above the diagonal nothing is
 * computed beyond the edge of a register tile.
 * Threads: forward by (sequence, head, block of queries), backward by (sequence, kv head), each in fixed order.
 * Sources: Dao et al. 2022, arXiv:2205.14135, algorithms 1 and 4; Dao 2023, arXiv:2307.08691.
 */
#include "kernel.h"
#include "simd/block_mm.h"

enum { BLOCK = RGZ_ATTENTION_BLOCK };

/* One block against which keys are masked: query i of the block sees key j where j <= i + diagonal. */
typedef struct {
    rgz_int queries, keys, diagonal;
} block_shape;

RGZ_INLINE rgz_int padded(rgz_int n) { return rgz_blocks(n, VLEN) * VLEN; } /* BLOCK is a multiple of VLEN */

/* First query that sees key j, and the same rounded down to a vector. */
RGZ_INLINE rgz_int first_query(block_shape b, rgz_int j) { return rgz_min(rgz_max(0, j - b.diagonal), b.queries); }
RGZ_INLINE rgz_int first_lane(block_shape b, rgz_int j) { return first_query(b, j) / VLEN * VLEN; }

/* t (head_size, BLOCK) = transpose of n rows, zero past them up to a whole vector. */
static void transpose_rows(float *t, const float *rows, rgz_int stride, rgz_int n, rgz_int head_size) {
    for (rgz_int d = 0; d < head_size; d++) {
        for (rgz_int i = 0; i < n; i++) t[d * BLOCK + i] = rows[i * stride + d];
        for (rgz_int i = n; i < padded(n); i++) t[d * BLOCK + i] = 0.0f;
    }
}

/* s (keys, BLOCK) = rows . t, the products of each key's row with each transposed query, where seen */
RGZ_INLINE void products(float *s, block_shape b, const float *rows, rgz_int stride, const float *t,
                         rgz_int head_size) {
    for (rgz_int j = 0; j < b.keys; j += MM_ROWS) {
        const rgz_int i = first_lane(b, j);
        mm_strip(rgz_min(MM_ROWS, b.keys - j), padded(b.queries) - i, head_size, rows + j * stride, stride, 1, t + i,
                 BLOCK, s + j * BLOCK + i, BLOCK, 0);
    }
}

/* sum (queries, head_size) += or = p^T rows */
RGZ_INLINE void sum_over_keys(float *sum, block_shape b, const float *p, const float *rows, rgz_int stride,
                              rgz_int head_size, int add) {
    for (rgz_int i = 0; i < b.queries; i += MM_ROWS) {
        const rgz_int n = rgz_min(MM_ROWS, b.queries - i);
        mm_strip(n, head_size, rgz_min(b.keys, i + n + b.diagonal), p + i, 1, BLOCK, rows, stride, sum + i * head_size,
                 head_size, add);
    }
}

/* sum (keys, sum_stride) += p rows, rows those of the queries */
RGZ_INLINE void sum_over_queries(float *sum, rgz_int sum_stride, block_shape b, const float *p, const float *rows,
                                 rgz_int stride, rgz_int head_size) {
    for (rgz_int j = 0; j < b.keys; j += MM_ROWS) {
        const rgz_int i = first_query(b, j);
        mm_strip(rgz_min(MM_ROWS, b.keys - j), head_size, b.queries - i, p + j * BLOCK + i, BLOCK, 1, rows + i * stride,
                 stride, sum + j * sum_stride, sum_stride, 1);
    }
}

RGZ_INLINE void fill_unseen(float *s, block_shape b, float value) {
    for (rgz_int j = 0; j < b.keys; j++)
        for (rgz_int i = first_query(b, j); i-- > 0;) s[j * BLOCK + i] = value;
}

/* One step of the online softmax: s becomes exp(s - top), and top, total and the factor for earlier sums move on. */
RGZ_INLINE void online_softmax(float *s, float *top, float *total, float *rescale, block_shape b) {
    for (rgz_int i = 0; i < b.queries; i += VLEN) {
        const vf before = vf_load(top + i);
        vf now = before;
        for (rgz_int j = 0; j < b.keys; j++) now = vf_max(vf_load(s + j * BLOCK + i), now);
        const vf factor = vf_exp(vf_sub(before, now));
        vf sum = vf_mul(vf_load(total + i), factor);
        for (rgz_int j = 0; j < b.keys; j++) {
            vf e = vf_exp(vf_sub(vf_load(s + j * BLOCK + i), now));
            vf_store(s + j * BLOCK + i, e);
            sum = vf_add(sum, e);
        }
        vf_store(top + i, now);
        vf_store(total + i, sum);
        vf_store(rescale + i, factor);
    }
}

static void forward_block(float *out, float *lse, const float *q, const float *k, const float *v, float *scratch,
                          rgz_int queries, rgz_int first, rgz_int keys, rgz_int out_stride, rgz_int lse_stride,
                          rgz_int q_stride, rgz_int k_stride, rgz_int v_stride, rgz_int head_size, float scale,
                          int causal) {
    float *qt = scratch, *sum = qt + head_size * BLOCK, *s = sum + head_size * BLOCK;
    float *top = s + BLOCK * BLOCK, *total = top + BLOCK, *rescale = total + BLOCK;
    transpose_rows(qt, q, q_stride, queries, head_size);
    for (rgz_int i = 0; i < head_size * BLOCK; i += VLEN) vf_store(qt + i, vf_mul(vf_load(qt + i), vf_set1(scale)));
    for (rgz_int i = 0; i < BLOCK; i++) {
        top[i] = -INFINITY;
        total[i] = 0.0f;
    }
    for (rgz_int at = 0; at < keys; at += BLOCK) {
        const block_shape b = {queries, rgz_min(BLOCK, keys - at), causal ? first - at : BLOCK};
        products(s, b, k + at * k_stride, k_stride, qt, head_size);
        fill_unseen(s, b, -INFINITY);
        online_softmax(s, top, total, rescale, b);
        if (at > 0)
            for (rgz_int i = 0; i < queries; i++) {
                const vf factor = vf_set1(rescale[i]);
                RGZ_FOR_VECTORS (d, live, head_size) {
                    float *p = sum + i * head_size + d;
                    vf_store_n(p, vf_mul(vf_load_n(p, live), factor), live);
                }
            }
        sum_over_keys(sum, b, s, v + at * v_stride, v_stride, head_size, at > 0);
    }
    for (rgz_int i = 0; i < queries; i++) {
        const vf share = vf_set1(1.0f / total[i]);
        RGZ_FOR_VECTORS (d, live, head_size) {
            vf_store_n(out + i * out_stride + d, vf_mul(vf_load_n(sum + i * head_size + d, live), share), live);
        }
        lse[i * lse_stride] = top[i] + logf(total[i]);
    }
}

void RGZ_FN(attention_forward)(float *out, float *lse, const float *q, const float *k, const float *v,
                               const int32_t *cu_seqlens, float *scratch, rgz_int sequences, rgz_int out_stride,
                               rgz_int q_stride, rgz_int k_stride, rgz_int v_stride, rgz_int heads, rgz_int kv_heads,
                               rgz_int head_size, float scale, int causal, int n_threads) {
    const rgz_int group = heads / kv_heads, per_thread = rgz_attention_scratch_floats(head_size);
    rgz_int blocks = 0;
    for (rgz_int s = 0; s < sequences; s++) blocks += rgz_blocks(cu_seqlens[s + 1] - cu_seqlens[s], BLOCK);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int task = 0; task < blocks * heads; task++) {
        const rgz_int h = task % heads;
        rgz_int block = blocks - 1 - task / heads, s = 0; /* from the end: under causality the last are the longest */
        while (block >= rgz_blocks(cu_seqlens[s + 1] - cu_seqlens[s], BLOCK))
            block -= rgz_blocks(cu_seqlens[s + 1] - cu_seqlens[s], BLOCK), s++;
        const rgz_int begin = cu_seqlens[s], length = cu_seqlens[s + 1] - begin;
        const rgz_int first = block * BLOCK, queries = rgz_min(BLOCK, length - first), row = begin + first;
        forward_block(out + row * out_stride + h * head_size, lse + row * heads + h, q + row * q_stride + h * head_size,
                      k + begin * k_stride + h / group * head_size, v + begin * v_stride + h / group * head_size,
                      scratch + RGZ_THREAD() * per_thread, queries, first, causal ? first + queries : length,
                      out_stride, heads, q_stride, k_stride, v_stride, head_size, scale, causal);
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

static void zero_rows(float *rows, rgz_int stride, rgz_int n, rgz_int head_size) {
    for (rgz_int r = 0; r < n; r++) memset(rows + r * stride, 0, (size_t)head_size * sizeof *rows);
}

void RGZ_FN(attention_backward)(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k,
                                const float *v, const float *out, const float *lse, const int32_t *cu_seqlens,
                                float *scratch, rgz_int sequences, rgz_int dq_stride, rgz_int dk_stride,
                                rgz_int dv_stride, rgz_int out_stride, rgz_int q_stride, rgz_int k_stride,
                                rgz_int v_stride, rgz_int heads, rgz_int kv_heads, rgz_int head_size, float scale,
                                int causal, int n_threads) {
    const rgz_int group = heads / kv_heads, per_thread = rgz_attention_scratch_floats(head_size);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int task = 0; task < sequences * kv_heads; task++) {
        const rgz_int begin = cu_seqlens[task / kv_heads], length = cu_seqlens[task / kv_heads + 1] - begin;
        const rgz_int kv = task % kv_heads;
        const float *keys = k + begin * k_stride + kv * head_size, *values = v + begin * v_stride + kv * head_size;
        float *dkeys = dk + begin * dk_stride + kv * head_size, *dvalues = dv + begin * dv_stride + kv * head_size;
        float *qt = scratch + RGZ_THREAD() * per_thread, *dot = qt + head_size * BLOCK;
        float *sum = dot + head_size * BLOCK, *s = sum + head_size * BLOCK, *ds = s + BLOCK * BLOCK;
        float *block_lse = ds + BLOCK * BLOCK, *delta = block_lse + BLOCK;
        zero_rows(dkeys, dk_stride, length, head_size);
        zero_rows(dvalues, dv_stride, length, head_size);
        for (rgz_int h = kv * group; h < (kv + 1) * group; h++)
            for (rgz_int first = 0; first < length; first += BLOCK) {
                const rgz_int queries = rgz_min(BLOCK, length - first), row = begin + first;
                const float *query = q + row * q_stride + h * head_size;
                const float *o = out + row * out_stride + h * head_size, *d_o = dout + row * out_stride + h * head_size;
                transpose_rows(qt, query, q_stride, queries, head_size);
                transpose_rows(dot, d_o, out_stride, queries, head_size);
                for (rgz_int i = 0; i < padded(queries); i++) {
                    vf products_sum = vf_zero();
                    if (i < queries)
                        RGZ_FOR_VECTORS (d, live, head_size) {
                            products_sum = vf_fma(vf_load_n(o + i * out_stride + d, live),
                                                  vf_load_n(d_o + i * out_stride + d, live), products_sum);
                        }
                    delta[i] = vf_sum(products_sum);
                    block_lse[i] = i < queries ? lse[(row + i) * heads + h] : 0.0f;
                }
                const rgz_int end = causal ? first + queries : length;
                for (rgz_int at = 0; at < end; at += BLOCK) {
                    const block_shape b = {queries, rgz_min(BLOCK, end - at), causal ? first - at : BLOCK};
                    products(s, b, keys + at * k_stride, k_stride, qt, head_size);
                    products(ds, b, values + at * v_stride, v_stride, dot, head_size);
                    softmax_gradient(s, ds, block_lse, delta, b, scale);
                    fill_unseen(s, b, 0.0f);
                    fill_unseen(ds, b, 0.0f);
                    sum_over_queries(dvalues + at * dv_stride, dv_stride, b, s, d_o, out_stride, head_size);
                    sum_over_queries(dkeys + at * dk_stride, dk_stride, b, ds, query, q_stride, head_size);
                    sum_over_keys(sum, b, ds, keys + at * k_stride, k_stride, head_size, at > 0);
                }
                for (rgz_int i = 0; i < queries; i++)
                    memcpy(dq + (row + i) * dq_stride + h * head_size, sum + i * head_size,
                           (size_t)head_size * sizeof *sum);
            }
    }
}

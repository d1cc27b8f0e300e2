/* attention_backward.c - the gradients of attention.c, whose shapes and names these are.
 *
 *   dv = p^T dout,  dp = dout v^T,  ds = p (dp - delta),  delta[i] = dout[i] . out[i],
 *   dq = scale ds k,  dk = scale ds^T q
 *
 * Shapes: dq as q, dk and dv as k and v, dout as out, with its stride. WRITES dq, dk, dv.
 * Threads: by (sequence, kv head), each in fixed order.
 * Sources: Dao et al. 2022, arXiv:2205.14135, algorithm 4; Dao 2023, arXiv:2307.08691.
 */
#include "attention_block.h"

/* s, the products q k, becomes p; ds, the products dout v, becomes scale p (ds - delta); both in units of queries, and
 * ds in units of keys as well. 0 where a query does not see a key. */
RGZ_INLINE void softmax_gradient(float *s, float *ds, float *ds_across, const float *lse, const float *delta,
                                 block_shape b, float scale) {
    const vf factor = vf_set1(scale);
    for (rgz_int j = 0; j < b.keys; j += UNIT)
        for (rgz_int i = first_read(b, j); i < b.queries; i += VLEN) {
            vf p[UNIT], d[UNIT];
            for (rgz_int u = 0; u < UNIT; u++) {
                const rgz_int at = (j + u) * BLOCK + i, unseen = first_query(b, j + u) - i;
                p[u] = d[u] = vf_zero();
                if (j + u == b.keys || unseen >= VLEN) continue;
                p[u] = vf_exp(vf_sub(vf_mul(vf_load(s + at), factor), vf_load(lse + i)));
                d[u] = vf_mul(vf_mul(p[u], vf_sub(vf_load(ds + at), vf_load(delta + i))), factor);
                p[u] = without_first(p[u], vf_zero(), unseen);
                d[u] = without_first(d[u], vf_zero(), unseen);
                if (UNIT > 1 && i + VLEN > b.queries) { /* the other half of the last unit is nobody's */
                    p[u] = vf_keep_n(p[u], vf_zero(), b.queries - i);
                    d[u] = vf_keep_n(d[u], vf_zero(), b.queries - i);
                }
            }
            store_rows(s + j * BLOCK, i, p);
            store_rows(ds + j * BLOCK, i, d);
            if (UNIT > 1) store_weights(ds_across + j / UNIT * BLOCK + i, d);
        }
}

/* to (n, head_size) = or += rows; returns `found`, see find_nonfinite. */
RGZ_INLINE vf add_rows(rgz_real *to, rgz_int stride, const float *rows, rgz_int n, rgz_int head_size, int add,
                       vf found) {
    for (rgz_int r = 0; r < n; r++)
        RGZ_FOR_VECTORS (d, live, head_size) {
            vf x = vf_load_n(rows + r * head_size + d, live);
            found = find_nonfinite(x, found);
            if (add) x = vf_add(vr_load_n(to + r * stride + d, live), x);
            vr_store_n(to + r * stride + d, without_sign(x), live);
        }
    return found;
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
    gather_across(b->q, q, q_stride, b->queries, head_size);
    gather_across(b->dout, dout, out_stride, b->queries, head_size);
    transpose_rows(b->qt, q, q_stride, b->queries, head_size);
    transpose_rows(b->dout_t, dout, out_stride, b->queries, head_size);
    for (rgz_int i = 0; i < padded(b->queries); i++) {
        vf sum = vf_zero();
        if (i < b->queries)
            RGZ_FOR_VECTORS (d, live, head_size) {
                sum =
                    vf_fma(vr_load_n(out + i * out_stride + d, live), vr_load_n(dout + i * out_stride + d, live), sum);
            }
        b->delta[i] = vf_sum(sum);
        b->lse[i] = i < b->queries ? lse[i * lse_stride] : 0.0f;
    }
}

/* One sequence's gradients of a key head and of the `ratio` query heads that share it; returns whether all are finite.
 * All arrays begin with the first row and the first of these heads. */
static int head_gradients(rgz_real *dq, rgz_real *dk, rgz_real *dv, const rgz_real *dout, const rgz_real *q,
                          const rgz_real *k, const rgz_real *v, const rgz_real *out, const float *lse, float *scratch,
                          rgz_int length, rgz_int ratio, rgz_int dq_stride, rgz_int dk_stride, rgz_int dv_stride,
                          rgz_int out_stride, rgz_int q_stride, rgz_int k_stride, rgz_int v_stride, rgz_int heads,
                          rgz_int head_size, float scale, int causal, rgz_int height) {
    const rgz_int area = head_size * BLOCK;
    float *keys = scratch, *values = keys + area, *dkeys = values + area, *dvalues = dkeys + area;
    float *s = dvalues + area, *ds = s + BLOCK * BLOCK, *rest = ds + BLOCK * BLOCK;
    float *keys_across = keys, *ds_across = ds; /* the same where a unit is a number */
    if (UNIT > 1) {
        keys_across = rest;
        ds_across = keys_across + area;
        rest = ds_across + BLOCK * BLOCK / UNIT;
    }
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
    vf found = vf_zero();
    /* Head by head, group by group; the first one to reach a key writes its gradients. */
    for (rgz_int h = 0; h < ratio; h++)
        for (rgz_int first = 0; first < length; first += GROUP * BLOCK) {
            const rgz_int count = rgz_min(GROUP * BLOCK, length - first), blocks = rgz_blocks(count, BLOCK);
            for (rgz_int g = 0; g < blocks; g++) {
                const rgz_int row = first + g * BLOCK;
                states[g].first = row;
                states[g].queries = rgz_min(BLOCK, count - g * BLOCK);
                gather_queries(states + g, q + row * q_stride + h * head_size, out + row * out_stride + h * head_size,
                               dout + row * out_stride + h * head_size, lse + row * heads + h, q_stride, out_stride,
                               heads, head_size);
            }
            const rgz_int end = causal ? first + count : length;
            for (rgz_int at = 0; at < end; at += BLOCK) {
                const rgz_int n = rgz_min(BLOCK, end - at);
                const int add = h > 0 || (causal ? at < first : first > 0);
                gather_rows(keys, k + at * k_stride, k_stride, n, head_size);
                gather_rows(values, v + at * v_stride, v_stride, n, head_size);
                if (UNIT > 1) gather_across(keys_across, k + at * k_stride, k_stride, n, head_size);
                memset(dkeys, 0, 2 * (size_t)area * sizeof *dkeys); /* and dvalues */
                for (rgz_int g = 0; g < blocks; g++) {
                    const query_gradient *state = states + g;
                    const rgz_int last = causal ? state->first + state->queries : length;
                    if (at >= last) continue;
                    const block_shape b = {state->queries, rgz_min(BLOCK, last - at),
                                           causal ? state->first - at : BLOCK};
                    products(s, b, keys, state->qt, head_size);
                    products(ds, b, values, state->dout_t, head_size);
                    softmax_gradient(s, ds, ds_across, state->lse, state->delta, b, scale);
                    sum_over_queries(dvalues, b, s, state->dout, head_size, height);
                    sum_over_queries(dkeys, b, ds, state->q, head_size, height);
                    sum_over_keys(state->dq, b, ds_across, keys_across, head_size, at > 0, height);
                }
                found = add_rows(dk + at * dk_stride, dk_stride, dkeys, n, head_size, add, found);
                found = add_rows(dv + at * dv_stride, dv_stride, dvalues, n, head_size, add, found);
            }
            for (rgz_int g = 0; g < blocks; g++)
                found = add_rows(dq + states[g].first * dq_stride + h * head_size, dq_stride, states[g].dq,
                                 states[g].queries, head_size, 0, found);
        }
    return !is_nonfinite(found);
}

void RGZ_FN(attention_backward)(rgz_real *dq, rgz_real *dk, rgz_real *dv, const rgz_real *dout, const rgz_real *q,
                                const rgz_real *k, const rgz_real *v, const rgz_real *out, const float *lse,
                                const int32_t *cu_seqlens, float *scratch, rgz_int sequences, rgz_int dq_stride,
                                rgz_int dk_stride, rgz_int dv_stride, rgz_int out_stride, rgz_int q_stride,
                                rgz_int k_stride, rgz_int v_stride, rgz_int heads, rgz_int kv_heads, rgz_int head_size,
                                float scale, int causal, int n_threads) {
    const rgz_int ratio = heads / kv_heads, per_thread = rgz_attention_scratch_floats(head_size);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1)
    for (rgz_int task = 0; task < sequences * kv_heads; task++) {
        const rgz_int row = cu_seqlens[task / kv_heads], length = cu_seqlens[task / kv_heads + 1] - row;
        const rgz_int key_head = task % kv_heads * head_size, query_head = ratio * key_head;
        rgz_int height = MM_ROWS;
        while (!head_gradients(dq + row * dq_stride + query_head, dk + row * dk_stride + key_head,
                               dv + row * dv_stride + key_head, dout + row * out_stride + query_head,
                               q + row * q_stride + query_head, k + row * k_stride + key_head,
                               v + row * v_stride + key_head, out + row * out_stride + query_head,
                               lse + row * heads + task % kv_heads * ratio, scratch + RGZ_THREAD() * per_thread, length,
                               ratio, dq_stride, dk_stride, dv_stride, out_stride, q_stride, k_stride, v_stride, heads,
                               head_size, scale, causal, height) &&
               causal && height > 1)
            height = 1;
    }
}

/* embedding.c - rows of a table by index, plus rows of a position table; and the scatter of the gradient.
 *
 *   out[r] = weight[tokens[r]] + position_weight[positions[r]]
 *   dweight[indices[r]] += dout[r]          (once for tokens, once for learned positions)
 *
 * Shapes: tokens, positions, indices (rows); out, dout (rows, channels); weight (vocab, channels); position_weight
 * (max positions, channels) or NULL. WRITES out, ADDS to dweight.
 * Threads: rows in forward. Backward gives each thread its own columns, and every element sums over rows in order:
 * no atomics, same bits for any n_threads.
 */
#include "kernel.h"

void RGZ_FN(embedding_forward)(rgz_real *out, const int32_t *tokens, const rgz_real *weight, const int32_t *positions,
                               const rgz_real *position_weight, rgz_int rows, rgz_int channels, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (rows * channels > RGZ_SMALL)
    for (rgz_int r = 0; r < rows; r++) {
        const rgz_real *from = weight + tokens[r] * channels;
        const rgz_real *place = position_weight ? position_weight + positions[r] * channels : NULL;
        RGZ_FOR_VECTORS (c, live, channels) {
            vf v = vr_load_n(from + c, live);
            if (place) v = vf_add(v, vr_load_n(place + c, live));
            vr_store_n(out + r * channels + c, v, live);
        }
    }
}

void RGZ_FN(embedding_backward)(float *dweight, const int32_t *indices, const rgz_real *dout, rgz_int rows,
                                rgz_int channels, int n_threads) {
    enum { COLUMNS = 64 }; /* four cache lines: wide enough to stream, narrow enough to share out */
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (rgz_int block = 0; block < rgz_blocks(channels, COLUMNS); block++) {
        const rgz_int first = block * COLUMNS, cols = rgz_min(COLUMNS, channels - first);
        for (rgz_int r = 0; r < rows; r++) {
            float *to = dweight + indices[r] * channels + first;
            const rgz_real *from = dout + r * channels + first;
            RGZ_FOR_VECTORS (c, live, cols) {
                vf_store_n(to + c, vf_add(vf_load_n(to + c, live), vr_load_n(from + c, live)), live);
            }
        }
    }
}

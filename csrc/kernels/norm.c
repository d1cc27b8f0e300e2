/* norm.c - normalise each row, then scale (and shift) it; and the gradients.
 *
 * LayerNorm:  y[r,c] = (x[r,c] - mean[r]) * rstd[r] * weight[c] + bias[c],  rstd = 1 / sqrt(var + eps), biased var
 * RMSNorm:    y[r,c] = x[r,c] * rstd[r] * weight[c],                        rstd = 1 / sqrt(mean(x^2) + eps)
 * Backward, with g = dy * weight and xhat the normalised row (the mean terms are absent in RMSNorm's first part):
 *   dx = rstd (g - mean(g) - xhat mean(g xhat)),  dweight[c] += sum_r dy xhat,  dbias[c] += sum_r dy
 *
 * Shapes: x, y, dy, dx (rows, cols); weight, bias (cols); mean, rstd (rows), saved for backward; partial is scratch
 * of (ceil(rows / RGZ_ROW_BLOCK), 2 cols), for RMSNorm (.., cols).
 * Backward WRITES dx, or ADDS to it with accumulate (the residual stream's gradient), and ADDS to dweight, dbias.
 * Threads: rows in forward; fixed blocks of RGZ_ROW_BLOCK rows in backward, their sums then added in order.
 * Sources: Ba, Kiros, Hinton 2016, arXiv:1607.06450, eqs. 3-4; Zhang, Sennrich 2019, arXiv:1910.07467, eq. 4.
 */
#include "kernel.h"

void RGZ_FN(layernorm_forward)(rgz_real *y, float *mean, float *rstd, const rgz_real *x, const float *weight,
                               const float *bias, rgz_int rows, rgz_int cols, float eps, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (rows * cols > RGZ_SMALL)
    for (rgz_int r = 0; r < rows; r++) {
        const rgz_real *row = x + r * cols;
        vf sum = vf_zero();
        RGZ_FOR_VECTORS (c, live, cols) {
            sum = vf_add(sum, vr_load_n(row + c, live));
        }
        const float m = vf_sum(sum) / (float)cols;
        const vf center = vf_set1(m);
        vf squares = vf_zero();
        RGZ_FOR_VECTORS (c, live, cols) {
            vf d = vf_keep_n(vf_sub(vr_load_n(row + c, live), center), vf_zero(), live);
            squares = vf_fma(d, d, squares);
        }
        const float s = 1.0f / sqrtf(vf_sum(squares) / (float)cols + eps);
        const vf scale = vf_set1(s);
        RGZ_FOR_VECTORS (c, live, cols) {
            vf xhat = vf_mul(vf_sub(vr_load_n(row + c, live), center), scale);
            vr_store_n(y + r * cols + c, vf_fma(xhat, vf_load_n(weight + c, live), vf_load_n(bias + c, live)), live);
        }
        mean[r] = m;
        rstd[r] = s;
    }
}

void RGZ_FN(rmsnorm_forward)(rgz_real *y, float *rstd, const rgz_real *x, const float *weight, rgz_int rows,
                             rgz_int cols, float eps, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static) if (rows * cols > RGZ_SMALL)
    for (rgz_int r = 0; r < rows; r++) {
        const rgz_real *row = x + r * cols;
        vf squares = vf_zero();
        RGZ_FOR_VECTORS (c, live, cols) {
            vf v = vr_load_n(row + c, live);
            squares = vf_fma(v, v, squares);
        }
        const float s = 1.0f / sqrtf(vf_sum(squares) / (float)cols + eps);
        const vf scale = vf_set1(s);
        RGZ_FOR_VECTORS (c, live, cols) {
            vf xhat = vf_mul(vr_load_n(row + c, live), scale);
            vr_store_n(y + r * cols + c, vf_mul(xhat, vf_load_n(weight + c, live)), live);
        }
        rstd[r] = s;
    }
}

/* One row of both norms: dx, and the row's share of the parameters' gradients added to dweight and dbias.
 * dbias NULL means RMSNorm. */
RGZ_INLINE void norm_row_backward(rgz_real *dx, float *dweight, float *dbias, const rgz_real *dy, const rgz_real *x,
                                  const float *weight, float mean, float rstd, rgz_int cols, int accumulate) {
    const vf center = vf_set1(mean), scale = vf_set1(rstd);
    vf sum_g = vf_zero(), sum_gx = vf_zero();
    RGZ_FOR_VECTORS (c, live, cols) {
        vf xhat = vf_mul(vf_sub(vr_load_n(x + c, live), center), scale);
        vf d = vr_load_n(dy + c, live), g = vf_mul(d, vf_load_n(weight + c, live)); /* 0 past the last column */
        sum_g = vf_add(sum_g, g);
        sum_gx = vf_fma(g, xhat, sum_gx);
        vf_store_n(dweight + c, vf_fma(d, xhat, vf_load_n(dweight + c, live)), live);
        if (dbias) vf_store_n(dbias + c, vf_add(vf_load_n(dbias + c, live), d), live);
    }
    const vf mean_g = vf_set1(dbias ? vf_sum(sum_g) / (float)cols : 0.0f);
    const vf mean_gx = vf_set1(vf_sum(sum_gx) / (float)cols);
    RGZ_FOR_VECTORS (c, live, cols) {
        vf xhat = vf_mul(vf_sub(vr_load_n(x + c, live), center), scale);
        vf g = vf_mul(vr_load_n(dy + c, live), vf_load_n(weight + c, live));
        vf d = vf_mul(vf_fnma(xhat, mean_gx, vf_sub(g, mean_g)), scale);
        vr_store_n(dx + c, accumulate ? vf_add(vr_load_n(dx + c, live), d) : d, live);
    }
}

/* partial holds `width` floats a block; columns [0, cols) of it are summed into dweight, the next into dbias. */
RGZ_INLINE void norm_backward(rgz_real *dx, float *dweight, float *dbias, float *partial, const rgz_real *dy,
                              const rgz_real *x, const float *weight, const float *mean, const float *rstd,
                              rgz_int rows, rgz_int cols, int accumulate, int n_threads) {
    const rgz_int blocks = rgz_blocks(rows, RGZ_ROW_BLOCK), width = dbias ? 2 * cols : cols;
#pragma omp parallel num_threads(n_threads)
    {
#pragma omp for schedule(static)
        for (rgz_int b = 0; b < blocks; b++) {
            float *mine = partial + b * width;
            memset(mine, 0, (size_t)width * sizeof *mine);
            for (rgz_int r = b * RGZ_ROW_BLOCK; r < rgz_min(rows, (b + 1) * RGZ_ROW_BLOCK); r++)
                norm_row_backward(dx + r * cols, mine, dbias ? mine + cols : NULL, dy + r * cols, x + r * cols, weight,
                                  mean ? mean[r] : 0.0f, rstd[r], cols, accumulate);
        }
#pragma omp for schedule(static)
        for (rgz_int c = 0; c < rgz_blocks(cols, VLEN); c++) {
            const rgz_int at = c * VLEN, live = rgz_min(VLEN, cols - at);
            vf dw = vf_load_n(dweight + at, live), db = dbias ? vf_load_n(dbias + at, live) : vf_zero();
            for (rgz_int b = 0; b < blocks; b++) {
                dw = vf_add(dw, vf_load_n(partial + b * width + at, live));
                if (dbias) db = vf_add(db, vf_load_n(partial + b * width + cols + at, live));
            }
            vf_store_n(dweight + at, dw, live);
            if (dbias) vf_store_n(dbias + at, db, live);
        }
    }
}

void RGZ_FN(layernorm_backward)(rgz_real *dx, float *dweight, float *dbias, float *partial, const rgz_real *dy,
                                const rgz_real *x, const float *weight, const float *mean, const float *rstd,
                                rgz_int rows, rgz_int cols, int accumulate, int n_threads) {
    norm_backward(dx, dweight, dbias, partial, dy, x, weight, mean, rstd, rows, cols, accumulate, n_threads);
}

void RGZ_FN(rmsnorm_backward)(rgz_real *dx, float *dweight, float *partial, const rgz_real *dy, const rgz_real *x,
                              const float *weight, const float *rstd, rgz_int rows, rgz_int cols, int accumulate,
                              int n_threads) {
    norm_backward(dx, dweight, NULL, partial, dy, x, weight, NULL, rstd, rows, cols, accumulate, n_threads);
}

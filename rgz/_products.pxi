# Products of matrices and the output layer with its loss. Included by _kernels.pyx.

# --- linear.c ------------------------------------------------------------------------------------------------------

def linear_backward(dx, float[:, ::1] dweight or None, float[::1] dbias or None, dy, x, weight, int n_threads):
    cdef Reals x_ = show("linear_backward", "x", x, 2, ANY), w = show("linear_backward", "weight", weight, 2, x_.storage)
    cdef Py_ssize_t rows = x_.shape[0], n_in = x_.shape[1], n_out = w.shape[0]
    cdef void *dx_
    cdef void *dy_
    cdef float *dweight_ = NULL
    cdef float *dbias_ = NULL
    need_at_least("linear_backward", "n_threads", n_threads, 1)
    need("linear_backward", "weight columns", w.shape[1], n_in)
    dy_ = needed("linear_backward", "dy", dy, x_.storage, rows, n_out)
    dx_ = table("linear_backward", "dx", dx, x_.storage, rows, n_in, True)
    need_blas_size("linear_backward", rows, n_in, n_out)
    if dweight is not None:
        need("linear_backward", "dweight rows", dweight.shape[0], n_out)
        need("linear_backward", "dweight columns", dweight.shape[1], n_in)
        dweight_ = &dweight[0, 0]
    if dbias is not None:
        need("linear_backward", "length of dbias", dbias.shape[0], n_out)
        dbias_ = &dbias[0]
    with nogil:
        rgz_active(x_.storage).linear_backward(dx_, dweight_, dbias_, dy_, x_.data, w.data, rows, n_in, n_out, n_threads)


def matmul(c, a, b, int n_threads):
    cdef Reals a_ = show("matmul", "a", a, 2, ANY), b_ = show("matmul", "b", b, 2, a_.storage)
    cdef Py_ssize_t m = a_.shape[0], k = a_.shape[1], n = b_.shape[1]
    cdef void *c_
    need_at_least("matmul", "n_threads", n_threads, 1)
    need("matmul", "b rows", b_.shape[0], k)
    c_ = needed("matmul", "c", c, a_.storage, m, n, True)
    need_blas_size("matmul", m, n, k)
    with nogil:
        rgz_active(a_.storage).matmul(c_, a_.data, b_.data, m, k, n, n_threads)


# --- lm_loss.c -----------------------------------------------------------------------------------------------------

def lm_loss(float[::1] losses, dx, float[:, ::1] dweight or None, float[::1] dbias or None, x, weight,
            const float[::1] bias or None, const int32_t[::1] targets, float[:, ::1] logits, float loss_scale,
            int n_threads):
    cdef Reals x_ = show("lm_loss", "x", x, 2, ANY), w = show("lm_loss", "weight", weight, 2, x_.storage)
    cdef Py_ssize_t rows = x_.shape[0], channels = x_.shape[1], vocab = w.shape[0], i, bad = -1
    cdef void *dx_ = NULL
    cdef float *dweight_ = NULL
    cdef float *dbias_ = NULL
    cdef const float *bias_ = NULL
    need_at_least("lm_loss", "n_threads", n_threads, 1)
    need("lm_loss", "weight columns", w.shape[1], channels)
    need("lm_loss", "length of losses", losses.shape[0], rows)
    need("lm_loss", "length of targets", targets.shape[0], rows)
    need("lm_loss", "logits columns", logits.shape[1], vocab)
    need_at_least("lm_loss", "logits rows", logits.shape[0], 1)
    need_blas_size("lm_loss", rows, channels, vocab)
    for i in range(rows):
        if targets[i] >= vocab:
            bad = i
            break
    if bad >= 0:
        raise ValueError(f"lm_loss: targets must be below {vocab} (negative: ignored), got {targets[bad]} at {bad}")
    if bias is not None:
        need("lm_loss", "length of bias", bias.shape[0], vocab)
        bias_ = &bias[0]
    if dx is not None:
        if dweight is None or (dbias is None) != (bias is None):
            raise ValueError("lm_loss: with dx come dweight, and dbias exactly when there is a bias")
        dx_ = table("lm_loss", "dx", dx, x_.storage, rows, channels, True)
        need("lm_loss", "dweight rows", dweight.shape[0], vocab)
        need("lm_loss", "dweight columns", dweight.shape[1], channels)
        dweight_ = &dweight[0, 0]
        if dbias is not None:
            need("lm_loss", "length of dbias", dbias.shape[0], vocab)
            dbias_ = &dbias[0]
    elif dweight is not None or dbias is not None:
        raise ValueError("lm_loss: without dx (losses only) dweight and dbias must be None")
    with nogil:
        rgz_active(x_.storage).lm_loss(&losses[0], dx_, dweight_, dbias_, x_.data, w.data, bias_, &targets[0],
                                       &logits[0, 0], rows, channels, vocab, logits.shape[0], loss_scale, n_threads)

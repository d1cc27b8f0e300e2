# Norms, activations, embedding, rotary positions. Included by _kernels.pyx.

# --- norm.c --------------------------------------------------------------------------------------------------------

def layernorm_forward(y, float[::1] mean, float[::1] rstd, x, const float[::1] weight, const float[::1] bias,
                      float eps, int n_threads):
    cdef Reals x_ = show("layernorm_forward", "x", x, 2, ANY)
    cdef Py_ssize_t rows = x_.shape[0], cols = x_.shape[1]
    cdef void *y_ = needed("layernorm_forward", "y", y, x_.storage, rows, cols, True)
    need_at_least("layernorm_forward", "n_threads", n_threads, 1)
    need("layernorm_forward", "length of mean", mean.shape[0], rows)
    need("layernorm_forward", "length of rstd", rstd.shape[0], rows)
    need("layernorm_forward", "length of weight", weight.shape[0], cols)
    need("layernorm_forward", "length of bias", bias.shape[0], cols)
    with nogil:
        rgz_active(x_.storage).layernorm_forward(y_, &mean[0], &rstd[0], x_.data, &weight[0], &bias[0], rows, cols,
                                                 eps, n_threads)


def layernorm_backward(dx, float[::1] dweight, float[::1] dbias, float[::1] scratch, dy, x, const float[::1] weight,
                       const float[::1] mean, const float[::1] rstd, bint accumulate, int n_threads):
    cdef Reals x_ = show("layernorm_backward", "x", x, 2, ANY)
    cdef Py_ssize_t rows = x_.shape[0], cols = x_.shape[1]
    cdef void *dx_ = needed("layernorm_backward", "dx", dx, x_.storage, rows, cols, True)
    cdef void *dy_ = needed("layernorm_backward", "dy", dy, x_.storage, rows, cols)
    need_at_least("layernorm_backward", "n_threads", n_threads, 1)
    need("layernorm_backward", "length of dweight", dweight.shape[0], cols)
    need("layernorm_backward", "length of dbias", dbias.shape[0], cols)
    need("layernorm_backward", "length of weight", weight.shape[0], cols)
    need("layernorm_backward", "length of mean", mean.shape[0], rows)
    need("layernorm_backward", "length of rstd", rstd.shape[0], rows)
    need_at_least("layernorm_backward", "length of scratch", scratch.shape[0], norm_scratch(rows, cols))
    with nogil:
        rgz_active(x_.storage).layernorm_backward(dx_, &dweight[0], &dbias[0], &scratch[0], dy_, x_.data, &weight[0],
                                                  &mean[0], &rstd[0], rows, cols, accumulate, n_threads)


def rmsnorm_forward(y, float[::1] rstd, x, const float[::1] weight, float eps, int n_threads):
    cdef Reals x_ = show("rmsnorm_forward", "x", x, 2, ANY)
    cdef Py_ssize_t rows = x_.shape[0], cols = x_.shape[1]
    cdef void *y_ = needed("rmsnorm_forward", "y", y, x_.storage, rows, cols, True)
    need_at_least("rmsnorm_forward", "n_threads", n_threads, 1)
    need("rmsnorm_forward", "length of rstd", rstd.shape[0], rows)
    need("rmsnorm_forward", "length of weight", weight.shape[0], cols)
    with nogil:
        rgz_active(x_.storage).rmsnorm_forward(y_, &rstd[0], x_.data, &weight[0], rows, cols, eps, n_threads)


def rmsnorm_backward(dx, float[::1] dweight, float[::1] scratch, dy, x, const float[::1] weight,
                     const float[::1] rstd, bint accumulate, int n_threads):
    cdef Reals x_ = show("rmsnorm_backward", "x", x, 2, ANY)
    cdef Py_ssize_t rows = x_.shape[0], cols = x_.shape[1]
    cdef void *dx_ = needed("rmsnorm_backward", "dx", dx, x_.storage, rows, cols, True)
    cdef void *dy_ = needed("rmsnorm_backward", "dy", dy, x_.storage, rows, cols)
    need_at_least("rmsnorm_backward", "n_threads", n_threads, 1)
    need("rmsnorm_backward", "length of dweight", dweight.shape[0], cols)
    need("rmsnorm_backward", "length of weight", weight.shape[0], cols)
    need("rmsnorm_backward", "length of rstd", rstd.shape[0], rows)
    need_at_least("rmsnorm_backward", "length of scratch", scratch.shape[0], norm_scratch(rows, cols) // 2)
    with nogil:
        rgz_active(x_.storage).rmsnorm_backward(dx_, &dweight[0], &scratch[0], dy_, x_.data, &weight[0], &rstd[0],
                                                rows, cols, accumulate, n_threads)


# --- activation.c --------------------------------------------------------------------------------------------------

def relu_forward(y, x, int n_threads):
    cdef Reals x_ = show("relu_forward", "x", x, 2, ANY)
    cdef void *y_ = needed("relu_forward", "y", y, x_.storage, x_.shape[0], x_.shape[1], True)
    need_at_least("relu_forward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(x_.storage).relu_forward(y_, x_.data, x_.shape[0] * x_.shape[1], n_threads)


def relu_backward(dx, dy, x, int n_threads):
    cdef Reals x_ = show("relu_backward", "x", x, 2, ANY)
    cdef void *dx_ = needed("relu_backward", "dx", dx, x_.storage, x_.shape[0], x_.shape[1], True)
    cdef void *dy_ = needed("relu_backward", "dy", dy, x_.storage, x_.shape[0], x_.shape[1])
    need_at_least("relu_backward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(x_.storage).relu_backward(dx_, dy_, x_.data, x_.shape[0] * x_.shape[1], n_threads)


def gelu_forward(y, x, int n_threads):
    cdef Reals x_ = show("gelu_forward", "x", x, 2, ANY)
    cdef void *y_ = needed("gelu_forward", "y", y, x_.storage, x_.shape[0], x_.shape[1], True)
    need_at_least("gelu_forward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(x_.storage).gelu_forward(y_, x_.data, x_.shape[0] * x_.shape[1], n_threads)


def gelu_backward(dx, dy, x, int n_threads):
    cdef Reals x_ = show("gelu_backward", "x", x, 2, ANY)
    cdef void *dx_ = needed("gelu_backward", "dx", dx, x_.storage, x_.shape[0], x_.shape[1], True)
    cdef void *dy_ = needed("gelu_backward", "dy", dy, x_.storage, x_.shape[0], x_.shape[1])
    need_at_least("gelu_backward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(x_.storage).gelu_backward(dx_, dy_, x_.data, x_.shape[0] * x_.shape[1], n_threads)


def gelu_tanh_forward(y, x, int n_threads):
    cdef Reals x_ = show("gelu_tanh_forward", "x", x, 2, ANY)
    cdef void *y_ = needed("gelu_tanh_forward", "y", y, x_.storage, x_.shape[0], x_.shape[1], True)
    need_at_least("gelu_tanh_forward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(x_.storage).gelu_tanh_forward(y_, x_.data, x_.shape[0] * x_.shape[1], n_threads)


def gelu_tanh_backward(dx, dy, x, int n_threads):
    cdef Reals x_ = show("gelu_tanh_backward", "x", x, 2, ANY)
    cdef void *dx_ = needed("gelu_tanh_backward", "dx", dx, x_.storage, x_.shape[0], x_.shape[1], True)
    cdef void *dy_ = needed("gelu_tanh_backward", "dy", dy, x_.storage, x_.shape[0], x_.shape[1])
    need_at_least("gelu_tanh_backward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(x_.storage).gelu_tanh_backward(dx_, dy_, x_.data, x_.shape[0] * x_.shape[1], n_threads)


def swiglu_forward(y, x, int n_threads):
    cdef Reals y_ = show("swiglu_forward", "y", y, 2, ANY, True)
    cdef void *x_ = needed("swiglu_forward", "x", x, y_.storage, y_.shape[0], 2 * y_.shape[1])
    need_at_least("swiglu_forward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(y_.storage).swiglu_forward(y_.data, x_, y_.shape[0], y_.shape[1], n_threads)


def swiglu_backward(dx, dy, x, int n_threads):
    cdef Reals dy_ = show("swiglu_backward", "dy", dy, 2, ANY)
    cdef void *x_ = needed("swiglu_backward", "x", x, dy_.storage, dy_.shape[0], 2 * dy_.shape[1])
    cdef void *dx_ = needed("swiglu_backward", "dx", dx, dy_.storage, dy_.shape[0], 2 * dy_.shape[1], True)
    need_at_least("swiglu_backward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(dy_.storage).swiglu_backward(dx_, dy_.data, x_, dy_.shape[0], dy_.shape[1], n_threads)


# --- embedding.c, rope.c -------------------------------------------------------------------------------------------

def embedding_forward(out, const int32_t[::1] tokens, weight, const int32_t[::1] positions or None, position_weight,
                      int n_threads):
    cdef Reals w = show("embedding_forward", "weight", weight, 2, ANY), places
    cdef Py_ssize_t rows = tokens.shape[0], channels = w.shape[1]
    cdef void *out_ = needed("embedding_forward", "out", out, w.storage, rows, channels, True)
    cdef const int32_t *positions_ = NULL
    cdef const void *position_weight_ = NULL
    need_at_least("embedding_forward", "n_threads", n_threads, 1)
    need_indices("embedding_forward", "tokens", tokens, w.shape[0])
    if position_weight is not None:
        places = show("embedding_forward", "position_weight", position_weight, 2, w.storage)
        need("embedding_forward", "position_weight columns", places.shape[1], channels)
        need("embedding_forward", "length of positions", positions.shape[0], rows)
        need_indices("embedding_forward", "positions", positions, places.shape[0])
        positions_ = &positions[0]
        position_weight_ = places.data
    with nogil:
        rgz_active(w.storage).embedding_forward(out_, &tokens[0], w.data, positions_, position_weight_, rows, channels,
                                                n_threads)


def embedding_backward(float[:, ::1] dweight, const int32_t[::1] indices, dout, int n_threads):
    cdef Py_ssize_t rows = indices.shape[0], channels = dweight.shape[1]
    cdef Reals dout_ = show("embedding_backward", "dout", dout, 2, ANY)
    need_at_least("embedding_backward", "n_threads", n_threads, 1)
    need_like("embedding_backward", "dout", dout_, rows, channels)
    need_indices("embedding_backward", "indices", indices, dweight.shape[0])
    with nogil:
        rgz_active(dout_.storage).embedding_backward(&dweight[0, 0], &indices[0], dout_.data, rows, channels, n_threads)


def rope(x, const int32_t[::1] positions, const float[:, ::1] cosines, const float[:, ::1] sines, bint inverse,
         int n_threads):
    cdef Reals x_ = show("rope", "x", x, 3, ANY, True, True)
    cdef Py_ssize_t rows = x_.shape[0], heads = x_.shape[1], head_size = x_.shape[2]
    need_at_least("rope", "n_threads", n_threads, 1)
    if head_size % 2:
        raise ValueError(f"rope: head size of x must be even, got {head_size}")
    need("rope", "length of positions", positions.shape[0], rows)
    need("rope", "sines rows", sines.shape[0], cosines.shape[0])
    need("rope", "sines columns", sines.shape[1], head_size // 2)
    need("rope", "cosines columns", cosines.shape[1], head_size // 2)
    need_indices("rope", "positions", positions, cosines.shape[0])
    with nogil:
        rgz_active(x_.storage).rope(x_.data, &positions[0], &cosines[0, 0], &sines[0, 0], rows, x_.stride, heads,
                                    head_size, inverse, n_threads)

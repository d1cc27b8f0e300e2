# Norms, activations, embedding, rotary positions. Included by _kernels.pyx.

# --- norm.c --------------------------------------------------------------------------------------------------------

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


def swiglu_backward(dx, dy, x, int n_threads):
    cdef Reals dy_ = show("swiglu_backward", "dy", dy, 2, ANY)
    cdef void *x_ = needed("swiglu_backward", "x", x, dy_.storage, dy_.shape[0], 2 * dy_.shape[1])
    cdef void *dx_ = needed("swiglu_backward", "dx", dx, dy_.storage, dy_.shape[0], 2 * dy_.shape[1], True)
    need_at_least("swiglu_backward", "n_threads", n_threads, 1)
    with nogil:
        rgz_active(dy_.storage).swiglu_backward(dx_, dy_.data, x_, dy_.shape[0], dy_.shape[1], n_threads)


# --- embedding.c, rope.c -------------------------------------------------------------------------------------------

def embedding_backward(float[:, ::1] dweight, const int32_t[::1] indices, dout, int n_threads):
    cdef Py_ssize_t rows = indices.shape[0], channels = dweight.shape[1]
    cdef Reals dout_ = show("embedding_backward", "dout", dout, 2, ANY)
    need_at_least("embedding_backward", "n_threads", n_threads, 1)
    need_like("embedding_backward", "dout", dout_, rows, channels)
    need_indices("embedding_backward", "indices", indices, dweight.shape[0])
    with nogil:
        rgz_active(dout_.storage).embedding_backward(&dweight[0, 0], &indices[0], dout_.data, rows, channels, n_threads)

# Casts, dropout, the optimizer. Included by _kernels.pyx.

# --- cast.c --------------------------------------------------------------------------------------------------------

def cast_from_float(y, const float[::1] x, int n_threads):
    cdef Reals y_ = show("cast_from_float", "y", y, 1, ANY, True)
    need_at_least("cast_from_float", "n_threads", n_threads, 1)
    need("cast_from_float", "length of y", y_.shape[0], x.shape[0])
    with nogil:
        rgz_active(y_.storage).cast_from_float(y_.data, &x[0], x.shape[0], n_threads)


def cast_to_float(float[::1] y, x, int n_threads):
    cdef Reals x_ = show("cast_to_float", "x", x, 1, ANY)
    need_at_least("cast_to_float", "n_threads", n_threads, 1)
    need("cast_to_float", "length of y", y.shape[0], x_.shape[0])
    with nogil:
        rgz_active(x_.storage).cast_to_float(&y[0], x_.data, x_.shape[0], n_threads)


# --- dropout.c, optim.c --------------------------------------------------------------------------------------------

def dropout_forward(y, x, residual, float p, uint64_t seed, uint64_t stream, int n_threads):
    cdef Reals x_ = show("dropout_forward", "x", x, 2, ANY)
    cdef void *y_ = needed("dropout_forward", "y", y, x_.storage, x_.shape[0], x_.shape[1], True)
    cdef void *residual_ = table("dropout_forward", "residual", residual, x_.storage, x_.shape[0], x_.shape[1])
    need_at_least("dropout_forward", "n_threads", n_threads, 1)
    need_probability("dropout_forward", p)
    with nogil:
        rgz_active(x_.storage).dropout_forward(y_, x_.data, residual_, x_.shape[0] * x_.shape[1], p, seed, stream,
                                               n_threads)


def dropout_backward(dx, dy, float p, uint64_t seed, uint64_t stream, int n_threads):
    cdef Reals dy_ = show("dropout_backward", "dy", dy, 2, ANY)
    cdef void *dx_ = needed("dropout_backward", "dx", dx, dy_.storage, dy_.shape[0], dy_.shape[1], True)
    need_at_least("dropout_backward", "n_threads", n_threads, 1)
    need_probability("dropout_backward", p)
    with nogil:
        rgz_active(dy_.storage).dropout_backward(dx_, dy_.data, dy_.shape[0] * dy_.shape[1], p, seed, stream, n_threads)


def squared_norm(double[::1] scratch, const float[::1] x, int n_threads):
    cdef double total = 0.0
    need_at_least("squared_norm", "n_threads", n_threads, 1)
    need_at_least("squared_norm", "length of scratch", scratch.shape[0], squared_norm_scratch(x.shape[0]))
    with nogil:
        rgz_active(RGZ_F32).squared_norm(&total, &scratch[0], &x[0], x.shape[0], n_threads)
    return total


cdef void *need_update(str kernel, Py_ssize_t n, object copy, Py_ssize_t n_decayed, Py_ssize_t grad, Py_ssize_t m,
                       Py_ssize_t v, int n_threads, int *storage) except? NULL:
    """Check the lengths of flat vectors; the copy's memory, NULL for None, and its storage."""
    cdef Reals found
    need_at_least(kernel, "n_threads", n_threads, 1)
    if not 0 <= n_decayed <= n:
        raise ValueError(f"{kernel}: n_decayed must be in [0, {n}], got {n_decayed}")
    need(kernel, "length of grad", grad, n)
    need(kernel, "length of m", m, n)
    need(kernel, "length of v", v, n)
    storage[0] = RGZ_F32
    if copy is None:
        return NULL
    found = show(kernel, "copy", copy, 1, ANY, True)
    need(kernel, "length of copy", found.shape[0], n_decayed)
    storage[0] = found.storage
    return found.data


def adamw(float[::1] weight, copy, float[::1] grad, float[::1] m, float[::1] v, Py_ssize_t n_decayed, float lr,
          float beta1, float beta2, float eps, float weight_decay, float correction1, float correction2,
          float grad_scale, int n_threads):
    cdef int storage
    cdef void *copy_ = need_update("adamw", weight.shape[0], copy, n_decayed, grad.shape[0], m.shape[0], v.shape[0],
                                   n_threads, &storage)
    with nogil:
        rgz_active(storage).adamw(&weight[0], copy_, &grad[0], &m[0], &v[0], weight.shape[0], n_decayed, lr, beta1,
                                  beta2, eps, weight_decay, correction1, correction2, grad_scale, n_threads)


def adamw_bf16(float[::1] weight, copy, float[::1] grad, uint16_t[::1] m, uint16_t[::1] v, Py_ssize_t n_decayed,
               float lr, float beta1, float beta2, float eps, float weight_decay, float correction1, float correction2,
               float grad_scale, uint64_t seed, uint64_t stream, int n_threads):
    cdef int storage
    cdef void *copy_ = need_update("adamw_bf16", weight.shape[0], copy, n_decayed, grad.shape[0], m.shape[0],
                                   v.shape[0], n_threads, &storage)
    with nogil:
        rgz_active(storage).adamw_bf16(&weight[0], copy_, &grad[0], &m[0], &v[0], weight.shape[0], n_decayed, lr,
                                       beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale, seed,
                                       stream, n_threads)


def adamw_int8(float[::1] weight, copy, float[::1] grad, int8_t[::1] m, uint8_t[::1] v, float[::1] m_units,
               float[::1] v_units, Py_ssize_t n_decayed, float lr, float beta1, float beta2, float eps,
               float weight_decay, float correction1, float correction2, float grad_scale, uint64_t seed,
               uint64_t stream, int n_threads):
    cdef int storage
    cdef void *copy_ = need_update("adamw_int8", weight.shape[0], copy, n_decayed, grad.shape[0], m.shape[0],
                                   v.shape[0], n_threads, &storage)
    cdef Py_ssize_t blocks = moment_blocks(weight.shape[0], n_decayed)
    need("adamw_int8", "length of m_units", m_units.shape[0], blocks)
    need("adamw_int8", "length of v_units", v_units.shape[0], blocks)
    with nogil:
        rgz_active(storage).adamw_int8(&weight[0], copy_, &grad[0], &m[0], &v[0], &m_units[0], &v_units[0],
                                       weight.shape[0], n_decayed, lr, beta1, beta2, eps, weight_decay, correction1,
                                       correction2, grad_scale, seed, stream, n_threads)

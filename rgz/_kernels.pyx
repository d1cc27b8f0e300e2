# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
# cython: embedsignature=True, embedsignature.format=clinic, allow_none_for_extension_args=False
# cython: freethreading_compatible=True
"""The only door to C: one function per kernel. It checks every shape, drops the GIL and calls; it never copies or
casts to repair. Meaning, shapes and sources of each kernel stand in the header of its file in csrc/kernels."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "rgz.h" nogil:
    ctypedef Py_ssize_t rgz_int
    int RGZ_ROW_BLOCK, RGZ_NORM_BLOCK, RGZ_RELU, RGZ_GELU, RGZ_GELU_TANH, RGZ_F32, RGZ_BF16, RGZ_F16
    ctypedef struct rgz_kernels:
        void (*name)(declared) noexcept nogil
        void (*linear_forward)(void *, const void *, const void *, const float *, const void *, rgz_int, rgz_int,
                               rgz_int, int) noexcept nogil
        void (*linear_activation_forward)(void *, void *, const void *, const void *, const float *, int, rgz_int,
                                          rgz_int, rgz_int, int) noexcept nogil
        void (*linear_backward)(void *, float *, float *, const void *, const void *, const void *, rgz_int, rgz_int,
                                rgz_int, int) noexcept nogil
        void (*matmul)(void *, const void *, const void *, rgz_int, rgz_int, rgz_int, int) noexcept nogil
        void (*lm_logits)(float *, const void *, const void *, const float *, rgz_int, rgz_int, rgz_int,
                          int) noexcept nogil
        void (*lm_loss)(float *, void *, float *, float *, const void *, const void *, const float *, const int32_t *,
                        float *, rgz_int, rgz_int, rgz_int, rgz_int, float, int) noexcept nogil
        void (*layernorm_forward)(void *, float *, float *, const void *, const float *, const float *, rgz_int,
                                  rgz_int, float, int) noexcept nogil
        void (*layernorm_backward)(void *, float *, float *, float *, const void *, const void *, const float *,
                                   const float *, const float *, rgz_int, rgz_int, int, int) noexcept nogil
        void (*rmsnorm_forward)(void *, float *, const void *, const float *, rgz_int, rgz_int, float,
                                int) noexcept nogil
        void (*rmsnorm_backward)(void *, float *, float *, const void *, const void *, const float *, const float *,
                                 rgz_int, rgz_int, int, int) noexcept nogil
        void (*relu_forward)(void *, const void *, rgz_int, int) noexcept nogil
        void (*relu_backward)(void *, const void *, const void *, rgz_int, int) noexcept nogil
        void (*gelu_forward)(void *, const void *, rgz_int, int) noexcept nogil
        void (*gelu_backward)(void *, const void *, const void *, rgz_int, int) noexcept nogil
        void (*gelu_tanh_forward)(void *, const void *, rgz_int, int) noexcept nogil
        void (*gelu_tanh_backward)(void *, const void *, const void *, rgz_int, int) noexcept nogil
        void (*swiglu_forward)(void *, const void *, rgz_int, rgz_int, int) noexcept nogil
        void (*swiglu_backward)(void *, const void *, const void *, rgz_int, rgz_int, int) noexcept nogil
        void (*embedding_forward)(void *, const int32_t *, const void *, const int32_t *, const void *, rgz_int,
                                  rgz_int, int) noexcept nogil
        void (*embedding_backward)(float *, const int32_t *, const void *, rgz_int, rgz_int, int) noexcept nogil
        void (*rope)(void *, const int32_t *, const float *, const float *, rgz_int, rgz_int, rgz_int, rgz_int, int,
                     int) noexcept nogil
        void (*attention_forward)(void *, float *, const void *, const void *, const void *, const int32_t *, float *,
                                  rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, float, int,
                                  int) noexcept nogil
        void (*attention_backward)(void *, void *, void *, const void *, const void *, const void *, const void *,
                                   const void *, const float *, const int32_t *, float *, rgz_int, rgz_int, rgz_int,
                                   rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, float, int,
                                   int) noexcept nogil
        void (*attention_decode)(void *, const void *, const void *, const void *, const int32_t *, float *, rgz_int,
                                 rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, float, int) noexcept nogil
        void (*dropout_forward)(void *, const void *, const void *, rgz_int, float, uint64_t, uint64_t,
                                int) noexcept nogil
        void (*dropout_backward)(void *, const void *, rgz_int, float, uint64_t, uint64_t, int) noexcept nogil
        void (*cast_from_float)(void *, const float *, rgz_int, int) noexcept nogil
        void (*cast_to_float)(float *, const void *, rgz_int, int) noexcept nogil
        void (*squared_norm)(double *, double *, const float *, rgz_int, int) noexcept nogil
        void (*adamw)(float *, void *, float *, float *, float *, rgz_int, rgz_int, float, float, float, float, float,
                      float, float, float, int) noexcept nogil
        void (*adamw_bf16)(float *, void *, float *, uint16_t *, uint16_t *, rgz_int, rgz_int, float, float, float,
                           float, float, float, float, float, uint64_t, uint64_t, int) noexcept nogil

    const char *rgz_isa_name(int)
    int rgz_isa_compiled(int)
    int rgz_isa_usable(int)
    int rgz_isa_active()
    int rgz_isa_select(int)
    const rgz_kernels *rgz_active(int)
    void rgz_set_sgemm(void *)
    int rgz_has_sgemm()
    rgz_int rgz_attention_scratch_floats(rgz_int)
    int rgz_openmp()


# --- instruction sets, BLAS, sizes ---------------------------------------------------------------------------------

def isas():
    """(name, compiled, usable) of every instruction set, weakest first."""
    result, i = [], 0
    while rgz_isa_name(i) != NULL:
        result.append((rgz_isa_name(i).decode(), bool(rgz_isa_compiled(i)), bool(rgz_isa_usable(i))))
        i += 1
    return result


def active_isa():
    return rgz_isa_name(rgz_isa_active()).decode()


def select_isa(str name):
    """Make `name` the instruction set in use; ValueError if this build or this CPU lacks it."""
    usable = [n for n, _, can in isas() if can]
    if name not in usable:
        raise ValueError(f"instruction set {name!r} is not usable here; this machine and build have: {', '.join(usable)}")
    rgz_isa_select([n for n, _, _ in isas()].index(name))


def set_sgemm(capsule):
    """Borrow the sgemm in a PyCapsule of scipy.linalg.cython_blas.__pyx_capi__; None goes back to rgz's own."""
    if capsule is None:
        rgz_set_sgemm(NULL)
    else:
        name = PyCapsule_GetName(capsule)
        if name.count(b"cython_blas_s *") != 5 or name.count(b",") != 12:
            raise ValueError(f"set_sgemm: the capsule must hold SciPy's sgemm, got {name.decode()!r}")
        rgz_set_sgemm(PyCapsule_GetPointer(capsule, name))


def has_sgemm():
    return bool(rgz_has_sgemm())


def openmp():
    """Version date of the OpenMP standard this was built with (201511 and so on), 0 without OpenMP."""
    return rgz_openmp()


def attention_scratch(Py_ssize_t head_size, int n_threads):
    """Floats of scratch that the attention kernels need."""
    return rgz_attention_scratch_floats(head_size) * n_threads


def norm_scratch(Py_ssize_t rows, Py_ssize_t cols):
    """Floats of scratch that layernorm_backward needs; rmsnorm_backward needs half."""
    return (rows + RGZ_ROW_BLOCK - 1) // RGZ_ROW_BLOCK * 2 * cols


def squared_norm_scratch(Py_ssize_t n):
    """Doubles of scratch that squared_norm needs."""
    return (n + RGZ_NORM_BLOCK - 1) // RGZ_NORM_BLOCK


# --- checks --------------------------------------------------------------------------------------------------------

cdef int need(str kernel, str what, Py_ssize_t got, Py_ssize_t wanted) except -1:
    if got != wanted:
        raise ValueError(f"{kernel}: {what} must be {wanted}, got {got}")
    return 0


cdef int need_at_least(str kernel, str what, Py_ssize_t got, Py_ssize_t wanted) except -1:
    if got < wanted:
        raise ValueError(f"{kernel}: {what} must be at least {wanted}, got {got}")
    return 0


cdef int need_blas_size(str kernel, Py_ssize_t a, Py_ssize_t b, Py_ssize_t c) except -1:
    if min(a, b, c) < 1 or max(a, b, c) > 2147483647:
        raise ValueError(f"{kernel}: BLAS takes sizes in [1, 2**31), got {a}, {b}, {c}")
    return 0


cdef int need_indices(str kernel, str what, const int32_t[::1] indices, Py_ssize_t limit) except -1:
    cdef Py_ssize_t i, bad = -1
    with nogil:
        for i in range(indices.shape[0]):
            if indices[i] < 0 or indices[i] >= limit:
                bad = i
                break
    if bad >= 0:
        raise ValueError(f"{kernel}: {what} must be in [0, {limit}), got {indices[bad]} at {bad}")
    return 0


cdef int need_boundaries(str kernel, const int32_t[::1] cu_seqlens, Py_ssize_t rows) except -1:
    cdef Py_ssize_t s, n = cu_seqlens.shape[0]
    need_at_least(kernel, "length of cu_seqlens", n, 2)
    need(kernel, "first of cu_seqlens", cu_seqlens[0], 0)
    need(kernel, "last of cu_seqlens (rows)", cu_seqlens[n - 1], rows)
    for s in range(n - 1):
        if cu_seqlens[s + 1] <= cu_seqlens[s]:
            raise ValueError(f"{kernel}: cu_seqlens must rise, got {cu_seqlens[s]}, {cu_seqlens[s + 1]} at {s}")
    return 0


cdef int need_probability(str kernel, float p) except -1:
    if not 0.0 <= p < 1.0:
        raise ValueError(f"{kernel}: p must be in [0, 1), got {p}")
    return 0


# --- arrays in any storage -----------------------------------------------------------------------------------------

cdef struct Reals:
    # Activations, their gradients, or weights to compute with: what the array's owner, an argument of the call, shows.
    void *data
    int storage
    Py_ssize_t shape[4]
    Py_ssize_t stride  # elements from one row to the next


cdef int ANY = -1
cdef tuple _STORAGES = ("float32", "bfloat16 (uint16)", "float16")  # by number


cdef Reals show(str kernel, str what, object array, int ndim, int storage, bint writes=False, bint heads=False) except *:
    """The array's memory, if its type is that of `storage` (ANY: of one of them), its layout C order.

    heads : (rows, heads, head_size), whose heads lie end to end; rows may lie apart.
    """
    cdef Py_buffer view
    cdef Reals found
    cdef Py_ssize_t apart = 1
    cdef int axis
    cdef char kind
    if array is None:
        raise TypeError(f"{kernel}: Argument '{what}' must not be None")
    PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_STRIDES | (PyBUF_WRITABLE if writes else 0))
    try:
        if view.ndim != ndim:
            raise ValueError(f"{kernel}: {what} has the wrong number of dimensions: must be {ndim}, got {view.ndim}")
        kind = view.format[0] if view.format[1] == 0 else 0
        found.storage = RGZ_F32 if kind == c"f" else RGZ_BF16 if kind == c"H" else RGZ_F16 if kind == c"e" else ANY
        if found.storage == ANY or storage not in (ANY, found.storage):
            wanted = " or ".join(_STORAGES) if storage == ANY else _STORAGES[storage]
            raise ValueError(f"{kernel}: Buffer dtype mismatch: {what} must be {wanted}, "
                             f"got {getattr(array, 'dtype', view.format.decode())}")
        for axis in range(ndim - 1, -1, -1):
            found.shape[axis] = view.shape[axis]
            if view.shape[axis] > 1 and view.strides[axis] != apart * view.itemsize:
                if not heads:
                    raise ValueError(f"{kernel}: {what} is not C-contiguous")
                if axis or view.strides[0] % view.itemsize or view.strides[0] < apart * view.itemsize:
                    strides = view.strides[0], view.strides[1], view.strides[2]
                    raise ValueError(f"{kernel}: heads of {what} must lie end to end within each row; "
                                     f"got strides {strides}")
                apart = view.strides[0] // view.itemsize
            if axis:
                apart *= view.shape[axis]
        found.stride = apart
        found.data = view.buf
    finally:
        PyBuffer_Release(&view)
    return found


cdef int need_like(str kernel, str what, Reals got, Py_ssize_t rows, Py_ssize_t cols) except -1:
    need(kernel, what + " rows", got.shape[0], rows)
    need(kernel, what + " columns", got.shape[1], cols)
    return 0


cdef void *table(str kernel, str what, object array, int storage, Py_ssize_t rows, Py_ssize_t cols,
                 bint writes=False) except? NULL:
    """The memory of a (rows, cols) array; NULL for None."""
    cdef Reals found
    if array is None:
        return NULL
    found = show(kernel, what, array, 2, storage, writes)
    need_like(kernel, what, found, rows, cols)
    return found.data


cdef void *needed(str kernel, str what, object array, int storage, Py_ssize_t rows, Py_ssize_t cols,
                  bint writes=False) except? NULL:
    if array is None:
        raise TypeError(f"{kernel}: Argument '{what}' must not be None")
    return table(kernel, what, array, storage, rows, cols, writes)


# --- linear.c ------------------------------------------------------------------------------------------------------

def linear_forward(y, x, weight, const float[::1] bias or None, residual, int n_threads):
    cdef Reals x_ = show("linear_forward", "x", x, 2, ANY), w = show("linear_forward", "weight", weight, 2, x_.storage)
    cdef Py_ssize_t rows = x_.shape[0], n_in = x_.shape[1], n_out = w.shape[0]
    cdef const float *bias_ = NULL
    cdef void *y_
    cdef void *residual_
    need_at_least("linear_forward", "n_threads", n_threads, 1)
    need("linear_forward", "weight columns", w.shape[1], n_in)
    y_ = needed("linear_forward", "y", y, x_.storage, rows, n_out, True)
    residual_ = table("linear_forward", "residual", residual, x_.storage, rows, n_out)
    need_blas_size("linear_forward", rows, n_in, n_out)
    if bias is not None:
        need("linear_forward", "length of bias", bias.shape[0], n_out)
        bias_ = &bias[0]
    with nogil:
        rgz_active(x_.storage).linear_forward(y_, x_.data, w.data, bias_, residual_, rows, n_in, n_out, n_threads)


def lm_logits(float[:, ::1] y, x, weight, const float[::1] bias or None, int n_threads):
    cdef Reals x_ = show("lm_logits", "x", x, 2, ANY), w = show("lm_logits", "weight", weight, 2, x_.storage)
    cdef Py_ssize_t rows = x_.shape[0], n_in = x_.shape[1], n_out = w.shape[0]
    cdef const float *bias_ = NULL
    need_at_least("lm_logits", "n_threads", n_threads, 1)
    need("lm_logits", "weight columns", w.shape[1], n_in)
    need("lm_logits", "y rows", y.shape[0], rows)
    need("lm_logits", "y columns", y.shape[1], n_out)
    need_blas_size("lm_logits", rows, n_in, n_out)
    if bias is not None:
        need("lm_logits", "length of bias", bias.shape[0], n_out)
        bias_ = &bias[0]
    with nogil:
        rgz_active(x_.storage).lm_logits(&y[0, 0], x_.data, w.data, bias_, rows, n_in, n_out, n_threads)


_ACTIVATIONS = {"relu": RGZ_RELU, "gelu": RGZ_GELU, "gelu_tanh": RGZ_GELU_TANH}


def linear_activation_forward(activated, y, x, weight, const float[::1] bias or None, str activation, int n_threads):
    cdef str kernel = "linear_activation_forward"
    cdef Reals x_ = show(kernel, "x", x, 2, ANY), w = show(kernel, "weight", weight, 2, x_.storage)
    cdef Py_ssize_t rows = x_.shape[0], n_in = x_.shape[1], n_out = w.shape[0]
    cdef const float *bias_ = NULL
    cdef void *y_
    cdef void *activated_
    need_at_least(kernel, "n_threads", n_threads, 1)
    need(kernel, "weight columns", w.shape[1], n_in)
    y_ = needed(kernel, "y", y, x_.storage, rows, n_out, True)
    activated_ = needed(kernel, "activated", activated, x_.storage, rows, n_out, True)
    need_blas_size(kernel, rows, n_in, n_out)
    if bias is not None:
        need(kernel, "length of bias", bias.shape[0], n_out)
        bias_ = &bias[0]
    if activation not in _ACTIVATIONS:
        raise ValueError(f"{kernel}: activation must be one of {', '.join(_ACTIVATIONS)}, got '{activation}'")
    cdef int kind = _ACTIVATIONS[activation]
    with nogil:
        rgz_active(x_.storage).linear_activation_forward(activated_, y_, x_.data, w.data, bias_, kind, rows, n_in,
                                                         n_out, n_threads)


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


# --- attention.c, decode.c -----------------------------------------------------------------------------------------

cdef int need_heads(str kernel, str what, Reals got, Reals like) except -1:
    need(kernel, what + " rows", got.shape[0], like.shape[0])
    need(kernel, "heads of " + what, got.shape[1], like.shape[1])
    need(kernel, "head size of " + what, got.shape[2], like.shape[2])
    return 0


cdef Reals show_like(str kernel, str what, object array, Reals like, bint writes=False) except *:
    cdef Reals found = show(kernel, what, array, 3, like.storage, writes, True)
    need_heads(kernel, what, found, like)
    return found


cdef int need_attention(str kernel, Reals q, Reals k, Reals v) except -1:
    need(kernel, "k rows", k.shape[0], q.shape[0])
    need(kernel, "v rows", v.shape[0], q.shape[0])
    need(kernel, "heads of v", v.shape[1], k.shape[1])
    need(kernel, "head size of k", k.shape[2], q.shape[2])
    need(kernel, "head size of v", v.shape[2], q.shape[2])
    if k.shape[1] < 1 or q.shape[1] % k.shape[1]:
        raise ValueError(f"{kernel}: heads of q must be a multiple of those of k, got {q.shape[1]} and {k.shape[1]}")
    return 0


def attention_forward(out, float[:, ::1] lse, q, k, v, const int32_t[::1] cu_seqlens, float[::1] scratch, float scale,
                      bint causal, int n_threads):
    cdef str kernel = "attention_forward"
    cdef Reals q_ = show(kernel, "q", q, 3, ANY, False, True)
    cdef Reals k_ = show(kernel, "k", k, 3, q_.storage, False, True)
    cdef Reals v_ = show(kernel, "v", v, 3, q_.storage, False, True), out_
    cdef Py_ssize_t rows = q_.shape[0], heads = q_.shape[1], head_size = q_.shape[2]
    need_at_least(kernel, "n_threads", n_threads, 1)
    need_attention(kernel, q_, k_, v_)
    out_ = show_like(kernel, "out", out, q_, True)
    need(kernel, "lse rows", lse.shape[0], rows)
    need(kernel, "lse columns", lse.shape[1], heads)
    need_boundaries(kernel, cu_seqlens, rows)
    need_at_least(kernel, "length of scratch", scratch.shape[0], attention_scratch(head_size, n_threads))
    with nogil:
        rgz_active(q_.storage).attention_forward(out_.data, &lse[0, 0], q_.data, k_.data, v_.data, &cu_seqlens[0],
                                                 &scratch[0], cu_seqlens.shape[0] - 1, out_.stride, q_.stride,
                                                 k_.stride, v_.stride, heads, k_.shape[1], head_size, scale, causal,
                                                 n_threads)


def attention_backward(dq, dk, dv, dout, q, k, v, out, const float[:, ::1] lse, const int32_t[::1] cu_seqlens,
                       float[::1] scratch, float scale, bint causal, int n_threads):
    cdef str kernel = "attention_backward"
    cdef Reals q_ = show(kernel, "q", q, 3, ANY, False, True)
    cdef Reals k_ = show(kernel, "k", k, 3, q_.storage, False, True)
    cdef Reals v_ = show(kernel, "v", v, 3, q_.storage, False, True), dq_, dk_, dv_, out_, dout_
    cdef Py_ssize_t rows = q_.shape[0], heads = q_.shape[1], head_size = q_.shape[2]
    need_at_least(kernel, "n_threads", n_threads, 1)
    need_attention(kernel, q_, k_, v_)
    dq_ = show_like(kernel, "dq", dq, q_, True)
    dk_ = show_like(kernel, "dk", dk, k_, True)
    dv_ = show_like(kernel, "dv", dv, v_, True)
    out_ = show_like(kernel, "out", out, q_)
    dout_ = show_like(kernel, "dout", dout, q_)
    need(kernel, "row stride of dout", dout_.stride, out_.stride)
    need(kernel, "lse rows", lse.shape[0], rows)
    need(kernel, "lse columns", lse.shape[1], heads)
    need_boundaries(kernel, cu_seqlens, rows)
    need_at_least(kernel, "length of scratch", scratch.shape[0], attention_scratch(head_size, n_threads))
    with nogil:
        rgz_active(q_.storage).attention_backward(dq_.data, dk_.data, dv_.data, dout_.data, q_.data, k_.data, v_.data,
                                                  out_.data, &lse[0, 0], &cu_seqlens[0], &scratch[0],
                                                  cu_seqlens.shape[0] - 1, dq_.stride, dk_.stride, dv_.stride,
                                                  out_.stride, q_.stride, k_.stride, v_.stride, heads, k_.shape[1],
                                                  head_size, scale, causal, n_threads)


def attention_decode(out, q, k_cache, v_cache, const int32_t[::1] lengths, float[:, :, ::1] scores, float scale,
                     int n_threads):
    cdef str kernel = "attention_decode"
    cdef Reals q_ = show(kernel, "q", q, 3, ANY, False, True), out_ = show_like(kernel, "out", out, q_, True)
    cdef Reals keys = show(kernel, "k_cache", k_cache, 4, q_.storage)
    cdef Reals values = show(kernel, "v_cache", v_cache, 4, q_.storage)
    cdef Py_ssize_t batch = q_.shape[0], heads = q_.shape[1], head_size = q_.shape[2]
    cdef Py_ssize_t kv_heads = keys.shape[1], capacity = keys.shape[2], axis
    need_at_least(kernel, "n_threads", n_threads, 1)
    need(kernel, "row stride of out", out_.stride, heads * head_size)
    need(kernel, "k_cache batch", keys.shape[0], batch)
    need(kernel, "head size of k_cache", keys.shape[3], head_size)
    for axis in range(4):
        need(kernel, f"v_cache axis {axis}", values.shape[axis], keys.shape[axis])
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(f"{kernel}: heads of q must be a multiple of those of k_cache, got {heads}, {kv_heads}")
    need(kernel, "length of lengths", lengths.shape[0], batch)
    for axis in range(batch):
        if not 1 <= lengths[axis] <= capacity:
            raise ValueError(f"{kernel}: lengths must be in [1, {capacity}], got {lengths[axis]} at {axis}")
    need(kernel, "scores batch", scores.shape[0], batch)
    need(kernel, "heads of scores", scores.shape[1], heads)
    need(kernel, "capacity of scores", scores.shape[2], capacity)
    with nogil:
        rgz_active(q_.storage).attention_decode(out_.data, q_.data, keys.data, values.data, &lengths[0],
                                                &scores[0, 0, 0], batch, q_.stride, capacity, heads, kv_heads,
                                                head_size, scale, n_threads)


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


def adamw(float[::1] weight, copy, float[::1] grad, float[::1] m, float[::1] v, Py_ssize_t n_decayed, float lr,
          float beta1, float beta2, float eps, float weight_decay, float correction1, float correction2,
          float grad_scale, int n_threads):
    cdef Py_ssize_t n = weight.shape[0]
    cdef int storage = RGZ_F32
    cdef void *copy_ = NULL
    cdef Reals shown
    need_at_least("adamw", "n_threads", n_threads, 1)
    if copy is not None:
        shown = show("adamw", "copy", copy, 1, ANY, True)
        need("adamw", "length of copy", shown.shape[0], n_decayed)
        storage, copy_ = shown.storage, shown.data
    need("adamw", "length of grad", grad.shape[0], n)
    need("adamw", "length of m", m.shape[0], n)
    need("adamw", "length of v", v.shape[0], n)
    if not 0 <= n_decayed <= n:
        raise ValueError(f"adamw: n_decayed must be in [0, {n}], got {n_decayed}")
    with nogil:
        rgz_active(storage).adamw(&weight[0], copy_, &grad[0], &m[0], &v[0], n, n_decayed, lr, beta1, beta2, eps,
                                  weight_decay, correction1, correction2, grad_scale, n_threads)


def adamw_bf16(float[::1] weight, copy, float[::1] grad, uint16_t[::1] m, uint16_t[::1] v, Py_ssize_t n_decayed,
               float lr, float beta1, float beta2, float eps, float weight_decay, float correction1, float correction2,
               float grad_scale, uint64_t seed, uint64_t stream, int n_threads):
    cdef Py_ssize_t n = weight.shape[0]
    cdef int storage = RGZ_F32
    cdef void *copy_ = NULL
    cdef Reals shown
    need_at_least("adamw_bf16", "n_threads", n_threads, 1)
    if not 0 <= n_decayed <= n:
        raise ValueError(f"adamw_bf16: n_decayed must be in [0, {n}], got {n_decayed}")
    if copy is not None:
        shown = show("adamw_bf16", "copy", copy, 1, ANY, True)
        need("adamw_bf16", "length of copy", shown.shape[0], n_decayed)
        storage, copy_ = shown.storage, shown.data
    need("adamw_bf16", "length of grad", grad.shape[0], n)
    need("adamw_bf16", "length of m", m.shape[0], n)
    need("adamw_bf16", "length of v", v.shape[0], n)
    with nogil:
        rgz_active(storage).adamw_bf16(&weight[0], copy_, &grad[0], &m[0], &v[0], n, n_decayed, lr, beta1, beta2, eps,
                                       weight_decay, correction1, correction2, grad_scale, seed, stream, n_threads)


# --- csrc/text -----------------------------------------------------------------------------------------------------

include "_text.pxi"
include "_bpe.pxi"

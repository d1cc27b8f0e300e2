# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
# cython: embedsignature=True, embedsignature.format=clinic, allow_none_for_extension_args=False
"""The only door to C: one function per kernel. It checks every shape, drops the GIL and calls; it never copies or
casts to repair. Meaning, shapes and sources of each kernel stand in the header of its file in csrc/kernels."""

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "rgz.h" nogil:
    ctypedef Py_ssize_t rgz_int
    int RGZ_ROW_BLOCK, RGZ_NORM_BLOCK, RGZ_RELU, RGZ_GELU, RGZ_GELU_TANH
    ctypedef struct rgz_kernels:
        void (*linear_forward)(float *, const float *, const float *, const float *, const float *,
                               rgz_int, rgz_int, rgz_int, int) noexcept nogil
        void (*linear_activation_forward)(float *, float *, const float *, const float *, const float *, int,
                                          rgz_int, rgz_int, rgz_int, int) noexcept nogil
        void (*linear_backward)(float *, float *, float *, const float *, const float *, const float *,
                                rgz_int, rgz_int, rgz_int, int) noexcept nogil
        void (*matmul)(float *, const float *, const float *, rgz_int, rgz_int, rgz_int, int) noexcept nogil
        void (*lm_loss)(float *, float *, float *, float *, const float *, const float *, const float *,
                        const int32_t *, float *, rgz_int, rgz_int, rgz_int, rgz_int, int) noexcept nogil
        void (*layernorm_forward)(float *, float *, float *, const float *, const float *, const float *,
                                  rgz_int, rgz_int, float, int) noexcept nogil
        void (*layernorm_backward)(float *, float *, float *, float *, const float *, const float *, const float *,
                                   const float *, const float *, rgz_int, rgz_int, int, int) noexcept nogil
        void (*rmsnorm_forward)(float *, float *, const float *, const float *, rgz_int, rgz_int, float,
                                int) noexcept nogil
        void (*rmsnorm_backward)(float *, float *, float *, const float *, const float *, const float *,
                                 const float *, rgz_int, rgz_int, int, int) noexcept nogil
        void (*relu_forward)(float *, const float *, rgz_int, int) noexcept nogil
        void (*relu_backward)(float *, const float *, const float *, rgz_int, int) noexcept nogil
        void (*gelu_forward)(float *, const float *, rgz_int, int) noexcept nogil
        void (*gelu_backward)(float *, const float *, const float *, rgz_int, int) noexcept nogil
        void (*gelu_tanh_forward)(float *, const float *, rgz_int, int) noexcept nogil
        void (*gelu_tanh_backward)(float *, const float *, const float *, rgz_int, int) noexcept nogil
        void (*swiglu_forward)(float *, const float *, rgz_int, rgz_int, int) noexcept nogil
        void (*swiglu_backward)(float *, const float *, const float *, rgz_int, rgz_int, int) noexcept nogil
        void (*embedding_forward)(float *, const int32_t *, const float *, const int32_t *, const float *,
                                  rgz_int, rgz_int, int) noexcept nogil
        void (*embedding_backward)(float *, const int32_t *, const float *, rgz_int, rgz_int, int) noexcept nogil
        void (*rope)(float *, const int32_t *, const float *, const float *, rgz_int, rgz_int, rgz_int, rgz_int,
                     int, int) noexcept nogil
        void (*attention_forward)(float *, float *, const float *, const float *, const float *, const int32_t *,
                                  float *, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int,
                                  float, int, int) noexcept nogil
        void (*attention_backward)(float *, float *, float *, const float *, const float *, const float *,
                                   const float *, const float *, const float *, const int32_t *, float *, rgz_int,
                                   rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int,
                                   rgz_int, float, int, int) noexcept nogil
        void (*attention_decode)(float *, const float *, const float *, const float *, const int32_t *, float *,
                                 rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, rgz_int, float, int) noexcept nogil
        void (*dropout_forward)(float *, const float *, const float *, rgz_int, float, uint64_t, uint64_t,
                                int) noexcept nogil
        void (*dropout_backward)(float *, const float *, rgz_int, float, uint64_t, uint64_t, int) noexcept nogil
        void (*to_bf16)(uint16_t *, const float *, rgz_int, int) noexcept nogil
        void (*from_bf16)(float *, const uint16_t *, rgz_int, int) noexcept nogil
        void (*to_f16)(uint16_t *, const float *, rgz_int, int) noexcept nogil
        void (*from_f16)(float *, const uint16_t *, rgz_int, int) noexcept nogil
        void (*squared_norm)(double *, double *, const float *, rgz_int, int) noexcept nogil
        void (*adamw)(float *, float *, float *, float *, rgz_int, rgz_int, float, float, float, float, float,
                      float, float, float, int) noexcept nogil

    const char *rgz_isa_name(int)
    int rgz_isa_compiled(int)
    int rgz_isa_usable(int)
    int rgz_isa_active()
    int rgz_isa_select(int)
    const rgz_kernels *rgz_active()
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


cdef Py_ssize_t row_stride(str kernel, str what, const float[:, :, :] x) except -1:
    """Floats from one row to the next of (rows, heads, head_size), whose heads lie end to end."""
    cdef Py_ssize_t item = sizeof(float)
    if (x.shape[2] > 1 and x.strides[2] != item) or (x.shape[1] > 1 and x.strides[1] != x.shape[2] * item) \
            or (x.shape[0] > 1 and (x.strides[0] % item or x.strides[0] < x.shape[1] * x.shape[2] * item)):
        strides = x.strides[0], x.strides[1], x.strides[2]
        raise ValueError(f"{kernel}: heads of {what} must lie end to end within each row; got strides {strides}")
    return x.strides[0] // <Py_ssize_t> sizeof(float) if x.shape[0] > 1 else x.shape[1] * x.shape[2]


cdef int need_probability(str kernel, float p) except -1:
    if not 0.0 <= p < 1.0:
        raise ValueError(f"{kernel}: p must be in [0, 1), got {p}")
    return 0


# --- linear.c ------------------------------------------------------------------------------------------------------

def linear_forward(float[:, ::1] y, const float[:, ::1] x, const float[:, ::1] weight,
                   const float[::1] bias or None, const float[:, ::1] residual or None, int n_threads):
    cdef Py_ssize_t rows = x.shape[0], n_in = x.shape[1], n_out = weight.shape[0]
    cdef const float *bias_ = NULL
    cdef const float *residual_ = NULL
    need_at_least("linear_forward", "n_threads", n_threads, 1)
    need("linear_forward", "weight columns", weight.shape[1], n_in)
    need("linear_forward", "y rows", y.shape[0], rows)
    need("linear_forward", "y columns", y.shape[1], n_out)
    need_blas_size("linear_forward", rows, n_in, n_out)
    if bias is not None:
        need("linear_forward", "length of bias", bias.shape[0], n_out)
        bias_ = &bias[0]
    if residual is not None:
        need("linear_forward", "residual rows", residual.shape[0], rows)
        need("linear_forward", "residual columns", residual.shape[1], n_out)
        residual_ = &residual[0, 0]
    with nogil:
        rgz_active().linear_forward(&y[0, 0], &x[0, 0], &weight[0, 0], bias_, residual_, rows, n_in, n_out, n_threads)


_ACTIVATIONS = {"relu": RGZ_RELU, "gelu": RGZ_GELU, "gelu_tanh": RGZ_GELU_TANH}


def linear_activation_forward(float[:, ::1] activated, float[:, ::1] y, const float[:, ::1] x,
                              const float[:, ::1] weight, const float[::1] bias or None, str activation,
                              int n_threads):
    cdef Py_ssize_t rows = x.shape[0], n_in = x.shape[1], n_out = weight.shape[0]
    cdef const float *bias_ = NULL
    need_at_least("linear_activation_forward", "n_threads", n_threads, 1)
    need("linear_activation_forward", "weight columns", weight.shape[1], n_in)
    need("linear_activation_forward", "y rows", y.shape[0], rows)
    need("linear_activation_forward", "y columns", y.shape[1], n_out)
    need("linear_activation_forward", "activated rows", activated.shape[0], rows)
    need("linear_activation_forward", "activated columns", activated.shape[1], n_out)
    need_blas_size("linear_activation_forward", rows, n_in, n_out)
    if bias is not None:
        need("linear_activation_forward", "length of bias", bias.shape[0], n_out)
        bias_ = &bias[0]
    if activation not in _ACTIVATIONS:
        raise ValueError(f"linear_activation_forward: activation must be one of {', '.join(_ACTIVATIONS)}, "
                         f"got '{activation}'")
    cdef int kind = _ACTIVATIONS[activation]
    with nogil:
        rgz_active().linear_activation_forward(&activated[0, 0], &y[0, 0], &x[0, 0], &weight[0, 0], bias_, kind, rows,
                                               n_in, n_out, n_threads)


def linear_backward(float[:, ::1] dx or None, float[:, ::1] dweight or None, float[::1] dbias or None,
                    const float[:, ::1] dy, const float[:, ::1] x, const float[:, ::1] weight, int n_threads):
    cdef Py_ssize_t rows = x.shape[0], n_in = x.shape[1], n_out = weight.shape[0]
    cdef float *dx_ = NULL
    cdef float *dweight_ = NULL
    cdef float *dbias_ = NULL
    need_at_least("linear_backward", "n_threads", n_threads, 1)
    need("linear_backward", "weight columns", weight.shape[1], n_in)
    need("linear_backward", "dy rows", dy.shape[0], rows)
    need("linear_backward", "dy columns", dy.shape[1], n_out)
    need_blas_size("linear_backward", rows, n_in, n_out)
    if dx is not None:
        need("linear_backward", "dx rows", dx.shape[0], rows)
        need("linear_backward", "dx columns", dx.shape[1], n_in)
        dx_ = &dx[0, 0]
    if dweight is not None:
        need("linear_backward", "dweight rows", dweight.shape[0], n_out)
        need("linear_backward", "dweight columns", dweight.shape[1], n_in)
        dweight_ = &dweight[0, 0]
    if dbias is not None:
        need("linear_backward", "length of dbias", dbias.shape[0], n_out)
        dbias_ = &dbias[0]
    with nogil:
        rgz_active().linear_backward(dx_, dweight_, dbias_, &dy[0, 0], &x[0, 0], &weight[0, 0], rows, n_in, n_out,
                                     n_threads)


def matmul(float[:, ::1] c, const float[:, ::1] a, const float[:, ::1] b, int n_threads):
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = b.shape[1]
    need_at_least("matmul", "n_threads", n_threads, 1)
    need("matmul", "b rows", b.shape[0], k)
    need("matmul", "c rows", c.shape[0], m)
    need("matmul", "c columns", c.shape[1], n)
    need_blas_size("matmul", m, n, k)
    with nogil:
        rgz_active().matmul(&c[0, 0], &a[0, 0], &b[0, 0], m, k, n, n_threads)


# --- lm_loss.c -----------------------------------------------------------------------------------------------------

def lm_loss(float[::1] losses, float[:, ::1] dx or None, float[:, ::1] dweight or None, float[::1] dbias or None,
            const float[:, ::1] x, const float[:, ::1] weight, const float[::1] bias or None,
            const int32_t[::1] targets, float[:, ::1] logits, int n_threads):
    cdef Py_ssize_t rows = x.shape[0], channels = x.shape[1], vocab = weight.shape[0], i, bad = -1
    cdef float *dx_ = NULL
    cdef float *dweight_ = NULL
    cdef float *dbias_ = NULL
    cdef const float *bias_ = NULL
    need_at_least("lm_loss", "n_threads", n_threads, 1)
    need("lm_loss", "weight columns", weight.shape[1], channels)
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
        need("lm_loss", "dx rows", dx.shape[0], rows)
        need("lm_loss", "dx columns", dx.shape[1], channels)
        need("lm_loss", "dweight rows", dweight.shape[0], vocab)
        need("lm_loss", "dweight columns", dweight.shape[1], channels)
        dx_ = &dx[0, 0]
        dweight_ = &dweight[0, 0]
        if dbias is not None:
            need("lm_loss", "length of dbias", dbias.shape[0], vocab)
            dbias_ = &dbias[0]
    elif dweight is not None or dbias is not None:
        raise ValueError("lm_loss: without dx (losses only) dweight and dbias must be None")
    with nogil:
        rgz_active().lm_loss(&losses[0], dx_, dweight_, dbias_, &x[0, 0], &weight[0, 0], bias_, &targets[0],
                             &logits[0, 0], rows, channels, vocab, logits.shape[0], n_threads)


# --- norm.c --------------------------------------------------------------------------------------------------------

def layernorm_forward(float[:, ::1] y, float[::1] mean, float[::1] rstd, const float[:, ::1] x,
                      const float[::1] weight, const float[::1] bias, float eps, int n_threads):
    cdef Py_ssize_t rows = x.shape[0], cols = x.shape[1]
    need_at_least("layernorm_forward", "n_threads", n_threads, 1)
    need("layernorm_forward", "y rows", y.shape[0], rows)
    need("layernorm_forward", "y columns", y.shape[1], cols)
    need("layernorm_forward", "length of mean", mean.shape[0], rows)
    need("layernorm_forward", "length of rstd", rstd.shape[0], rows)
    need("layernorm_forward", "length of weight", weight.shape[0], cols)
    need("layernorm_forward", "length of bias", bias.shape[0], cols)
    with nogil:
        rgz_active().layernorm_forward(&y[0, 0], &mean[0], &rstd[0], &x[0, 0], &weight[0], &bias[0], rows, cols, eps,
                                       n_threads)


def layernorm_backward(float[:, ::1] dx, float[::1] dweight, float[::1] dbias, float[::1] scratch,
                       const float[:, ::1] dy, const float[:, ::1] x, const float[::1] weight,
                       const float[::1] mean, const float[::1] rstd, bint accumulate, int n_threads):
    cdef Py_ssize_t rows = x.shape[0], cols = x.shape[1]
    need_at_least("layernorm_backward", "n_threads", n_threads, 1)
    need("layernorm_backward", "dx rows", dx.shape[0], rows)
    need("layernorm_backward", "dx columns", dx.shape[1], cols)
    need("layernorm_backward", "dy rows", dy.shape[0], rows)
    need("layernorm_backward", "dy columns", dy.shape[1], cols)
    need("layernorm_backward", "length of dweight", dweight.shape[0], cols)
    need("layernorm_backward", "length of dbias", dbias.shape[0], cols)
    need("layernorm_backward", "length of weight", weight.shape[0], cols)
    need("layernorm_backward", "length of mean", mean.shape[0], rows)
    need("layernorm_backward", "length of rstd", rstd.shape[0], rows)
    need_at_least("layernorm_backward", "length of scratch", scratch.shape[0], norm_scratch(rows, cols))
    with nogil:
        rgz_active().layernorm_backward(&dx[0, 0], &dweight[0], &dbias[0], &scratch[0], &dy[0, 0], &x[0, 0],
                                        &weight[0], &mean[0], &rstd[0], rows, cols, accumulate, n_threads)


def rmsnorm_forward(float[:, ::1] y, float[::1] rstd, const float[:, ::1] x, const float[::1] weight, float eps,
                    int n_threads):
    cdef Py_ssize_t rows = x.shape[0], cols = x.shape[1]
    need_at_least("rmsnorm_forward", "n_threads", n_threads, 1)
    need("rmsnorm_forward", "y rows", y.shape[0], rows)
    need("rmsnorm_forward", "y columns", y.shape[1], cols)
    need("rmsnorm_forward", "length of rstd", rstd.shape[0], rows)
    need("rmsnorm_forward", "length of weight", weight.shape[0], cols)
    with nogil:
        rgz_active().rmsnorm_forward(&y[0, 0], &rstd[0], &x[0, 0], &weight[0], rows, cols, eps, n_threads)


def rmsnorm_backward(float[:, ::1] dx, float[::1] dweight, float[::1] scratch, const float[:, ::1] dy,
                     const float[:, ::1] x, const float[::1] weight, const float[::1] rstd, bint accumulate,
                     int n_threads):
    cdef Py_ssize_t rows = x.shape[0], cols = x.shape[1]
    need_at_least("rmsnorm_backward", "n_threads", n_threads, 1)
    need("rmsnorm_backward", "dx rows", dx.shape[0], rows)
    need("rmsnorm_backward", "dx columns", dx.shape[1], cols)
    need("rmsnorm_backward", "dy rows", dy.shape[0], rows)
    need("rmsnorm_backward", "dy columns", dy.shape[1], cols)
    need("rmsnorm_backward", "length of dweight", dweight.shape[0], cols)
    need("rmsnorm_backward", "length of weight", weight.shape[0], cols)
    need("rmsnorm_backward", "length of rstd", rstd.shape[0], rows)
    need_at_least("rmsnorm_backward", "length of scratch", scratch.shape[0], norm_scratch(rows, cols) // 2)
    with nogil:
        rgz_active().rmsnorm_backward(&dx[0, 0], &dweight[0], &scratch[0], &dy[0, 0], &x[0, 0], &weight[0], &rstd[0],
                                      rows, cols, accumulate, n_threads)


# --- activation.c --------------------------------------------------------------------------------------------------

cdef int need_like(str kernel, str what, const float[:, ::1] got, Py_ssize_t rows, Py_ssize_t cols) except -1:
    need(kernel, what + " rows", got.shape[0], rows)
    need(kernel, what + " columns", got.shape[1], cols)
    return 0


def relu_forward(float[:, ::1] y, const float[:, ::1] x, int n_threads):
    need_at_least("relu_forward", "n_threads", n_threads, 1)
    need_like("relu_forward", "y", y, x.shape[0], x.shape[1])
    with nogil:
        rgz_active().relu_forward(&y[0, 0], &x[0, 0], x.shape[0] * x.shape[1], n_threads)


def relu_backward(float[:, ::1] dx, const float[:, ::1] dy, const float[:, ::1] x, int n_threads):
    need_at_least("relu_backward", "n_threads", n_threads, 1)
    need_like("relu_backward", "dx", dx, x.shape[0], x.shape[1])
    need_like("relu_backward", "dy", dy, x.shape[0], x.shape[1])
    with nogil:
        rgz_active().relu_backward(&dx[0, 0], &dy[0, 0], &x[0, 0], x.shape[0] * x.shape[1], n_threads)


def gelu_forward(float[:, ::1] y, const float[:, ::1] x, int n_threads):
    need_at_least("gelu_forward", "n_threads", n_threads, 1)
    need_like("gelu_forward", "y", y, x.shape[0], x.shape[1])
    with nogil:
        rgz_active().gelu_forward(&y[0, 0], &x[0, 0], x.shape[0] * x.shape[1], n_threads)


def gelu_backward(float[:, ::1] dx, const float[:, ::1] dy, const float[:, ::1] x, int n_threads):
    need_at_least("gelu_backward", "n_threads", n_threads, 1)
    need_like("gelu_backward", "dx", dx, x.shape[0], x.shape[1])
    need_like("gelu_backward", "dy", dy, x.shape[0], x.shape[1])
    with nogil:
        rgz_active().gelu_backward(&dx[0, 0], &dy[0, 0], &x[0, 0], x.shape[0] * x.shape[1], n_threads)


def gelu_tanh_forward(float[:, ::1] y, const float[:, ::1] x, int n_threads):
    need_at_least("gelu_tanh_forward", "n_threads", n_threads, 1)
    need_like("gelu_tanh_forward", "y", y, x.shape[0], x.shape[1])
    with nogil:
        rgz_active().gelu_tanh_forward(&y[0, 0], &x[0, 0], x.shape[0] * x.shape[1], n_threads)


def gelu_tanh_backward(float[:, ::1] dx, const float[:, ::1] dy, const float[:, ::1] x, int n_threads):
    need_at_least("gelu_tanh_backward", "n_threads", n_threads, 1)
    need_like("gelu_tanh_backward", "dx", dx, x.shape[0], x.shape[1])
    need_like("gelu_tanh_backward", "dy", dy, x.shape[0], x.shape[1])
    with nogil:
        rgz_active().gelu_tanh_backward(&dx[0, 0], &dy[0, 0], &x[0, 0], x.shape[0] * x.shape[1], n_threads)


def swiglu_forward(float[:, ::1] y, const float[:, ::1] x, int n_threads):
    need_at_least("swiglu_forward", "n_threads", n_threads, 1)
    need_like("swiglu_forward", "x", x, y.shape[0], 2 * y.shape[1])
    with nogil:
        rgz_active().swiglu_forward(&y[0, 0], &x[0, 0], y.shape[0], y.shape[1], n_threads)


def swiglu_backward(float[:, ::1] dx, const float[:, ::1] dy, const float[:, ::1] x, int n_threads):
    need_at_least("swiglu_backward", "n_threads", n_threads, 1)
    need_like("swiglu_backward", "x", x, dy.shape[0], 2 * dy.shape[1])
    need_like("swiglu_backward", "dx", dx, dy.shape[0], 2 * dy.shape[1])
    with nogil:
        rgz_active().swiglu_backward(&dx[0, 0], &dy[0, 0], &x[0, 0], dy.shape[0], dy.shape[1], n_threads)


# --- embedding.c, rope.c -------------------------------------------------------------------------------------------

def embedding_forward(float[:, ::1] out, const int32_t[::1] tokens, const float[:, ::1] weight,
                      const int32_t[::1] positions or None, const float[:, ::1] position_weight or None,
                      int n_threads):
    cdef Py_ssize_t rows = tokens.shape[0], channels = weight.shape[1]
    cdef const int32_t *positions_ = NULL
    cdef const float *position_weight_ = NULL
    need_at_least("embedding_forward", "n_threads", n_threads, 1)
    need_like("embedding_forward", "out", out, rows, channels)
    need_indices("embedding_forward", "tokens", tokens, weight.shape[0])
    if position_weight is not None:
        need("embedding_forward", "position_weight columns", position_weight.shape[1], channels)
        need("embedding_forward", "length of positions", positions.shape[0], rows)
        need_indices("embedding_forward", "positions", positions, position_weight.shape[0])
        positions_ = &positions[0]
        position_weight_ = &position_weight[0, 0]
    with nogil:
        rgz_active().embedding_forward(&out[0, 0], &tokens[0], &weight[0, 0], positions_, position_weight_, rows,
                                       channels, n_threads)


def embedding_backward(float[:, ::1] dweight, const int32_t[::1] indices, const float[:, ::1] dout, int n_threads):
    cdef Py_ssize_t rows = indices.shape[0], channels = dweight.shape[1]
    need_at_least("embedding_backward", "n_threads", n_threads, 1)
    need_like("embedding_backward", "dout", dout, rows, channels)
    need_indices("embedding_backward", "indices", indices, dweight.shape[0])
    with nogil:
        rgz_active().embedding_backward(&dweight[0, 0], &indices[0], &dout[0, 0], rows, channels, n_threads)


def rope(float[:, :, :] x, const int32_t[::1] positions, const float[:, ::1] cosines, const float[:, ::1] sines,
         bint inverse, int n_threads):
    cdef Py_ssize_t rows = x.shape[0], heads = x.shape[1], head_size = x.shape[2]
    cdef Py_ssize_t stride = row_stride("rope", "x", x)
    need_at_least("rope", "n_threads", n_threads, 1)
    if head_size % 2:
        raise ValueError(f"rope: head size of x must be even, got {head_size}")
    need("rope", "length of positions", positions.shape[0], rows)
    need_like("rope", "sines", sines, cosines.shape[0], head_size // 2)
    need("rope", "cosines columns", cosines.shape[1], head_size // 2)
    need_indices("rope", "positions", positions, cosines.shape[0])
    with nogil:
        rgz_active().rope(&x[0, 0, 0], &positions[0], &cosines[0, 0], &sines[0, 0], rows, stride, heads, head_size,
                          inverse, n_threads)


# --- attention.c, decode.c -----------------------------------------------------------------------------------------

cdef int need_attention(str kernel, const float[:, :, :] q, const float[:, :, :] k,
                        const float[:, :, :] v) except -1:
    need(kernel, "k rows", k.shape[0], q.shape[0])
    need(kernel, "v rows", v.shape[0], q.shape[0])
    need(kernel, "heads of v", v.shape[1], k.shape[1])
    need(kernel, "head size of k", k.shape[2], q.shape[2])
    need(kernel, "head size of v", v.shape[2], q.shape[2])
    if k.shape[1] < 1 or q.shape[1] % k.shape[1]:
        raise ValueError(f"{kernel}: heads of q must be a multiple of those of k, got {q.shape[1]} and {k.shape[1]}")
    return 0


cdef int need_heads(str kernel, str what, const float[:, :, :] got, const float[:, :, :] like) except -1:
    need(kernel, what + " rows", got.shape[0], like.shape[0])
    need(kernel, "heads of " + what, got.shape[1], like.shape[1])
    need(kernel, "head size of " + what, got.shape[2], like.shape[2])
    return 0


def attention_forward(float[:, :, :] out, float[:, ::1] lse, const float[:, :, :] q, const float[:, :, :] k,
                      const float[:, :, :] v, const int32_t[::1] cu_seqlens, float[::1] scratch, float scale,
                      bint causal, int n_threads):
    cdef Py_ssize_t rows = q.shape[0], heads = q.shape[1], head_size = q.shape[2]
    cdef Py_ssize_t so = row_stride("attention_forward", "out", out), sq = row_stride("attention_forward", "q", q)
    cdef Py_ssize_t sk = row_stride("attention_forward", "k", k), sv = row_stride("attention_forward", "v", v)
    need_at_least("attention_forward", "n_threads", n_threads, 1)
    need_attention("attention_forward", q, k, v)
    need_heads("attention_forward", "out", out, q)
    need_like("attention_forward", "lse", lse, rows, heads)
    need_boundaries("attention_forward", cu_seqlens, rows)
    need_at_least("attention_forward", "length of scratch", scratch.shape[0], attention_scratch(head_size, n_threads))
    with nogil:
        rgz_active().attention_forward(&out[0, 0, 0], &lse[0, 0], &q[0, 0, 0], &k[0, 0, 0], &v[0, 0, 0],
                                       &cu_seqlens[0], &scratch[0], cu_seqlens.shape[0] - 1, so, sq, sk, sv, heads,
                                       k.shape[1], head_size, scale, causal, n_threads)


def attention_backward(float[:, :, :] dq, float[:, :, :] dk, float[:, :, :] dv, const float[:, :, :] dout,
                       const float[:, :, :] q, const float[:, :, :] k, const float[:, :, :] v,
                       const float[:, :, :] out, const float[:, ::1] lse, const int32_t[::1] cu_seqlens,
                       float[::1] scratch, float scale, bint causal, int n_threads):
    cdef Py_ssize_t rows = q.shape[0], heads = q.shape[1], head_size = q.shape[2]
    cdef Py_ssize_t sdq = row_stride("attention_backward", "dq", dq), sdk = row_stride("attention_backward", "dk", dk)
    cdef Py_ssize_t sdv = row_stride("attention_backward", "dv", dv), so = row_stride("attention_backward", "out", out)
    cdef Py_ssize_t sq = row_stride("attention_backward", "q", q), sk = row_stride("attention_backward", "k", k)
    cdef Py_ssize_t sv = row_stride("attention_backward", "v", v)
    need_at_least("attention_backward", "n_threads", n_threads, 1)
    need_attention("attention_backward", q, k, v)
    need_heads("attention_backward", "dq", dq, q)
    need_heads("attention_backward", "dk", dk, k)
    need_heads("attention_backward", "dv", dv, v)
    need_heads("attention_backward", "out", out, q)
    need_heads("attention_backward", "dout", dout, q)
    need("attention_backward", "row stride of dout", row_stride("attention_backward", "dout", dout), so)
    need_like("attention_backward", "lse", lse, rows, heads)
    need_boundaries("attention_backward", cu_seqlens, rows)
    need_at_least("attention_backward", "length of scratch", scratch.shape[0], attention_scratch(head_size, n_threads))
    with nogil:
        rgz_active().attention_backward(&dq[0, 0, 0], &dk[0, 0, 0], &dv[0, 0, 0], &dout[0, 0, 0], &q[0, 0, 0],
                                        &k[0, 0, 0], &v[0, 0, 0], &out[0, 0, 0], &lse[0, 0], &cu_seqlens[0],
                                        &scratch[0], cu_seqlens.shape[0] - 1, sdq, sdk, sdv, so, sq, sk, sv, heads,
                                        k.shape[1], head_size, scale, causal, n_threads)


def attention_decode(float[:, :, :] out, const float[:, :, :] q, const float[:, :, :, ::1] k_cache,
                     const float[:, :, :, ::1] v_cache, const int32_t[::1] lengths, float[:, :, ::1] scores,
                     float scale, int n_threads):
    cdef Py_ssize_t batch = q.shape[0], heads = q.shape[1], head_size = q.shape[2]
    cdef Py_ssize_t kv_heads = k_cache.shape[1], capacity = k_cache.shape[2], axis
    cdef Py_ssize_t stride = row_stride("attention_decode", "q", q)
    need_at_least("attention_decode", "n_threads", n_threads, 1)
    need_heads("attention_decode", "out", out, q)
    need("attention_decode", "row stride of out", row_stride("attention_decode", "out", out), heads * head_size)
    need("attention_decode", "k_cache batch", k_cache.shape[0], batch)
    need("attention_decode", "head size of k_cache", k_cache.shape[3], head_size)
    for axis in range(4):
        need("attention_decode", f"v_cache axis {axis}", v_cache.shape[axis], k_cache.shape[axis])
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(f"attention_decode: heads of q must be a multiple of those of k_cache, got {heads}, {kv_heads}")
    need("attention_decode", "length of lengths", lengths.shape[0], batch)
    for axis in range(batch):
        if not 1 <= lengths[axis] <= capacity:
            raise ValueError(f"attention_decode: lengths must be in [1, {capacity}], got {lengths[axis]} at {axis}")
    need("attention_decode", "scores batch", scores.shape[0], batch)
    need("attention_decode", "heads of scores", scores.shape[1], heads)
    need("attention_decode", "capacity of scores", scores.shape[2], capacity)
    with nogil:
        rgz_active().attention_decode(&out[0, 0, 0], &q[0, 0, 0], &k_cache[0, 0, 0, 0], &v_cache[0, 0, 0, 0],
                                      &lengths[0], &scores[0, 0, 0], batch, stride, capacity, heads, kv_heads,
                                      head_size, scale, n_threads)


# --- cast.c --------------------------------------------------------------------------------------------------------

def to_bf16(uint16_t[::1] half, const float[::1] x, int n_threads):
    need_at_least("to_bf16", "n_threads", n_threads, 1)
    need("to_bf16", "length of half", half.shape[0], x.shape[0])
    with nogil:
        rgz_active().to_bf16(&half[0], &x[0], x.shape[0], n_threads)


def from_bf16(float[::1] x, const uint16_t[::1] half, int n_threads):
    need_at_least("from_bf16", "n_threads", n_threads, 1)
    need("from_bf16", "length of x", x.shape[0], half.shape[0])
    with nogil:
        rgz_active().from_bf16(&x[0], &half[0], half.shape[0], n_threads)


def to_f16(uint16_t[::1] half, const float[::1] x, int n_threads):
    need_at_least("to_f16", "n_threads", n_threads, 1)
    need("to_f16", "length of half", half.shape[0], x.shape[0])
    with nogil:
        rgz_active().to_f16(&half[0], &x[0], x.shape[0], n_threads)


def from_f16(float[::1] x, const uint16_t[::1] half, int n_threads):
    need_at_least("from_f16", "n_threads", n_threads, 1)
    need("from_f16", "length of x", x.shape[0], half.shape[0])
    with nogil:
        rgz_active().from_f16(&x[0], &half[0], half.shape[0], n_threads)


# --- dropout.c, optim.c --------------------------------------------------------------------------------------------

def dropout_forward(float[:, ::1] y, const float[:, ::1] x, const float[:, ::1] residual or None, float p,
                    uint64_t seed, uint64_t stream, int n_threads):
    cdef const float *residual_ = NULL
    need_at_least("dropout_forward", "n_threads", n_threads, 1)
    need_probability("dropout_forward", p)
    need_like("dropout_forward", "y", y, x.shape[0], x.shape[1])
    if residual is not None:
        need_like("dropout_forward", "residual", residual, x.shape[0], x.shape[1])
        residual_ = &residual[0, 0]
    with nogil:
        rgz_active().dropout_forward(&y[0, 0], &x[0, 0], residual_, x.shape[0] * x.shape[1], p, seed, stream,
                                     n_threads)


def dropout_backward(float[:, ::1] dx, const float[:, ::1] dy, float p, uint64_t seed, uint64_t stream,
                     int n_threads):
    need_at_least("dropout_backward", "n_threads", n_threads, 1)
    need_probability("dropout_backward", p)
    need_like("dropout_backward", "dx", dx, dy.shape[0], dy.shape[1])
    with nogil:
        rgz_active().dropout_backward(&dx[0, 0], &dy[0, 0], dy.shape[0] * dy.shape[1], p, seed, stream, n_threads)


def squared_norm(double[::1] scratch, const float[::1] x, int n_threads):
    cdef double total = 0.0
    need_at_least("squared_norm", "n_threads", n_threads, 1)
    need_at_least("squared_norm", "length of scratch", scratch.shape[0], squared_norm_scratch(x.shape[0]))
    with nogil:
        rgz_active().squared_norm(&total, &scratch[0], &x[0], x.shape[0], n_threads)
    return total


def adamw(float[::1] weight, float[::1] grad, float[::1] m, float[::1] v, Py_ssize_t n_decayed, float lr, float beta1,
          float beta2, float eps, float weight_decay, float correction1, float correction2, float grad_scale,
          int n_threads):
    cdef Py_ssize_t n = weight.shape[0]
    need_at_least("adamw", "n_threads", n_threads, 1)
    need("adamw", "length of grad", grad.shape[0], n)
    need("adamw", "length of m", m.shape[0], n)
    need("adamw", "length of v", v.shape[0], n)
    if not 0 <= n_decayed <= n:
        raise ValueError(f"adamw: n_decayed must be in [0, {n}], got {n_decayed}")
    with nogil:
        rgz_active().adamw(&weight[0], &grad[0], &m[0], &v[0], n, n_decayed, lr, beta1, beta2, eps, weight_decay,
                           correction1, correction2, grad_scale, n_threads)


# --- csrc/text -----------------------------------------------------------------------------------------------------

include "_text.pxi"
include "_bpe.pxi"

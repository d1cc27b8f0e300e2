# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
# cython: embedsignature=True, embedsignature.format=clinic, allow_none_for_extension_args=False
# cython: freethreading_compatible=True
"""The only door to C: one function per kernel. It checks every shape, drops the GIL and calls; it never copies or
casts to repair. Meaning, shapes and sources of each kernel stand in the header of its file in csrc/kernels."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "rgz.h" nogil:
    ctypedef Py_ssize_t rgz_int
    int RGZ_ROW_BLOCK, RGZ_NORM_BLOCK, RGZ_MOMENT_BLOCK, RGZ_RELU, RGZ_GELU, RGZ_GELU_TANH, RGZ_F32, RGZ_BF16, RGZ_F16
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
        void (*cache_append)(void *, void *, const void *, const void *, const int32_t *, rgz_int, rgz_int, rgz_int,
                             rgz_int, rgz_int, rgz_int) noexcept nogil
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
        void (*adamw_int8)(float *, void *, float *, int8_t *, uint8_t *, float *, float *, rgz_int, rgz_int, float,
                           float, float, float, float, float, float, float, uint64_t, uint64_t, int) noexcept nogil

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
    int rgz_openmp_limit() nogil
    int rgz_openmp_cpus(int *cpus) nogil


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


def openmp_limit():
    """The most threads that OpenMP gives this program (OMP_THREAD_LIMIT), 1 without OpenMP."""
    return rgz_openmp_limit()


def openmp_cpus():
    """The CPUs over which OpenMP spreads a team that it binds to them (OMP_PROC_BIND); empty: it binds none."""
    cdef int count = rgz_openmp_cpus(NULL)
    cdef bytearray room = bytearray(max(count, 1) * sizeof(int))
    cdef int *cpus = <int *><char *>room
    rgz_openmp_cpus(cpus)
    return {cpus[i] for i in range(count)}


def attention_scratch(Py_ssize_t head_size, int n_threads):
    """Floats of scratch that the attention kernels need."""
    return rgz_attention_scratch_floats(head_size) * n_threads


def norm_scratch(Py_ssize_t rows, Py_ssize_t cols):
    """Floats of scratch that layernorm_backward needs; rmsnorm_backward needs half."""
    return (rows + RGZ_ROW_BLOCK - 1) // RGZ_ROW_BLOCK * 2 * cols


def squared_norm_scratch(Py_ssize_t n):
    """Doubles of scratch that squared_norm needs."""
    return (n + RGZ_NORM_BLOCK - 1) // RGZ_NORM_BLOCK


def moment_blocks(Py_ssize_t n, Py_ssize_t n_decayed):
    """Units of each moment that adamw_int8 needs."""
    return -(-n_decayed // RGZ_MOMENT_BLOCK) - (n_decayed - n) // RGZ_MOMENT_BLOCK


include "_checks.pxi"
include "_products.pxi"
include "_layers.pxi"
include "_attention.pxi"
include "_steps.pxi"
include "_forward.pxi"
include "_updates.pxi"
include "_text.pxi"
include "_vocabulary.pxi"
include "_bpe.pxi"

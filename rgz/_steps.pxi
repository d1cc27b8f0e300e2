# A call of a kernel as a value, and what makes it. Included by _kernels.pyx.

cdef struct Step  # a call of a kernel
ctypedef void (*Run)(const Step *) noexcept nogil

cdef struct Indices:
    # Into a table: `n` numbers in [first, limit), looked at before every call, for they may be others by then.
    const char *name
    const int32_t *values
    Py_ssize_t n, first, limit

cdef struct Step:
    # What a kernel is called with, in its own order: arrays, then sizes; `run` is the one place that reads them.
    Run run
    const char *kernel
    void *data[6]
    Py_ssize_t size[6]
    float number
    int storage, choice, n_threads
    Indices indices[2]


cdef Step step_of(str kernel, const char *name, Run run, int storage, int n_threads) except *:
    cdef Step step
    need_at_least(kernel, "n_threads", n_threads, 1)
    step.run, step.kernel, step.storage, step.n_threads = run, name, storage, n_threads
    step.indices[0].n = step.indices[1].n = 0
    return step


cdef int need_indices_of(const Step *step) except -1:
    cdef Py_ssize_t which, i
    cdef const Indices *indices
    for which in range(2):
        indices = &step.indices[which]
        for i in range(indices.n):
            if indices.values[i] < indices.first or indices.values[i] >= indices.limit:
                raise ValueError(f"{step.kernel.decode()}: {indices.name.decode()} must be in [{indices.first}, "
                                 f"{indices.limit}), got {indices.values[i]} at {i}")
    return 0


cdef void run_linear(const Step *s) noexcept nogil:
    rgz_active(s.storage).linear_forward(s.data[0], s.data[1], s.data[2], <float *> s.data[3], s.data[4], s.size[0],
                                         s.size[1], s.size[2], s.n_threads)


cdef void run_linear_activation(const Step *s) noexcept nogil:
    rgz_active(s.storage).linear_activation_forward(s.data[0], s.data[1], s.data[2], s.data[3], <float *> s.data[4],
                                                    s.choice, s.size[0], s.size[1], s.size[2], s.n_threads)


cdef void run_lm_logits(const Step *s) noexcept nogil:
    rgz_active(s.storage).lm_logits(<float *> s.data[0], s.data[1], s.data[2], <float *> s.data[3], s.size[0],
                                    s.size[1], s.size[2], s.n_threads)


cdef void run_layernorm(const Step *s) noexcept nogil:
    rgz_active(s.storage).layernorm_forward(s.data[0], <float *> s.data[1], <float *> s.data[2], s.data[3],
                                            <float *> s.data[4], <float *> s.data[5], s.size[0], s.size[1], s.number,
                                            s.n_threads)


cdef void run_rmsnorm(const Step *s) noexcept nogil:
    rgz_active(s.storage).rmsnorm_forward(s.data[0], <float *> s.data[1], s.data[2], <float *> s.data[3], s.size[0],
                                          s.size[1], s.number, s.n_threads)


cdef void run_swiglu(const Step *s) noexcept nogil:
    rgz_active(s.storage).swiglu_forward(s.data[0], s.data[1], s.size[0], s.size[1], s.n_threads)


cdef void run_embedding(const Step *s) noexcept nogil:
    rgz_active(s.storage).embedding_forward(s.data[0], <int32_t *> s.data[1], s.data[2], <int32_t *> s.data[3],
                                            s.data[4], s.size[0], s.size[1], s.n_threads)


cdef void run_rope(const Step *s) noexcept nogil:
    rgz_active(s.storage).rope(s.data[0], <int32_t *> s.data[1], <float *> s.data[2], <float *> s.data[3], s.size[0],
                               s.size[1], s.size[2], s.size[3], s.choice, s.n_threads)


cdef void run_cache_append(const Step *s) noexcept nogil:
    rgz_active(s.storage).cache_append(s.data[0], s.data[1], s.data[2], s.data[3], <int32_t *> s.data[4], s.size[0],
                                       s.size[1], s.size[2], s.size[3], s.size[4], s.size[5])


cdef void run_attention_decode(const Step *s) noexcept nogil:
    rgz_active(s.storage).attention_decode(s.data[0], s.data[1], s.data[2], s.data[3], <int32_t *> s.data[4],
                                           <float *> s.data[5], s.size[0], s.size[1], s.size[2], s.size[3], s.size[4],
                                           s.size[5], s.number, s.n_threads)

# Attention. Included by _kernels.pyx.

# --- attention.c, attention_backward.c, decode.c ------------------------------------------------------------------

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

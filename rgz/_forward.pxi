# The kernels of a forward pass, whose calls can be written down and made again. Included by _kernels.pyx.

_ACTIVATIONS = {"relu": RGZ_RELU, "gelu": RGZ_GELU, "gelu_tanh": RGZ_GELU_TANH}


cdef class Calls:
    """The kernels of a forward pass. Each runs when it is called."""

    cdef int take(self, const Step *step, tuple arrays) except -1:
        need_indices_of(step)
        with nogil:
            step.run(step)
        return 0

    # --- linear.c ---

    def linear_forward(self, y, x, weight, const float[::1] bias or None, residual, int n_threads):
        cdef Reals x_ = show("linear_forward", "x", x, 2, ANY)
        cdef Reals w = show("linear_forward", "weight", weight, 2, x_.storage)
        cdef Py_ssize_t rows = x_.shape[0], n_in = x_.shape[1], n_out = w.shape[0]
        cdef Step s = step_of("linear_forward", b"linear_forward", run_linear, x_.storage, n_threads)
        need("linear_forward", "weight columns", w.shape[1], n_in)
        s.data[0] = needed("linear_forward", "y", y, x_.storage, rows, n_out, True)
        s.data[1], s.data[2], s.data[3] = x_.data, w.data, NULL
        if bias is not None:
            need("linear_forward", "length of bias", bias.shape[0], n_out)
            s.data[3] = <void *> &bias[0]
        s.data[4] = table("linear_forward", "residual", residual, x_.storage, rows, n_out)
        need_blas_size("linear_forward", rows, n_in, n_out)
        s.size[0], s.size[1], s.size[2] = rows, n_in, n_out
        self.take(&s, (y, x, weight, bias, residual))

    def linear_activation_forward(self, activated, y, x, weight, const float[::1] bias or None, str activation,
                                  int n_threads):
        cdef str kernel = "linear_activation_forward"
        cdef Reals x_ = show(kernel, "x", x, 2, ANY), w = show(kernel, "weight", weight, 2, x_.storage)
        cdef Py_ssize_t rows = x_.shape[0], n_in = x_.shape[1], n_out = w.shape[0]
        cdef Step s = step_of(kernel, b"linear_activation_forward", run_linear_activation, x_.storage, n_threads)
        need(kernel, "weight columns", w.shape[1], n_in)
        s.data[0] = needed(kernel, "activated", activated, x_.storage, rows, n_out, True)
        s.data[1] = needed(kernel, "y", y, x_.storage, rows, n_out, True)
        s.data[2], s.data[3], s.data[4] = x_.data, w.data, NULL
        if bias is not None:
            need(kernel, "length of bias", bias.shape[0], n_out)
            s.data[4] = <void *> &bias[0]
        need_blas_size(kernel, rows, n_in, n_out)
        if activation not in _ACTIVATIONS:
            raise ValueError(f"{kernel}: activation must be one of {', '.join(_ACTIVATIONS)}, got '{activation}'")
        s.choice = _ACTIVATIONS[activation]
        s.size[0], s.size[1], s.size[2] = rows, n_in, n_out
        self.take(&s, (activated, y, x, weight, bias))

    def lm_logits(self, float[:, ::1] y, x, weight, const float[::1] bias or None, int n_threads):
        cdef Reals x_ = show("lm_logits", "x", x, 2, ANY), w = show("lm_logits", "weight", weight, 2, x_.storage)
        cdef Py_ssize_t rows = x_.shape[0], n_in = x_.shape[1], n_out = w.shape[0]
        cdef Step s = step_of("lm_logits", b"lm_logits", run_lm_logits, x_.storage, n_threads)
        need("lm_logits", "weight columns", w.shape[1], n_in)
        need("lm_logits", "y rows", y.shape[0], rows)
        need("lm_logits", "y columns", y.shape[1], n_out)
        need_blas_size("lm_logits", rows, n_in, n_out)
        s.data[0], s.data[1], s.data[2], s.data[3] = &y[0, 0], x_.data, w.data, NULL
        if bias is not None:
            need("lm_logits", "length of bias", bias.shape[0], n_out)
            s.data[3] = <void *> &bias[0]
        s.size[0], s.size[1], s.size[2] = rows, n_in, n_out
        self.take(&s, (y, x, weight, bias))

    # --- norm.c ---

    def layernorm_forward(self, y, float[::1] mean, float[::1] rstd, x, const float[::1] weight,
                          const float[::1] bias, float eps, int n_threads):
        cdef Reals x_ = show("layernorm_forward", "x", x, 2, ANY)
        cdef Py_ssize_t rows = x_.shape[0], cols = x_.shape[1]
        cdef Step s = step_of("layernorm_forward", b"layernorm_forward", run_layernorm, x_.storage, n_threads)
        s.data[0] = needed("layernorm_forward", "y", y, x_.storage, rows, cols, True)
        need("layernorm_forward", "length of mean", mean.shape[0], rows)
        need("layernorm_forward", "length of rstd", rstd.shape[0], rows)
        need("layernorm_forward", "length of weight", weight.shape[0], cols)
        need("layernorm_forward", "length of bias", bias.shape[0], cols)
        s.data[1], s.data[2], s.data[3] = &mean[0], &rstd[0], x_.data
        s.data[4], s.data[5] = <void *> &weight[0], <void *> &bias[0]
        s.size[0], s.size[1], s.number = rows, cols, eps
        self.take(&s, (y, mean, rstd, x, weight, bias))

    def rmsnorm_forward(self, y, float[::1] rstd, x, const float[::1] weight, float eps, int n_threads):
        cdef Reals x_ = show("rmsnorm_forward", "x", x, 2, ANY)
        cdef Py_ssize_t rows = x_.shape[0], cols = x_.shape[1]
        cdef Step s = step_of("rmsnorm_forward", b"rmsnorm_forward", run_rmsnorm, x_.storage, n_threads)
        s.data[0] = needed("rmsnorm_forward", "y", y, x_.storage, rows, cols, True)
        need("rmsnorm_forward", "length of rstd", rstd.shape[0], rows)
        need("rmsnorm_forward", "length of weight", weight.shape[0], cols)
        s.data[1], s.data[2], s.data[3] = &rstd[0], x_.data, <void *> &weight[0]
        s.size[0], s.size[1], s.number = rows, cols, eps
        self.take(&s, (y, rstd, x, weight))

    # --- activation.c ---

    def swiglu_forward(self, y, x, int n_threads):
        cdef Reals y_ = show("swiglu_forward", "y", y, 2, ANY, True)
        cdef Step s = step_of("swiglu_forward", b"swiglu_forward", run_swiglu, y_.storage, n_threads)
        s.data[0] = y_.data
        s.data[1] = needed("swiglu_forward", "x", x, y_.storage, y_.shape[0], 2 * y_.shape[1])
        s.size[0], s.size[1] = y_.shape[0], y_.shape[1]
        self.take(&s, (y, x))

    # --- embedding.c, rope.c ---

    def embedding_forward(self, out, const int32_t[::1] tokens, weight, const int32_t[::1] positions or None,
                          position_weight, int n_threads):
        cdef Reals w = show("embedding_forward", "weight", weight, 2, ANY), places
        cdef Py_ssize_t rows = tokens.shape[0], channels = w.shape[1]
        cdef Step s = step_of("embedding_forward", b"embedding_forward", run_embedding, w.storage, n_threads)
        s.data[0] = needed("embedding_forward", "out", out, w.storage, rows, channels, True)
        s.data[1], s.data[2], s.data[3], s.data[4] = <void *> &tokens[0], w.data, NULL, NULL
        s.indices[0] = Indices(b"tokens", &tokens[0], rows, 0, w.shape[0])
        if position_weight is not None:
            places = show("embedding_forward", "position_weight", position_weight, 2, w.storage)
            need("embedding_forward", "position_weight columns", places.shape[1], channels)
            need("embedding_forward", "length of positions", positions.shape[0], rows)
            s.indices[1] = Indices(b"positions", &positions[0], rows, 0, places.shape[0])
            s.data[3], s.data[4] = <void *> &positions[0], places.data
        s.size[0], s.size[1] = rows, channels
        self.take(&s, (out, tokens, weight, positions, position_weight))

    def rope(self, x, const int32_t[::1] positions, const float[:, ::1] cosines, const float[:, ::1] sines,
             bint inverse, int n_threads):
        cdef Reals x_ = show("rope", "x", x, 3, ANY, True, True)
        cdef Py_ssize_t rows = x_.shape[0], head_size = x_.shape[2]
        cdef Step s = step_of("rope", b"rope", run_rope, x_.storage, n_threads)
        if head_size % 2:
            raise ValueError(f"rope: head size of x must be even, got {head_size}")
        need("rope", "length of positions", positions.shape[0], rows)
        need("rope", "sines rows", sines.shape[0], cosines.shape[0])
        need("rope", "sines columns", sines.shape[1], head_size // 2)
        need("rope", "cosines columns", cosines.shape[1], head_size // 2)
        s.indices[0] = Indices(b"positions", &positions[0], rows, 0, cosines.shape[0])
        s.data[0], s.data[1] = x_.data, <void *> &positions[0]
        s.data[2], s.data[3] = <void *> &cosines[0, 0], <void *> &sines[0, 0]
        s.size[0], s.size[1], s.size[2], s.size[3] = rows, x_.stride, x_.shape[1], head_size
        s.choice = inverse
        self.take(&s, (x, positions, cosines, sines))

    # --- decode.c ---

    def cache_append(self, k_cache, v_cache, k, v, const int32_t[::1] lengths, int n_threads):
        cdef str kernel = "cache_append"
        cdef Reals k_ = show(kernel, "k", k, 3, ANY, False, True), v_ = show_like(kernel, "v", v, k_)
        cdef Reals keys = show(kernel, "k_cache", k_cache, 4, k_.storage, True)
        cdef Reals values = show(kernel, "v_cache", v_cache, 4, k_.storage, True)
        cdef Py_ssize_t batch = k_.shape[0], capacity = keys.shape[2], axis
        cdef Step s = step_of(kernel, b"cache_append", run_cache_append, k_.storage, n_threads)
        need(kernel, "k_cache batch", keys.shape[0], batch)
        need(kernel, "heads of k_cache", keys.shape[1], k_.shape[1])
        need(kernel, "head size of k_cache", keys.shape[3], k_.shape[2])
        for axis in range(4):
            need(kernel, f"v_cache axis {axis}", values.shape[axis], keys.shape[axis])
        need(kernel, "length of lengths", lengths.shape[0], batch)
        s.indices[0] = Indices(b"lengths", &lengths[0], batch, 1, capacity + 1)
        s.data[0], s.data[1], s.data[2], s.data[3] = keys.data, values.data, k_.data, v_.data
        s.data[4] = <void *> &lengths[0]
        s.size[0], s.size[1], s.size[2] = batch, k_.stride, v_.stride
        s.size[3], s.size[4], s.size[5] = capacity, k_.shape[1], k_.shape[2]
        self.take(&s, (k_cache, v_cache, k, v, lengths))

    def attention_decode(self, out, q, k_cache, v_cache, const int32_t[::1] lengths, float[:, :, ::1] scores,
                         float scale, int n_threads):
        cdef str kernel = "attention_decode"
        cdef Reals q_ = show(kernel, "q", q, 3, ANY, False, True), out_ = show_like(kernel, "out", out, q_, True)
        cdef Reals keys = show(kernel, "k_cache", k_cache, 4, q_.storage)
        cdef Reals values = show(kernel, "v_cache", v_cache, 4, q_.storage)
        cdef Py_ssize_t batch = q_.shape[0], heads = q_.shape[1], head_size = q_.shape[2]
        cdef Py_ssize_t kv_heads = keys.shape[1], capacity = keys.shape[2], axis
        cdef Step s = step_of(kernel, b"attention_decode", run_attention_decode, q_.storage, n_threads)
        need(kernel, "row stride of out", out_.stride, heads * head_size)
        need(kernel, "k_cache batch", keys.shape[0], batch)
        need(kernel, "head size of k_cache", keys.shape[3], head_size)
        for axis in range(4):
            need(kernel, f"v_cache axis {axis}", values.shape[axis], keys.shape[axis])
        if kv_heads < 1 or heads % kv_heads:
            raise ValueError(f"{kernel}: heads of q must be a multiple of those of k_cache, got {heads}, {kv_heads}")
        need(kernel, "length of lengths", lengths.shape[0], batch)
        need(kernel, "scores batch", scores.shape[0], batch)
        need(kernel, "heads of scores", scores.shape[1], heads)
        need(kernel, "capacity of scores", scores.shape[2], capacity)
        s.indices[0] = Indices(b"lengths", &lengths[0], batch, 1, capacity + 1)
        s.data[0], s.data[1], s.data[2], s.data[3] = out_.data, q_.data, keys.data, values.data
        s.data[4], s.data[5] = <void *> &lengths[0], &scores[0, 0, 0]
        s.size[0], s.size[1], s.size[2] = batch, q_.stride, capacity
        s.size[3], s.size[4], s.size[5] = heads, kv_heads, head_size
        s.number = scale
        self.take(&s, (out, q, k_cache, v_cache, lengths, scores))


cdef class Recording(Calls):
    """The same, and each call is written down: `play()` makes them all again, with what the arrays hold by then. For
    many small calls, of which checking and starting each takes as long as its work. Arrays are kept alive."""
    cdef Step *steps
    cdef Py_ssize_t count
    cdef list arrays

    def __cinit__(self):
        self.steps, self.count, self.arrays = NULL, 0, []

    def __dealloc__(self):
        PyMem_Free(self.steps)

    cdef int take(self, const Step *step, tuple arrays) except -1:
        cdef Step *steps
        Calls.take(self, step, arrays)
        steps = <Step *> PyMem_Realloc(self.steps, (self.count + 1) * sizeof(Step))
        if steps == NULL:
            raise MemoryError
        self.steps = steps
        self.steps[self.count] = step[0]
        self.count += 1
        self.arrays.append(arrays)
        return 0

    def play(self):
        """Make all calls again, in their order. ValueError, and nothing is done, if indices left their tables."""
        cdef Py_ssize_t i
        for i in range(self.count):
            need_indices_of(&self.steps[i])
        with nogil:
            for i in range(self.count):
                self.steps[i].run(&self.steps[i])


NOW = Calls()  # for a pass of which nothing is written down
linear_forward, linear_activation_forward = NOW.linear_forward, NOW.linear_activation_forward
lm_logits, layernorm_forward, rmsnorm_forward = NOW.lm_logits, NOW.layernorm_forward, NOW.rmsnorm_forward
swiglu_forward, embedding_forward, rope = NOW.swiglu_forward, NOW.embedding_forward, NOW.rope
cache_append, attention_decode = NOW.cache_append, NOW.attention_decode

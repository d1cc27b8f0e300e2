# What a call must hold before it goes to C, and arrays in any storage. Included by _kernels.pyx.

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
        if <size_t>view.buf % view.itemsize:
            raise ValueError(f"{kernel}: {what} must be aligned in memory; a copy of it is")
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

# Byte-level BPE: the two objects that live from call to call, and the cutting into pieces. See csrc/text/bpe.h.

cdef extern from "text/bpe.h" nogil:
    int RGZ_PATTERNS, RGZ_NO_MEMORY
    ctypedef struct rgz_piece_counts
    ctypedef struct rgz_bpe
    rgz_int rgz_piece_end(int, const uint8_t *, rgz_int, rgz_int)
    const char *rgz_unicode_version()
    rgz_piece_counts *rgz_count_new(int, int)
    void rgz_count_free(rgz_piece_counts *)
    int rgz_count_add(rgz_piece_counts *, const uint8_t *, const int64_t *, rgz_int)
    rgz_int rgz_bpe_train(rgz_piece_counts *, int32_t *, rgz_int, const int32_t *, int64_t)
    rgz_bpe *rgz_bpe_new(int, const int32_t *, const int32_t *, rgz_int)
    void rgz_bpe_free(rgz_bpe *)
    int rgz_bpe_encode(rgz_bpe *, int32_t *, int64_t *, const uint8_t *, const int64_t *, rgz_int, int, int)


def unicode_version():
    """Version of Unicode whose letters, numbers and white space the patterns of BPE know."""
    return rgz_unicode_version().decode()


cdef int need_pattern(str kernel, int pattern) except -1:
    if not 0 <= pattern < RGZ_PATTERNS:
        raise ValueError(f"{kernel}: pattern must be in [0, {RGZ_PATTERNS}), got {pattern}")
    return 0


cdef int need_documents(str kernel, const int64_t[::1] offsets, Py_ssize_t size) except -1:
    """Documents end to end: offsets rise from 0 to size; places in a document must fit 31 bits."""
    cdef Py_ssize_t i
    need_at_least(kernel, "length of offsets", offsets.shape[0], 1)
    need(kernel, "first offset", offsets[0], 0)
    need(kernel, "last offset", offsets[offsets.shape[0] - 1], size)
    for i in range(offsets.shape[0] - 1):
        if not 0 <= offsets[i + 1] - offsets[i] <= 2147483647:
            raise ValueError(f"{kernel}: a document must have 0 to 2**31 - 1 bytes, got {offsets[i + 1] - offsets[i]}")
    return 0


cdef int need_bytes_once(str kernel, const int32_t[::1] symbols, bint below_256) except -1:
    need(kernel, "length of byte_symbols", symbols.shape[0], 256)
    numbers = {symbols[i] for i in range(256)}
    if len(numbers) != 256 or min(numbers) < 0 or (below_256 and max(numbers) > 255):
        raise ValueError(f"{kernel}: byte_symbols must be 256 different symbols{' below 256' if below_256 else ''}")
    return 0


def piece_ends(const uint8_t[::1] text, int pattern):
    """Where each piece of one text ends."""
    cdef Py_ssize_t i = 0, n = text.shape[0]
    need_pattern("piece_ends", pattern)
    ends = []
    while i < n:
        i = rgz_piece_end(pattern, &text[0], n, i)
        ends.append(i)
    return ends


cdef class BPETrainer:
    """Counts the pieces of texts, then learns merges from the counts."""
    cdef rgz_piece_counts *counts

    def __cinit__(self, int pattern, int n_threads):
        need_pattern("BPETrainer", pattern)
        need_at_least("BPETrainer", "n_threads", n_threads, 1)
        self.counts = rgz_count_new(pattern, n_threads)
        if self.counts == NULL:
            raise MemoryError("BPETrainer")

    def __dealloc__(self):
        rgz_count_free(self.counts)

    def add(self, const uint8_t[::1] text, const int64_t[::1] offsets):
        cdef int result
        need_documents("BPETrainer.add", offsets, text.shape[0])
        if text.shape[0] == 0:
            return
        with nogil:
            result = rgz_count_add(self.counts, &text[0], &offsets[0], offsets.shape[0] - 1)
        if result < 0:
            raise MemoryError("BPETrainer.add: no memory for the pieces of the texts")

    def learn(self, int32_t[:, ::1] merges, const int32_t[::1] byte_symbols, int64_t min_count):
        """Write merges (most, 2): left, right; return how many there are. Merge m makes symbol 256 + m."""
        cdef rgz_int result
        need("BPETrainer.learn", "columns of merges", merges.shape[1], 2)
        need_at_least("BPETrainer.learn", "2**31 - 256 - rows of merges", 2147483392 - merges.shape[0], 0)
        need_bytes_once("BPETrainer.learn", byte_symbols, True)
        if merges.shape[0] == 0:
            return 0
        with nogil:
            result = rgz_bpe_train(self.counts, &merges[0, 0], merges.shape[0], &byte_symbols[0], min_count)
        if result < 0:
            raise MemoryError("BPETrainer.learn: no memory for the pairs of symbols")
        return result


cdef class BPEEncoder:
    """Merges by rank, and the memory of pieces that came up before."""
    cdef rgz_bpe *bpe
    cdef bint busy

    def __cinit__(self, int pattern, const int32_t[::1] byte_symbols, const int32_t[:, ::1] merges):
        need_pattern("BPEEncoder", pattern)
        need_bytes_once("BPEEncoder", byte_symbols, False)
        need("BPEEncoder", "columns of merges", merges.shape[1], 3)
        need_at_least("BPEEncoder", "2**31 - rows of merges", 2147483647 - merges.shape[0], 1)
        self.bpe = rgz_bpe_new(pattern, &byte_symbols[0], &merges[0, 0] if merges.shape[0] else NULL, merges.shape[0])
        if self.bpe == NULL:
            raise MemoryError("BPEEncoder: no memory for the table of merges")

    def __dealloc__(self):
        rgz_bpe_free(self.bpe)

    def encode(self, int32_t[::1] ids, int64_t[::1] lengths, const uint8_t[::1] text, const int64_t[::1] offsets,
               int n_threads):
        """Write the ids of all documents end to end, and how many each has; ids needs room for one a byte."""
        cdef int result
        cdef bint remember
        need_documents("BPEEncoder.encode", offsets, text.shape[0])
        need("BPEEncoder.encode", "length of lengths", lengths.shape[0], offsets.shape[0] - 1)
        need_at_least("BPEEncoder.encode", "length of ids", ids.shape[0], text.shape[0])
        need_at_least("BPEEncoder.encode", "n_threads", n_threads, 1)
        if text.shape[0] == 0:
            lengths[:] = 0
            return
        with cython.critical_section(self):  # what the GIL is elsewhere
            remember = not self.busy  # calls from other Python threads go without the memory of pieces
            self.busy = True
        with nogil:
            result = rgz_bpe_encode(self.bpe, &ids[0], &lengths[0], &text[0], &offsets[0], offsets.shape[0] - 1,
                                    remember, n_threads)
        if remember:
            self.busy = False
        if result < 0:
            raise MemoryError("BPEEncoder.encode: no memory for the pieces of the texts")

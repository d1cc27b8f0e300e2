# What words are looked up in, and counted by. Included by _kernels.pyx; meanings and shapes: csrc/text/text.h.

cdef extern from "text/text.h" nogil:
    ctypedef struct rgz_vocabulary:
        const uint32_t *characters
        const int64_t *offsets
        const int32_t *slots
        rgz_int n_slots
        int32_t first_id, first_byte_id
    ctypedef struct rgz_counter

    void rgz_vocabulary_build(int32_t *, rgz_int, const uint32_t *, const int64_t *, rgz_int)
    void rgz_text_encode(int32_t *, int64_t *, const rgz_dictionary *, const rgz_vocabulary *, const uint32_t *,
                         const int64_t *, rgz_int, void *, rgz_int, int)
    rgz_counter *rgz_counter_new()
    void rgz_counter_free(rgz_counter *)
    int rgz_counter_merge(rgz_counter *, const rgz_counter *)
    rgz_int rgz_counter_pieces(const rgz_counter *)
    rgz_int rgz_counter_characters(const rgz_counter *)
    void rgz_counter_items(const rgz_counter *, uint32_t *, int64_t *, int64_t *)
    int rgz_text_count(rgz_counter **, const rgz_dictionary *, const uint32_t *, const int64_t *, rgz_int, rgz_int,
                       void *, rgz_int, int)


cdef class TextVocabulary:
    """Pieces of text and their ids; arrays as in rgz_vocabulary, slots are filled here."""
    cdef const uint32_t[::1] characters
    cdef const int64_t[::1] offsets
    cdef int32_t[::1] slots
    cdef rgz_vocabulary v

    def __cinit__(self, const uint32_t[::1] characters, const int64_t[::1] offsets, int32_t[::1] slots,
                  int32_t first_id, int32_t first_byte_id):
        cdef Py_ssize_t n = offsets.shape[0] - 1, size = slots.shape[0]
        need_offsets("TextVocabulary", "offsets", offsets, characters.shape[0])
        if size <= n or size & (size - 1) or size > 1 << 30:
            raise ValueError(f"TextVocabulary: length of slots must be a power of two above {n}, got {size}")
        self.characters, self.offsets, self.slots = characters, offsets, slots
        self.v.characters, self.v.offsets, self.v.slots = &characters[0], &offsets[0], &slots[0]
        self.v.n_slots, self.v.first_id, self.v.first_byte_id = size, first_id, first_byte_id
        rgz_vocabulary_build(&slots[0], size, &characters[0], &offsets[0], n)


def text_encode(int32_t[::1] ids, int64_t[::1] counts, TextDictionary dictionary or None, TextVocabulary vocabulary,
                const uint32_t[::1] text, const int64_t[::1] spans, uint8_t[::1] scratch, int n_threads):
    """Write the ids of all spans one after another; returns their number. counts: ids of each span. Without a
    dictionary the pieces are characters."""
    cdef Py_ssize_t n = spans.shape[0] - 1, total, each
    cdef const rgz_dictionary *d = NULL if dictionary is None else dictionary.d
    need_offsets("text_encode", "spans", spans, text.shape[0])
    need("text_encode", "length of counts", counts.shape[0], n)
    need_at_least("text_encode", "length of ids", ids.shape[0], 4 * text.shape[0])
    each = need_scratch("text_encode", spans, scratch, n_threads)
    with nogil:
        rgz_text_encode(&ids[0], &counts[0], d, &vocabulary.v, &text[0], &spans[0], n, &scratch[0], each, n_threads)
        total = rgz_text_compact(&ids[0], &counts[0], &spans[0], n, 4)
    return total


cdef class TextCounter:
    """How often each piece occurs; n_threads tables, merged when they are asked for."""
    cdef rgz_counter *tables[MOST_TEAM]
    cdef int n

    def __cinit__(self, int n_threads):
        if not 1 <= n_threads <= MOST_TEAM:
            raise ValueError(f"TextCounter: n_threads must be in [1, {MOST_TEAM}], got {n_threads}")
        for i in range(n_threads):
            self.tables[i] = rgz_counter_new()
            self.n = i + 1
            if self.tables[i] == NULL:
                raise MemoryError

    def __dealloc__(self):
        for i in range(self.n):
            rgz_counter_free(self.tables[i])

    def add(self, TextDictionary dictionary or None, const uint32_t[::1] text, const int64_t[::1] spans,
            Py_ssize_t longest, uint8_t[::1] scratch, int n_threads):
        """Count the words of all spans, those of more than `longest` characters as characters; without a dictionary
        every character."""
        cdef Py_ssize_t n = spans.shape[0] - 1, each
        cdef const rgz_dictionary *d = NULL if dictionary is None else dictionary.d
        cdef int good
        need_offsets("TextCounter", "spans", spans, text.shape[0])
        need_at_least("TextCounter", "longest", longest, 1)
        need_at_most("TextCounter", "n_threads", n_threads, self.n)
        each = need_scratch("TextCounter", spans, scratch, n_threads)
        with nogil:
            good = rgz_text_count(&self.tables[0], d, &text[0], &spans[0], n, longest, &scratch[0], each, n_threads)
        if not good:
            raise MemoryError

    def sizes(self):
        """Merge the tables; returns (pieces, characters of all pieces)."""
        cdef int good = 1
        with nogil:
            for i in range(1, self.n):
                good &= rgz_counter_merge(self.tables[0], self.tables[i])
                rgz_counter_free(self.tables[i])
                self.tables[i] = rgz_counter_new()
                good &= self.tables[i] != NULL
        if not good:
            raise MemoryError
        return rgz_counter_pieces(self.tables[0]), rgz_counter_characters(self.tables[0])

    def items(self, uint32_t[::1] characters, int64_t[::1] offsets, int64_t[::1] counts):
        """Write every piece, in no order, and its count; sizes as `sizes` has told."""
        pieces, length = self.sizes()
        need("TextCounter", "length of characters", characters.shape[0], length)
        need("TextCounter", "length of offsets", offsets.shape[0], pieces + 1)
        need("TextCounter", "length of counts", counts.shape[0], pieces)
        rgz_counter_items(self.tables[0], &characters[0], &offsets[0], &counts[0])

# Chinese text to words, and their dictionary. Included by _kernels.pyx; meanings and shapes: csrc/text/text.h.

cdef extern from "Python.h":
    Py_UCS4 *PyUnicode_AsUCS4(object, Py_UCS4 *, Py_ssize_t, int) except NULL
    Py_ssize_t PyUnicode_GetLength(object) except -1
    object PyUnicode_Substring(object, Py_ssize_t, Py_ssize_t)

cdef extern from "text/text.h" nogil:
    int RGZ_HAN_FIRST, RGZ_HAN_LIMIT, RGZ_LONGEST_ENTRY
    ctypedef struct rgz_dictionary:
        uint8_t key[32]
        double unknown
        double start[4]
        double trans[4][4]
        uint16_t code[1]
        double emit[1][4]

    rgz_int rgz_dictionary_bytes(rgz_int, rgz_int)
    rgz_int rgz_dictionary_build(rgz_dictionary *, rgz_int, const uint16_t *, const int64_t *, const uint16_t *,
                                 rgz_int, rgz_int, const double *, rgz_int, void *)
    rgz_int rgz_dictionary_build_scratch(rgz_int, rgz_int, rgz_int)
    int rgz_dictionary_check(const rgz_dictionary *, rgz_int)
    rgz_int rgz_text_span_end(const uint32_t *, rgz_int, rgz_int, rgz_int)
    rgz_int rgz_text_spans(int64_t *, int64_t *, const uint32_t *, const int64_t *, rgz_int, rgz_int)
    rgz_int rgz_text_scratch_bytes(rgz_int)
    rgz_int rgz_text_cut_span(int32_t *, const rgz_dictionary *, const uint32_t *, rgz_int, int, void *)
    void rgz_text_cut(int32_t *, int64_t *, const rgz_dictionary *, const uint32_t *, const int64_t *,
                      const int32_t *, rgz_int, int, void *, rgz_int, int)
    rgz_int rgz_text_compact(int32_t *, const int64_t *, const int64_t *, rgz_int, rgz_int)

cdef enum:
    SPAN = 8192  # characters of a text that text_segment cuts at a time
    MADE_WORDS = 8192  # 2**13, see word_of
    MOST_TEAM = 1024  # threads: the most that rgz.threads hands out


cdef int need_at_most(str kernel, str what, Py_ssize_t got, Py_ssize_t most) except -1:
    if got > most:
        raise ValueError(f"{kernel}: {what} must be at most {most}, got {got}")
    return 0


cdef int need_offsets(str kernel, str what, const int64_t[::1] offsets, Py_ssize_t last) except -1:
    """Boundaries from 0 to `last` that never fall, none 2**31 or more after the one before."""
    cdef Py_ssize_t i, n = offsets.shape[0], bad = -1
    need_at_least(kernel, f"length of {what}", n, 1)
    need(kernel, f"last of {what}", offsets[n - 1] - offsets[0], last)
    with nogil:
        for i in range(n - 1):
            if offsets[i + 1] < offsets[i] or offsets[i + 1] - offsets[i] > 2147483647:
                bad = i
                break
    if bad >= 0:
        raise ValueError(f"{kernel}: {what} must rise by less than 2**31, got {offsets[bad]}, {offsets[bad + 1]}"
                         f" at {bad}")
    return 0


cdef Py_ssize_t need_scratch(str kernel, const int64_t[::1] spans, uint8_t[::1] scratch, int n_threads) except -1:
    """Bytes of scratch that each thread needs for the longest span."""
    cdef Py_ssize_t i, longest = 0, each
    if not 1 <= n_threads <= MOST_TEAM:
        raise ValueError(f"{kernel}: n_threads must be in [1, {MOST_TEAM}], got {n_threads}")
    for i in range(spans.shape[0] - 1):
        longest = max(longest, spans[i + 1] - spans[i])
    each = rgz_text_scratch_bytes(longest)
    need_at_least(kernel, "length of scratch", scratch.shape[0], each * n_threads)
    return each


# --- words as Python objects ---------------------------------------------------------------------------------------
# Texts repeat their words: making a str takes longer than finding one of three characters that was made before.

cdef list made_words = [None] * MADE_WORDS
cdef uint64_t made_keys[MADE_WORDS]  # their characters; 0: none
cdef object made_lock = object()


cdef object word_of(str text, const uint32_t *characters, Py_ssize_t start, Py_ssize_t end):
    """The str of text[start:end]."""
    cdef uint64_t key = 0
    cdef Py_ssize_t i, slot
    cdef object word = None
    if not 1 <= end - start <= 3:
        return PyUnicode_Substring(text, start, end)
    for i in range(start, end):
        key = key << 21 | (characters[i] + 1)
    slot = <Py_ssize_t> ((key * <uint64_t> 0x9E3779B97F4A7C15u) >> 51)
    with cython.critical_section(made_lock):  # what the GIL is elsewhere; a word and its key belong together
        if made_keys[slot] == key:
            word = made_words[slot]
    if word is None:
        word = PyUnicode_Substring(text, start, end)
        with cython.critical_section(made_lock):
            made_words[slot] = word
            made_keys[slot] = key
    return word


# --- text itself ---------------------------------------------------------------------------------------------------

def text_gather(list gathered, object texts, Py_ssize_t size, Py_ssize_t most, Py_ssize_t a_text):
    """Append to `gathered`, of that `size`, what the iterator `texts` gives, while size stays within `most`; each counts
    `a_text` besides its characters. Returns (size,) at the end of the texts, or (size, text) with one that does not fit
    or is no str, and is not appended."""
    cdef Py_ssize_t length
    cdef object done = object()
    while True:
        text = next(texts, done)  # not `for`, which asks it for an iterator again: some then start over
        if text is done:
            return size,
        if type(text) is not str:
            return size, text
        length = PyUnicode_GetLength(text) + a_text
        if size + length > most:
            return size, text
        gathered.append(text)
        size += length


def text_offsets(list texts, int64_t[::1] documents):
    """Where each text begins when they lie end to end; returns how many characters they have."""
    cdef Py_ssize_t i, at = 0
    need("text_offsets", "length of documents", documents.shape[0], len(texts) + 1)
    documents[0] = 0
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text_offsets: texts must be str, got {type(text).__name__} at {i}")
        at += PyUnicode_GetLength(text)
        documents[i + 1] = at
    return at


def text_pack(list texts, uint32_t[::1] out, const int64_t[::1] documents):
    """The characters of all texts end to end; documents: their text_offsets."""
    cdef Py_ssize_t i, n
    need("text_pack", "length of documents", documents.shape[0], len(texts) + 1)
    need_offsets("text_pack", "documents", documents, out.shape[0])
    need("text_pack", "first of documents", documents[0], 0)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text_pack: texts must be str, got {type(text).__name__} at {i}")
        n = documents[i + 1] - documents[i]
        need("text_pack", "length of a text", PyUnicode_GetLength(text), n)
        if n:
            PyUnicode_AsUCS4(text, <Py_UCS4 *> &out[documents[i]], n, 0)


def text_segment(str text, TextDictionary dictionary, bint hmm):
    """The words of one text."""
    cdef Py_ssize_t n = PyUnicode_GetLength(text), at = 0, start = 0, room = 0, end, words, w
    cdef uint32_t *characters = NULL
    cdef char *scratch = NULL
    cdef int32_t *ends
    cdef list pieces = []
    if not n:
        return pieces
    try:
        characters = <uint32_t *> PyMem_Malloc(n * sizeof(uint32_t))
        if characters == NULL:
            raise MemoryError
        PyUnicode_AsUCS4(text, <Py_UCS4 *> characters, n, 0)
        while start < n:
            end = rgz_text_span_end(characters, start, n, SPAN)
            if end - start > 2147483647:
                raise ValueError("text_segment: a run of characters must be shorter than 2**31")
            if end - start > room:
                room = end - start
                PyMem_Free(scratch)
                scratch = <char *> PyMem_Malloc(rgz_text_scratch_bytes(room))
                if scratch == NULL:
                    raise MemoryError
            ends = <int32_t *> scratch  # its part in the scratch
            with nogil:
                words = rgz_text_cut_span(ends, dictionary.d, characters + start, end - start, hmm, scratch)
            for w in range(words):
                pieces.append(word_of(text, characters, at, start + ends[w]))
                at = start + ends[w]
            start = end
    finally:
        PyMem_Free(characters)
        PyMem_Free(scratch)
    return pieces


def text_pieces(str text, const uint32_t[::1] characters, const int64_t[::1] ends):
    """The pieces of `text`, whose characters those are, that end there, as a list."""
    cdef Py_ssize_t i, at = 0, n = PyUnicode_GetLength(text)
    cdef list pieces = []
    need("text_pieces", "length of characters", characters.shape[0], n)
    for i in range(ends.shape[0]):
        if not at <= ends[i] <= n:
            raise ValueError(f"text_pieces: ends must rise up to {n}, got {ends[i]} at {i}")
        pieces.append(word_of(text, &characters[0], at, ends[i]))
        at = ends[i]
    return pieces


def text_spans(int64_t[::1] spans, int64_t[::1] first, const uint32_t[::1] text, const int64_t[::1] documents,
               Py_ssize_t length):
    cdef Py_ssize_t n = documents.shape[0] - 1, found
    need_offsets("text_spans", "documents", documents, text.shape[0])
    need("text_spans", "first of documents", documents[0], 0)
    need_at_least("text_spans", "length", length, 1)
    need("text_spans", "length of first", first.shape[0], n + 1)
    need_at_least("text_spans", "length of spans", spans.shape[0], n + text.shape[0] // length + 1)
    with nogil:
        found = rgz_text_spans(&spans[0], &first[0], &text[0], &documents[0], n, length)
    return found


def text_scratch(Py_ssize_t longest_span, int n_threads):
    """Bytes of scratch that cutting, encoding and counting need."""
    return rgz_text_scratch_bytes(longest_span) * n_threads


# --- dictionary ----------------------------------------------------------------------------------------------------

def dictionary_bytes(Py_ssize_t n_units, Py_ssize_t n_values):
    return rgz_dictionary_bytes(n_units, n_values)


def dictionary_build_scratch(Py_ssize_t n_nodes, Py_ssize_t n_codes, Py_ssize_t n_units):
    """Bytes of scratch that dictionary_build needs; n_nodes: one more than codes."""
    return rgz_dictionary_build_scratch(n_nodes, n_codes, n_units)


def dictionary_build(uint8_t[::1] block, Py_ssize_t n_units, const uint8_t[::1] key, const uint16_t[::1] codes,
                     const int64_t[::1] offsets, const uint16_t[::1] value, const double[::1] values,
                     const uint16_t[::1] code, Py_ssize_t n_codes, double unknown, const double[::1] start,
                     const double[:, ::1] trans, const double[:, ::1] emit, uint8_t[::1] scratch):
    """Fill `block` with a dictionary in at most n_units units; returns its bytes, 0 if they are too few."""
    cdef rgz_dictionary *d = <rgz_dictionary *> &block[0]
    cdef Py_ssize_t i, j, used, n = offsets.shape[0] - 1, n_values = values.shape[0]
    need_at_least("dictionary_build", "number of words", n, 1)
    if not 2 <= n_codes < n_units <= 1 << 30 or n_codes > 65536 or not 2 <= n_values <= 65536:
        raise ValueError(f"dictionary_build: n_codes and n_values must be in [2, 65536], n_units in (n_codes, 2**30], "
                         f"got {n_codes}, {n_values}, {n_units}")
    need("dictionary_build", "bytes of block", block.shape[0], rgz_dictionary_bytes(n_units, n_values))
    need("dictionary_build", "length of key", key.shape[0], 32)
    need_offsets("dictionary_build", "offsets", offsets, codes.shape[0])
    need("dictionary_build", "length of value", value.shape[0], n)
    need("dictionary_build", "length of code", code.shape[0], RGZ_HAN_LIMIT)
    need("dictionary_build", "length of start", start.shape[0], 4)
    need("dictionary_build", "rows of trans", trans.shape[0], 4)
    need("dictionary_build", "columns of trans", trans.shape[1], 4)
    need("dictionary_build", "rows of emit", emit.shape[0], RGZ_HAN_LIMIT - RGZ_HAN_FIRST)
    need("dictionary_build", "columns of emit", emit.shape[1], 4)
    need_at_least("dictionary_build", "length of scratch", scratch.shape[0],
                  rgz_dictionary_build_scratch(codes.shape[0] + 1, n_codes, n_units))
    for i in range(codes.shape[0]):
        if not 2 <= codes[i] < n_codes:
            raise ValueError(f"dictionary_build: codes must be in [2, {n_codes}), got {codes[i]} at {i}")
    for i in range(n):
        if value[i] >= n_values or not 1 <= offsets[i + 1] - offsets[i] <= RGZ_LONGEST_ENTRY:
            raise ValueError(f"dictionary_build: words must have 1 to {RGZ_LONGEST_ENTRY} codes and a value below "
                             f"{n_values}, got {offsets[i + 1] - offsets[i]} and {value[i]} at {i}")
    for i in range(32):
        d.key[i] = key[i]
    d.unknown = unknown
    for i in range(4):
        d.start[i] = start[i]
        for j in range(4):
            d.trans[i][j] = trans[i, j]
    for i in range(RGZ_HAN_LIMIT):
        d.code[i] = code[i]
    for i in range(RGZ_HAN_LIMIT - RGZ_HAN_FIRST):
        for j in range(4):
            d.emit[i][j] = emit[i, j]
    with nogil:
        used = rgz_dictionary_build(d, n_units, &codes[0], &offsets[0], &value[0], n, n_codes, &values[0], n_values,
                                    &scratch[0])
    return used


cdef class TextDictionary:
    """A block that dictionary_build has filled, checked so that no look-up can leave it."""
    cdef const uint8_t[::1] block
    cdef rgz_dictionary *d

    def __cinit__(self, const uint8_t[::1] block):
        if <size_t> &block[0] % 8 or not rgz_dictionary_check(<const rgz_dictionary *> &block[0], block.shape[0]):
            raise ValueError("TextDictionary: the block must be one that dictionary_build has filled")
        self.block = block  # keeps it alive
        self.d = <rgz_dictionary *> &block[0]

    @property
    def key(self):
        """The 32 bytes that dictionary_build was given."""
        return bytes([self.d.key[i] for i in range(32)])


def text_cut(int32_t[::1] ends, int64_t[::1] counts, TextDictionary dictionary, const uint32_t[::1] text,
             const int64_t[::1] spans, const int32_t[::1] starts, bint hmm, uint8_t[::1] scratch, int n_threads):
    """Write the ends of the words of all spans, each counted from where its document begins, one after another;
    returns their number. starts: where each span begins in its document. counts: words of each span."""
    cdef Py_ssize_t n = spans.shape[0] - 1, total, each
    need_offsets("text_cut", "spans", spans, text.shape[0])
    need("text_cut", "length of counts", counts.shape[0], n)
    need("text_cut", "length of starts", starts.shape[0], n)
    need_at_least("text_cut", "length of ends", ends.shape[0], text.shape[0])
    each = need_scratch("text_cut", spans, scratch, n_threads)
    with nogil:
        rgz_text_cut(&ends[0], &counts[0], dictionary.d, &text[0], &spans[0], &starts[0], n, hmm, &scratch[0], each,
                     n_threads)
        total = rgz_text_compact(&ends[0], &counts[0], &spans[0], n, 1)
    return total

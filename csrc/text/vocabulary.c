/* vocabulary.c - pieces to ids: a table of hashes with open addressing, and the fallback to characters and bytes. */
#include "piece.h"

void rgz_vocabulary_build(int32_t *slots, rgz_int n_slots, const uint32_t *characters, const int64_t *offsets,
                          rgz_int n_pieces) {
    for (rgz_int i = 0; i < n_slots; i++) slots[i] = -1;
    for (rgz_int p = 0; p < n_pieces; p++) {
        rgz_int slot = piece_hash(characters + offsets[p], offsets[p + 1] - offsets[p]) & (n_slots - 1);
        while (slots[slot] >= 0) slot = (slot + 1) & (n_slots - 1);
        slots[slot] = (int32_t)p;
    }
}

static int32_t find(const rgz_vocabulary *v, const uint32_t *piece, rgz_int length) {
    for (rgz_int slot = piece_hash(piece, length);; slot++) {
        const int32_t p = v->slots[slot & (v->n_slots - 1)];
        if (p < 0) return -1;
        if (v->offsets[p + 1] - v->offsets[p] == length && same_piece(v->characters + v->offsets[p], piece, length))
            return v->first_id + p;
    }
}

/* UTF-8; a lone surrogate is three bytes like its neighbours. */
static int32_t *put_bytes(int32_t *ids, uint32_t c, int32_t first_byte_id) {
    if (c < 0x80) {
        *ids++ = first_byte_id + (int32_t)c;
        return ids;
    }
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3; /* bytes after the first, six bits each */
    *ids++ = first_byte_id + (int32_t)((0xFF00u >> (more + 1) & 0xFF) | c >> 6 * more);
    for (int i = more; i-- > 0;) *ids++ = first_byte_id + (int32_t)(0x80 | (c >> 6 * i & 0x3F));
    return ids;
}

static int32_t *put_piece(int32_t *ids, const rgz_vocabulary *v, const uint32_t *piece, rgz_int length) {
    int32_t id = find(v, piece, length);
    if (id >= 0) {
        *ids++ = id;
        return ids;
    }
    if (length == 1) return put_bytes(ids, *piece, v->first_byte_id);
    for (rgz_int i = 0; i < length; i++) ids = put_piece(ids, v, piece + i, 1);
    return ids;
}

void rgz_text_encode(int32_t *ids, int64_t *counts, const rgz_dictionary *d, const rgz_vocabulary *v,
                     const uint32_t *text, const int64_t *spans, rgz_int n_spans, void *scratch, rgz_int scratch_bytes,
                     int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 16)
    for (rgz_int s = 0; s < n_spans; s++) {
        const uint32_t *span = text + spans[s] - spans[0];
        const rgz_int n = spans[s + 1] - spans[s];
        int32_t *first = ids + 4 * (spans[s] - spans[0]), *to = first;
        if (d) {
            int32_t *ends = (int32_t *)((char *)scratch + RGZ_THREAD() * scratch_bytes); /* its part in the scratch */
            const rgz_int words = rgz_text_cut_span(ends, d, span, n, 0, ends);
            for (rgz_int w = 0, at = 0; w < words; at = ends[w++]) to = put_piece(to, v, span + at, ends[w] - at);
        } else {
            for (rgz_int i = 0; i < n; i++) to = put_piece(to, v, span + i, 1);
        }
        counts[s] = to - first;
    }
}

/* piece.h - hashing and comparing pieces of text, for vocabularies and counters. */
#ifndef RGZ_TEXT_PIECE_H
#define RGZ_TEXT_PIECE_H

#include "text.h"
#include "thread.h"

static inline uint32_t piece_hash(const uint32_t *piece, rgz_int length) {
    uint64_t h = (uint64_t)length; /* times the golden ratio; high bits are folded into those that choose the slot */
    for (rgz_int i = 0; i < length; i++) {
        h = (h ^ piece[i]) * UINT64_C(0x9E3779B97F4A7C15);
        h ^= h >> 32;
    }
    return (uint32_t)h;
}

static inline int same_piece(const uint32_t *a, const uint32_t *b, rgz_int length) {
    for (rgz_int i = 0; i < length; i++)
        if (a[i] != b[i]) return 0;
    return 1;
}

#endif

/* bpe.h - byte-level byte pair encoding: counting pieces, learning merges, encoding.
 *
 * Symbols are int32. A text is cut into pieces (pretokenize.h); a piece begins as one symbol a byte; then, of all
 * neighbouring pairs that a merge is known for, the one learnt first (of equals the leftmost) becomes one symbol,
 * until there is none.
 * Sources: Sennrich, Haddow, Birch 2016, "Neural Machine Translation of Rare Words with Subword Units",
 * arXiv:1508.07909, algorithm 1; on bytes: Radford et al. 2019.
 * These functions allocate, as the number of pieces is not known before; where memory is refused, they say so
 * (RGZ_NO_MEMORY) and what they had is still to be freed. Results do not depend on the number of threads.
 */
#ifndef RGZ_BPE_H
#define RGZ_BPE_H

#include <string.h>
#include "text/pretokenize.h"

enum { RGZ_NO_MEMORY = -1 };

/* --- counting and learning: bpe_count.c, bpe_train.c --- */

/* The pieces of the texts seen, each once, with how often each stood there. */
typedef struct rgz_piece_counts rgz_piece_counts;

rgz_piece_counts *rgz_count_new(int pattern, int n_threads); /* NULL: no memory */
void rgz_count_free(rgz_piece_counts *counts);

/* Count the pieces of n_docs texts; document d is text[offsets[d] .. offsets[d + 1]). 0 or RGZ_NO_MEMORY. */
int rgz_count_add(rgz_piece_counts *counts, const uint8_t *text, const int64_t *offsets, rgz_int n_docs);

/* Learn merges until there are `most`, or no pair stands in the texts min_count times and more.
 * byte_symbols (256): the symbols that bytes begin as, 0..255 in any order; merge m makes symbol 256 + m.
 * WRITES merges (most, 2): left, right, in the order learnt; returns how many, or RGZ_NO_MEMORY.
 * The pair that stands there most often comes first, of equals the one with the smaller left, then right symbol. */
rgz_int rgz_bpe_train(rgz_piece_counts *counts, int32_t *merges, rgz_int most, const int32_t *byte_symbols,
                      int64_t min_count);

/* --- encoding: bpe_encode.c --- */

typedef struct rgz_bpe rgz_bpe;

/* byte_symbols (256); merges (n_merges, 3): left, right, made; of equal pairs the last counts. NULL: no memory. */
rgz_bpe *rgz_bpe_new(int pattern, const int32_t *byte_symbols, const int32_t *merges, rgz_int n_merges);
void rgz_bpe_free(rgz_bpe *bpe);

/* WRITES ids (at most one a byte, document after document without gaps) and the number of ids of each document to
 * lengths (n_docs). remember: pieces may be looked up and kept from call to call; of calls that overlap in time only
 * one may say so. 0 or RGZ_NO_MEMORY. */
int rgz_bpe_encode(rgz_bpe *bpe, int32_t *ids, int64_t *lengths, const uint8_t *text, const int64_t *offsets,
                   rgz_int n_docs, int remember, int n_threads);

/* --- shared by these files --- */

/* A stretch of one document that a thread takes: pieces beginning in [start, stop) of a document ending at end. */
typedef struct {
    rgz_int doc, start, stop, end;
} rgz_stretch;

/* WRITES the stretches of all documents and their number; NULL: no memory. The caller frees them. */
rgz_stretch *rgz_stretches(const uint8_t *text, const int64_t *offsets, rgz_int n_docs, rgz_int *n_stretches);

static inline uint64_t rgz_mix(uint64_t x) {
    x *= 0x9E3779B97F4A7C15u; /* 2^64 / golden ratio: Knuth, TAOCP 3, 6.4 */
    return x ^ x >> 32;
}

static inline uint64_t rgz_hash_bytes(const uint8_t *p, rgz_int n) {
    uint64_t hash = (uint64_t)n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = rgz_mix(hash ^ word);
    }
    uint64_t word = 0;
    for (rgz_int i = 0; i < n; i++) word |= (uint64_t)p[i] << 8 * i;
    return rgz_mix(rgz_mix(hash ^ word));
}

static inline uint64_t rgz_pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

#endif

/* text.h - Chinese text to words and to ids: the dictionary, cutting, vocabularies, counts.
 *
 * Text is UTF-32, one uint32_t a character; lone surrogates are characters like others. Nothing here is arithmetic on
 * vectors, so these files are compiled once, with the baseline flags, and are no kernels of kernels.def. Like those
 * they never print or exit, and threads own their outputs; only rgz_counter, whose size nobody knows beforehand,
 * allocates.
 *
 * A text is worked on in spans: short pieces whose boundaries no word can cross (rgz_text_spans). Threads take spans;
 * their boundaries depend on the text only, so results do not depend on the number of threads.
 */
#ifndef RGZ_TEXT_H
#define RGZ_TEXT_H

#include "rgz.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The dictionary cuts runs of U+4E00..U+9FD5, ASCII letters and digits and + # & . _ % - (see cut.c). */
#define RGZ_HAN_FIRST 0x4E00
#define RGZ_HAN_LIMIT 0x9FD6
#define RGZ_LONGEST_ENTRY 255 /* characters of a dictionary word */

/* One node of the trie: its child by code c stands at base + c and has the label c. */
typedef struct {
    int32_t base;
    uint16_t label; /* 0: an unused unit */
    uint16_t value; /* which of the values belongs to what the path from the root spells */
} rgz_unit;
enum {
    RGZ_NO_WORD,    /* only the beginning of words */
    RGZ_SPLIT_WORD, /* no word, and never one of the hidden Markov model's either */
    RGZ_WORD        /* this and above: values[it] is the word's log probability */
};

/* A dictionary is one block of memory without pointers, so that it can be a file. */
typedef struct {
    int64_t magic, bytes, checksum;
    int64_t n_units, n_values, n_codes;
    uint8_t key[32];              /* of what it was made from: the caller's */
    double unknown;               /* log probability of a character that is no word */
    double start[4], trans[4][4]; /* hidden Markov model, states B E M S in this order */
    double emit[RGZ_HAN_LIMIT - RGZ_HAN_FIRST][4];
    uint16_t code[(RGZ_HAN_LIMIT + 3) / 4 * 4]; /* of a character: 0 if it is not of a run, 1 if it is but in no word */
    rgz_unit units[];                           /* n_units, the root first; after them double values[n_values] */
} rgz_dictionary;
#define RGZ_VALUES(d) ((const double *)((d)->units + (d)->n_units))

/* trie.c */
rgz_int rgz_dictionary_bytes(rgz_int n_units, rgz_int n_values);
/* The trie of n_keys > 0 different keys in ascending order, key k the codes (2 <= code < n_codes) from offsets[k] to
 * offsets[k+1], at most RGZ_LONGEST_ENTRY; value[k] < n_values belongs to it. Returns the bytes used, or 0 if
 * `capacity` units are too few. Scratch: as the second function says of offsets[n_keys] + 1 nodes. key, unknown,
 * start, trans, emit and the codes of characters that are in a word are the caller's to fill in before. */
rgz_int rgz_dictionary_build(rgz_dictionary *d, rgz_int capacity, const uint16_t *codes, const int64_t *offsets,
                             const uint16_t *value, rgz_int n_keys, rgz_int n_codes, const double *values,
                             rgz_int n_values, void *scratch);
rgz_int rgz_dictionary_build_scratch(rgz_int n_nodes, rgz_int n_codes, rgz_int capacity);
/* 1 if the block is whole, its checksum is right and no look-up can leave it. */
int rgz_dictionary_check(const rgz_dictionary *d, rgz_int bytes);

/* cut.c */
int rgz_text_in_run(uint32_t character);
/* Where the span that starts there ends: after `length` characters, or later, where there is a boundary. */
rgz_int rgz_text_span_end(const uint32_t *text, rgz_int start, rgz_int end, rgz_int length);
/* Cuts each document into spans of about `length` characters, more only where there is no boundary. WRITES spans
 * (where each begins, and the end of the last) and first (n_documents + 1: its first span); returns their number, at
 * most n_documents + characters / length. An empty document has none. */
rgz_int rgz_text_spans(int64_t *spans, int64_t *first, const uint32_t *text, const int64_t *documents,
                       rgz_int n_documents, rgz_int length);
rgz_int rgz_text_scratch_bytes(rgz_int longest_span); /* for each thread */
/* WRITES the ends of the words of one span, counted from its start; returns how many. Scratch: as above. */
rgz_int rgz_text_cut_span(int32_t *ends, const rgz_dictionary *d, const uint32_t *text, rgz_int n, int hmm,
                          void *scratch);
/* Words of n_spans spans. WRITES ends, those of span s from text position spans[s] - spans[0] on, each counted from
 * where its document begins, which is starts[s] characters before the span, and counts (n_spans). */
void rgz_text_cut(int32_t *ends, int64_t *counts, const rgz_dictionary *d, const uint32_t *text, const int64_t *spans,
                  const int32_t *starts, rgz_int n_spans, int hmm, void *scratch, rgz_int scratch_bytes, int n_threads);

/* vocabulary.c: piece p is the characters from offsets[p] to offsets[p+1] and has the id first_id + p */
typedef struct {
    const uint32_t *characters;
    const int64_t *offsets;
    const int32_t *slots; /* n_slots, a power of two above the number of pieces; -1 is empty */
    rgz_int n_slots;
    int32_t first_id, first_byte_id;
} rgz_vocabulary;

void rgz_vocabulary_build(int32_t *slots, rgz_int n_slots, const uint32_t *characters, const int64_t *offsets,
                          rgz_int n_pieces);
/* Ids of n_spans spans; without a dictionary every character is a piece. A piece without an entry is written in its
 * characters, such a character in its bytes: at most 4 ids a character. WRITES ids, those of span s from 4 *
 * (spans[s] - spans[0]) on, and counts (n_spans). */
void rgz_text_encode(int32_t *ids, int64_t *counts, const rgz_dictionary *d, const rgz_vocabulary *v,
                     const uint32_t *text, const int64_t *spans, rgz_int n_spans, void *scratch, rgz_int scratch_bytes,
                     int n_threads);
/* Moves the results of all spans together, those of span s from stride * (spans[s] - spans[0]) on; returns their
 * number. */
rgz_int rgz_text_compact(int32_t *results, const int64_t *counts, const int64_t *spans, rgz_int n_spans,
                         rgz_int stride);

/* count.c: how often each piece occurs */
typedef struct rgz_counter rgz_counter;
rgz_counter *rgz_counter_new(void); /* NULL: no memory */
void rgz_counter_free(rgz_counter *c);
int rgz_counter_add(rgz_counter *c, const uint32_t *piece, rgz_int length, int64_t count); /* 0: no memory */
int rgz_counter_merge(rgz_counter *into, const rgz_counter *from);                         /* 0: no memory */
rgz_int rgz_counter_pieces(const rgz_counter *c);
rgz_int rgz_counter_characters(const rgz_counter *c); /* of all pieces together */
void rgz_counter_items(const rgz_counter *c, uint32_t *characters, int64_t *offsets, int64_t *counts);
/* Counts the pieces of n_spans spans, each thread in a counter of its own; a word longer than `longest` as its
 * characters. Returns 0 if memory ran out. */
int rgz_text_count(rgz_counter **counters, const rgz_dictionary *d, const uint32_t *text, const int64_t *spans,
                   rgz_int n_spans, rgz_int longest, void *scratch, rgz_int scratch_bytes, int n_threads);

#ifdef __cplusplus
}
#endif
#endif

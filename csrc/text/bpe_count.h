/* bpe_count.h - the pieces of a corpus with their counts, as bpe_count.c makes and bpe_train.c reads them. */
#ifndef RGZ_BPE_COUNT_H
#define RGZ_BPE_COUNT_H

#include "text/bpe.h"

typedef struct {
    uint64_t hash;
    int64_t count; /* 0: an empty place */
    rgz_int start; /* of the piece in bytes */
    rgz_int length;
} counted_piece;

/* Open addressing, at most half full; the pieces stand end to end in bytes. */
typedef struct {
    counted_piece *table;
    uint64_t mask;
    rgz_int used;
    uint8_t *bytes;
    rgz_int n_bytes, room;
} piece_map;

struct rgz_piece_counts {
    int pattern, n_maps;
    piece_map *maps; /* one for each thread */
};

/* Bring the counts of all threads into the first map. 0 or RGZ_NO_MEMORY. */
int rgz_count_gather(rgz_piece_counts *counts);

#endif

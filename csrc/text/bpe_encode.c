/* bpe_encode.c - texts to ids; see bpe.h.
 *
 * A short piece keeps the rank of each neighbouring pair in an array whose least element is looked for anew after each
 * merge: for the 30 bytes of a usual piece that is a few vector operations. From LONG_PIECE bytes on the pairs stand
 * in a heap over a doubly linked list, O(n log n): Chinese without punctuation makes pieces of any length.
 * Pieces that came up before are looked up; each thread has a memory of its own, replaced entry by entry.
 */
#include <stdlib.h>
#include "text/bpe.h"
#include "thread.h"

enum { LONG_PIECE = 160, NO_RANK = INT32_MAX };
enum { KEPT_BYTES = 46, KEPT_IDS = 20, KEPT_PIECES = 1 << 14, STRETCH = 1 << 15 };

typedef struct {
    uint64_t pair;
    int32_t rank, made; /* rank NO_RANK: an empty place */
} merge_entry;

typedef struct {
    uint8_t length, n; /* length 0: nothing kept here */
    uint8_t piece[KEPT_BYTES];
    int32_t ids[KEPT_IDS];
} kept_piece;

struct rgz_bpe {
    int pattern;
    int32_t byte_symbols[256];
    merge_entry *table; /* open addressing, at most half full */
    uint64_t mask;
    int32_t *made;     /* by rank */
    kept_piece **kept; /* a block of KEPT_PIECES for each thread that has encoded */
    int n_kept;
};

/* What one thread needs for long pieces, grown as they come. */
typedef struct {
    int32_t *links; /* symbol, rank, previous, next of each place */
    uint64_t *heap;
    rgz_int size;
} long_scratch;

/* --- the table of merges --- */

static merge_entry *find(const rgz_bpe *bpe, int32_t left, int32_t right) {
    const uint64_t pair = rgz_pair_key(left, right);
    uint64_t i = rgz_mix(pair) & bpe->mask;
    while (bpe->table[i].rank != NO_RANK && bpe->table[i].pair != pair) i = (i + 1) & bpe->mask;
    return &bpe->table[i];
}

static int32_t rank_of(const rgz_bpe *bpe, int32_t left, int32_t right) { return find(bpe, left, right)->rank; }

rgz_bpe *rgz_bpe_new(int pattern, const int32_t *byte_symbols, const int32_t *merges, rgz_int n_merges) {
    rgz_bpe *bpe = calloc(1, sizeof *bpe);
    if (!bpe) return NULL;
    uint64_t places = 16;
    while (places < 2 * (uint64_t)n_merges + 2) places *= 2;
    bpe->pattern = pattern;
    bpe->mask = places - 1;
    bpe->table = malloc(places * sizeof *bpe->table);
    bpe->made = malloc(((size_t)n_merges + 1) * sizeof *bpe->made);
    if (!bpe->table || !bpe->made) {
        rgz_bpe_free(bpe);
        return NULL;
    }
    memcpy(bpe->byte_symbols, byte_symbols, sizeof bpe->byte_symbols);
    for (uint64_t i = 0; i < places; i++) bpe->table[i] = (merge_entry){0, NO_RANK, 0};
    for (rgz_int rank = 0; rank < n_merges; rank++) {
        const int32_t *m = merges + 3 * rank;
        *find(bpe, m[0], m[1]) = (merge_entry){rgz_pair_key(m[0], m[1]), (int32_t)rank, m[2]};
        bpe->made[rank] = m[2];
    }
    return bpe;
}

void rgz_bpe_free(rgz_bpe *bpe) {
    if (!bpe) return;
    for (int i = 0; i < bpe->n_kept; i++) free(bpe->kept[i]);
    free(bpe->kept);
    free(bpe->table);
    free(bpe->made);
    free(bpe);
}

/* --- one piece; each WRITES the ids (at most n) and returns how many --- */

static rgz_int merge_short(const rgz_bpe *bpe, int32_t *ids, const uint8_t *piece, rgz_int n) {
    int32_t rank[LONG_PIECE];
    for (rgz_int i = 0; i < n; i++) ids[i] = bpe->byte_symbols[piece[i]];
    for (rgz_int i = 0; i + 1 < n; i++) rank[i] = rank_of(bpe, ids[i], ids[i + 1]);
    for (;;) {
        int32_t least = NO_RANK;
        for (rgz_int i = 0; i < n - 1; i++) least = rank[i] < least ? rank[i] : least;
        if (least == NO_RANK) return n;
        rgz_int i = 0;
        while (rank[i] != least) i++;
        ids[i] = bpe->made[least];
        n--;
        memmove(ids + i + 1, ids + i + 2, (size_t)(n - i - 1) * sizeof *ids);
        if (i + 1 < n) {
            memmove(rank + i + 1, rank + i + 2, (size_t)(n - i - 2) * sizeof *rank);
            rank[i] = rank_of(bpe, ids[i], ids[i + 1]);
        }
        if (i > 0) rank[i - 1] = rank_of(bpe, ids[i - 1], ids[i]);
    }
}

static void sift_up(uint64_t *heap, rgz_int i) {
    const uint64_t key = heap[i];
    for (; i > 0 && heap[(i - 1) / 2] > key; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = key;
}

static void sift_down(uint64_t *heap, rgz_int n, rgz_int i) {
    const uint64_t key = heap[i];
    for (rgz_int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= key) break;
        heap[i] = heap[child];
    }
    heap[i] = key;
}

static int reserve(long_scratch *scratch, rgz_int n) {
    if (n <= scratch->size) return 1;
    free(scratch->links);
    free(scratch->heap);
    scratch->links = malloc((size_t)n * 4 * sizeof *scratch->links);
    scratch->heap = malloc((size_t)n * 3 * sizeof *scratch->heap); /* a pair a place, and two new ones a merge */
    scratch->size = scratch->links && scratch->heap ? n : 0;
    return scratch->size != 0;
}

static rgz_int merge_long(const rgz_bpe *bpe, int32_t *ids, const uint8_t *piece, rgz_int n, long_scratch *scratch) {
    if (!reserve(scratch, n)) return RGZ_NO_MEMORY;
    int32_t *symbol = scratch->links, *rank = symbol + n, *previous = rank + n, *next = previous + n;
    uint64_t *heap = scratch->heap;
    rgz_int waiting = 0;
    for (rgz_int i = 0; i < n; i++) {
        symbol[i] = bpe->byte_symbols[piece[i]];
        previous[i] = (int32_t)i - 1;
        next[i] = (int32_t)i + 1;
    }
    for (rgz_int i = 0; i < n; i++) {
        rank[i] = i + 1 < n ? rank_of(bpe, symbol[i], symbol[i + 1]) : NO_RANK;
        if (rank[i] != NO_RANK) heap[waiting++] = (uint64_t)rank[i] << 32 | (uint64_t)i;
    }
    for (rgz_int i = waiting / 2 - 1; i >= 0; i--) sift_down(heap, waiting, i);
    while (waiting > 0) {
        const int32_t least = (int32_t)(heap[0] >> 32), i = (int32_t)heap[0];
        heap[0] = heap[--waiting];
        if (waiting > 0) sift_down(heap, waiting, 0);
        if (rank[i] != least) continue; /* that pair is gone */
        const int32_t gone = next[i], after = next[gone];
        symbol[i] = bpe->made[least];
        rank[gone] = NO_RANK;
        next[i] = after;
        if (after < n) previous[after] = i;
        const int32_t changed[2] = {previous[i], i};
        for (int k = 0; k < 2; k++) {
            const int32_t at = changed[k];
            if (at < 0) continue;
            rank[at] = next[at] < n ? rank_of(bpe, symbol[at], symbol[next[at]]) : NO_RANK;
            if (rank[at] == NO_RANK) continue;
            heap[waiting] = (uint64_t)rank[at] << 32 | (uint64_t)at;
            sift_up(heap, waiting++);
        }
    }
    rgz_int count = 0;
    for (rgz_int i = 0; i < n; i = next[i]) ids[count++] = symbol[i];
    return count;
}

/* --- texts --- */

static rgz_int encode_piece(const rgz_bpe *bpe, int32_t *ids, const uint8_t *piece, rgz_int n, kept_piece *kept,
                            long_scratch *scratch) {
    if (n >= LONG_PIECE) return merge_long(bpe, ids, piece, n, scratch);
    if (n == 1) {
        ids[0] = bpe->byte_symbols[piece[0]];
        return 1;
    }
    if (!kept || n > KEPT_BYTES) return merge_short(bpe, ids, piece, n);
    kept_piece *place = &kept[rgz_hash_bytes(piece, n) & (KEPT_PIECES - 1)];
    if (place->length == n && memcmp(place->piece, piece, (size_t)n) == 0) {
        memcpy(ids, place->ids, place->n * sizeof *ids);
        return place->n;
    }
    const rgz_int count = merge_short(bpe, ids, piece, n);
    if (count <= KEPT_IDS) {
        place->length = (uint8_t)n;
        place->n = (uint8_t)count;
        memcpy(place->piece, piece, (size_t)n);
        memcpy(place->ids, ids, (size_t)count * sizeof *ids);
    }
    return count;
}

/* WRITES the ids of a stretch and returns how many, or RGZ_NO_MEMORY. */
static rgz_int encode_stretch(const rgz_bpe *bpe, int32_t *ids, const uint8_t *text, const rgz_stretch *s,
                              kept_piece *kept) {
    long_scratch scratch = {NULL, NULL, 0};
    rgz_int count = 0;
    for (rgz_int i = s->start; i < s->stop;) {
        const rgz_int end = rgz_piece_end(bpe->pattern, text, s->end, i);
        const rgz_int n = encode_piece(bpe, ids + count, text + i, end - i, kept, &scratch);
        if (n < 0) {
            count = n;
            break;
        }
        count += n;
        i = end;
    }
    free(scratch.links);
    free(scratch.heap);
    return count;
}

/* A memory of pieces for each thread; where there is no memory for one, its thread does without. */
static void provide_memories(rgz_bpe *bpe, int n_threads) {
    if (bpe->n_kept >= n_threads) return;
    kept_piece **more = realloc(bpe->kept, (size_t)n_threads * sizeof *more);
    if (!more) return;
    bpe->kept = more;
    while (bpe->n_kept < n_threads) more[bpe->n_kept++] = calloc(KEPT_PIECES, sizeof **more);
}

rgz_stretch *rgz_stretches(const uint8_t *text, const int64_t *offsets, rgz_int n_docs, rgz_int *n_stretches) {
    const size_t most = (size_t)n_docs + (size_t)(offsets[n_docs] - offsets[0]) / STRETCH + 1;
    rgz_stretch *stretches = malloc(most * sizeof *stretches);
    *n_stretches = 0;
    if (!stretches) return NULL;
    for (rgz_int doc = 0; doc < n_docs; doc++) {
        const rgz_int end = (rgz_int)offsets[doc + 1];
        for (rgz_int start = (rgz_int)offsets[doc]; start < end;) {
            const rgz_int stop = end - start > STRETCH ? rgz_safe_cut(text, end, start + STRETCH) : end;
            stretches[(*n_stretches)++] = (rgz_stretch){doc, start, stop, end};
            start = stop;
        }
    }
    return stretches;
}

int rgz_bpe_encode(rgz_bpe *bpe, int32_t *ids, int64_t *lengths, const uint8_t *text, const int64_t *offsets,
                   rgz_int n_docs, int remember, int n_threads) {
    rgz_int n_stretches;
    rgz_stretch *stretches = rgz_stretches(text, offsets, n_docs, &n_stretches);
    rgz_int *counts = malloc(((size_t)n_stretches + 1) * sizeof *counts);
    if (!stretches || !counts) {
        free(stretches);
        free(counts);
        return RGZ_NO_MEMORY;
    }
    if (remember) provide_memories(bpe, n_threads);
#pragma omp parallel for schedule(dynamic, 4) num_threads(n_threads) if (n_threads > 1)
    for (rgz_int i = 0; i < n_stretches; i++) {
        const int thread = RGZ_THREAD();
        kept_piece *kept = remember && thread < bpe->n_kept ? bpe->kept[thread] : NULL;
        counts[i] = encode_stretch(bpe, ids + stretches[i].start - offsets[0], text, &stretches[i], kept);
    }
    rgz_int total = 0, failed = 0;
    memset(lengths, 0, (size_t)n_docs * sizeof *lengths);
    for (rgz_int i = 0; i < n_stretches; i++) {
        failed |= counts[i] < 0;
        if (failed) continue;
        memmove(ids + total, ids + stretches[i].start - offsets[0], (size_t)counts[i] * sizeof *ids);
        total += counts[i];
        lengths[stretches[i].doc] += counts[i];
    }
    free(stretches);
    free(counts);
    return failed ? RGZ_NO_MEMORY : 0;
}

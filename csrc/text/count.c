/* count.c - how often each piece of text occurs: a table with open addressing that grows. */
#include "piece.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t count, start; /* its characters in the arena */
    uint32_t hash;
    int32_t length; /* 0: an empty slot */
} entry;

struct rgz_counter {
    entry *slots;
    uint32_t *arena;
    rgz_int n_slots, pieces, used, capacity;
};

enum { FIRST_SLOTS = 1 << 12, FIRST_ARENA = 1 << 14 };

rgz_counter *rgz_counter_new(void) {
    rgz_counter *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->slots = calloc(FIRST_SLOTS, sizeof *c->slots);
    c->arena = malloc(FIRST_ARENA * sizeof *c->arena);
    c->n_slots = FIRST_SLOTS;
    c->capacity = FIRST_ARENA;
    if (c->slots && c->arena) return c;
    rgz_counter_free(c);
    return NULL;
}

void rgz_counter_free(rgz_counter *c) {
    if (!c) return;
    free(c->slots);
    free(c->arena);
    free(c);
}

static int grow_slots(rgz_counter *c) {
    const rgz_int n = 2 * c->n_slots;
    entry *slots = calloc((size_t)n, sizeof *slots);
    if (!slots) return 0;
    for (rgz_int i = 0; i < c->n_slots; i++) {
        if (!c->slots[i].length) continue;
        rgz_int slot = c->slots[i].hash & (n - 1);
        while (slots[slot].length) slot = (slot + 1) & (n - 1);
        slots[slot] = c->slots[i];
    }
    free(c->slots);
    c->slots = slots;
    c->n_slots = n;
    return 1;
}

static int grow_arena(rgz_counter *c, rgz_int length) {
    rgz_int capacity = c->capacity;
    while (capacity - c->used < length) capacity *= 2;
    uint32_t *arena = realloc(c->arena, (size_t)capacity * sizeof *arena);
    if (!arena) return 0;
    c->arena = arena;
    c->capacity = capacity;
    return 1;
}

static int add_hashed(rgz_counter *c, const uint32_t *piece, rgz_int length, uint32_t hash, int64_t count) {
    rgz_int slot = hash & (c->n_slots - 1);
    for (; c->slots[slot].length; slot = (slot + 1) & (c->n_slots - 1)) {
        entry *e = &c->slots[slot];
        if (e->hash == hash && e->length == length && same_piece(c->arena + e->start, piece, length)) {
            e->count += count;
            return 1;
        }
    }
    if (c->capacity - c->used < length && !grow_arena(c, length)) return 0;
    memcpy(c->arena + c->used, piece, (size_t)length * sizeof *piece);
    c->slots[slot] = (entry){.count = count, .start = c->used, .hash = hash, .length = (int32_t)length};
    c->used += length;
    c->pieces++;
    return 2 * c->pieces <= c->n_slots || grow_slots(c);
}

int rgz_counter_add(rgz_counter *c, const uint32_t *piece, rgz_int length, int64_t count) {
    return add_hashed(c, piece, length, piece_hash(piece, length), count);
}

int rgz_counter_merge(rgz_counter *into, const rgz_counter *from) {
    for (rgz_int i = 0; i < from->n_slots; i++) {
        const entry *e = &from->slots[i];
        if (e->length && !add_hashed(into, from->arena + e->start, e->length, e->hash, e->count)) return 0;
    }
    return 1;
}

rgz_int rgz_counter_pieces(const rgz_counter *c) { return c->pieces; }
rgz_int rgz_counter_characters(const rgz_counter *c) { return c->used; }

void rgz_counter_items(const rgz_counter *c, uint32_t *characters, int64_t *offsets, int64_t *counts) {
    rgz_int p = 0, at = 0;
    offsets[0] = 0;
    for (rgz_int i = 0; i < c->n_slots; i++) {
        const entry *e = &c->slots[i];
        if (!e->length) continue;
        memcpy(characters + at, c->arena + e->start, (size_t)e->length * sizeof *characters);
        at += e->length;
        counts[p++] = e->count;
        offsets[p] = at;
    }
}

static int count_piece(rgz_counter *c, const uint32_t *piece, rgz_int length, rgz_int longest) {
    if (length <= longest) return rgz_counter_add(c, piece, length, 1);
    int good = 1;
    for (rgz_int i = 0; i < length; i++) good &= rgz_counter_add(c, piece + i, 1, 1);
    return good;
}

int rgz_text_count(rgz_counter **counters, const rgz_dictionary *d, const uint32_t *text, const int64_t *spans,
                   rgz_int n_spans, rgz_int longest, void *scratch, rgz_int scratch_bytes, int n_threads) {
    int good = 1;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 16) reduction(& : good)
    for (rgz_int s = 0; s < n_spans; s++) {
        rgz_counter *c = counters[RGZ_THREAD()];
        const uint32_t *span = text + spans[s] - spans[0];
        const rgz_int n = spans[s + 1] - spans[s];
        if (d) {
            int32_t *ends = (int32_t *)((char *)scratch + RGZ_THREAD() * scratch_bytes);
            const rgz_int words = rgz_text_cut_span(ends, d, span, n, 0, ends);
            for (rgz_int w = 0, at = 0; w < words; at = ends[w++])
                good &= count_piece(c, span + at, ends[w] - at, longest);
        } else {
            good &= count_piece(c, span, n, 1);
        }
    }
    return good;
}

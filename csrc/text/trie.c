/* trie.c - the dictionary's words as a double-array trie.
 *
 * Node s has a child by code c if units[base(s) + c].label == c: one access a character, found or not. No two nodes
 * have the same base, so the label tells whose child it is. The nodes are listed first; then each gets a base where
 * all of its children find free units, those with most children first; then the units are filled in.
 * Source: Aoe 1989, "An efficient digital search algorithm by using a double-array structure", IEEE Trans. Software
 * Eng. 15(9).
 */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC (INT64_C(0x31007a6772) + ((int64_t)sizeof(rgz_dictionary) << 40)) /* "rgz", version, layout */
enum { TAKEN = -1 };

typedef struct {
    int32_t first, last; /* the keys that begin with it: first <= k < last */
    int32_t base;
    uint16_t depth, children;
} node;

typedef struct {
    const uint16_t *codes;
    const int64_t *offsets;
    node *nodes;
    int32_t *next, *before; /* the list of free units: TAKEN if it is not in the list */
    uint8_t *is_base;
    int32_t n_nodes, n_codes, capacity;
    int32_t free, end; /* the first free unit; units from `end` on are all free */
    int32_t from;      /* where to look next for a node about as wide as the last one */
} builder;

rgz_int rgz_dictionary_bytes(rgz_int n_units, rgz_int n_values) {
    return (rgz_int)(sizeof(rgz_dictionary) + (size_t)n_units * sizeof(rgz_unit) + (size_t)n_values * sizeof(double));
}

/* The keys of a node are sorted: perhaps its own word, then those of each child together. */
static int32_t first_child(const builder *b, const node *p) {
    return b->offsets[p->first + 1] - b->offsets[p->first] == p->depth ? p->first + 1 : p->first;
}

static uint16_t child_code(const builder *b, const node *p, int32_t k) { return b->codes[b->offsets[k] + p->depth]; }

static int32_t child_end(const builder *b, const node *p, int32_t k) {
    const uint16_t code = child_code(b, p, k);
    while (k < p->last && child_code(b, p, k) == code) k++;
    return k;
}

/* Breadth first: the children of a node follow one another, and those of the next node follow them. */
static void list_nodes(builder *b, int32_t n_keys) {
    b->nodes[0] = (node){.first = 0, .last = n_keys};
    b->n_nodes = 1;
    for (int32_t i = 0; i < b->n_nodes; i++) {
        node *p = &b->nodes[i];
        for (int32_t k = first_child(b, p), end; k < p->last; k = end) {
            end = child_end(b, p, k);
            b->nodes[b->n_nodes++] = (node){.first = k, .last = end, .depth = (uint16_t)(p->depth + 1)};
            p->children++;
        }
    }
}

static void take(builder *b, int32_t unit) {
    const int32_t next = b->next[unit], before = b->before[unit];
    if (unit == b->free)
        b->free = next;
    else
        b->next[before] = next;
    if (next < b->capacity) b->before[next] = before;
    b->next[unit] = TAKEN;
    if (unit >= b->end) b->end = unit + 1;
}

static int fits(const builder *b, int32_t base, const uint16_t *children, int n) {
    if (base < 1 || b->is_base[base]) return 0;
    for (int i = 0; i < n; i++)
        if (b->next[base + children[i]] == TAKEN) return 0;
    return 1;
}

/* Finds a base for these children and takes their units; returns 0 if the block is too small. */
static int32_t place(builder *b, const uint16_t *children, int n) {
    const int32_t lowest = children[0], last = b->capacity - b->n_codes + lowest;
    int32_t unit = b->from, before = 0;
    while (unit <= last && !fits(b, unit - lowest, children, n)) before = unit, unit = b->next[unit];
    if (unit > last) return 0;
    for (int i = 0; i < n; i++) take(b, unit - lowest + children[i]);
    b->is_base[unit - lowest] = 1;
    b->from = before ? before : b->free;
    return unit - lowest;
}

static int by_children(const void *a, const void *b) { /* as many: in their order */
    const node *p = *(node *const *)a, *q = *(node *const *)b;
    if (p->children != q->children) return p->children > q->children ? -1 : 1;
    return p < q ? -1 : p > q;
}

static int find_bases(builder *b, node **order, uint16_t *children) {
    int32_t n_inner = 0;
    int narrow = 0; /* each time that nodes are much narrower, holes left by wider ones are worth looking at again */
    for (int32_t i = 0; i < b->n_nodes; i++)
        if (b->nodes[i].children) order[n_inner++] = &b->nodes[i];
    qsort(order, (size_t)n_inner, sizeof *order, by_children);
    for (int32_t i = 0; i < n_inner; i++) {
        node *p = order[i];
        int n = 0;
        for (int32_t k = first_child(b, p); k < p->last; k = child_end(b, p, k)) children[n++] = child_code(b, p, k);
        if (!i || n <= narrow) b->from = b->free, narrow = n > 16 ? n * 3 / 4 : n - 1;
        p->base = place(b, children, n);
        if (!p->base) return 0;
    }
    return 1;
}

/* Gives node i of the list the unit that its parent's base and its code say. */
static void fill_units(const builder *b, rgz_unit *units, const uint16_t *value, int32_t *unit_of) {
    memset(units, 0, (size_t)b->capacity * sizeof *units);
    unit_of[0] = 0;
    for (int32_t i = 0, child = 1; i < b->n_nodes; i++) {
        const node *p = &b->nodes[i];
        units[unit_of[i]].base = p->base;
        units[unit_of[i]].value = first_child(b, p) > p->first ? value[p->first] : RGZ_NO_WORD;
        for (int c = 0; c < p->children; c++, child++) {
            const uint16_t code = child_code(b, p, b->nodes[child].first);
            unit_of[child] = p->base + code;
            units[unit_of[child]].label = code;
        }
    }
}

/* Four sums at a time of 64-bit words, each multiplied by an odd number: as fast as memory is read. */
static int64_t checksum(const rgz_dictionary *d) {
    const uint64_t *words = (const uint64_t *)&d->n_units;
    const rgz_int n = (d->bytes - (rgz_int)offsetof(rgz_dictionary, n_units)) / 8;
    uint64_t sum[4] = {1, 2, 3, 4};
    for (rgz_int i = 0; i < n; i++) {
        uint64_t *s = &sum[i & 3];
        *s = (*s ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15);
        *s ^= *s >> 29;
    }
    return (int64_t)(sum[0] ^ sum[1] * 3 ^ sum[2] * 5 ^ sum[3] * 7);
}

rgz_int rgz_dictionary_build(rgz_dictionary *d, rgz_int capacity, const uint16_t *codes, const int64_t *offsets,
                             const uint16_t *value, rgz_int n_keys, rgz_int n_codes, const double *values,
                             rgz_int n_values, void *scratch) {
    const rgz_int most_nodes = offsets[n_keys] + 1;
    node **order = scratch;
    builder b = {codes, offsets, .n_codes = (int32_t)n_codes, .capacity = (int32_t)capacity, .free = 1, .end = 1};
    b.nodes = (node *)(order + most_nodes);
    b.next = (int32_t *)(b.nodes + most_nodes);
    b.before = b.next + capacity;
    uint16_t *children = (uint16_t *)(b.before + capacity);
    b.is_base = (uint8_t *)(children + n_codes);

    memset(b.is_base, 0, (size_t)capacity);
    for (int32_t i = 0; i < b.capacity; i++) b.next[i] = i + 1, b.before[i] = i - 1;
    b.next[0] = TAKEN; /* by the root */
    list_nodes(&b, (int32_t)n_keys);
    if (!find_bases(&b, order, children)) return 0;
    fill_units(&b, d->units, value, (int32_t *)order);

    for (uint32_t c = 0; c < RGZ_HAN_LIMIT; c++)
        if (!d->code[c]) d->code[c] = (uint16_t)rgz_text_in_run(c);
    d->n_units = 0; /* so many that no look-up needs to check where it goes */
    for (int32_t i = 0; i < b.n_nodes; i++)
        if (b.nodes[i].base + n_codes > d->n_units) d->n_units = b.nodes[i].base + n_codes;
    memmove(d->units + d->n_units, values, (size_t)n_values * sizeof *values);
    d->magic = MAGIC;
    d->n_codes = n_codes;
    d->n_values = n_values;
    d->bytes = rgz_dictionary_bytes((rgz_int)d->n_units, n_values);
    d->checksum = checksum(d);
    return (rgz_int)d->bytes;
}

rgz_int rgz_dictionary_build_scratch(rgz_int n_nodes, rgz_int n_codes, rgz_int capacity) {
    return n_nodes * (rgz_int)(sizeof(node *) + sizeof(node)) + capacity * (2 * (rgz_int)sizeof(int32_t) + 1) +
           n_codes * (rgz_int)sizeof(uint16_t);
}

int rgz_dictionary_check(const rgz_dictionary *d, rgz_int bytes) {
    if (bytes < rgz_dictionary_bytes(1, 2) || d->magic != MAGIC || d->bytes != bytes || d->checksum != checksum(d))
        return 0;
    if (d->n_codes < 2 || d->n_codes > d->n_units || d->n_values < RGZ_WORD) return 0;
    if (d->n_units > bytes || d->n_values > bytes) return 0; /* before their product can overflow */
    if (d->bytes != rgz_dictionary_bytes((rgz_int)d->n_units, (rgz_int)d->n_values)) return 0;
    for (rgz_int c = 0; c < RGZ_HAN_LIMIT; c++)
        if (d->code[c] >= d->n_codes) return 0;
    for (rgz_int i = 0; i < d->n_units; i++) {
        const rgz_unit *u = &d->units[i];
        if (u->base < 0 || u->base > d->n_units - d->n_codes || u->value >= d->n_values) return 0;
    }
    return 1;
}

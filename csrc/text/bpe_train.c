/* bpe_train.c - learning merges; see bpe.h.
 *
 * The pieces are kept once each, as rows of symbols with their counts. A pair knows how often it stands there, and a
 * heap holds the pairs, each with the pieces it came up in. The most frequent one is merged in these pieces, which
 * changes the counts of the pairs beside it only; a count in the heap that is out of date is noticed when it is on
 * top. A merge costs the length of the pieces it touches.
 *
 * A new symbol stands only where its pair was merged, so no pair comes up again once it is merged, and no two pairs
 * spell the same symbol: whatever was merged inside a stretch of bytes does not depend on what stands around it.
 */
#include <stdlib.h>
#include "text/bpe_count.h"

typedef struct {
    int32_t *pieces;
    int32_t n, room;
} piece_list;

typedef struct {
    int64_t count;
    int32_t left, right;
    int32_t open; /* number in lists of the pieces it came up in since the last merge, -1: none */
} known_pair;

typedef struct {
    int64_t count;
    int32_t pair, list;
} candidate;

typedef struct {
    int32_t *symbols; /* of all pieces */
    rgz_int *starts;
    int32_t *lengths;
    int64_t *counts;
    rgz_int n_pieces;

    known_pair *pairs;
    int32_t n_pairs, pairs_room;
    int32_t *pair_table; /* open addressing: number of a pair, -1: empty */
    uint64_t pair_mask;

    piece_list *lists;
    int32_t n_lists, lists_room;
    int32_t *spare; /* numbers of lists that can be used again; as much room as lists */
    int32_t n_spare;
    int32_t *touched; /* pairs with an open list; as much room as pairs */
    int32_t n_touched;

    candidate *heap;
    rgz_int n_heap, heap_room;
} learner;

/* An array with twice the room, or NULL: the old one is still there. */
static void *grown(void *array, int32_t *room, size_t size) {
    const int32_t more = *room ? 2 * *room : 4;
    void *result = *room > INT32_MAX / 2 ? NULL : realloc(array, (size_t)more * size);
    if (result) *room = more;
    return result;
}

static void release(learner *l) {
    for (int32_t i = 0; i < l->n_lists; i++) free(l->lists[i].pieces);
    void *all[] = {l->symbols,    l->starts, l->lengths, l->counts,  l->pairs,
                   l->pair_table, l->lists,  l->spare,   l->touched, l->heap};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* --- pairs --- */

static int grow_pairs(learner *l) {
    int32_t room = l->pairs_room;
    known_pair *pairs = grown(l->pairs, &room, sizeof *pairs);
    if (!pairs) return RGZ_NO_MEMORY;
    l->pairs = pairs;
    int32_t *touched = grown(l->touched, &l->pairs_room, sizeof *touched);
    if (!touched) return RGZ_NO_MEMORY;
    l->touched = touched;
    const uint64_t places = 4 * (uint64_t)room;
    int32_t *table = malloc(places * sizeof *table);
    if (!table) return RGZ_NO_MEMORY;
    for (uint64_t i = 0; i < places; i++) table[i] = -1;
    for (int32_t p = 0; p < l->n_pairs; p++) {
        uint64_t i = rgz_mix(rgz_pair_key(l->pairs[p].left, l->pairs[p].right)) & (places - 1);
        while (table[i] >= 0) i = (i + 1) & (places - 1);
        table[i] = p;
    }
    free(l->pair_table);
    l->pair_table = table;
    l->pair_mask = places - 1;
    return 0;
}

/* The number of a pair, a new one with count 0 if it was not known; or RGZ_NO_MEMORY. */
static int32_t pair_number(learner *l, int32_t left, int32_t right) {
    if (l->n_pairs == l->pairs_room && grow_pairs(l) < 0) return RGZ_NO_MEMORY;
    uint64_t i = rgz_mix(rgz_pair_key(left, right)) & l->pair_mask;
    for (int32_t p; (p = l->pair_table[i]) >= 0; i = (i + 1) & l->pair_mask)
        if (l->pairs[p].left == left && l->pairs[p].right == right) return p;
    l->pair_table[i] = l->n_pairs;
    l->pairs[l->n_pairs] = (known_pair){0, left, right, -1};
    return l->n_pairs++;
}

static int grow_lists(learner *l) {
    int32_t room = l->lists_room;
    piece_list *lists = grown(l->lists, &room, sizeof *lists);
    if (!lists) return RGZ_NO_MEMORY;
    l->lists = lists;
    int32_t *spare = grown(l->spare, &l->lists_room, sizeof *spare);
    if (!spare) return RGZ_NO_MEMORY;
    l->spare = spare;
    return 0;
}

static int open_list(learner *l, int32_t pair) {
    if (!l->n_spare) {
        if (l->n_lists == l->lists_room && grow_lists(l) < 0) return RGZ_NO_MEMORY;
        l->lists[l->n_lists] = (piece_list){NULL, 0, 0};
        l->spare[l->n_spare++] = l->n_lists++;
    }
    l->pairs[pair].open = l->spare[--l->n_spare];
    l->touched[l->n_touched++] = pair;
    return 0;
}

static void drop_list(learner *l, int32_t list) {
    free(l->lists[list].pieces);
    l->lists[list] = (piece_list){NULL, 0, 0};
    l->spare[l->n_spare++] = list;
}

/* The pair stands in `piece` more often (by > 0) or less often. */
static int change(learner *l, int32_t left, int32_t right, int64_t by, int32_t piece) {
    const int32_t number = pair_number(l, left, right);
    if (number < 0) return RGZ_NO_MEMORY;
    l->pairs[number].count += by;
    if (by < 0) return 0;
    if (l->pairs[number].open < 0 && open_list(l, number) < 0) return RGZ_NO_MEMORY;
    piece_list *list = &l->lists[l->pairs[number].open];
    if (list->n && list->pieces[list->n - 1] == piece) return 0;
    if (list->n == list->room) {
        int32_t *pieces = grown(list->pieces, &list->room, sizeof *pieces);
        if (!pieces) return RGZ_NO_MEMORY;
        list->pieces = pieces;
    }
    list->pieces[list->n++] = piece;
    return 0;
}

/* --- the heap: the most frequent first, of equals the smaller pair --- */

static int before(const learner *l, candidate a, candidate b) {
    if (a.count != b.count) return a.count > b.count;
    const known_pair *p = &l->pairs[a.pair], *q = &l->pairs[b.pair];
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static void sift_down(learner *l, candidate c) {
    rgz_int i = 0;
    for (rgz_int child; (child = 2 * i + 1) < l->n_heap; i = child) {
        if (child + 1 < l->n_heap && before(l, l->heap[child + 1], l->heap[child])) child++;
        if (!before(l, l->heap[child], c)) break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = c;
}

static int push(learner *l, candidate c) {
    if (l->n_heap == l->heap_room) {
        const rgz_int room = l->heap_room ? 2 * l->heap_room : 1 << 12;
        candidate *heap = realloc(l->heap, (size_t)room * sizeof *heap);
        if (!heap) return RGZ_NO_MEMORY;
        l->heap = heap;
        l->heap_room = room;
    }
    rgz_int i = l->n_heap++;
    for (; i > 0 && before(l, c, l->heap[(i - 1) / 2]); i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = c;
    return 0;
}

/* Close the lists of all pairs that came up: those that still stand somewhere become candidates. */
static int push_touched(learner *l) {
    for (int32_t i = 0; i < l->n_touched; i++) {
        known_pair *p = &l->pairs[l->touched[i]];
        const candidate c = {p->count, l->touched[i], p->open};
        p->open = -1;
        if (c.count <= 0)
            drop_list(l, c.list);
        else if (push(l, c) < 0)
            return RGZ_NO_MEMORY;
    }
    l->n_touched = 0;
    return 0;
}

/* The candidate to merge next, its count up to date; 0 if none is frequent enough. */
static int pop(learner *l, int64_t least, candidate *top) {
    while (l->n_heap > 0) {
        *top = l->heap[0];
        const int64_t count = l->pairs[top->pair].count;
        const int current = count == top->count;
        if (current && count < least) return 0;
        top->count = count;
        if (!current) {
            sift_down(l, *top);
            continue;
        }
        l->n_heap--;
        if (l->n_heap > 0) sift_down(l, l->heap[l->n_heap]);
        return 1;
    }
    return 0;
}

/* --- pieces --- */

static int start_pieces(learner *l, const piece_map *map, const int32_t *byte_symbols) {
    const size_t n = (size_t)map->used + 1;
    if (map->used > INT32_MAX) return RGZ_NO_MEMORY;
    l->symbols = malloc(((size_t)map->n_bytes + 1) * sizeof *l->symbols);
    l->starts = malloc(n * sizeof *l->starts);
    l->lengths = malloc(n * sizeof *l->lengths);
    l->counts = malloc(n * sizeof *l->counts);
    if (!l->symbols || !l->starts || !l->lengths || !l->counts) return RGZ_NO_MEMORY;
    for (rgz_int i = 0; i < map->n_bytes; i++) l->symbols[i] = byte_symbols[map->bytes[i]];
    for (uint64_t i = 0; map->table && i <= map->mask; i++) {
        const counted_piece *p = &map->table[i];
        if (!p->count) continue;
        l->starts[l->n_pieces] = p->start;
        l->lengths[l->n_pieces] = (int32_t)p->length;
        l->counts[l->n_pieces++] = p->count;
    }
    for (int32_t piece = 0; piece < l->n_pieces; piece++) {
        const int32_t *s = l->symbols + l->starts[piece];
        for (int32_t i = 0; i + 1 < l->lengths[piece]; i++)
            if (change(l, s[i], s[i + 1], l->counts[piece], piece) < 0) return RGZ_NO_MEMORY;
    }
    return push_touched(l);
}

static int merge_in_piece(learner *l, int32_t piece, int32_t left, int32_t right, int32_t made) {
    int32_t *s = l->symbols + l->starts[piece];
    const int32_t n = l->lengths[piece];
    const int64_t count = l->counts[piece];
    int32_t k = 0;
    for (int32_t i = 0; i < n;) {
        if (s[i] != left || i + 1 == n || s[i + 1] != right) {
            s[k++] = s[i++];
            continue;
        }
        if (k > 0 && (change(l, s[k - 1], left, -count, piece) < 0 || change(l, s[k - 1], made, count, piece) < 0))
            return RGZ_NO_MEMORY;
        s[k++] = made;
        i += 2;
        if (i < n && (change(l, right, s[i], -count, piece) < 0 || change(l, made, s[i], count, piece) < 0))
            return RGZ_NO_MEMORY;
    }
    l->lengths[piece] = k;
    return 0;
}

static rgz_int learn(learner *l, int32_t *merges, rgz_int most, int64_t min_count) {
    rgz_int n = 0;
    candidate top;
    while (n < most && pop(l, min_count > 1 ? min_count : 1, &top)) {
        const int32_t left = l->pairs[top.pair].left, right = l->pairs[top.pair].right, made = (int32_t)n + 256;
        merges[2 * n] = left;
        merges[2 * n++ + 1] = right;
        for (int32_t i = 0; i < l->lists[top.list].n; i++)
            if (merge_in_piece(l, l->lists[top.list].pieces[i], left, right, made) < 0) return RGZ_NO_MEMORY;
        drop_list(l, top.list);
        if (push_touched(l) < 0) return RGZ_NO_MEMORY;
    }
    return n;
}

rgz_int rgz_bpe_train(rgz_piece_counts *counts, int32_t *merges, rgz_int most, const int32_t *byte_symbols,
                      int64_t min_count) {
    learner l;
    memset(&l, 0, sizeof l);
    rgz_int n = RGZ_NO_MEMORY;
    if (rgz_count_gather(counts) == 0 && start_pieces(&l, &counts->maps[0], byte_symbols) == 0)
        n = learn(&l, merges, most, min_count);
    release(&l);
    return n;
}

/* bpe_count.c - how often each piece stands in a corpus; see bpe.h. Every thread counts into a map of its own. */
#include <stdlib.h>
#include "text/bpe_count.h"
#include "thread.h"

/* Learning walks through a whole piece at each merge in it, so a longer one (megabytes of letters without a space)
 * is cut at a character: it loses the pairs across the cuts. */
enum { LONGEST_PIECE = 4096, FIRST_PLACES = 1 << 12, FIRST_BYTES = 1 << 16 };

rgz_piece_counts *rgz_count_new(int pattern, int n_threads) {
    rgz_piece_counts *counts = calloc(1, sizeof *counts);
    if (!counts) return NULL;
    counts->pattern = pattern;
    counts->n_maps = n_threads;
    counts->maps = calloc((size_t)n_threads, sizeof *counts->maps);
    if (counts->maps) return counts;
    free(counts);
    return NULL;
}

static void empty_map(piece_map *map) {
    free(map->table);
    free(map->bytes);
    *map = (piece_map){NULL, 0, 0, NULL, 0, 0};
}

void rgz_count_free(rgz_piece_counts *counts) {
    if (!counts) return;
    for (int i = 0; i < counts->n_maps; i++) empty_map(&counts->maps[i]);
    free(counts->maps);
    free(counts);
}

static int grow_table(piece_map *map) {
    const uint64_t places = map->table ? 2 * (map->mask + 1) : FIRST_PLACES;
    counted_piece *table = calloc(places, sizeof *table);
    if (!table) return RGZ_NO_MEMORY;
    for (uint64_t old = 0; map->table && old <= map->mask; old++) {
        if (!map->table[old].count) continue;
        uint64_t i = map->table[old].hash & (places - 1);
        while (table[i].count) i = (i + 1) & (places - 1);
        table[i] = map->table[old];
    }
    free(map->table);
    map->table = table;
    map->mask = places - 1;
    return 0;
}

static int grow_bytes(piece_map *map, rgz_int more) {
    rgz_int room = map->room ? map->room : FIRST_BYTES;
    while (room < map->n_bytes + more) room *= 2;
    if (room == map->room) return 0;
    uint8_t *bytes = realloc(map->bytes, (size_t)room);
    if (!bytes) return RGZ_NO_MEMORY;
    map->bytes = bytes;
    map->room = room;
    return 0;
}

static int add(piece_map *map, const uint8_t *piece, rgz_int n, uint64_t hash, int64_t count) {
    if ((!map->table || 2 * (uint64_t)map->used > map->mask) && grow_table(map) < 0) return RGZ_NO_MEMORY;
    uint64_t i = hash & map->mask;
    for (; map->table[i].count; i = (i + 1) & map->mask) {
        counted_piece *p = &map->table[i];
        if (p->hash == hash && p->length == n && memcmp(map->bytes + p->start, piece, (size_t)n) == 0) {
            p->count += count;
            return 0;
        }
    }
    if (grow_bytes(map, n) < 0) return RGZ_NO_MEMORY;
    map->table[i] = (counted_piece){hash, count, map->n_bytes, n};
    memcpy(map->bytes + map->n_bytes, piece, (size_t)n);
    map->n_bytes += n;
    map->used++;
    return 0;
}

static int count_stretch(piece_map *map, int pattern, const uint8_t *text, const rgz_stretch *s) {
    for (rgz_int start = s->start; start < s->stop;) {
        const rgz_int end = rgz_piece_end(pattern, text, s->end, start);
        while (start < end) {
            rgz_int stop = end - start > LONGEST_PIECE ? start + LONGEST_PIECE : end;
            while (stop < end && (text[stop] & 0xC0) == 0x80 && stop > start + 1) stop--;
            const rgz_int n = stop - start;
            if (n > 1 && add(map, text + start, n, rgz_hash_bytes(text + start, n), 1) < 0) return RGZ_NO_MEMORY;
            start = stop;
        }
    }
    return 0;
}

int rgz_count_add(rgz_piece_counts *counts, const uint8_t *text, const int64_t *offsets, rgz_int n_docs) {
    rgz_int n_stretches;
    rgz_stretch *stretches = rgz_stretches(text, offsets, n_docs, &n_stretches);
    char *failed = calloc((size_t)counts->n_maps, 1);
    int result = stretches && failed ? 0 : RGZ_NO_MEMORY;
    if (result == 0) {
#pragma omp parallel for schedule(dynamic, 4) num_threads(counts->n_maps) if (counts->n_maps > 1)
        for (rgz_int i = 0; i < n_stretches; i++) {
            const int thread = RGZ_THREAD();
            if (count_stretch(&counts->maps[thread], counts->pattern, text, &stretches[i]) < 0) failed[thread] = 1;
        }
        for (int i = 0; i < counts->n_maps; i++)
            if (failed[i]) result = RGZ_NO_MEMORY;
    }
    free(stretches);
    free(failed);
    return result;
}

int rgz_count_gather(rgz_piece_counts *counts) {
    for (int m = 1; m < counts->n_maps; m++) {
        const piece_map *map = &counts->maps[m];
        for (uint64_t i = 0; map->table && i <= map->mask; i++) {
            const counted_piece *p = &map->table[i];
            if (p->count && add(&counts->maps[0], map->bytes + p->start, p->length, p->hash, p->count) < 0)
                return RGZ_NO_MEMORY;
        }
        empty_map(&counts->maps[m]);
    }
    return 0;
}

/* cut.c - text to words, the very words that jieba 0.42.1 gives.
 *
 * A text is a sequence of runs of U+4E00..U+9FD5, ASCII letters and digits and + # & . _ % -, and of other characters,
 * each of which is a word ("\r\n" together is one). In a run, the words of the dictionary form a graph; the path of
 * the largest product of their frequencies is taken, a character that is no word counting as seen once:
 *
 *   score[n] = 0,  score[k] = max over words k..i  of  log p(word) + score[i],  among equals the longest word
 *
 * Without the hidden Markov model, neighbouring single letters and digits of the path are then joined. With it, what
 * it left in single characters is cut again, unless those together are a word: their Han characters into words by the
 * most probable sequence of the states B E M S (begin, end, middle, single), the others into numbers, letters, signs.
 * All sums are of doubles in jieba's order, so that equals are equals.
 * Source: jieba's documentation; Viterbi 1967, "Error bounds for convolutional codes", IEEE Trans. Inf. Theory 13(2).
 */
#include "piece.h"

#include <string.h>

enum { B, E, M, S };
static const uint8_t BEFORE[4][2] = {{E, S}, {B, M}, {B, M}, {E, S}}; /* the states that may precede B E M S */

static int is_digit(uint32_t c) { return c - '0' < 10; }
static int is_alphanumeric(uint32_t c) { return is_digit(c) || (c | 32) - 'a' < 26; }
static int is_han(uint32_t c) { return c - RGZ_HAN_FIRST < RGZ_HAN_LIMIT - RGZ_HAN_FIRST; }

int rgz_text_in_run(uint32_t c) {
    return is_han(c) || (c < 128 && (is_alphanumeric(c) || (c && strchr("+#&._%-", (int)c) != NULL)));
}

/* Whether no word reaches across the boundary before text[i], i > 0. */
static int is_boundary(const uint32_t *text, rgz_int i) {
    if (text[i] == '\n' && text[i - 1] == '\r') return 0;
    return !rgz_text_in_run(text[i]) || !rgz_text_in_run(text[i - 1]);
}

rgz_int rgz_text_span_end(const uint32_t *text, rgz_int start, rgz_int end, rgz_int length) {
    if (end - start <= length) return end;
    rgz_int at = start + length;
    while (at < end && !is_boundary(text, at)) at++;
    return at;
}

rgz_int rgz_text_spans(int64_t *spans, int64_t *first, const uint32_t *text, const int64_t *documents,
                       rgz_int n_documents, rgz_int length) {
    rgz_int n = 0;
    for (rgz_int d = 0; d < n_documents; d++) {
        first[d] = n;
        for (rgz_int at = documents[d], end = documents[d + 1]; at < end;) {
            spans[n++] = at;
            at = rgz_text_span_end(text, at, end, length);
        }
    }
    first[n_documents] = n;
    spans[n] = documents[n_documents];
    return n;
}

/* The parts of a thread's scratch, for a span of n characters. */
typedef struct {
    int32_t *ends;    /* n, of whoever wants them kept aside */
    uint16_t *codes;  /* n */
    uint8_t *lengths; /* n: of the best word from each character on; later the states before, one bit a state */
} scratch;

static scratch parts(void *memory, rgz_int n) {
    scratch s = {memory, NULL, NULL};
    s.codes = (uint16_t *)(s.ends + n);
    s.lengths = (uint8_t *)(s.codes + n);
    return s;
}

rgz_int rgz_text_scratch_bytes(rgz_int longest_span) { return (longest_span * 7 + 63) / 64 * 64; }

static void best_path(uint8_t *lengths, const rgz_dictionary *d, const uint16_t *codes, rgz_int n) {
    const rgz_unit *units = d->units;
    const double *values = RGZ_VALUES(d);
    const int32_t base = units[0].base;
    double score[RGZ_LONGEST_ENTRY + 1]; /* a ring: of the characters that a word from here can reach */
    score[n & RGZ_LONGEST_ENTRY] = 0.0;
    for (rgz_int k = n; k-- > 0;) {
        double best = d->unknown + score[(k + 1) & RGZ_LONGEST_ENTRY];
        int length = 1, found = 0;
        const rgz_unit *unit = &units[base + codes[k]];
        for (rgz_int i = k + 1; unit->label == codes[i - 1]; i++) {
            if (unit->value >= RGZ_WORD) {
                const double candidate = values[unit->value] + score[i & RGZ_LONGEST_ENTRY];
                if (!found || candidate >= best) best = candidate, length = (int)(i - k), found = 1;
            }
            if (i == n) break;
            unit = &units[unit->base + codes[i]];
        }
        score[k & RGZ_LONGEST_ENTRY] = best;
        lengths[k] = (uint8_t)length;
    }
}

/* What `codes` spell: RGZ_NO_WORD, RGZ_SPLIT_WORD, or a word. */
static int value_of(const rgz_dictionary *d, const uint16_t *codes, rgz_int n) {
    const rgz_unit *unit = &d->units[0];
    for (rgz_int i = 0; i < n; i++) {
        unit = &d->units[unit->base + codes[i]];
        if (unit->label != codes[i]) return RGZ_NO_WORD;
    }
    return unit->value;
}

/* Where words go: each function appends the ends of its words and returns the new number. */
typedef struct {
    const rgz_dictionary *d;
    const uint32_t *text; /* the run */
    const uint16_t *codes;
    uint8_t *lengths;
    int32_t *ends;
    int32_t start; /* of the run in its span */
} run;

static rgz_int emit_hidden_word(const run *r, rgz_int from, rgz_int to, rgz_int at) {
    if (value_of(r->d, r->codes + from, to - from) == RGZ_SPLIT_WORD)
        while (++from < to) r->ends[at++] = r->start + (int32_t)from;
    r->ends[at++] = r->start + (int32_t)to;
    return at;
}

static rgz_int cut_hidden_han(const run *r, rgz_int from, rgz_int to, rgz_int at) {
    double v[4], next[4];
    uint8_t *before = r->lengths; /* bit y: which of its two predecessors state y had */
    for (int y = 0; y < 4; y++) v[y] = r->d->start[y] + r->d->emit[r->text[from] - RGZ_HAN_FIRST][y];
    for (rgz_int t = from + 1; t < to; t++) {
        const double *emit = r->d->emit[r->text[t] - RGZ_HAN_FIRST];
        uint8_t bits = 0;
        for (int y = 0; y < 4; y++) {
            const int p = BEFORE[y][0], q = BEFORE[y][1];
            const double from_p = v[p] + r->d->trans[p][y] + emit[y], from_q = v[q] + r->d->trans[q][y] + emit[y];
            const int later = from_q >= from_p; /* of equals, the later letter */
            next[y] = later ? from_q : from_p;
            bits |= (uint8_t)(later << y);
        }
        before[t] = bits;
        memcpy(v, next, sizeof v);
    }
    int state = v[S] >= v[E] ? S : E;
    for (rgz_int t = to - 1; t >= from; t--) { /* the states take the place of the bits */
        const int earlier = t > from ? BEFORE[state][before[t] >> state & 1] : 0;
        before[t] = (uint8_t)state;
        state = earlier;
    }
    rgz_int begin = from;
    for (rgz_int t = from; t < to; t++) {
        if (before[t] == B || before[t] == S) begin = t;
        if (before[t] == E || before[t] == S) at = emit_hidden_word(r, begin, t + 1, at);
    }
    return at;
}

/* Numbers such as 3.14% and words of letters; what stands between them, together. */
static rgz_int cut_hidden_other(const run *r, rgz_int from, rgz_int to, rgz_int at) {
    while (from < to) {
        rgz_int i = from;
        if (!is_alphanumeric(r->text[i])) {
            while (i < to && !is_alphanumeric(r->text[i])) i++;
        } else {
            while (i < to && is_alphanumeric(r->text[i])) i++;
            if (i + 1 < to && r->text[i] == '.' && is_digit(r->text[i + 1]))
                for (i++; i < to && is_digit(r->text[i]);) i++;
            if (i < to && r->text[i] == '%') i++;
        }
        r->ends[at++] = r->start + (int32_t)i;
        from = i;
    }
    return at;
}

static rgz_int cut_hidden(const run *r, rgz_int from, rgz_int to, rgz_int at) {
    if (to - from == 1 || value_of(r->d, r->codes + from, to - from) >= RGZ_WORD) {
        while (from < to) r->ends[at++] = r->start + (int32_t)++from;
        return at;
    }
    while (from < to) {
        rgz_int i = from;
        const int han = is_han(r->text[i]);
        while (i < to && is_han(r->text[i]) == han) i++;
        at = han ? cut_hidden_han(r, from, i, at) : cut_hidden_other(r, from, i, at);
        from = i;
    }
    return at;
}

/* Characters of the path from `from` to `to` that waited for what comes after them. */
static rgz_int emit_held(const run *r, rgz_int from, rgz_int to, int hmm, rgz_int at) {
    if (from == to) return at;
    if (hmm) return cut_hidden(r, from, to, at);
    r->ends[at++] = r->start + (int32_t)to;
    return at;
}

static rgz_int emit_path(const run *r, rgz_int n, int hmm, rgz_int at) {
    rgz_int held = 0, x = 0; /* characters held..x wait */
    while (x < n) {
        const rgz_int length = r->lengths[x];
        if (length == 1 && (hmm || is_alphanumeric(r->text[x]))) {
            x++;
            continue;
        }
        at = emit_held(r, held, x, hmm, at);
        held = x += length;
        r->ends[at++] = r->start + (int32_t)x;
    }
    return emit_held(r, held, n, hmm, at);
}

rgz_int rgz_text_cut_span(int32_t *ends, const rgz_dictionary *d, const uint32_t *text, rgz_int n, int hmm,
                          void *memory) {
    const scratch s = parts(memory, n);
    rgz_int at = 0;
    for (rgz_int i = 0; i < n;) {
        const rgz_int start = i;
        uint16_t code;
        while (i < n && text[i] < RGZ_HAN_LIMIT && (code = d->code[text[i]])) s.codes[i++ - start] = code;
        if (i > start) {
            const run r = {d, text + start, s.codes, s.lengths, ends, (int32_t)start};
            best_path(s.lengths, d, s.codes, i - start);
            at = emit_path(&r, i - start, hmm, at);
        } else {
            i += text[i] == '\r' && i + 1 < n && text[i + 1] == '\n' ? 2 : 1;
            ends[at++] = (int32_t)i;
        }
    }
    return at;
}

void rgz_text_cut(int32_t *ends, int64_t *counts, const rgz_dictionary *d, const uint32_t *text, const int64_t *spans,
                  const int32_t *starts, rgz_int n_spans, int hmm, void *memory, rgz_int scratch_bytes, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 16)
    for (rgz_int s = 0; s < n_spans; s++) {
        int32_t *words = ends + spans[s] - spans[0];
        counts[s] = rgz_text_cut_span(words, d, text + spans[s] - spans[0], spans[s + 1] - spans[s], hmm,
                                      (char *)memory + RGZ_THREAD() * scratch_bytes);
        for (rgz_int w = 0; w < counts[s]; w++) words[w] += starts[s];
    }
}

rgz_int rgz_text_compact(int32_t *results, const int64_t *counts, const int64_t *spans, rgz_int n_spans,
                         rgz_int stride) {
    rgz_int total = 0;
    for (rgz_int s = 0; s < n_spans; s++) {
        memmove(results + total, results + stride * (spans[s] - spans[0]), (size_t)counts[s] * sizeof *results);
        total += counts[s];
    }
    return total;
}

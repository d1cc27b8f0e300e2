/* pretokenize.c - see pretokenize.h. */
#include "text/pretokenize.h"
#include "unicode_classes.h"

enum { OTHER, LETTER, NUMBER, SPACE };

typedef struct {
    int32_t code;
    int kind;
    rgz_int next; /* where the following character begins */
} character;

static int continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

static character read_at(const uint8_t *text, rgz_int n, rgz_int i) {
    const uint8_t *p = text + i;
    int32_t code = p[0];
    rgz_int length = 1;
    if (code >= 0xC2 && code < 0xE0 && n - i > 1 && continues(p[1])) {
        code = (code & 0x1F) << 6 | (p[1] & 0x3F);
        length = 2;
    } else if (code >= 0xE0 && code < 0xF0 && n - i > 2 && continues(p[1]) && continues(p[2])) {
        code = (code & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F);
        length = 3;
    } else if (code >= 0xF0 && code < 0xF5 && n - i > 3 && continues(p[1]) && continues(p[2]) && continues(p[3])) {
        code = (code & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F);
        length = 4;
    }
    if ((length == 1 && code >= 0x80) || code > 0x10FFFF) return (character){-1, OTHER, i + 1};
    int kind = class_bits[class_page[code >> 8]][(code & 255) >> 2] >> (code & 3) * 2 & 3;
    return (character){code, kind, i + length};
}

/* The end of the characters of one class from i on. */
static rgz_int run_end(const uint8_t *text, rgz_int n, rgz_int i, int kind) {
    while (i < n) {
        character c = read_at(text, n, i);
        if (c.kind != kind) break;
        i = c.next;
    }
    return i;
}

static int is_line_end(int32_t code) { return code == '\r' || code == '\n'; }

/* The end of 's 't 're 've 'm 'll 'd at i, or i. Where case does not count, neither does that of the long s. */
static rgz_int contraction_end(const uint8_t *text, rgz_int n, rgz_int i, int any_case) {
    if (text[i] != '\'' || n - i < 2) return i;
    const int fold = any_case ? 0x20 : 0;
    const int first = text[i + 1] | fold, second = n - i > 2 ? text[i + 2] | fold : 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return i + 2;
    if ((first == 'r' || first == 'v') && second == 'e') return i + 3;
    if (first == 'l' && second == 'l') return i + 3;
    if (any_case && n - i > 2 && text[i + 1] == 0xC5 && text[i + 2] == 0xBF) return i + 3;
    return i;
}

/* \s+(?!\S)|\s+ at white space: all of it, but for the last character where something else follows. */
static rgz_int spaces_end(const uint8_t *text, rgz_int n, rgz_int start) {
    rgz_int i = start, last = start;
    while (i < n) {
        character c = read_at(text, n, i);
        if (c.kind != SPACE) return last > start ? last : i;
        last = i;
        i = c.next;
    }
    return n;
}

static rgz_int gpt2_end(const uint8_t *text, rgz_int n, rgz_int start) {
    rgz_int end = contraction_end(text, n, start, 0);
    if (end > start) return end;
    character c = read_at(text, n, start);
    if (c.code == ' ' && c.next < n) c = read_at(text, n, c.next);
    if (c.kind != SPACE) return run_end(text, n, c.next, c.kind);
    return spaces_end(text, n, start);
}

static rgz_int qwen2_end(const uint8_t *text, rgz_int n, rgz_int start) {
    rgz_int end = contraction_end(text, n, start, 1);
    if (end > start) return end;
    const character c = read_at(text, n, start);
    if (c.kind == LETTER) return run_end(text, n, c.next, LETTER);
    if (c.kind == NUMBER) return c.next;
    const character d = c.next < n ? read_at(text, n, c.next) : (character){-1, SPACE, n};
    if (!is_line_end(c.code) && d.kind == LETTER) return run_end(text, n, d.next, LETTER);
    if (c.kind == OTHER || (c.code == ' ' && d.kind == OTHER)) {
        end = run_end(text, n, c.next, OTHER);
        while (end < n && is_line_end(text[end])) end++;
        return end;
    }
    rgz_int past_lines = start;
    for (rgz_int i = start; i < n;) {
        const character s = read_at(text, n, i);
        if (s.kind != SPACE) break;
        i = s.next;
        if (is_line_end(s.code)) past_lines = i;
    }
    return past_lines > start ? past_lines : spaces_end(text, n, start);
}

rgz_int rgz_piece_end(int pattern, const uint8_t *text, rgz_int n, rgz_int start) {
    return pattern == RGZ_PATTERN_GPT2 ? gpt2_end(text, n, start) : qwen2_end(text, n, start);
}

rgz_int rgz_safe_cut(const uint8_t *text, rgz_int n, rgz_int from) {
    for (rgz_int i = from; i + 1 < n; i++)
        if (is_line_end(text[i]) && read_at(text, n, i + 1).kind == LETTER) return i + 1;
    return n;
}

const char *rgz_unicode_version(void) { return RGZ_UNICODE_VERSION; }

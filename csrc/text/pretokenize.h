/* pretokenize.h - cutting UTF-8 into the pieces across which byte-level BPE never merges.
 *
 * Two patterns, matched from the left, the first alternative that fits:
 *   GPT-2   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   Qwen2   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+
 *           |\s+(?!\S)|\s+
 * L, N and \s are those of the Unicode version of the Python that built this (RGZ_UNICODE_VERSION). A lone surrogate,
 * written in three bytes, is in none of them. Bytes that are no UTF-8 count as characters of none.
 * Sources: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", its encoder; Qwen2's tokenizer.
 */
#ifndef RGZ_PRETOKENIZE_H
#define RGZ_PRETOKENIZE_H

#include "rgz.h"

enum { RGZ_PATTERN_GPT2, RGZ_PATTERN_QWEN2, RGZ_PATTERNS };

/* The end of the piece that begins at start < n. What stands before start has no influence. */
rgz_int rgz_piece_end(int pattern, const uint8_t *text, rgz_int n, rgz_int start);

/* The first place after `from` where every pattern begins a piece whatever stands before: a letter after a line end;
 * n if there is none. Long texts are shared out among threads there. */
rgz_int rgz_safe_cut(const uint8_t *text, rgz_int n, rgz_int from);

const char *rgz_unicode_version(void);

#endif

/* philox.h - random words by counter: what is drawn for an element depends on its place, not on who draws it.
 *
 * Philox4x32-10: four words of 32 bits from key `seed` and counter (quad, stream).
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
 */
#ifndef RGZ_PHILOX_H
#define RGZ_PHILOX_H

enum { PHILOX_QUADS = 16, PHILOX_WORDS = 4 * PHILOX_QUADS };

/* words[w * count + q] = word w of counter (first + q, stream), q < count; count is a constant at every call. */
RGZ_INLINE void philox4x32(uint32_t *words, const int count, uint64_t first, uint64_t stream, uint64_t seed) {
    uint32_t *c0 = words, *c1 = words + count, *c2 = words + 2 * count, *c3 = words + 3 * count;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int q = 0; q < count; q++) {
        c0[q] = (uint32_t)(first + (uint64_t)q);
        c1[q] = (uint32_t)((first + (uint64_t)q) >> 32);
        c2[q] = (uint32_t)stream;
        c3[q] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int q = 0; q < count; q++) {
            const uint64_t a = (uint64_t)0xD2511F53u * c0[q], b = (uint64_t)0xCD9E8D57u * c2[q];
            c0[q] = (uint32_t)(b >> 32) ^ c1[q] ^ k0;
            c2[q] = (uint32_t)(a >> 32) ^ c3[q] ^ k1;
            c1[q] = (uint32_t)b;
            c3[q] = (uint32_t)a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

#endif

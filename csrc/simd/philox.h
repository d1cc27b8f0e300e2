/* philox.h - random words by counter: what is drawn for an element depends on its place, not on who draws it.
 *
 * Philox4x32-10: four words of 32 bits from key `seed` and counter (place, stream).
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
 */
#ifndef RGZ_PHILOX_H
#define RGZ_PHILOX_H

enum { PHILOX_QUADS = 16, PHILOX_WORDS = 4 * PHILOX_QUADS };

/* words[4 q + w] = word w of counter (first + q, stream). Words are kept in the lower halves of 64 bits, which products
 * read; what is in the upper halves besides is never looked at. */
RGZ_INLINE void philox4x32(uint32_t words[PHILOX_WORDS], uint64_t first, uint64_t stream, uint64_t seed) {
    const vw m0 = vw_set1(0xD2511F53u), m2 = vw_set1(0xCD9E8D57u);
    for (int q = 0; q < PHILOX_QUADS; q += VW_LANES) {
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        const vw counter = vw_from(first + (uint64_t)q);
        vw c[4] = {counter, vw_high(counter), vw_set1(stream), vw_set1(stream >> 32)};
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            const vw a = vw_product(c[0], m0), b = vw_product(c[2], m2);
            c[0] = vw_xor(vw_high(b), vw_xor(c[1], vw_set1(k0)));
            c[2] = vw_xor(vw_high(a), vw_xor(c[3], vw_set1(k1)));
            c[1] = b;
            c[3] = a;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        vw_store_quads(words + 4 * q, c);
    }
}

#endif

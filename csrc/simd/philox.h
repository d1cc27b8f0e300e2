/* philox.h - random words by counter: what is drawn for an element depends on its place, not on who draws it.
 *
 * Philox4x32-10: four words of 32 bits from key `seed` and counter (place, stream). The draws of a block of 64 elements
 * are those of its first 16 places: element 16 w + q of the block has word w of counter (place of the block + q, stream).
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
 */
#ifndef RGZ_PHILOX_H
#define RGZ_PHILOX_H

enum { PHILOX_PLACES = 16, PHILOX_BLOCK = 4 * PHILOX_PLACES };

/* The draws of the block that begins at place `first`. Words are kept in the lower halves of 64 bits, which a product
 * reads; what is in the upper halves besides is never looked at. */
RGZ_INLINE void philox4x32(uint32_t words[PHILOX_BLOCK], uint64_t first, uint64_t stream, uint64_t seed) {
    const vw m0 = vw_set1(0xD2511F53u), m2 = vw_set1(0xCD9E8D57u);
    for (int q = 0; q < PHILOX_PLACES; q += VW_LANES) {
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        vw c0 = vw_from(first + (uint64_t)q), c1 = vw_high(c0), c2 = vw_set1(stream), c3 = vw_high(c2);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            const vw a = vw_product(c0, m0), b = vw_product(c2, m2);
            c0 = vw_xor(vw_high(b), vw_xor(c1, vw_set1(k0)));
            c2 = vw_xor(vw_high(a), vw_xor(c3, vw_set1(k1)));
            c1 = b;
            c3 = a;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        vw_store_low(words + q, c0);
        vw_store_low(words + PHILOX_PLACES + q, c1);
        vw_store_low(words + 2 * PHILOX_PLACES + q, c2);
        vw_store_low(words + 3 * PHILOX_PLACES + q, c3);
    }
}

#endif

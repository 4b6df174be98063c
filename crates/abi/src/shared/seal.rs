//! A check over a few words, so that flipped bits and half-written records are seen.
//!
//! It finds accidents, not forgers: who can write to the memory can seal what he likes. Therefore
//! everything is range-checked after the seal.

/// Odd multipliers: powers of the golden-ratio constant of Knuth, TAOCP 3, section 6.4, modulo 2^64.
const FACTORS: [u64; 8] = factors();

const fn factors() -> [u64; 8] {
    let mut all = [0x9e37_79b9_7f4a_7c15_u64; 8];
    let mut at = 1;
    while at < all.len() {
        all[at] = all[at - 1].wrapping_mul(all[0]);
        at += 1;
    }
    all
}

/// 32 bits over up to 8 words. The products do not wait for each other, and all of them add to
/// upper halves: a change of any one bit changes the seal (tested for every bit). Two or more
/// go unseen about once in 2^32 times.
#[inline]
pub(super) fn seal<const N: usize>(words: [u64; N]) -> u32 {
    const { assert!(N <= FACTORS.len(), "one multiplier for each word") };
    let pairs = words.iter().zip(FACTORS);
    let sum = pairs.fold(!0_u64, |sum, (word, factor)| {
        sum.wrapping_add(word.wrapping_mul(factor))
    });
    upper(sum)
}

/// The upper half of a word.
#[allow(clippy::cast_possible_truncation)] // 32 bits are left
#[inline]
pub(super) fn upper(word: u64) -> u32 {
    (word >> 32) as u32
}

/// The lower half of a word.
#[allow(clippy::cast_possible_truncation)] // meant
#[inline]
pub(super) fn lower(word: u64) -> u32 {
    word as u32
}

/// One word of two halves.
#[inline]
pub(super) fn join(upper: u32, lower: u32) -> u64 {
    u64::from(upper) << 32 | u64::from(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_bit_counts() {
        for start in [0, u64::MAX, 0x0123_4567_89ab_cdef, 1 << 63] {
            let words = [start; 8];
            for bit in 0..8 * 64 {
                let mut flipped = words;
                flipped[bit / 64] ^= 1 << (bit % 64);
                assert_ne!(seal(words), seal(flipped), "bit {bit} of {start:x}");
            }
        }
    }
}

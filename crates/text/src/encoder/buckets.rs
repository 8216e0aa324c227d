//! Feature hashing (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning", here without signs): a
//! token's bucket is its feature, so there is no vocabulary to store and no token that is unknown, and tokens that share a
//! bucket cannot be told apart.

/// The bucket of a token among `buckets`, the same on every machine: FNV-1a of its UTF-8 bytes in 64 bits, mixed, and
/// scaled down.
#[inline]
pub(super) fn bucket(token: &str, buckets: usize) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in token.as_bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // FNV's upper bits depend little on the last bytes: the product of the halves with a number without a pattern does.
    let mixed = u128::from(hash ^ (hash >> 32)) * 0x9e37_79b9_7f4a_7c15;
    let mixed = (mixed >> 64) as u64 ^ mixed as u64;
    ((u128::from(mixed) * buckets as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A written model depends on these numbers.
    #[test]
    fn buckets_never_change() {
        let found = ["", "a", "good", "not good", "好", "a rather long token of many bytes"]
            .map(|t| bucket(t, 1 << 16));
        assert_eq!(found, NUMBERS);
    }

    const NUMBERS: [usize; 6] = [64379, 61140, 24616, 46397, 21913, 55791];

    #[test]
    fn tokens_spread_over_all_buckets() {
        for buckets in [1, 7, 1000] {
            let mut tally = vec![0_usize; buckets];
            (0..200 * buckets).for_each(|n| tally[bucket(&format!("word{n}"), buckets)] += 1);
            assert!(tally.iter().all(|n| (120..=280).contains(n)), "{buckets}: {tally:?}");
        }
    }
}

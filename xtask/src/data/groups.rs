//! Near-duplicates that must stay in one split (minhash of word shingles; Broder 1997).

use std::collections::HashMap;

/// Words of a shingle.
const SHINGLE: usize = 4;
/// Bands of the signature, and hashes of a band. Texts are compared when one band agrees.
const BANDS: usize = 16;
const BAND: usize = 4;
/// Share of the signature that two texts must have in common.
const ALIKE: usize = BANDS * BAND * 6 / 10;

/// The group of every text: the index of its first member. Only letters count, so that numbers and tracking
/// codes do not tell copies of one mail apart.
pub(crate) fn of(texts: &[&str]) -> Vec<usize> {
    let signatures: Vec<[u64; BANDS * BAND]> = texts.iter().map(|t| signature(t)).collect();
    let mut group: Vec<usize> = (0..texts.len()).collect();
    for band in 0..BANDS {
        let mut seen: HashMap<&[u64], Vec<usize>> = HashMap::new();
        for (i, signature) in signatures.iter().enumerate() {
            let others = seen.entry(&signature[band * BAND..(band + 1) * BAND]).or_default();
            for &j in others.iter() {
                let same = signature.iter().zip(&signatures[j]).filter(|(a, b)| a == b).count();
                if same >= ALIKE {
                    let (a, b) = (root(&mut group, i), root(&mut group, j));
                    group[a.max(b)] = a.min(b);
                }
            }
            others.push(i);
        }
    }
    (0..texts.len()).map(|i| root(&mut group, i)).collect()
}

fn root(group: &mut [usize], mut i: usize) -> usize {
    while group[i] != i {
        group[i] = group[group[i]];
        i = group[i];
    }
    i
}

fn signature(text: &str) -> [u64; BANDS * BAND] {
    let letters: String = text.chars().map(|c| if c.is_alphabetic() { c } else { ' ' }).collect();
    let lower = letters.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let mut least = [u64::MAX; BANDS * BAND];
    for shingle in words.windows(SHINGLE.min(words.len().max(1))) {
        let mut hash = 0xcbf2_9ce4_8422_2325u64; // FNV-1a
        for byte in shingle.iter().flat_map(|w| w.bytes().chain([b' '])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        for (i, slot) in least.iter_mut().enumerate() {
            *slot = (*slot).min(mix(hash ^ mix(i as u64 + 1)));
        }
    }
    least
}

/// The finalizer of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_with_other_numbers_are_one_group_and_other_texts_are_not() {
        let a = "lose ten pounds in thirty days with our new plan, order now 10.206";
        let b = "Lose ten pounds in thirty days with our new plan: order now 11";
        let c = "the meeting of the committee is moved to the large room on monday";
        assert_eq!(of(&[a, c, b, "", c]), [0, 1, 0, 3, 1]);
    }
}

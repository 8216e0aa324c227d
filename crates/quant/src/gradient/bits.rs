//! Codes of a few bits, one after another from the lowest bit of each byte on.

use crate::error::BadBytes;

/// Bytes of `n` codes of `bits` each.
pub(super) fn packed_bytes(n: usize, bits: u32) -> usize {
    (n / 8) * bits as usize + ((n % 8) * bits as usize).div_ceil(8)
}

/// Appends codes of at most 8 bits each.
pub(super) fn pack(codes: impl Iterator<Item = u8>, bits: u32, out: &mut Vec<u8>) {
    let (mut held, mut count) = (0_u32, 0);
    for code in codes {
        held |= u32::from(code) << count;
        count += bits;
        while count >= 8 {
            out.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        out.push(held as u8);
    }
}

/// Hands `n` codes on, each with its place.
///
/// # Errors
/// What `take` returns; [`BadBytes::Padding`] when a bit after the last code is set. `bytes` has the length that
/// [`packed_bytes`] says.
pub(super) fn unpack(
    bytes: &[u8],
    n: usize,
    bits: u32,
    mut take: impl FnMut(usize, u8) -> Result<(), BadBytes>,
) -> Result<(), BadBytes> {
    let (mut held, mut count) = (0_u32, 0);
    let mut bytes = bytes.iter();
    for place in 0..n {
        if count < bits {
            held |= u32::from(*bytes.next().ok_or(BadBytes::Cut)?) << count;
            count += 8;
        }
        take(place, (held & ((1 << bits) - 1)) as u8)?;
        held >>= bits;
        count -= bits;
    }
    if held == 0 { Ok(()) } else { Err(BadBytes::Padding) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_any_width_come_back() {
        for bits in 1..=8_u32 {
            for n in [0, 1, 3, 7, 8, 9, 100] {
                let codes: Vec<u8> = (0..n).map(|i| ((i * 37) % (1 << bits)) as u8).collect();
                let mut bytes = Vec::new();
                pack(codes.iter().copied(), bits, &mut bytes);
                assert_eq!(bytes.len(), packed_bytes(n, bits));
                let mut back = vec![0; n];
                unpack(&bytes, n, bits, |place, code| {
                    back[place] = code;
                    Ok(())
                })
                .unwrap();
                assert_eq!(back, codes);
            }
        }
    }

    #[test]
    fn bits_after_the_last_code_are_refused() {
        assert_eq!(unpack(&[0b1000_0000], 7, 1, |_, _| Ok(())), Err(BadBytes::Padding));
        assert_eq!(unpack(&[0b0100_0000], 7, 1, |_, _| Ok(())), Ok(()));
    }
}

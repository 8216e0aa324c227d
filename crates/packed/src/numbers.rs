//! Numbers as little-endian bytes and back.

use crate::PackError;
use half::{bf16, f16};
use std::borrow::Cow;

/// Numbers that a matrix is stored in.
pub trait Number: bytemuck::Pod + PartialEq + Default + std::fmt::Debug {}
impl Number for f32 {}
impl Number for i32 {}
impl Number for i8 {}

/// Largest magnitude that a 16-bit float holds.
pub(crate) const LARGEST_HALF: f32 = 65_504.0;

/// Numbers as bytes, without a copy where they are borrowed and the machine is little-endian.
pub(crate) fn whole<T: Number>(numbers: Cow<'_, [T]>) -> Cow<'_, [u8]> {
    match numbers {
        Cow::Borrowed(numbers) if cfg!(target_endian = "little") => {
            Cow::Borrowed(bytemuck::cast_slice(numbers))
        }
        numbers => {
            let bytes: &[u8] = bytemuck::cast_slice(&numbers);
            if cfg!(target_endian = "little") {
                return Cow::Owned(bytes.to_vec());
            }
            Cow::Owned(bytes.chunks_exact(size_of::<T>()).flat_map(|n| n.iter().rev().copied()).collect())
        }
    }
}

/// `count` numbers from as many bytes as they have.
pub(crate) fn read_whole<T: Number>(bytes: &[u8], count: usize) -> Result<Vec<T>, PackError> {
    let mut numbers = vec![T::default(); count];
    let into: &mut [u8] = bytemuck::cast_slice_mut(&mut numbers);
    into.copy_from_slice(bytes);
    if cfg!(target_endian = "big") {
        into.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
    Ok(numbers)
}

/// The 16-bit float nearest to a number, ties to even, as a 32-bit float.
pub(crate) fn round_to_half(number: f32) -> f32 {
    f16::from_f32(number).to_f32()
}

/// 16-bit floats, as which all of these numbers are exact.
pub(crate) fn halves(numbers: Cow<'_, [f32]>) -> Cow<'_, [u8]> {
    numbers.iter().flat_map(|&n| f16::from_f32(n).to_le_bytes()).collect()
}

/// `count` 16-bit floats from as many bytes as they have.
pub(crate) fn read_halves(bytes: &[u8], _count: usize) -> Result<Vec<f32>, PackError> {
    Ok(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect())
}

/// The bfloat16 nearest to a number, ties to even, as a 32-bit float.
pub(crate) fn round_to_brain(number: f32) -> f32 {
    bf16::from_f32(number).to_f32()
}

/// bfloat16 numbers, as which all of these are exact.
pub(crate) fn brains(numbers: Cow<'_, [f32]>) -> Cow<'_, [u8]> {
    numbers.iter().flat_map(|&n| bf16::from_f32(n).to_le_bytes()).collect()
}

/// `count` bfloat16 numbers from as many bytes as they have.
pub(crate) fn read_brains(bytes: &[u8], _count: usize) -> Result<Vec<f32>, PackError> {
    Ok(bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect())
}

/// Integers that fit into 16 bits, as such.
pub(crate) fn shorts(numbers: Cow<'_, [i32]>) -> Cow<'_, [u8]> {
    numbers.iter().flat_map(|&n| (n as i16).to_le_bytes()).collect()
}

/// `count` 16-bit integers from as many bytes as they have.
pub(crate) fn read_shorts(bytes: &[u8], _count: usize) -> Result<Vec<i32>, PackError> {
    Ok(bytes.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b).into()).collect())
}

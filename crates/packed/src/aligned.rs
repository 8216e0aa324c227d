//! Numbers that begin at a cache line.
//!
//! A vector instruction that loads across two lines takes two loads, so the same numbers are multiplied at one of two
//! speeds, depending on where the heap happened to put them. What is multiplied by, and what is multiplied, lies here.

use bytemuck::Pod;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

// SAFETY: a line is an array of bytes: all zeros are one.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: any 64 bytes are a line; its alignment is its size, so it has no padding; there is no pointer or cell in it.
unsafe impl Pod for Line {}

/// A list of numbers that begins at a multiple of 64 bytes.
#[derive(Clone)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    length: usize,
    numbers: PhantomData<T>,
}

impl<T: Pod> Aligned<T> {
    /// How many numbers are in a line.
    const EACH: usize = LINE / size_of::<T>();

    /// No numbers; nothing is allocated.
    pub const fn new() -> Self {
        Self { lines: Vec::new(), length: 0, numbers: PhantomData }
    }

    /// So many zeros.
    pub fn zeroed(length: usize) -> Self {
        let mut zeros = Self::new();
        zeros.resize(length);
        zeros
    }

    /// Cuts the list to so many numbers, or adds zeros until it has as many.
    pub fn resize(&mut self, length: usize) {
        // What is left of the last line may be anything.
        let (before, had) = (self.length, self.lines.len() * Self::EACH);
        self.lines.resize(length.div_ceil(Self::EACH), Line([0; LINE]));
        self.length = length;
        if before < length {
            let end = had.min(length);
            self[before.min(end)..end].fill(T::zeroed());
        }
    }

    /// Adds numbers at the end.
    pub fn extend_from_slice(&mut self, more: &[T]) {
        let before = self.length;
        self.resize(before + more.len());
        self[before..].copy_from_slice(more);
    }

    /// The first `count` numbers, made so many if they are fewer; they may be anything.
    #[inline]
    pub fn room(&mut self, count: usize) -> &mut [T] {
        if self.length < count {
            self.resize(count);
        }
        &mut self[..count]
    }
}

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &bytemuck::must_cast_slice(&self.lines)[..self.length]
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::must_cast_slice_mut(&mut self.lines)[..self.length]
    }
}

impl<T: Pod> Default for Aligned<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Pod> From<&[T]> for Aligned<T> {
    fn from(numbers: &[T]) -> Self {
        let mut aligned = Self::new();
        aligned.extend_from_slice(numbers);
        aligned
    }
}

impl<T: Pod + PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lies_well<T: Pod>(aligned: &Aligned<T>) -> bool {
        aligned.as_ptr().addr().is_multiple_of(LINE)
    }

    #[test]
    fn numbers_begin_at_a_line_wherever_they_go() {
        let mut floats = Aligned::<f32>::new();
        assert!(floats.is_empty());
        for n in 0..300 {
            floats.extend_from_slice(&[n as f32; 3]);
            assert!(lies_well(&floats) && lies_well(&floats.clone()));
        }
        assert!(floats.iter().enumerate().all(|(i, x)| *x == (i / 3) as f32) && floats.len() == 900);
        assert_eq!(Aligned::from(&floats[..]), floats);
        for length in [0, 1, 15, 16, 17, 1000] {
            assert!(lies_well(&Aligned::<f32>::zeroed(length)) && lies_well(&Aligned::<i8>::zeroed(length)));
            assert!(lies_well(&Aligned::<i64>::zeroed(length)));
        }
    }

    #[test]
    fn what_is_added_is_zero() {
        let mut bytes = Aligned::from(&[7_i8; 100][..]);
        bytes.resize(3);
        bytes.resize(90);
        assert_eq!(bytes[..], [&[7; 3][..], &[0; 87]].concat());
        bytes.resize(300);
        assert!(bytes[3..].iter().all(|b| *b == 0));
        assert_eq!(bytes.room(10).len(), 10);
        assert_eq!((bytes.room(400).len(), bytes.len()), (400, 400));
    }
}

//! Numbers that begin at a cache line.
//!
//! A vector instruction that loads across two lines takes two loads, so the same numbers are multiplied at one of two
//! speeds, depending on where the heap happened to put them. What is multiplied by, and what is multiplied, lies here.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// A list of numbers that begins at a multiple of 64 bytes.
///
/// It is a part of a longer one, so that it may begin where a line does; one that begins there already is moved in.
pub struct Aligned<T> {
    /// Numbers before the first are unused, and so is what is beyond the length.
    numbers: Vec<T>,
    first: usize,
    length: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// How many numbers are in a line.
    const EACH: usize = LINE / size_of::<T>();

    /// No numbers; nothing is allocated.
    pub const fn new() -> Self {
        Self { numbers: Vec::new(), first: 0, length: 0 }
    }

    /// So many zeros.
    pub fn zeroed(length: usize) -> Self {
        let mut zeros = Self::new();
        zeros.resize(length);
        zeros
    }

    /// Cuts the list to so many numbers, or adds zeros until it has as many.
    pub fn resize(&mut self, length: usize) {
        if self.numbers.len() < self.first + length {
            self.grow(length);
        } else if self.length < length {
            self.numbers[self.first..][self.length..length].fill(T::default());
        }
        self.length = length;
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

    /// Moves the numbers to where there is room for so many, all others zeros, and for as many again as there were.
    fn grow(&mut self, length: usize) {
        let room = length.max(2 * self.length) + Self::EACH - 1;
        let mut numbers = vec![T::default(); room];
        let first = before_line(&numbers);
        numbers[first..][..self.length].copy_from_slice(self);
        (self.numbers, self.first) = (numbers, first);
    }
}

/// How many numbers lie before the first line that begins in them.
fn before_line<T>(numbers: &[T]) -> usize {
    numbers.as_ptr().addr().wrapping_neg() % LINE / size_of::<T>()
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::from(&self[..])
    }
}

impl<T: Copy + Default> Deref for Aligned<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.numbers[self.first..][..self.length]
    }
}

impl<T: Copy + Default> DerefMut for Aligned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.first..][..self.length]
    }
}

impl<T: Copy + Default> From<Vec<T>> for Aligned<T> {
    fn from(mut numbers: Vec<T>) -> Self {
        let length = numbers.len();
        if before_line(&numbers) > 0 {
            numbers.reserve_exact(Self::EACH - 1);
            let first = before_line(&numbers);
            numbers.resize(first + length, T::default());
            numbers.copy_within(..length, first);
            return Self { numbers, first, length };
        }
        Self { numbers, first: 0, length }
    }
}

impl<T: Copy + Default> Default for Aligned<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy + Default> From<&[T]> for Aligned<T> {
    fn from(numbers: &[T]) -> Self {
        let mut aligned = Self::new();
        aligned.extend_from_slice(numbers);
        aligned
    }
}

impl<T: Copy + Default + PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Copy + Default + fmt::Debug> fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lies_well<T: Copy + Default>(aligned: &Aligned<T>) -> bool {
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
        for length in [0, 1, 3, 8, 1000, 5000] {
            let numbers: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let aligned = Aligned::from(numbers.clone());
            assert!(aligned[..] == numbers && (length == 0 || lies_well(&aligned)));
        }
        for length in [1, 15, 16, 17, 1000] {
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

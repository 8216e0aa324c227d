//! A program with this heap: everything large begins at a cache line, and nothing is lost when it moves.

#![cfg(test)]

use nlpress_kernels::heap::CacheLines;

#[global_allocator]
static HEAP: CacheLines = CacheLines;

fn at_a_line<T>(list: &[T]) -> bool {
    list.as_ptr().addr().is_multiple_of(64)
}

#[test]
fn large_allocations_begin_at_a_line() {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for n in 0..4000_usize {
        let size = n * 37 % 9000;
        let bytes = vec![n as u8; size];
        assert!(size < 1024 || at_a_line(&bytes), "{size}");
        held.push(bytes);
        if n % 3 == 0 {
            held.swap_remove(n % held.len());
        }
    }
    for bytes in &held {
        assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]));
    }
    for size in [1024, 4096, 1 << 20, 300 << 20] {
        let zeros = vec![0_u64; size / 8];
        assert!(at_a_line(&zeros) && zeros.iter().step_by(509).all(|x| *x == 0), "{size}");
    }
}

#[test]
fn what_grows_and_shrinks_keeps_its_content() {
    let mut lists: Vec<Vec<u32>> = vec![Vec::new(); 16];
    for n in 0..400_000_u32 {
        let list = &mut lists[n as usize * 7 % 16];
        list.push(n);
        assert!(list.capacity() < 256 || at_a_line(list));
    }
    for list in &mut lists {
        for keep in [20_000, 5000, 300, 256, 255, 100, 0] {
            let first = list.first().copied();
            list.truncate(keep);
            list.shrink_to_fit();
            assert!(list.windows(2).all(|pair| pair[1] == pair[0] + 16));
            assert!(list.is_empty() || list.first().copied() == first);
            assert!(list.capacity() < 256 || at_a_line(list));
        }
    }
}

#[test]
fn what_cannot_be_given_is_an_error() {
    for size in [isize::MAX as usize, isize::MAX as usize - 63, isize::MAX as usize - 64, 1 << 62] {
        assert!(Vec::<u8>::new().try_reserve_exact(size).is_err(), "{size}");
    }
    let mut some = vec![5_u8; 2000];
    assert!(some.try_reserve_exact(isize::MAX as usize - 2000).is_err());
    assert_eq!(some, [5; 2000]);
}

#[test]
fn wider_alignments_are_kept() {
    #[repr(align(4096))]
    #[derive(Clone, Copy)]
    struct Page([u8; 4096]);
    #[repr(align(32))]
    #[derive(Clone, Copy)]
    struct Half([u8; 32]);
    let pages = vec![Page([1; 4096]); 5];
    assert!(pages.as_ptr().addr().is_multiple_of(4096) && pages[4].0[4095] == 1);
    let halves = vec![Half([2; 32]); 100];
    assert!(at_a_line(&halves) && halves[99].0[31] == 2);
}

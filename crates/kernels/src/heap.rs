//! A heap whose larger allocations begin at a cache line.
//!
//! For programs that train: the large buffers of a training pass belong to libraries that take them from the heap, and
//! where they begin decides between two speeds of the same run (see [`Aligned`](crate::Aligned) for what this crate holds
//! itself). Put into a program by
//!
//! ```
//! #[global_allocator]
//! static HEAP: nlpress_kernels::heap::CacheLines = nlpress_kernels::heap::CacheLines;
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Smallest allocation that begins at one.
const LARGE: usize = 1024;
/// What the system's heap aligns everything to, and so the smallest distance from what it gives to a line.
const STEP: usize = 16;

/// The system's heap, with allocations of 1 KiB and more at multiples of 64 bytes.
///
/// A large allocation is 64 bytes more of the system's, of which the first 16 to 64 are left free; the byte before it
/// says how many. So fresh memory that is zero and memory that grows in place stay as cheap as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheLines;

/// The layout that the system is asked for, where an allocation is moved to a line: it is large, and not aligned as much
/// already.
fn moved(layout: Layout) -> Option<Layout> {
    if layout.size() < LARGE || layout.align() >= LINE {
        return None;
    }
    let size = layout.size().checked_add(LINE)?;
    Layout::from_size_align(size, STEP).ok()
}

/// Whether a layout is large but so near to the end of the address space that nothing can be added to it.
fn is_beyond(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() < LINE && moved(layout).is_none()
}

/// Moves what the system gave to the next line, and notes how far.
///
/// # Safety
/// `base` is null, or begins at a multiple of [`STEP`] and has [`LINE`] bytes more than are needed.
unsafe fn to_line(base: *mut u8) -> *mut u8 {
    if base.is_null() {
        return base;
    }
    let gap = LINE - base.addr() % LINE;
    // SAFETY: the gap is 16 to 64 bytes, as the base is a multiple of 16, and there are 64 more than are needed; so both
    // the new beginning and the byte before it are in the allocation.
    unsafe {
        let at = base.add(gap);
        at.sub(1).write(gap as u8);
        at
    }
}

/// How far an allocation was moved.
///
/// # Safety
/// `at` was made by [`to_line`].
unsafe fn gap_before(at: *mut u8) -> usize {
    // SAFETY: the byte before is in the same allocation of the system, and was written.
    unsafe { at.sub(1).read().into() }
}

// SAFETY: every pointer is the system's own, or lies in an allocation of the system that has room for the layout behind
// it, at a multiple of 64, which is at least the alignment of any layout that is moved; whether a layout is moved depends
// on the layout alone, which is the same when memory is given back; nothing here panics.
unsafe impl GlobalAlloc for CacheLines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_beyond(layout) {
            return ptr::null_mut();
        }
        // SAFETY: as the caller promises, the layout has a size; a moved one has more.
        unsafe {
            match moved(layout) {
                None => System.alloc(layout),
                Some(more) => to_line(System.alloc(more)),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_beyond(layout) {
            return ptr::null_mut();
        }
        // SAFETY: as above; the byte that is written lies before what the caller gets.
        unsafe {
            match moved(layout) {
                None => System.alloc_zeroed(layout),
                Some(more) => to_line(System.alloc_zeroed(more)),
            }
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises, `at` was allocated with this layout, so it was moved if the layout is.
        unsafe {
            match moved(layout) {
                None => System.dealloc(at, layout),
                Some(more) => System.dealloc(at.sub(gap_before(at)), more),
            }
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As the caller promises, the size is not beyond the largest of this alignment.
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return ptr::null_mut() };
        if is_beyond(wanted) {
            return ptr::null_mut();
        }
        // SAFETY: as the caller promises, `at` was allocated with `layout`. Where both are moved, the system's allocation
        // grows or shrinks, keeps what is in it, and may begin elsewhere in a line, so that the content moves within it:
        // what is moved is behind the old gap and, as there are 64 bytes more than the smaller size, in the allocation
        // from either gap on. Where one is moved, the content is copied into a new allocation.
        unsafe {
            match (moved(layout), moved(wanted)) {
                (None, None) => System.realloc(at, layout, size),
                (Some(old), Some(new)) => {
                    let gap = gap_before(at);
                    let base = System.realloc(at.sub(gap), old, new.size());
                    if base.is_null() {
                        return base;
                    }
                    let now = base.add(LINE - base.addr() % LINE);
                    if now != base.add(gap) {
                        ptr::copy(base.add(gap), now, layout.size().min(size));
                    }
                    to_line(base)
                }
                _ => {
                    let now = self.alloc(wanted);
                    if !now.is_null() {
                        ptr::copy_nonoverlapping(at, now, layout.size().min(size));
                        self.dealloc(at, layout);
                    }
                    now
                }
            }
        }
    }
}

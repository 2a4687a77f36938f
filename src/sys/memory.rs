//! Where buffers lie in memory.
//!
//! glibc puts each allocation that it maps for itself 16 bytes behind the beginning of a page, and there some processors (AMD's Zen
//! 3 and 4 among them) copy out of the page cache at a third of their speed: `read` of 1 MiB took 0.8 ms in place of 0.28. So what is
//! as large as a buffer begins at a multiple of 64 bytes. What is larger is a table, which is not read into, and must be able to grow
//! without being copied.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::RangeInclusive;

const BUFFERS: RangeInclusive<usize> = 32 << 10..=8 << 20;
const ALIGN: usize = 64;

/// The system's allocator, which it asks for the alignment of buffers.
struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// What the system is asked for.
fn placed(layout: Layout) -> Layout {
    if !BUFFERS.contains(&layout.size()) {
        return layout;
    }
    layout.align_to(ALIGN).unwrap_or(layout)
}

// SAFETY: every block comes from `System` by the layout that `placed` gives, and goes back by the same, as `placed` depends on
// the layout alone; `placed` asks for no less than the layout.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(placed(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(placed(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, and see above.
        unsafe { System.dealloc(block, placed(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that is not zero and does not overflow when rounded up to the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if placed(layout) == layout && placed(wanted) == wanted {
            // SAFETY: the caller's promise; the block was given for this layout.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the new block has room for the lesser of both sizes, is another, and the old one goes back once.
        unsafe {
            let moved = System.alloc(placed(wanted));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                System.dealloc(block, placed(layout));
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn buffers_begin_at_multiples_of_64_and_keep_their_bytes() {
        for size in [32 << 10, 128 << 10, (1 << 20) + 1, 8 << 20] {
            let made = Vec::<u8>::with_capacity(size);
            let zeroed = vec![0_u8; size];
            assert!(
                (made.as_ptr() as usize).is_multiple_of(64) && (zeroed.as_ptr() as usize).is_multiple_of(64)
            );
            assert!(zeroed.iter().all(|byte| *byte == 0));
        }
        // From a few bytes to more than a buffer, and back.
        let mut grown = Vec::new();
        for number in 0..10_u64 << 20 {
            grown.push(number);
            let bytes = grown.capacity() * 8;
            if number.is_power_of_two() && (32 << 10..=8 << 20).contains(&bytes) {
                assert!((grown.as_ptr() as usize).is_multiple_of(64), "{bytes}");
            }
        }
        assert!((0..).zip(&grown).all(|(number, kept)| number == *kept));
        grown.truncate(100_000);
        grown.shrink_to_fit();
        assert!((grown.as_ptr() as usize).is_multiple_of(64));
        grown.truncate(10);
        grown.shrink_to_fit();
        assert_eq!(grown, (0..10).collect::<Vec<u64>>());
    }
}

//! The allocator of a module: small blocks that are given back stay at hand.
//!
//! Each call brings a handful of small texts, for each of which the host asks for a block, and gives them back. To look for
//! room each time took 80 ns of a call of 730.
#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

#[cfg(all(target_family = "wasm", feature = "no-std"))]
use dlmalloc::GlobalDlmalloc as Below;
#[cfg(all(target_family = "wasm", not(feature = "no-std")))]
use std::alloc::System as Below;

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: Blocks<Below> = Blocks::over(Below);

/// Blocks of a class are so many bytes longer than those of the one before, and as much aligned.
const STEP: usize = 16;

/// Classes: up to 512 bytes.
const CLASSES: usize = 32;

/// Blocks of a class that stay at hand: 132 KiB at most, in all classes.
const AT_HAND_MAX: u8 = 16;

/// Small blocks by class, over the allocator that they come from.
struct Blocks<A> {
    below: A,
    classes: [Class; CLASSES],
}

/// A list of free blocks, each of which holds the address of the next.
struct Class {
    first: Cell<*mut u8>,
    count: Cell<u8>,
}

// SAFETY: a component instance has one thread. The SDK is built without the `atomics` feature, so no second thread can share
// its memory.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl<A> Sync for Blocks<A> {}

impl<A> Blocks<A> {
    const fn over(below: A) -> Self {
        Self { below, classes: [const { Class { first: Cell::new(null_mut()), count: Cell::new(0) } }; CLASSES] }
    }

    /// Which class it is of, if it is small.
    #[inline]
    fn class(&self, layout: Layout) -> Option<(usize, &Class)> {
        let at = layout.size().wrapping_sub(1) / STEP;
        self.classes.get(at).filter(|_| layout.align() <= STEP).map(|class| (at, class))
    }
}

/// What a block of a class is.
fn whole(at: usize) -> Layout {
    const { assert!(STEP.is_power_of_two() && CLASSES * STEP < isize::MAX as usize) };
    // SAFETY: of a class that there is, see the line above.
    unsafe { Layout::from_size_align_unchecked((at + 1) * STEP, STEP) }
}

// SAFETY: a block comes from below with the layout of its class, or with its own where it has none, and goes back with the same;
// a class follows from the layout alone. A block at hand is on one list, once, until it is handed out, and only then written to
// by others. A block is at least 16 bytes and aligned to them: there is room for an address.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Blocks<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((at, class)) = self.class(layout) else { return unsafe { self.below.alloc(layout) } };
        let first = class.first.get();
        if first.is_null() {
            return unsafe { self.below.alloc(whole(at)) };
        }
        class.first.set(unsafe { first.cast::<*mut u8>().read() });
        class.count.set(class.count.get() - 1);
        first
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.class(layout) {
            None => unsafe { self.below.dealloc(block, layout) },
            Some((at, class)) if class.count.get() == AT_HAND_MAX => unsafe { self.below.dealloc(block, whole(at)) },
            Some((_, class)) => {
                unsafe { block.cast::<*mut u8>().write(class.first.get()) };
                class.first.set(block);
                class.count.set(class.count.get() + 1);
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.class(layout).is_none() {
            return unsafe { self.below.alloc_zeroed(layout) };
        }
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        match (self.class(layout), self.class(wanted)) {
            (None, None) => return unsafe { self.below.realloc(block, layout, size) },
            (Some((one, _)), Some((other, _))) if one == other => return block,
            _ => {}
        }
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            unsafe {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;
    use std::collections::{HashMap, HashSet};

    /// Counts what is out, by address.
    #[derive(Default)]
    struct Counting(std::sync::Mutex<HashMap<usize, Layout>>);

    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let block = unsafe { System.alloc(layout) };
            assert_eq!(self.0.lock().unwrap().insert(block.addr(), layout), None, "handed out twice");
            block
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            assert_eq!(self.0.lock().unwrap().remove(&block.addr()), Some(layout), "goes back as it came");
            unsafe { System.dealloc(block, layout) }
        }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_small_block_that_is_given_back_is_handed_out_again() {
        let blocks = Blocks::over(Counting::default());
        let first = unsafe { blocks.alloc(layout(17, 1)) };
        unsafe { blocks.dealloc(first, layout(17, 1)) };
        assert_eq!(unsafe { blocks.alloc(layout(32, 8)) }, first);
        assert_ne!(unsafe { blocks.alloc(layout(33, 8)) }, first);
    }

    #[test]
    fn what_stays_at_hand_is_bounded_in_each_class() {
        let blocks = Blocks::over(Counting::default());
        for size in [1, 16, 17, 100, 512] {
            let before = blocks.below.0.lock().unwrap().len();
            let all: Vec<_> = (0..1_000).map(|_| unsafe { blocks.alloc(layout(size, 1)) }).collect();
            assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1_000);
            all.into_iter().for_each(|block| unsafe { blocks.dealloc(block, layout(size, 1)) });
            assert!(blocks.below.0.lock().unwrap().len() - before <= usize::from(AT_HAND_MAX), "{size}");
        }
    }

    #[test]
    fn large_and_widely_aligned_blocks_come_from_below_as_they_are_asked_for() {
        let blocks = Blocks::over(Counting::default());
        for layout in [layout(513, 1), layout(1 << 20, 8), layout(32, 32)] {
            let block = unsafe { blocks.alloc(layout) };
            assert_eq!(blocks.below.0.lock().unwrap().get(&block.addr()), Some(&layout));
            unsafe { blocks.dealloc(block, layout) };
        }
        assert_eq!(blocks.below.0.lock().unwrap().len(), 0);
    }

    #[test]
    fn what_was_written_stays_when_a_block_grows_and_shrinks_over_all_classes() {
        let blocks = Blocks::over(Counting::default());
        let (mut block, mut size) = (unsafe { blocks.alloc(layout(1, 1)) }, 1_usize);
        unsafe { block.write(0) };
        for wanted in (2..=600).chain([5_000, 600, 512, 511, 40, 16, 3]) {
            block = unsafe { blocks.realloc(block, layout(size, 1), wanted) };
            let kept = size.min(wanted);
            let text = unsafe { core::slice::from_raw_parts(block, kept) };
            assert!(text.iter().enumerate().all(|(at, byte)| *byte == at as u8), "{wanted}");
            (kept..wanted).for_each(|at| unsafe { block.add(at).write(at as u8) });
            size = wanted;
        }
        unsafe { blocks.dealloc(block, layout(size, 1)) };
    }

    #[test]
    fn blocks_that_are_to_be_zero_are_zero_when_they_were_used_before() {
        let blocks = Blocks::over(Counting::default());
        let used = unsafe { blocks.alloc(layout(64, 1)) };
        unsafe { used.write_bytes(7, 64) };
        unsafe { blocks.dealloc(used, layout(64, 1)) };
        let block = unsafe { blocks.alloc_zeroed(layout(64, 1)) };
        assert_eq!(block, used);
        assert_eq!(unsafe { core::slice::from_raw_parts(block, 64) }, [0; 64]);
    }
}

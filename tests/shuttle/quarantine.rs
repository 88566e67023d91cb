//! Freed memory stays as it was for a while, so that whoever reads it finds out, and nothing worse.

#![allow(unsafe_code, reason = "an allocator is unsafe by definition; this one passes calls on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;

struct Quarantine;

#[global_allocator]
static ALLOCATOR: Quarantine = Quarantine;

/// The blocks freed last by one thread: shuttle runs all threads of a test in one.
struct Ring {
    blocks: UnsafeCell<[(*mut u8, Layout); BLOCKS]>,
    next: Cell<usize>,
}

thread_local! {
    static RING: Ring = const {
        Ring {
            blocks: UnsafeCell::new([(null_mut(), Layout::new::<u8>()); BLOCKS]),
            next: Cell::new(0),
        }
    };
}

impl Ring {
    /// Puts a block in, and gives the one out that has been there longest.
    fn swap(&self, block: (*mut u8, Layout)) -> (*mut u8, Layout) {
        let at = self.next.get();
        self.next.set((at + 1) % BLOCKS);
        // SAFETY: the ring belongs to one thread, and nothing here calls the allocator, so this is
        // the only reference.
        let blocks = unsafe { &mut *self.blocks.get() };
        std::mem::replace(&mut blocks[at], block)
    }
}

// SAFETY: every block comes from the system's allocator and goes back to it once, with its layout.
unsafe impl GlobalAlloc for Quarantine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let mut block = (memory, layout);
        if layout.size() <= LARGEST_BYTES {
            block = RING.try_with(|ring| ring.swap(block)).unwrap_or(block);
        }
        if !block.0.is_null() {
            // SAFETY: the block was freed by its owner with this layout, and is in no ring any more.
            unsafe { System.dealloc(block.0, block.1) };
        }
    }
}

/// Some runs' worth of sessions.
const BLOCKS: usize = 4_096;
/// Sessions and tables are smaller.
const LARGEST_BYTES: usize = 4_096;

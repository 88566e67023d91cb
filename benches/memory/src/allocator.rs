//! The allocator of this build: features choose it, and each has its own way of giving memory back.
//!
//! The lines in [`give_back`] are what the README recommends, as they were measured.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use sundown::GiveBack;

#[cfg(all(feature = "mimalloc", feature = "jemalloc"))]
compile_error!("a build has one allocator: choose mimalloc or jemalloc");

#[cfg(feature = "mimalloc")]
use mimalloc::MiMalloc as Below;
#[cfg(not(any(feature = "mimalloc", feature = "jemalloc")))]
use std::alloc::System as Below;
#[cfg(feature = "jemalloc")]
use tikv_jemallocator::Jemalloc as Below;

/// What to call the allocator in a table.
pub const NAME: &str = if cfg!(feature = "mimalloc-2") {
    "mimalloc 2"
} else if cfg!(feature = "mimalloc") {
    "mimalloc 3"
} else if cfg!(feature = "jemalloc") {
    "jemalloc"
} else if cfg!(target_env = "gnu") {
    "glibc"
} else if cfg!(target_env = "musl") {
    "musl"
} else {
    "system"
};

/// How the cache gives memory back.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// As it does by default.
    Auto,
    /// Not at all.
    Never,
    /// By the line for this build's allocator.
    Own,
    /// By a closure that does nothing for a second.
    Block,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Never => "never",
            Self::Own => "own",
            Self::Block => "block",
        }
    }

    pub fn give_back(self) -> GiveBack {
        match self {
            Self::Auto => GiveBack::Auto,
            Self::Never => GiveBack::Never,
            Self::Own => give_back(),
            Self::Block => GiveBack::with(|| std::thread::sleep(Duration::from_secs(1))),
        }
    }
}

#[cfg(feature = "mimalloc")]
fn give_back() -> GiveBack {
    // SAFETY: mi_collect may be called by any thread at any time.
    GiveBack::with(|| unsafe { libmimalloc_sys::mi_collect(true) })
}

#[cfg(feature = "jemalloc")]
fn give_back() -> GiveBack {
    use std::ptr::null_mut;
    use tikv_jemalloc_sys::mallctl;

    GiveBack::with(|| {
        let all_arenas = c"arena.4096.purge".as_ptr();
        // SAFETY: the name is a C string, and this control neither reads nor writes anything.
        let error = unsafe { mallctl(all_arenas, null_mut(), null_mut(), null_mut(), 0) };
        assert_eq!(error, 0, "mallctl");
    })
}

#[cfg(all(not(any(feature = "mimalloc", feature = "jemalloc")), target_env = "gnu"))]
fn give_back() -> GiveBack {
    GiveBack::with(|| {
        // SAFETY: malloc_trim may be called by any thread at any time.
        unsafe { libc::malloc_trim(0) };
    })
}

#[cfg(not(any(feature = "mimalloc", feature = "jemalloc", target_env = "gnu")))]
fn give_back() -> GiveBack {
    GiveBack::Never
}

/// The allocator below, with a meter that can be switched on.
pub struct Heap;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static REQUESTED_BYTES: AtomicIsize = AtomicIsize::new(0);

/// Starts to count.
pub fn count() {
    // Relaxed: no allocation that matters runs at the same time.
    IS_COUNTING.store(true, Ordering::Relaxed);
}

/// Bytes requested less bytes freed, since counting began.
pub fn requested_bytes() -> isize {
    // Relaxed: a figure.
    REQUESTED_BYTES.load(Ordering::Relaxed)
}

fn book(bytes: isize) {
    // Relaxed, both: figures that no other memory depends on.
    if IS_COUNTING.load(Ordering::Relaxed) {
        REQUESTED_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed on to `Below` unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        book(layout.size() as isize);
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, which is the same.
        unsafe { Below.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        book(layout.size() as isize);
        // SAFETY: the caller keeps `GlobalAlloc::alloc_zeroed`'s contract, which is the same.
        unsafe { Below.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        book(-(layout.size() as isize));
        // SAFETY: the block is from `Below`, as all blocks are, and has this layout.
        unsafe { Below.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        book(new_size as isize - layout.size() as isize);
        // SAFETY: as for dealloc; the caller vouches for the new size.
        unsafe { Below.realloc(pointer, layout, new_size) }
    }
}

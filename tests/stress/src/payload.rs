//! A value on the heap that knows its key, says when it is looked at after its death, and is counted.

use std::sync::atomic::{AtomicI64, Ordering};

static ALIVE: AtomicI64 = AtomicI64::new(0);

/// How many are alive.
pub(crate) fn alive() -> i64 {
    ALIVE.load(Ordering::Relaxed)
}

pub(crate) struct Payload {
    words: Box<[u64; 4]>,
    #[cfg(planted_race)]
    looks: planted::Racy,
}

impl Payload {
    pub(crate) fn new(key: u64) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self {
            words: Box::new(Self::words(key)),
            #[cfg(planted_race)]
            looks: planted::Racy::default(),
        }
    }

    fn words(key: u64) -> [u64; 4] {
        [key, !key, key.rotate_left(32), key ^ 0x9e37_79b9_7f4a_7c15]
    }

    /// Reads every word of it.
    pub(crate) fn check(&self, key: u64) {
        assert_eq!(*self.words, Self::words(key), "this is not what was inserted under {key}");
    }

    /// Like [`check`](Self::check); where the race is planted, it is here.
    pub(crate) fn look(&self, key: u64) {
        #[cfg(planted_race)]
        self.looks.count();
        self.check(key);
    }
}

impl Clone for Payload {
    fn clone(&self) -> Self {
        self.check(self.words[0]);
        Self::new(self.words[0])
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.check(self.words[0]);
        // Whoever still sees it afterwards finds that out, also without a sanitizer.
        *self.words = [0xdead; 4];
        std::hint::black_box(&self.words);
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(planted_race)]
mod planted {
    use std::cell::UnsafeCell;

    /// Counts without any synchronization: a race between any two readers of one session.
    #[derive(Default)]
    pub(crate) struct Racy(UnsafeCell<u64>);

    // SAFETY: none. It is a planted fault, to see that ThreadSanitizer finds faults in closures that
    // the cache calls from two threads, and that no suppression hides them.
    unsafe impl Sync for Racy {}

    impl Racy {
        pub(crate) fn count(&self) {
            // SAFETY: none, as above.
            let seen = unsafe { *self.0.get() };
            // Taking a hold is an acquisition, so only closures that overlap race at all.
            std::thread::yield_now();
            // SAFETY: none, as above.
            unsafe { *self.0.get() = seen + 1 };
        }
    }
}

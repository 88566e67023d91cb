//! The process's memory as the machine sees it, and the allocator's way of giving some back.
//!
//! Three figures are called memory, and they differ. *Requested* bytes are what the program asked
//! its allocator for and has not freed: dropping a session lowers them. *Resident* bytes are what
//! the operating system has given to the process: this is what graphs, autoscalers and the
//! out-of-memory killer go by. Between the two stands the allocator, which keeps freed memory for
//! later requests; glibc's keeps any page that is not at the very end of an arena.

use crate::platform::container;

/// What the operating system says of this process's memory, and of its container's.
///
/// A figure is `None` where the platform does not tell it; all three come from Linux's `/proc` and
/// control groups (version 1 and 2).
///
/// # Examples
///
/// ```
/// let memory = sundown::ProcessMemory::read();
/// if let (Some(used), Some(limit)) = (memory.container_bytes, memory.limit_bytes) {
///     println!("{} % of the container's memory are in use", used * 100 / limit);
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ProcessMemory {
    /// Bytes of physical memory that the process occupies, shared libraries included (`VmRSS`).
    pub resident_bytes: Option<u64>,
    /// Bytes that count towards [`limit_bytes`](Self::limit_bytes), less file pages that the kernel
    /// would reclaim first: what Kubernetes calls the working set. Every process of the container
    /// counts.
    pub container_bytes: Option<u64>,
    /// The smallest memory limit of the control groups that the process is in: past it, the kernel
    /// kills. `None` if no limit is set.
    pub limit_bytes: Option<u64>,
}

impl ProcessMemory {
    /// Reads the figures: some ten small files of `/proc` and `/sys`, about 0.1 ms.
    ///
    /// **Locking:** none. **Complexity:** linear in the depth of the control group.
    #[must_use]
    pub fn read() -> Self {
        let (container_bytes, limit_bytes) = container::memory();
        Self { resident_bytes: resident_bytes(), container_bytes, limit_bytes }
    }
}

/// Bytes of physical memory that the process occupies, to some 100 KiB; about 30 µs.
pub(crate) fn resident_bytes() -> Option<u64> {
    machine::resident_bytes()
}

/// Whether [`trim`] gives anything back: only glibc's allocator has to be asked.
pub(crate) const CAN_TRIM: bool = machine::CAN_TRIM;

/// Sets the system's allocator up so that [`trim`] finds what is free. To be called once.
///
/// glibc keeps freed chunks of up to 128 bytes apart, in *fastbins*, and merges them with their
/// neighbours only now and then; `malloc_trim` does so as well. Where that makes the free end of a
/// thread's arena larger, nobody gives the end back until something in that arena is freed again:
/// of 163 MiB of small sessions 92 stayed resident in a process that was left alone, and 4 without
/// fastbins. So they are turned off, for the whole process. Merging at once costs a free some
/// nanoseconds more where the thread's own cache of seven chunks a size is full, and never as many
/// milliseconds as merging a million chunks later.
pub(crate) fn prepare_trim() {
    machine::prepare_trim();
}

/// Has the system's allocator give free pages back to the operating system.
///
/// Walks the arenas one after the other and holds the lock of each meanwhile, for about 0.2 ms for
/// each MiB given back; no other thread allocates from that arena in the meantime.
pub(crate) fn trim() {
    machine::trim();
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(any(sundown_loom, sundown_shuttle))))]
mod machine {
    pub(super) use super::linux::resident_bytes;

    pub(super) const CAN_TRIM: bool = true;

    #[allow(unsafe_code, reason = "no crate wraps glibc's mallopt")]
    pub(super) fn prepare_trim() {
        // SAFETY: mallopt takes any two numbers. What M_MXFAST sets is one word, which each free
        // reads once: whichever value a concurrent one reads, it files its chunk where the others
        // look for it. No other code has to uphold anything.
        unsafe { libc::mallopt(libc::M_MXFAST, 0) };
    }

    #[allow(unsafe_code, reason = "no crate wraps glibc's malloc_trim")]
    pub(super) fn trim() {
        // SAFETY: malloc_trim takes a number, any number, and may be called by any thread at any
        // time. It changes no allocated memory, so no other code has to uphold anything.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(any(sundown_loom, sundown_shuttle)))))]
mod machine {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) use super::linux::resident_bytes;

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn resident_bytes() -> Option<u64> {
        None
    }

    pub(super) const CAN_TRIM: bool = false;

    pub(super) fn prepare_trim() {}

    pub(super) fn trim() {}
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::fs;

    /// From `/proc/self/status`, in units of 1,024 bytes.
    pub(super) fn resident_bytes() -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1_024)
    }
}

#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn resident_bytes_follow_what_is_touched() {
        let before = resident_bytes().unwrap();
        let block = vec![1_u8; 64 << 20];
        let during = resident_bytes().unwrap();
        assert!(during >= before + (60 << 20), "{before} -> {during}");
        drop(block);
    }
}

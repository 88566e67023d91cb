//! What an allocator sets aside for a request: the *block*, which is what stays resident.
//!
//! Three figures are easily confused. A *request* is what `alloc` is asked for. The *block* is what
//! the allocator sets aside for it, with its header and rounded up; memory that is in use is a sum
//! of blocks. What is *resident* is in addition what the allocator has kept of freed blocks for later
//! requests, which no figure of a cache can tell.
//!
//! The rule here is glibc's \[1\]: a header of one word, a multiple of two words, four words at least.
//! jemalloc and mimalloc have no header, but size classes: their blocks are up to a quarter and up to
//! an eighth over the request, by its size, and never under it.
//!
//! \[1\] glibc, `malloc/malloc.c`: `checked_request2size`, `MINSIZE`, `MALLOC_ALIGNMENT`.

/// The bytes of the block for a request of so many bytes; none for none.
pub(crate) const fn block_bytes(request_bytes: usize) -> usize {
    if request_bytes == 0 {
        return 0;
    }
    let with_header_bytes = request_bytes.saturating_add(HEADER_BYTES + STEP_BYTES - 1);
    let block_bytes = with_header_bytes / STEP_BYTES * STEP_BYTES;
    if block_bytes < LEAST_BLOCK_BYTES { LEAST_BLOCK_BYTES } else { block_bytes }
}

/// The size of the block, which lies before it.
const HEADER_BYTES: usize = size_of::<usize>();
const STEP_BYTES: usize = 2 * size_of::<usize>();
/// A freed block must hold its size twice and two links.
const LEAST_BLOCK_BYTES: usize = 4 * size_of::<usize>();

#[cfg(all(test, target_pointer_width = "64", not(sundown_loom)))]
mod tests {
    use super::block_bytes;

    #[test]
    fn a_block_has_a_header_and_is_rounded_up() {
        for (request, block) in [(0, 0), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64)] {
            assert_eq!(block_bytes(request), block, "for {request} bytes");
        }
        assert!(block_bytes(usize::MAX) > usize::MAX - 32, "nothing wraps around");
    }
}

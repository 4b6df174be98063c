//! Copying and filling. Both happen at once, not when a stream comes to them: streams are clocks here,
//! not queues.

use std::ffi::c_void;

use crate::boundary::CuResult;
use crate::memory::{PAGE, containing, libc};

/// From this size zeroing gives pages back instead of writing to them, bytes: initialisation of
/// eight ranks writes gigabytes of zeros otherwise.
const WORTH_DROPPING: usize = 64 << 10;

fn copy(to: usize, from: usize, bytes: usize) -> CuResult {
    if bytes > 0 && (to == 0 || from == 0) {
        return CuResult::INVALID_VALUE;
    }
    // SAFETY: the caller names two places of `bytes` bytes, which may overlap.
    unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpy(to: usize, from: usize, bytes: usize) -> CuResult {
    copy(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyAsync(to: usize, from: usize, bytes: usize, _stream: usize) -> CuResult {
    copy(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoD_v2(to: usize, from: usize, bytes: usize) -> CuResult {
    copy(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(
    to: usize,
    from: usize,
    bytes: usize,
    _stream: usize,
) -> CuResult {
    copy(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoH_v2(to: usize, from: usize, bytes: usize) -> CuResult {
    copy(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoHAsync_v2(
    to: usize,
    from: usize,
    bytes: usize,
    _stream: usize,
) -> CuResult {
    copy(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(
    to: usize,
    from: usize,
    bytes: usize,
    _stream: usize,
) -> CuResult {
    copy(to, from, bytes)
}

/// Fills memory. Whole pages of our own that become zero are given back to the kernel, which
/// answers with new zero pages when they are next touched.
fn fill(address: usize, value: u8, bytes: usize) -> CuResult {
    let mut address = address;
    let mut bytes = bytes;
    if value == 0
        && bytes >= WORTH_DROPPING
        && containing(address).is_ok_and(|(start, allocation)| {
            allocation.is_ours && address + bytes <= start + allocation.mapped
        })
    {
        let pages = address.next_multiple_of(PAGE)..(address + bytes) / PAGE * PAGE;
        // SAFETY: whole pages inside one private anonymous mapping of ours; they read as zeros after.
        let dropped =
            unsafe { libc::madvise(pages.start as *mut c_void, pages.len(), libc::MADV_DONTNEED) };
        if dropped == 0 {
            // SAFETY: the part before the first whole page, inside the same allocation.
            unsafe { std::ptr::write_bytes(address as *mut u8, 0, pages.start - address) };
            bytes = address + bytes - pages.end;
            address = pages.end;
        }
    }
    if bytes > 0 {
        if address == 0 {
            return CuResult::INVALID_VALUE;
        }
        // SAFETY: the caller names a place of `bytes` bytes.
        unsafe { std::ptr::write_bytes(address as *mut u8, value, bytes) };
    }
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8_v2(address: usize, value: u8, bytes: usize) -> CuResult {
    fill(address, value, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(address: usize, value: u8, bytes: usize, _stream: usize) -> CuResult {
    fill(address, value, bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::context;
    use crate::memory::{allocate, free};

    fn byte(address: usize) -> u8 {
        // SAFETY: the tests ask for addresses they allocated.
        unsafe { *(address as *const u8) }
    }

    #[test]
    fn filling_with_zeros_leaves_the_neighbours_alone() {
        context::tests::on_device(0);
        let size = 1 << 20;
        let start = allocate(size, false).unwrap();
        // Neither end on a page, and large enough to drop pages.
        let (from, to) = (start + 100, start + size - 100);
        assert_eq!(fill(start, 7, size), CuResult::SUCCESS);
        assert_eq!(fill(from, 0, to - from), CuResult::SUCCESS);
        for (address, expected) in [
            (start, 7),
            (from - 1, 7),
            (from, 0),
            (start + PAGE, 0),
            (start + size / 2, 0),
            (to - 1, 0),
            (to, 7),
            (start + size - 1, 7),
        ] {
            assert_eq!(byte(address), expected, "{}", address - start);
        }
        assert_eq!(free(start), CuResult::SUCCESS);
        assert_eq!(free(start), CuResult::INVALID_VALUE);
    }
}

//! Memory. Device memory is host memory of this process: address space that costs nothing until
//! somebody writes to it.
//!
//! Copies happen at once, not when a stream comes to them: streams are clocks here, not queues.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use crate::boundary::{CuResult, Out};
use crate::context;
use crate::nccl::proxies;

/// Alignment of large allocations, as the driver has it, bytes.
const LARGE: usize = 2 << 20;
const PAGE: usize = 4 << 10;
/// From this size zeroing gives pages back instead of writing to them, bytes: initialisation of
/// eight ranks writes gigabytes of zeros otherwise.
const WORTH_DROPPING: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
struct Allocation {
    /// What was mapped, from the address up, bytes.
    mapped: usize,
    /// What was asked for, bytes.
    size: usize,
    device: u32,
    is_host: bool,
    is_ours: bool,
}

/// By address.
static ALLOCATIONS: Mutex<BTreeMap<usize, Allocation>> = Mutex::new(BTreeMap::new());

fn with_allocations<R>(what: impl FnOnce(&mut BTreeMap<usize, Allocation>) -> R) -> R {
    what(&mut ALLOCATIONS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The allocation an address lies in, and where it begins.
fn containing(address: usize) -> Result<(usize, Allocation), CuResult> {
    with_allocations(|all| {
        let (start, allocation) = all
            .range(..=address)
            .next_back()
            .ok_or(CuResult::INVALID_VALUE)?;
        let inside = address - start < allocation.size;
        inside
            .then_some((*start, *allocation))
            .ok_or(CuResult::INVALID_VALUE)
    })
}

/// Whether `bytes` bytes from an address on lie in one allocation.
pub fn holds(address: usize, bytes: usize) -> bool {
    containing(address).is_ok_and(|(start, allocation)| {
        address
            .checked_add(bytes)
            .is_some_and(|end| end <= start + allocation.size)
    })
}

mod libc {
    //! The four functions of the C library that are needed here.
    use std::ffi::{c_int, c_void};

    pub const PROT_READ_WRITE: c_int = 1 | 2;
    pub const MAP_PRIVATE_ANONYMOUS_NORESERVE: c_int = 0x02 | 0x20 | 0x4000;
    pub const MADV_DONTNEED: c_int = 4;
    pub const MAP_FAILED: usize = usize::MAX;

    unsafe extern "C" {
        pub fn mmap(
            address: *mut c_void,
            length: usize,
            protection: c_int,
            flags: c_int,
            file: c_int,
            offset: i64,
        ) -> *mut c_void;
        pub fn munmap(address: *mut c_void, length: usize) -> c_int;
        pub fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
}

/// Maps `size` bytes of zeros; address and mapped size.
fn map(size: usize) -> Result<(usize, usize), CuResult> {
    let alignment = if size >= LARGE { LARGE } else { PAGE };
    let mapped = size
        .checked_next_multiple_of(PAGE)
        .ok_or(CuResult::OUT_OF_MEMORY)?;
    let asked = mapped
        .checked_add(alignment)
        .ok_or(CuResult::OUT_OF_MEMORY)?;
    // SAFETY: a new private mapping at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            asked,
            libc::PROT_READ_WRITE,
            libc::MAP_PRIVATE_ANONYMOUS_NORESERVE,
            -1,
            0,
        )
    } as usize;
    if start == libc::MAP_FAILED {
        return Err(CuResult::OUT_OF_MEMORY);
    }
    let aligned = start.next_multiple_of(alignment);
    // The slack before and after the aligned part goes back.
    unmap(start, aligned - start);
    unmap(aligned + mapped, start + asked - (aligned + mapped));
    Ok((aligned, mapped))
}

fn unmap(start: usize, length: usize) {
    if length > 0 {
        // SAFETY: a part of a mapping made by `map` that nothing refers to any more.
        unsafe { libc::munmap(start as *mut c_void, length) };
    }
}

fn allocate(size: usize, is_host: bool) -> Result<usize, CuResult> {
    if size == 0 {
        return Err(CuResult::INVALID_VALUE);
    }
    let device = context::current_device()?;
    let (address, mapped) = map(size)?;
    let allocation = Allocation {
        mapped,
        size,
        device,
        is_host,
        is_ours: true,
    };
    with_allocations(|all| all.insert(address, allocation));
    Ok(address)
}

fn free(address: usize) -> CuResult {
    if address == 0 {
        return CuResult::SUCCESS;
    }
    let Some(allocation) = with_allocations(|all| all.remove(&address)) else {
        return CuResult::INVALID_VALUE;
    };
    proxies::forget(address..address + allocation.mapped);
    if allocation.is_ours {
        unmap(address, allocation.mapped);
    }
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(address: Out<usize>, bytes: usize) -> CuResult {
    address.put(allocate(bytes, false))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: usize) -> CuResult {
    free(address)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(address: Out<usize>, bytes: usize, _flags: c_uint) -> CuResult {
    address.put(allocate(bytes, true))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(address: usize) -> CuResult {
    free(address)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostRegister_v2(address: usize, bytes: usize, _flags: c_uint) -> CuResult {
    let device = match context::current_device() {
        Ok(device) => device,
        Err(error) => return error,
    };
    let allocation = Allocation {
        mapped: bytes,
        size: bytes,
        device,
        is_host: true,
        is_ours: false,
    };
    with_allocations(|all| all.insert(address, allocation));
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostUnregister(address: usize) -> CuResult {
    free(address)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostGetDevicePointer_v2(
    device_address: Out<usize>,
    host_address: usize,
    _flags: c_uint,
) -> CuResult {
    device_address.put(containing(host_address).map(|_| host_address))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> CuResult {
    free.set_if_wanted(ccl_stub::machine::MEMORY_BYTES);
    total.set_if_wanted(ccl_stub::machine::MEMORY_BYTES);
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetAddressRange_v2(
    base: Out<usize>,
    size: Out<usize>,
    address: usize,
) -> CuResult {
    match containing(address) {
        Ok((start, allocation)) => {
            base.set_if_wanted(start);
            size.set_if_wanted(allocation.size);
            CuResult::SUCCESS
        }
        Err(_) => CuResult::NOT_FOUND,
    }
}

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

/// `CU_POINTER_ATTRIBUTE_*` that the runtime reads.
const MEMORY_TYPE: c_int = 2;
const DEVICE_POINTER: c_int = 3;
const HOST_POINTER: c_int = 4;
const IS_MANAGED: c_int = 8;
const DEVICE_ORDINAL: c_int = 9;

#[unsafe(no_mangle)]
extern "C" fn cuPointerGetAttribute(data: usize, attribute: c_int, address: usize) -> CuResult {
    let allocation = match containing(address) {
        Ok((_, allocation)) => allocation,
        Err(error) => return error,
    };
    let (value, bytes) = match attribute {
        MEMORY_TYPE => (if allocation.is_host { 1 } else { 2 }, 4),
        DEVICE_POINTER => (address, 8),
        HOST_POINTER if allocation.is_host => (address, 8),
        IS_MANAGED => (0, 4),
        DEVICE_ORDINAL => (allocation.device as usize, 4),
        _ => return CuResult::NOT_SUPPORTED,
    };
    let value = value.to_le_bytes();
    copy(data, value.as_ptr() as usize, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuPointerGetAttributes(
    count: c_uint,
    attributes: *const c_int,
    data: *const usize,
    address: usize,
) -> CuResult {
    if attributes.is_null() || data.is_null() {
        return CuResult::INVALID_VALUE;
    }
    for index in 0..count as usize {
        // SAFETY: the caller passes `count` attributes and as many places.
        let (attribute, place) = unsafe { (*attributes.add(index), *data.add(index)) };
        // What an address has none of stays as the caller set it, as with the real driver.
        let _ = cuPointerGetAttribute(place, attribute, address);
    }
    CuResult::SUCCESS
}

/// `CUipcMemHandle`, used inside this process only: it carries the address and the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IpcHandle {
    address: usize,
    process: u32,
    rest: [u8; 52],
}

const _: () = assert!(size_of::<IpcHandle>() == 64);

#[unsafe(no_mangle)]
extern "C" fn cuIpcGetMemHandle(handle: Out<IpcHandle>, address: usize) -> CuResult {
    handle.put(containing(address).map(|(start, _)| IpcHandle {
        address: start,
        process: std::process::id(),
        rest: [0; 52],
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuIpcOpenMemHandle(
    address: Out<usize>,
    handle: IpcHandle,
    _flags: c_uint,
) -> CuResult {
    let here = handle.process == std::process::id();
    address.put(if here {
        Ok(handle.address)
    } else {
        Err(CuResult::NOT_SUPPORTED)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuIpcCloseMemHandle(_address: usize) -> CuResult {
    CuResult::SUCCESS
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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

    #[test]
    fn an_address_belongs_to_one_allocation_or_none() {
        context::tests::on_device(2);
        let start = allocate(5000, true).unwrap();
        assert!(holds(start, 5000) && holds(start + 4999, 1));
        assert!(!holds(start, 5001) && !holds(start + 5000, 1) && !holds(0, 1));
        assert!(!holds(usize::MAX, 2));
        let mut ordinal = 0u32;
        let place = &raw mut ordinal as usize;
        assert_eq!(
            cuPointerGetAttribute(place, DEVICE_ORDINAL, start + 9),
            CuResult::SUCCESS
        );
        assert_eq!(ordinal, 2);
        assert_eq!(allocate(0, false), Err(CuResult::INVALID_VALUE));
        assert_eq!(allocate(usize::MAX, false), Err(CuResult::OUT_OF_MEMORY));
    }
}

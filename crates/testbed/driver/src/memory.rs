//! Memory. Device memory is host memory of this process: address space that costs nothing until
//! somebody writes to it.

use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use crate::boundary::{CuResult, Out};
use crate::context;
use crate::nccl::proxies;

/// Alignment of large allocations, as the driver has it, bytes.
const LARGE: usize = 2 << 20;
pub const PAGE: usize = 4 << 10;

/// What is known of memory.
#[derive(Clone, Copy, Debug)]
pub struct Allocation {
    /// What was mapped, from the address up, bytes.
    pub mapped: usize,
    /// What was asked for, bytes.
    pub size: usize,
    pub device: u32,
    pub is_host: bool,
    /// Mapped here, not registered by its owner.
    pub is_ours: bool,
}

/// By address.
static ALLOCATIONS: Mutex<BTreeMap<usize, Allocation>> = Mutex::new(BTreeMap::new());

fn with_allocations<R>(what: impl FnOnce(&mut BTreeMap<usize, Allocation>) -> R) -> R {
    what(&mut ALLOCATIONS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The allocation an address lies in, and where it begins.
pub fn containing(address: usize) -> Result<(usize, Allocation), CuResult> {
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

pub mod libc {
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

pub fn allocate(size: usize, is_host: bool) -> Result<usize, CuResult> {
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

pub fn free(address: usize) -> CuResult {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_one_allocation_or_none() {
        context::tests::on_device(2);
        let start = allocate(5000, true).unwrap();
        assert!(holds(start, 5000) && holds(start + 4999, 1));
        assert!(!holds(start, 5001) && !holds(start + 5000, 1) && !holds(0, 1));
        assert!(!holds(usize::MAX, 2));
        assert_eq!(containing(start + 9).unwrap().1.device, 2);
        assert_eq!(free(start), CuResult::SUCCESS);
        assert_eq!(free(start), CuResult::INVALID_VALUE);
        assert_eq!(allocate(0, false), Err(CuResult::INVALID_VALUE));
        assert_eq!(allocate(usize::MAX, false), Err(CuResult::OUT_OF_MEMORY));
    }
}

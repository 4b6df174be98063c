//! What an address is, and handles by which it is passed on.

use std::ffi::{c_int, c_uint};

use crate::boundary::{CuResult, Out};
use crate::memory::containing;

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
    if data == 0 {
        return CuResult::INVALID_VALUE;
    }
    // SAFETY: the caller passes a place as large as the attribute.
    unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), data as *mut u8, bytes) };
    CuResult::SUCCESS
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
    use crate::{context, memory};

    #[test]
    fn an_address_knows_its_device_and_kind() {
        context::tests::on_device(4);
        let start = memory::allocate(100, true).unwrap();
        let mut answers = [u32::MAX; 2];
        let places = answers
            .each_mut()
            .map(|answer| std::ptr::from_mut(answer) as usize);
        let attributes = [DEVICE_ORDINAL, MEMORY_TYPE];
        let code = cuPointerGetAttributes(2, attributes.as_ptr(), places.as_ptr(), start + 50);
        assert_eq!((code, answers), (CuResult::SUCCESS, [4, 1]));
        let place = places[0];
        assert_eq!(
            cuPointerGetAttribute(place, DEVICE_ORDINAL, start + 100),
            CuResult::INVALID_VALUE
        );
    }
}

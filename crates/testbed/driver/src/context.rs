//! Contexts. Each device has one, its primary context; a thread has a stack of current ones.
//!
//! The CUDA runtime also keeps values of its own per context (context-local storage).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::sync::{Mutex, PoisonError};

use crate::boundary::{CuResult, Out};
use crate::device::checked;

/// The runtime asks which version a context was made for; 3.2 is what it has been ever since.
const API_VERSION: c_uint = 3020;
/// A context is its device's number plus this; it is never null.
const BASE: usize = 0xc0_0000;

thread_local! {
    static CURRENT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The primary context of a device.
fn primary(device: u32) -> usize {
    BASE + device as usize
}

/// The device of a context.
pub fn device_of(context: usize) -> Result<u32, CuResult> {
    let number = context
        .checked_sub(BASE)
        .and_then(|n| c_int::try_from(n).ok());
    number
        .ok_or(CuResult::INVALID_CONTEXT)
        .and_then(|n| checked(n).map_err(|_| CuResult::INVALID_CONTEXT))
}

/// The context that is current on this thread.
pub fn current() -> Result<usize, CuResult> {
    CURRENT
        .with_borrow(|stack| stack.last().copied())
        .ok_or(CuResult::INVALID_CONTEXT)
}

/// The device whose context is current on this thread.
pub fn current_device() -> Result<u32, CuResult> {
    current().and_then(device_of)
}

/// Answers a device's primary context; it lives as long as the process.
pub fn retain(context: Out<usize>, device: c_int) -> CuResult {
    context.put(checked(device).map(primary))
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(context: Out<usize>, device: c_int) -> CuResult {
    retain(context, device)
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease(_device: c_int) -> CuResult {
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> CuResult {
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxGetState(
    device: c_int,
    flags: Out<c_uint>,
    active: Out<c_int>,
) -> CuResult {
    if let Err(error) = checked(device) {
        return error;
    }
    flags.set_if_wanted(0);
    active.set_if_wanted(1);
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxSetFlags_v2(_device: c_int, _flags: c_uint) -> CuResult {
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(context: Out<usize>) -> CuResult {
    context.set(current().unwrap_or(0))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(context: usize) -> CuResult {
    if context != 0
        && let Err(error) = device_of(context)
    {
        return error;
    }
    CURRENT.with_borrow_mut(|stack| {
        stack.pop();
        if context != 0 {
            stack.push(context);
        }
    });
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetDevice(device: Out<c_int>) -> CuResult {
    device.put(current_device().map(u32::cast_signed))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetApiVersion(_context: usize, version: Out<c_uint>) -> CuResult {
    version.set(API_VERSION)
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetFlags(flags: Out<c_uint>) -> CuResult {
    flags.put(current().map(|_| 0))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> CuResult {
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetLimit(_limit: c_int, _value: usize) -> CuResult {
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) -> CuResult {
    least.set_if_wanted(0);
    greatest.set_if_wanted(-5);
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxEnablePeerAccess(peer: usize, _flags: c_uint) -> CuResult {
    device_of(peer).err().unwrap_or(CuResult::SUCCESS)
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxDisablePeerAccess(peer: usize) -> CuResult {
    device_of(peer).err().unwrap_or(CuResult::SUCCESS)
}

/// Values the runtime keeps, by context and key.
static LOCAL_STORAGE: Mutex<BTreeMap<(usize, usize), usize>> = Mutex::new(BTreeMap::new());

/// The context a storage function means: null is the current one.
fn meant(context: usize) -> Result<usize, CuResult> {
    if context == 0 {
        current()
    } else {
        device_of(context).map(|_| context)
    }
}

/// Context-local storage, slot 0: keeps a value. Contexts here live as long as the process, so the
/// destructor is never due.
pub extern "C" fn keep(context: usize, key: usize, value: usize, _destructor: usize) -> CuResult {
    match meant(context) {
        Ok(context) => {
            let mut storage = LOCAL_STORAGE.lock().unwrap_or_else(PoisonError::into_inner);
            storage.insert((context, key), value);
            CuResult::SUCCESS
        }
        Err(error) => error,
    }
}

/// Context-local storage, slot 1: forgets a value.
pub extern "C" fn forget(context: usize, key: usize) -> CuResult {
    match meant(context) {
        Ok(context) => {
            let mut storage = LOCAL_STORAGE.lock().unwrap_or_else(PoisonError::into_inner);
            storage.remove(&(context, key));
            CuResult::SUCCESS
        }
        Err(error) => error,
    }
}

/// Context-local storage, slot 2: finds a value.
pub extern "C" fn find(value: Out<usize>, context: usize, key: usize) -> CuResult {
    value.put(meant(context).and_then(|context| {
        let storage = LOCAL_STORAGE.lock().unwrap_or_else(PoisonError::into_inner);
        storage
            .get(&(context, key))
            .copied()
            .ok_or(CuResult::INVALID_HANDLE)
    }))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Makes a device's context current on this thread.
    pub fn on_device(device: c_int) {
        let mut context = 0;
        assert_eq!(retain(Out::to(&mut context), device), CuResult::SUCCESS);
        assert_eq!(cuCtxSetCurrent(context), CuResult::SUCCESS);
    }

    #[test]
    fn each_thread_has_its_own_device() {
        on_device(3);
        let other = std::thread::spawn(|| {
            assert_eq!(current(), Err(CuResult::INVALID_CONTEXT));
            on_device(5);
            current_device()
        });
        assert_eq!(other.join().ok(), Some(Ok(5)));
        assert_eq!(current_device(), Ok(3));
        assert_eq!(cuCtxSetCurrent(1), CuResult::INVALID_CONTEXT);
    }

    #[test]
    fn values_are_kept_per_context() {
        on_device(6);
        assert_eq!(keep(0, 77, 1234, 0), CuResult::SUCCESS);
        let mut value = 0;
        assert_eq!(find(Out::to(&mut value), 0, 77), CuResult::SUCCESS);
        assert_eq!(value, 1234);
        on_device(7);
        assert_eq!(find(Out::to(&mut value), 0, 77), CuResult::INVALID_HANDLE);
        on_device(6);
        assert_eq!(forget(0, 77), CuResult::SUCCESS);
        assert_eq!(find(Out::to(&mut value), 0, 77), CuResult::INVALID_HANDLE);
    }
}

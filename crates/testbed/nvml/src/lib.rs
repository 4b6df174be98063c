//! A stub `libnvidia-ml.so.1`: describes the machine of `ccl_stub::machine` to NCCL, with all GPUs
//! behind NVSwitches, so that NCCL finds its topology without a file. Only what NCCL 2.21 asks.
//!
//! Handles are device numbers plus one. Nothing is kept, nothing can fail but a bad argument.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the stub NVML is for Linux on x86-64, as the NCCL package it serves is");

use std::ffi::{CStr, c_char, c_int, c_uint};

use ccl_stub::machine;

/// `nvmlReturn_t`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
struct NvmlReturn(c_int);

impl NvmlReturn {
    const SUCCESS: Self = Self(0);
    const INVALID_ARGUMENT: Self = Self(2);
    const NOT_SUPPORTED: Self = Self(3);
    const NOT_FOUND: Self = Self(6);
}

/// `nvmlPciInfo_t` as NCCL declares it.
#[repr(C)]
struct PciInfo {
    legacy_id: [u8; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    pci_device: c_uint,
    pci_subsystem: c_uint,
    reserved: [c_uint; 4],
}

/// An NVSwitch of the H100 generation, vendor in the low half.
const NVSWITCH: c_uint = 0x22a3_10de;

/// A place for an answer: null or valid, as NVML's interface has it.
#[repr(transparent)]
struct Out<T>(*mut T);

impl<T> Out<T> {
    fn set(self, value: T) -> NvmlReturn {
        if self.0.is_null() {
            return NvmlReturn::INVALID_ARGUMENT;
        }
        // SAFETY: not null; the caller passes a place for one `T`.
        unsafe { self.0.write(value) };
        NvmlReturn::SUCCESS
    }
}

fn handle(device: u32) -> usize {
    device as usize + 1
}

fn device(handle: usize) -> Option<u32> {
    let number = u32::try_from(handle.checked_sub(1)?).ok()?;
    (number < machine::devices()).then_some(number)
}

/// Answers for a device that exists.
fn of<T>(handle: usize, place: Out<T>, answer: impl FnOnce(u32) -> T) -> NvmlReturn {
    match device(handle) {
        Some(number) => place.set(answer(number)),
        None => NvmlReturn::INVALID_ARGUMENT,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit() -> NvmlReturn {
    NvmlReturn::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> NvmlReturn {
    NvmlReturn::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> NvmlReturn {
    NvmlReturn::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(error: NvmlReturn) -> *const c_char {
    match error {
        NvmlReturn::SUCCESS => c"success",
        NvmlReturn::INVALID_ARGUMENT => c"stub NVML: invalid argument",
        NvmlReturn::NOT_SUPPORTED => c"stub NVML: not supported",
        NvmlReturn::NOT_FOUND => c"stub NVML: not found",
        NvmlReturn(_) => c"stub NVML: unknown error",
    }
    .as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCount(count: Out<c_uint>) -> NvmlReturn {
    count.set(machine::devices())
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCount_v2(count: Out<c_uint>) -> NvmlReturn {
    count.set(machine::devices())
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetHandleByIndex(index: c_uint, found: Out<usize>) -> NvmlReturn {
    if index < machine::devices() {
        found.set(handle(index))
    } else {
        NvmlReturn::INVALID_ARGUMENT
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetHandleByPciBusId(id: *const c_char, found: Out<usize>) -> NvmlReturn {
    if id.is_null() {
        return NvmlReturn::INVALID_ARGUMENT;
    }
    // SAFETY: not null; the caller passes a C string.
    let id = unsafe { CStr::from_ptr(id) };
    match id.to_str().ok().and_then(machine::device_of_pci_id) {
        Some(number) => found.set(handle(number)),
        None => NvmlReturn::NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetIndex(gpu: usize, index: Out<c_uint>) -> NvmlReturn {
    of(gpu, index, |number| number)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCudaComputeCapability(
    gpu: usize,
    major: Out<c_int>,
    minor: Out<c_int>,
) -> NvmlReturn {
    let (of_major, of_minor) = machine::COMPUTE_CAPABILITY;
    match of(gpu, major, |_| of_major) {
        NvmlReturn::SUCCESS => of(gpu, minor, |_| of_minor),
        error => error,
    }
}

/// Whether two GPUs reach each other: all do.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetP2PStatus(
    gpu: usize,
    _peer: usize,
    _capability: c_int,
    status: Out<c_int>,
) -> NvmlReturn {
    const P2P_OK: c_int = 0;
    of(gpu, status, |_| P2P_OK)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetNvLinkState(gpu: usize, link: c_uint, state: Out<c_int>) -> NvmlReturn {
    of(gpu, state, |_| c_int::from(link < machine::NVLINKS))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetNvLinkCapability(
    gpu: usize,
    link: c_uint,
    capability: c_int,
    answer: Out<c_uint>,
) -> NvmlReturn {
    /// P2P, P2P atomics, and that the link is there.
    const HAS: [c_int; 3] = [0, 2, 5];
    let has = link < machine::NVLINKS && HAS.contains(&capability);
    of(gpu, answer, |_| c_uint::from(has))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetNvLinkRemotePciInfo(
    gpu: usize,
    link: c_uint,
    answer: Out<PciInfo>,
) -> NvmlReturn {
    if link >= machine::NVLINKS {
        return NvmlReturn::NOT_SUPPORTED;
    }
    let bus = machine::switch_bus_of(link);
    let mut legacy_id = [0; 16];
    for (place, byte) in legacy_id.iter_mut().zip(machine::pci_id(bus).bytes()) {
        *place = byte;
    }
    of(gpu, answer, |_| PciInfo {
        legacy_id,
        domain: 0,
        bus,
        device: 0,
        pci_device: NVSWITCH,
        pci_subsystem: 0,
        reserved: [0; 4],
    })
}

/// GPUs that share memory across nodes are not part of this machine.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGpuFabricInfoV(_gpu: usize, _answer: usize) -> NvmlReturn {
    NvmlReturn::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetFieldValues(_gpu: usize, _count: c_int, _values: usize) -> NvmlReturn {
    NvmlReturn::NOT_SUPPORTED
}

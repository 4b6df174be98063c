//! The devices: what the machine of `ccl_stub::machine` looks like through the driver.

use std::ffi::{c_char, c_int, c_uint};

use ccl_stub::machine;

use crate::boundary::{CuResult, Out, Text};

/// CUDA 12.9: newer than the runtime inside NCCL's CUDA 11 package, which accepts any newer one.
const DRIVER_VERSION: c_int = 12090;

/// `CUuuid`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Uuid(pub [u8; 16]);

/// A device number of the machine.
pub fn checked(device: c_int) -> Result<u32, CuResult> {
    let number = u32::try_from(device).map_err(|_| CuResult::INVALID_DEVICE)?;
    (number < machine::devices())
        .then_some(number)
        .ok_or(CuResult::INVALID_DEVICE)
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> CuResult {
    CuResult::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: Out<c_int>) -> CuResult {
    version.set(DRIVER_VERSION)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) -> CuResult {
    device.put(checked(ordinal).map(|_| ordinal))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: Out<c_int>) -> CuResult {
    count.set(machine::devices().cast_signed())
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(name: Out<c_char>, length: c_int, device: c_int) -> CuResult {
    match checked(device) {
        Ok(number) => name.set_text(&format!("Simulated H100 {number}"), length),
        Err(error) => error,
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid(uuid: Out<Uuid>, device: c_int) -> CuResult {
    uuid.put(checked(device).map(|number| {
        let mut bytes = *b"ccl-agent stub  ";
        bytes[15] = u8::try_from(number).unwrap_or(u8::MAX);
        Uuid(bytes)
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) -> CuResult {
    bytes.put(checked(device).map(|_| machine::MEMORY_BYTES))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetPCIBusId(id: Out<c_char>, length: c_int, device: c_int) -> CuResult {
    match checked(device) {
        Ok(number) => id.set_text(&machine::pci_id(machine::bus_of(number)), length),
        Err(error) => error,
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetByPCIBusId(device: Out<c_int>, id: Text) -> CuResult {
    let found = id
        .get()
        .and_then(|text| machine::device_of_pci_id(text.to_str().ok()?))
        .ok_or(CuResult::INVALID_DEVICE);
    device.put(found.map(u32::cast_signed))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceCanAccessPeer(can: Out<c_int>, device: c_int, peer: c_int) -> CuResult {
    can.put(
        checked(device)
            .and(checked(peer))
            .map(|_| c_int::from(device != peer)),
    )
}

/// `CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK`; the others are yes or no.
const PERFORMANCE_RANK: c_int = 1;

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetP2PAttribute(
    value: Out<c_int>,
    attribute: c_int,
    device: c_int,
    peer: c_int,
) -> CuResult {
    let answer = c_int::from(attribute != PERFORMANCE_RANK);
    value.put(checked(device).and(checked(peer)).map(|_| answer))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(value: Out<c_int>, attribute: c_int, device: c_int) -> CuResult {
    value.put(checked(device).map(|number| attribute_of(attribute, number)))
}

/// The value of an attribute (`CUdevice_attribute`), those that the CUDA runtime and NCCL read.
/// What is left out is 0, "not supported": virtual memory management (102), which NCCL would use to
/// share memory between processes, and GPUDirect (116) among them.
fn attribute_of(attribute: c_int, device: u32) -> c_int {
    let bus = machine::bus_of(device).cast_signed();
    match attribute {
        1 | 2 | 3 => 1024,                // threads of a block, its x and y
        4 => 64,                          // its z
        5 => c_int::MAX,                  // grid x
        6 | 7 => 65_535,                  // grid y, z
        8 => 48 << 10,                    // shared memory of a block, bytes
        9 => 64 << 10,                    // constant memory, bytes
        10 => 32,                         // warp
        11 => c_int::MAX,                 // pitch
        12 | 82 => 64 << 10,              // registers of a block, of a multiprocessor
        13 => 1_980_000,                  // clock, kHz
        14 => 512,                        // texture alignment, bytes
        15 | 31 | 40 | 78 | 83 | 95 => 1, // yes: overlap, concurrent kernels, async engines,
        // stream priorities, managed memory, cooperative launch
        16 => machine::SMS,
        19 | 41 | 91 | 99 => 1, // yes: mapped host memory, unified addresses, registered host memory
        33 => bus,
        36 => 2_619_000, // memory clock, kHz
        37 => 5_120,     // memory bus, bits
        38 => 50 << 20,  // L2 cache, bytes
        39 => 2_048,     // threads of a multiprocessor
        75 => machine::COMPUTE_CAPABILITY.0,
        76 => machine::COMPUTE_CAPABILITY.1,
        81 => 228 << 10,            // shared memory of a multiprocessor, bytes
        85 => device.cast_signed(), // board
        97 => 227 << 10,            // shared memory of a block when asked for, bytes
        106 => 32,                  // blocks of a multiprocessor
        111 => 1_024,               // reserved shared memory of a block, bytes
        _ => 0,
    }
}

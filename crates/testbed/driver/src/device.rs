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

/// What is simply there: copies beside kernels, mapped host memory, concurrent kernels, a copy engine,
/// one address space, stream priorities, managed memory, cooperative launches, registered memory.
const HAS: [c_int; 10] = [15, 19, 31, 40, 41, 78, 83, 91, 95, 99];

/// The value of an attribute (`CUdevice_attribute`), those that the CUDA runtime and NCCL read.
/// What is left out is 0, "not supported": virtual memory management (102), which NCCL would use to
/// share memory between processes, and GPUDirect (116) among them.
fn attribute_of(attribute: c_int, device: u32) -> c_int {
    match attribute {
        // Threads of a block, its three sides.
        1..=3 => 1024,
        4 => 64,
        // The grid's three sides.
        5 => c_int::MAX,
        6 | 7 => 65_535,
        // Memory, bytes: shared by a block, constant, L2, shared by a multiprocessor's blocks, by a
        // block that asks for it, and reserved.
        8 => 48 << 10,
        9 => 64 << 10,
        38 => 50 << 20,
        81 => 228 << 10,
        97 => 227 << 10,
        111 => 1 << 10,
        // Registers of a block and of a multiprocessor; its threads and blocks; a warp.
        12 | 82 => 64 << 10,
        39 => 2_048,
        106 => 32,
        10 => 32,
        // Multiprocessors, clocks in kHz, memory bus in bits.
        16 => machine::SMS,
        13 => 1_980_000,
        36 => 2_619_000,
        37 => 5_120,
        // Pitch and alignment of textures, bytes.
        11 => c_int::MAX,
        14 => 512,
        // Bus, board, compute capability.
        33 => machine::bus_of(device).cast_signed(),
        85 => device.cast_signed(),
        75 => machine::COMPUTE_CAPABILITY.0,
        76 => machine::COMPUTE_CAPABILITY.1,
        other => c_int::from(HAS.contains(&other)),
    }
}

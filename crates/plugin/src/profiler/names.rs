//! NCCL's words for its numbers, as `src/collectives.cc` of 2.30 has them (`ncclFuncToString` and its
//! neighbours).

use std::ffi::{CStr, c_char};

/// The words behind a pointer NCCL passed: static strings of its own.
///
/// # Safety
/// Null, or a C string that stays.
unsafe fn word<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return b"";
    }
    // SAFETY: not null, and the caller says that it is a C string.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// A collective's number; `None` for what no tuner is asked about.
///
/// # Safety
/// Null, or a C string that stays.
pub unsafe fn collective(text: *const c_char) -> Option<u8> {
    // SAFETY: as the caller says.
    match unsafe { word(text) } {
        b"Broadcast" => Some(0),
        b"Reduce" => Some(1),
        b"AllGather" => Some(2),
        b"ReduceScatter" => Some(3),
        b"AllReduce" => Some(4),
        _ => None,
    }
}

/// An algorithm's number.
///
/// # Safety
/// Null, or a C string that stays.
pub unsafe fn algorithm(text: *const c_char) -> Option<u8> {
    // SAFETY: as the caller says.
    match unsafe { word(text) } {
        b"TREE" => Some(0),
        b"RING" => Some(1),
        b"COLLNET_DIRECT" => Some(2),
        b"COLLNET_CHAIN" => Some(3),
        b"NVLS" => Some(4),
        b"NVLS_TREE" => Some(5),
        b"PAT" => Some(6),
        _ => None,
    }
}

/// A protocol's number.
///
/// # Safety
/// Null, or a C string that stays.
pub unsafe fn protocol(text: *const c_char) -> Option<u8> {
    // SAFETY: as the caller says.
    match unsafe { word(text) } {
        b"LL" => Some(0),
        b"LL128" => Some(1),
        b"SIMPLE" => Some(2),
        _ => None,
    }
}

/// Bytes of an element. NCCL has no word for its 8-bit unsigned type and says `Unknown`.
///
/// # Safety
/// Null, or a C string that stays.
pub unsafe fn element_bytes(text: *const c_char) -> Option<u8> {
    // SAFETY: as the caller says.
    match unsafe { word(text) } {
        b"ncclInt8" | b"ncclUint8" | b"Unknown" | b"ncclFloat8e4m3" | b"ncclFloat8e5m2" => Some(1),
        b"ncclFloat16" | b"ncclBfloat16" => Some(2),
        b"ncclInt32" | b"ncclUint32" | b"ncclFloat32" => Some(4),
        b"ncclInt64" | b"ncclUint64" | b"ncclFloat64" => Some(8),
        _ => None,
    }
}

/// Bytes of an element by `ncclDataType_t` of nccl.h.
pub fn element_bytes_of(datatype: u8) -> Option<u8> {
    match datatype {
        0 | 1 | 10 | 11 => Some(1),
        6 | 9 => Some(2),
        2 | 3 | 7 => Some(4),
        4 | 5 | 8 => Some(8),
        _ => None,
    }
}

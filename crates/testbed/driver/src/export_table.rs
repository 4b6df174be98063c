//! The private tables of functions that the CUDA runtime asks the driver for.
//!
//! Identifiers, lengths and slots are as the open ZLUDA project documents them; only what the runtime
//! of CUDA 11.0 inside NCCL's package calls is filled in. Every other slot says so when it is called.
//!
//! There is deliberately no table that answers the runtime's check whether the driver is NVIDIA's
//! (CUDA 12 and later): that check is not worked around, and those runtimes refuse to start.

use std::ffi::{c_int, c_uint, c_void};

use crate::boundary::{CuResult, Out};
use crate::context;
use crate::device::Uuid;
use crate::module;

/// A slot: a function, the size of the table in bytes, or the end. Only the runtime reads it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Slot(#[allow(dead_code)] *const c_void);

/// A table that never changes.
#[repr(transparent)]
struct Table<const N: usize>([Slot; N]);

// SAFETY: addresses of functions, sizes and nulls, all constant.
unsafe impl<const N: usize> Sync for Table<N> {}

const END: Slot = Slot(std::ptr::null());

const fn size(slots: usize) -> Slot {
    Slot(std::ptr::without_provenance(slots * size_of::<usize>()))
}

/// What stands in a slot nobody described: says which, and refuses.
extern "C" fn unknown<const TABLE: usize, const SLOT: usize>() -> CuResult {
    crate::unsupported::report(&format!("slot {SLOT} of export table {TABLE}"));
    CuResult::NOT_SUPPORTED
}

macro_rules! unknown {
    ($table:literal, $slot:literal) => {
        Slot(unknown::<$table, $slot> as *const c_void)
    };
}

/// `CUDART_INTERFACE`: how the runtime loads the code inside a program.
static RUNTIME: Table<13> = Table([
    size(13),
    Slot(load_module as *const c_void),
    Slot(primary_context as *const c_void),
    unknown!(0, 3),
    unknown!(0, 4),
    unknown!(0, 5),
    Slot(load_module_as as *const c_void),
    Slot(nothing as *const c_void),
    Slot(load_module_into as *const c_void),
    unknown!(0, 9),
    unknown!(0, 10),
    unknown!(0, 11),
    unknown!(0, 12),
]);

/// `TOOLS_RUNTIME_CALLBACK_HOOKS`: where profilers hook in. The runtime wants two arrays it can
/// write to.
static TOOL_HOOKS: Table<7> = Table([
    size(7),
    unknown!(1, 1),
    Slot(first_array as *const c_void),
    unknown!(1, 3),
    unknown!(1, 4),
    unknown!(1, 5),
    Slot(second_array as *const c_void),
]);

/// `CONTEXT_LOCAL_STORAGE`: values the runtime keeps per context. This one has no size.
static CONTEXT_STORAGE: Table<4> = Table([
    Slot(context::keep as *const c_void),
    Slot(context::forget as *const c_void),
    Slot(context::find as *const c_void),
    END,
]);

/// `TOOLS_TLS`: asked for, never called.
static TOOL_STORAGE: Table<4> = Table([size(4), unknown!(3, 1), unknown!(3, 2), unknown!(3, 3)]);

#[unsafe(no_mangle)]
extern "C" fn cuGetExportTable(table: Out<*const c_void>, identifier: *const Uuid) -> CuResult {
    if identifier.is_null() {
        return CuResult::INVALID_VALUE;
    }
    // SAFETY: not null; the caller passes an identifier.
    let Uuid(identifier) = unsafe { *identifier };
    let found = match u128::from_be_bytes(identifier) {
        0x6bd5_fb6c_5bf4_e74a_8987_d939_12fd_9df9 => RUNTIME.0.as_ptr(),
        0xa094_798c_2e74_2e74_93f2_0800_200c_0a66 => TOOL_HOOKS.0.as_ptr(),
        0xc693_336e_1121_df11_a8c3_68f3_55d8_9593 => CONTEXT_STORAGE.0.as_ptr(),
        0x42d8_5a81_23f6_cb47_8298_f6e7_8a3a_ecdc => TOOL_STORAGE.0.as_ptr(),
        _ => {
            table.set_if_wanted(std::ptr::null());
            return CuResult::INVALID_VALUE;
        }
    };
    table.set(found.cast())
}

extern "C" fn load_module(handle: Out<usize>, _code: usize) -> CuResult {
    handle.set(module::load())
}

extern "C" fn load_module_as(
    handle: Out<usize>,
    _code: usize,
    _options: usize,
    _values: usize,
    _count: c_uint,
) -> CuResult {
    handle.set(module::load())
}

extern "C" fn load_module_into(
    _code: usize,
    handle: Out<usize>,
    _options: usize,
    _values: usize,
    _count: c_uint,
) -> CuResult {
    handle.set(module::load())
}

extern "C" fn primary_context(handle: Out<usize>, device: c_int) -> CuResult {
    context::retain(handle, device)
}

extern "C" fn nothing(_argument: usize) {}

/// Words of an array that tools would fill; the runtime only reads and writes there.
struct Words<const N: usize>(std::cell::UnsafeCell<[u32; N]>);

// SAFETY: never touched from here; the runtime that is handed the address answers for it.
unsafe impl<const N: usize> Sync for Words<N> {}

static FIRST: Words<1024> = Words(std::cell::UnsafeCell::new([0; 1024]));
static SECOND: Words<14> = Words(std::cell::UnsafeCell::new([0; 14]));

extern "C" fn first_array(array: Out<*mut u32>, length: Out<usize>) {
    array.set_if_wanted(FIRST.0.get().cast());
    length.set_if_wanted(1024);
}

extern "C" fn second_array(array: Out<*mut u32>, length: Out<usize>) {
    array.set_if_wanted(SECOND.0.get().cast());
    length.set_if_wanted(14);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(identifier: u128) -> (CuResult, *const c_void) {
        let mut table = std::ptr::dangling();
        let identifier = Uuid(identifier.to_be_bytes());
        let result = cuGetExportTable(Out::to(&mut table), &raw const identifier);
        (result, table)
    }

    #[test]
    fn a_table_begins_with_its_size() {
        let (result, table) = table(0x6bd5_fb6c_5bf4_e74a_8987_d939_12fd_9df9);
        assert_eq!(result, CuResult::SUCCESS);
        // SAFETY: the first word of a table that has a size.
        assert_eq!(unsafe { *table.cast::<usize>() }, 13 * 8);
    }

    /// The table by which later runtimes authenticate the driver is not there, and stays so.
    #[test]
    fn there_is_no_table_that_authenticates_the_driver() {
        let (result, table) = table(0xd408_2055_bde6_704b_8d34_ba12_3c66_e1f2);
        assert_eq!((result, table.is_null()), (CuResult::INVALID_VALUE, true));
    }
}

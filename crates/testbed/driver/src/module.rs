//! Modules and functions. No code is loaded: a function is its name.

use std::collections::BTreeMap;
use std::ffi::{CString, c_int, c_uint};
use std::sync::{Arc, Mutex, PoisonError};

use crate::boundary::{CuResult, Out, Text, answer};
use crate::registry::Registry;

/// A kernel of a module.
pub struct Function {
    name: CString,
    /// Dynamic shared memory it may use, bytes.
    dynamic_bytes: Mutex<c_int>,
}

impl Function {
    /// As the module names it.
    pub fn name(&self) -> &CString {
        &self.name
    }
}

/// Functions and global variables by name.
#[derive(Default)]
struct Module {
    functions: Mutex<BTreeMap<CString, usize>>,
    globals: Mutex<BTreeMap<CString, usize>>,
}

static MODULES: Registry<Module> = Registry::new(0x0d00_0000);
static FUNCTIONS: Registry<Function> = Registry::new(0xf000_0000);

/// What a global variable gets, bytes. None is ever read here; NCCL writes none.
const GLOBAL_BYTES: usize = 64 << 10;
/// What a kernel gets without asking, bytes of dynamic shared memory.
const DEFAULT_DYNAMIC_BYTES: c_int = 48 << 10;

/// A new module; its code is not looked at.
pub fn load() -> usize {
    MODULES.insert(Module::default())
}

/// The function with a handle.
pub fn function(handle: usize) -> Result<Arc<Function>, CuResult> {
    FUNCTIONS.get(handle)
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(module: Out<usize>, _image: usize) -> CuResult {
    module.set(load())
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: usize) -> CuResult {
    answer(MODULES.remove(module))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunction(handle: Out<usize>, module: usize, name: Text) -> CuResult {
    let Some(name) = name.get() else {
        return CuResult::INVALID_VALUE;
    };
    handle.put(MODULES.get(module).map(|module| {
        let mut functions = module
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *functions.entry(name.to_owned()).or_insert_with(|| {
            FUNCTIONS.insert(Function {
                name: name.to_owned(),
                dynamic_bytes: Mutex::new(DEFAULT_DYNAMIC_BYTES),
            })
        })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetGlobal_v2(
    address: Out<usize>,
    bytes: Out<usize>,
    module: usize,
    name: Text,
) -> CuResult {
    let Some(name) = name.get() else {
        return CuResult::INVALID_VALUE;
    };
    let found = MODULES.get(module).map(|module| {
        let mut globals = module
            .globals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *globals.entry(name.to_owned()).or_insert_with(|| {
            // A variable lives as long as its module, and those as long as the process.
            Box::leak(vec![0u8; GLOBAL_BYTES].into_boxed_slice()).as_mut_ptr() as usize
        })
    });
    match found {
        Ok(start) => {
            address.set_if_wanted(start);
            bytes.set_if_wanted(GLOBAL_BYTES);
            CuResult::SUCCESS
        }
        Err(error) => error,
    }
}

/// `CU_FUNC_ATTRIBUTE_*` that the runtime reads; the others are 0.
const MAX_THREADS_PER_BLOCK: c_int = 0;
const REGISTERS: c_int = 4;
const PTX_VERSION: c_int = 5;
const BINARY_VERSION: c_int = 6;
const MAX_DYNAMIC_SHARED_BYTES: c_int = 8;

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetAttribute(value: Out<c_int>, attribute: c_int, handle: usize) -> CuResult {
    let (major, minor) = ccl_stub::machine::COMPUTE_CAPABILITY;
    value.put(function(handle).map(|function| {
        match attribute {
            MAX_THREADS_PER_BLOCK => 640,
            REGISTERS => 96,
            PTX_VERSION | BINARY_VERSION => 10 * major + minor,
            MAX_DYNAMIC_SHARED_BYTES => *function
                .dynamic_bytes
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
            _ => 0,
        }
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(handle: usize, attribute: c_int, value: c_int) -> CuResult {
    answer(function(handle).map(|function| {
        if attribute == MAX_DYNAMIC_SHARED_BYTES {
            *function
                .dynamic_bytes
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = value;
        }
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetCacheConfig(_handle: usize, _config: c_uint) -> CuResult {
    CuResult::SUCCESS
}

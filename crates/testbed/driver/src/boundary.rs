//! The C boundary: result codes, and the pointers callers pass in.
//!
//! Everything a caller hands over is wrapped where it arrives, so that the functions themselves can
//! be safe code. What the wrappers rely on is the contract of the CUDA driver interface: a pointer is
//! null or leads to what its parameter says.

use std::ffi::{CStr, c_char, c_int};

/// `CUresult`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CuResult(pub c_int);

impl CuResult {
    pub const SUCCESS: Self = Self(0);
    pub const INVALID_VALUE: Self = Self(1);
    pub const OUT_OF_MEMORY: Self = Self(2);
    pub const INVALID_DEVICE: Self = Self(101);
    pub const INVALID_CONTEXT: Self = Self(201);
    pub const INVALID_HANDLE: Self = Self(400);
    pub const NOT_FOUND: Self = Self(500);
    pub const NOT_SUPPORTED: Self = Self(801);

    /// Name and explanation, for the codes this driver answers.
    pub fn text(self) -> (&'static CStr, &'static CStr) {
        match self {
            Self::SUCCESS => (c"CUDA_SUCCESS", c"no error"),
            Self::INVALID_VALUE => (
                c"CUDA_ERROR_INVALID_VALUE",
                c"stub driver: invalid argument",
            ),
            Self::OUT_OF_MEMORY => (c"CUDA_ERROR_OUT_OF_MEMORY", c"stub driver: out of memory"),
            Self::INVALID_DEVICE => (c"CUDA_ERROR_INVALID_DEVICE", c"stub driver: no such device"),
            Self::INVALID_CONTEXT => (
                c"CUDA_ERROR_INVALID_CONTEXT",
                c"stub driver: no context is current",
            ),
            Self::INVALID_HANDLE => (c"CUDA_ERROR_INVALID_HANDLE", c"stub driver: unknown handle"),
            Self::NOT_FOUND => (c"CUDA_ERROR_NOT_FOUND", c"stub driver: no such symbol"),
            Self::NOT_SUPPORTED => (
                c"CUDA_ERROR_NOT_SUPPORTED",
                c"stub driver: this needs a real GPU and its driver",
            ),
            Self(_) => (c"CUDA_ERROR_UNKNOWN", c"stub driver: unknown error"),
        }
    }
}

/// The answer of a fallible function.
pub fn answer(result: Result<(), CuResult>) -> CuResult {
    result.err().unwrap_or(CuResult::SUCCESS)
}

/// A place for an answer.
#[repr(transparent)]
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// A place of a test.
    #[cfg(test)]
    pub fn to(place: &mut T) -> Self {
        Self(place)
    }

    /// Writes the answer.
    pub fn set(self, value: T) -> CuResult {
        if self.0.is_null() {
            return CuResult::INVALID_VALUE;
        }
        // SAFETY: not null; the caller of the driver function passes a place for one `T`.
        unsafe { self.0.write(value) };
        CuResult::SUCCESS
    }

    /// Writes the answer, or answers why there is none.
    pub fn put(self, value: Result<T, CuResult>) -> CuResult {
        match value {
            Ok(value) => self.set(value),
            Err(error) => error,
        }
    }

    /// Writes the answer where the parameter is optional.
    pub fn set_if_wanted(self, value: T) {
        // Null says that the caller does not want it.
        let _ = self.set(value);
    }
}

impl<T: Copy> Out<T> {
    /// Replaces a value that is also an input.
    pub fn replace(self, value: T) -> Option<T> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: not null; the caller passes a place with a value in it.
        Some(unsafe { self.0.replace(value) })
    }
}

impl Out<c_char> {
    /// Writes text into a buffer of `length` bytes, cut if need be, ended by zero.
    pub fn set_text(self, text: &str, length: c_int) -> CuResult {
        let Some(room) = usize::try_from(length).ok().and_then(|n| n.checked_sub(1)) else {
            return CuResult::INVALID_VALUE;
        };
        if self.0.is_null() {
            return CuResult::INVALID_VALUE;
        }
        let cut = text.len().min(room);
        // SAFETY: not null; the caller passes `length` bytes, of which `cut + 1` are written.
        unsafe {
            self.0
                .cast::<u8>()
                .copy_from_nonoverlapping(text.as_ptr(), cut);
            self.0.add(cut).write(0);
        }
        CuResult::SUCCESS
    }
}

/// A C string.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Text(*const c_char);

impl Text {
    /// The text; `None` for null.
    pub fn get<'a>(self) -> Option<&'a CStr> {
        // SAFETY: the caller passes null or a string that outlives the call.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) })
    }
}

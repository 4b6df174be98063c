//! A file of 64-bit words that several processes map.
//!
//! The C library's own functions, declared here: a crate for three calls would be more than they
//! are. The mapping lasts as long as the value; the file stays.

use std::ffi::{c_int, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;

unsafe extern "C" {
    fn mmap(
        address: *mut c_void,
        bytes: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn munmap(address: *mut c_void, bytes: usize) -> c_int;
}

/// `PROT_READ | PROT_WRITE` of Linux.
const READ_WRITE: c_int = 1 | 2;
/// `MAP_SHARED` of Linux.
const SHARED: c_int = 1;

/// Shared words.
#[derive(Debug)]
pub struct Mapping {
    start: *mut AtomicU64,
    words: usize,
}

// SAFETY: the memory is plain words that are only ever touched through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the file, made of zeros and `words` long when it is not there yet. Several processes may
    /// do this at once; all get the same memory.
    ///
    /// # Errors
    /// What the file system says; a file of another length.
    pub fn open(path: &Path, words: usize) -> io::Result<Self> {
        let bytes = words * size_of::<u64>();
        let length = bytes as u64;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        // Growing a new file is the same whoever does it first; zeros are what it grows by.
        if file.metadata()?.len() == 0 {
            file.set_len(length)?;
        }
        if file.metadata()?.len() != length {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a log of another size",
            ));
        }
        Self::map(&file, bytes, words)
    }

    fn map(file: &File, bytes: usize, words: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping of a file that is open and `bytes` long; the kernel chooses where.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                READ_WRITE,
                SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        // MAP_FAILED is -1.
        if start.is_null() || start as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: start.cast(),
            words,
        })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped, aligned to a page, `words` long, and alive as long as `self`; other
        // processes change it through atomics only. Nobody shortens the file: a rank that did
        // would take itself down as well.
        unsafe { std::slice::from_raw_parts(self.start, self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what `map` mapped, once.
        unsafe { munmap(self.start.cast(), self.words * size_of::<u64>()) };
    }
}

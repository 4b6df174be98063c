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
    fn posix_fallocate(file: c_int, offset: i64, bytes: i64) -> c_int;
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
            reserve(&file, length)?;
        }
        if file.metadata()?.len() != length {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a log of another size",
            ));
        }
        Self::map(&file, bytes, words)
    }

    /// Maps a file that is not there yet, made of zeros.
    ///
    /// # Errors
    /// What the file system says; a file that is there.
    pub fn create(path: &Path, words: usize) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        let bytes = words * size_of::<u64>();
        reserve(&file, bytes as u64)?;
        Self::map(&file, bytes, words)
    }

    /// Maps a file that is there, whatever its length is.
    ///
    /// # Errors
    /// What the file system says; a file that is no number of words.
    pub fn existing(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        if bytes == 0 || !bytes.is_multiple_of(size_of::<u64>()) {
            let what = "not a number of words";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Self::map(&file, bytes, bytes / size_of::<u64>())
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

/// Makes the file that long, with memory behind every byte: touching a page that a full file system
/// cannot supply would kill the process.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: an open file and a length; it answers an error number.
    match unsafe { posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what `map` mapped, once.
        unsafe { munmap(self.start.cast(), self.words * size_of::<u64>()) };
    }
}

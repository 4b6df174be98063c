//! Who writes: a process, told from a later one that got the same pid.

use super::seal::{join, lower, upper};

/// A process on this machine, in the pid namespace that all users of the memory share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid; 0 is none.
    pub pid: u32,
    /// When it started: the lower 32 bits of field 22 of `/proc/PID/stat`, clock ticks since boot
    /// (proc(5)). At 100 ticks a second these come again after 497 days.
    pub started: u32,
}

impl Process {
    /// As one word, so that one compare-and-swap replaces it.
    pub(super) fn pack(self) -> u64 {
        join(self.pid, self.started)
    }

    /// From a word; `None` for pid 0.
    pub(super) fn unpack(word: u64) -> Option<Self> {
        let (pid, started) = (upper(word), lower(word));
        (pid != 0).then_some(Self { pid, started })
    }
}

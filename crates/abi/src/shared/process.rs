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
    /// The one that asks; start time 0 where `/proc` cannot be read.
    pub fn this() -> Self {
        let pid = std::process::id();
        Self::living(pid).unwrap_or(Self { pid, started: 0 })
    }

    /// The one that has this pid now, if any has. One that has ended and that its parent has not asked for
    /// has a pid and does nothing any more: it does not live.
    pub fn living(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name in brackets that can hold anything. Then fields 3, 20 and 22.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?;
        let threads: u64 = fields.nth(16)?.parse().ok()?;
        let ticks: u64 = fields.nth(1)?.parse().ok()?;
        // The main thread alone can end as well.
        if matches!(state, "Z" | "X") && threads <= 1 {
            return None;
        }
        Some(Self {
            pid,
            started: lower(ticks),
        })
    }

    /// Whether no process with that pid and that start time exists here.
    pub fn is_gone(self) -> bool {
        Self::living(self.pid) != Some(self)
    }

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

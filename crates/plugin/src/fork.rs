//! Which process this is: a host may fork, and its child has the parent's memory, and the parent's
//! mappings, without being a rank.
//!
//! Such a child (a data loader's worker, say) records nothing into the parent's ring and neither
//! follows nor freezes the parent's logs: NCCL chooses for it. GPU contexts do not survive a fork, so
//! no communicator of the parent's can be used there in earnest. What a child opens itself is its own.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many forks lie between the process that loaded this object and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);
static WATCHED: OnceLock<()> = OnceLock::new();

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> c_int;
}

unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, Relaxed);
}

/// The process that opened something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u32);

impl Owner {
    /// This process; forks are noticed from now on.
    pub fn this() -> Self {
        // SAFETY: a handler that adds to a number is all a fork may run.
        WATCHED.get_or_init(|| unsafe {
            pthread_atfork(None, None, Some(in_child));
        });
        Self(FORKS.load(Relaxed))
    }

    /// Whether this process is it; one load.
    pub fn is_this(self) -> bool {
        FORKS.load(Relaxed) == self.0
    }
}

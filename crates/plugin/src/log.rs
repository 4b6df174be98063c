//! One line through NCCL's own logger: at init and at finalize, never on a call.

use std::ffi::CString;

use ccl_abi::nccl::common::{LOG_INFO, LOG_WARN, Logger, SUBSYSTEM_TUNING};

/// NCCL's logger, if it gave one.
#[derive(Clone, Copy, Debug)]
pub struct Log(pub Option<Logger>);

impl Log {
    /// Printed with `NCCL_DEBUG=INFO`.
    pub fn info(self, text: &str) {
        self.line(LOG_INFO, text);
    }

    /// Printed with `NCCL_DEBUG=WARN` and up.
    pub fn warn(self, text: &str) {
        self.line(LOG_WARN, text);
    }

    fn line(self, level: u32, text: &str) {
        let Some(logger) = self.0 else { return };
        let text = format!("ccl-agent: {}", text.replace('\0', " "));
        let Ok(text) = CString::new(text) else { return };
        // SAFETY: the logger is NCCL's, valid while the process lives; all strings end in NUL, and
        // the format takes exactly the one string that is passed.
        unsafe {
            logger(
                level,
                SUBSYSTEM_TUNING,
                c"ccl-agent".as_ptr(),
                0,
                c"%s".as_ptr(),
                text.as_ptr(),
            );
        }
    }
}

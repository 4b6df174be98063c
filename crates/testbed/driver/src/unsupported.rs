//! What this driver does not have, and says so: error texts, and a report of calls into private tables
//! that nobody described. Functions of the public interface that are not here are not exported
//! at all, so that the CUDA runtime takes the driver for one that is too old for them.

use std::ffi::c_char;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::boundary::{CuResult, Out};

/// What was reported already.
static REPORTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Says once on standard error that something was called that is not there. A driver has no other
/// channel, and silence would leave whoever called it with a bare error code.
#[allow(clippy::print_stderr)]
pub fn report(what: &str) {
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !reported.iter().any(|known| known == what) {
        eprintln!("ccl-agent stub driver: {what} was called and is not supported");
        reported.push(what.to_owned());
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(error: CuResult, text: Out<*const c_char>) -> CuResult {
    text.set(error.text().1.as_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(error: CuResult, text: Out<*const c_char>) -> CuResult {
    text.set(error.text().0.as_ptr())
}

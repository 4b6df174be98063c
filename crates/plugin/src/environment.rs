//! The environment plugin: process-level knobs from a file, for what the job's own environment does
//! not set.
//!
//! NCCL asks it for every variable from 2.28.7 on. The job's own environment always wins: a user who
//! sets a variable means it. The file (`CCL_AGENT_ENV_FILE`, lines `NAME=value`) is read once, whole or
//! not at all, and stays in memory for as long as the process lives.

pub mod exports;

use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::sync::OnceLock;

use crate::log::Log;
use crate::text;

/// Longest file, bytes.
const MOST_BYTES: usize = 1 << 20;

static VARIABLES: OnceLock<Vec<(CString, CString)>> = OnceLock::new();

unsafe extern "C" {
    /// From the C library: the pointer is the environment's own, as NCCL's built-in plugin returns it.
    fn getenv(name: *const c_char) -> *const c_char;
}

/// Reads the file, the first time; says what came of it.
pub fn start(log: Log) {
    let Some(path) = std::env::var_os("CCL_AGENT_ENV_FILE").filter(|name| !name.is_empty()) else {
        return;
    };
    let shown = path.to_string_lossy().into_owned();
    let read = text::read(Path::new(&path), MOST_BYTES).map_err(|e| e.to_string());
    match read.and_then(|text| parse(&text)) {
        Ok(variables) => {
            let count = VARIABLES.get_or_init(|| variables).len();
            log.info(&format!(
                "{count} variables from {shown}, where the job does not set them"
            ));
        }
        Err(doubt) => log.warn(&format!("{shown}: {doubt}; nothing of it is used")),
    }
}

/// Lines `NAME=value`, comments and empty lines; only NCCL's own variables.
///
/// # Errors
/// The first line that is something else.
pub fn parse(text: &str) -> Result<Vec<(CString, CString)>, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("{} bytes are no file of variables", text.len()));
    }
    let mut variables: Vec<(CString, CString)> = Vec::new();
    for (number, line) in (1u32..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let error = |what: &str| format!("line {number}: {what}");
        let (name, value) = line.split_once('=').ok_or_else(|| error("no NAME=value"))?;
        let known = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with("NCCL_") || !name.chars().all(known) {
            return Err(error("only variables NCCL_... belong here"));
        }
        let c_string = |text: &str| CString::new(text).map_err(|_| error("a NUL byte"));
        let (name, value) = (c_string(name)?, c_string(value)?);
        if variables.iter().any(|(other, _)| *other == name) {
            return Err(error("the variable stands here twice"));
        }
        variables.push((name, value));
    }
    Ok(variables)
}

/// The value NCCL is given: the job's own, else the file's, else null.
///
/// # Safety
/// `name` is null or a C string.
pub unsafe fn get(name: *const c_char) -> *const c_char {
    if name.is_null() {
        return std::ptr::null();
    }
    // SAFETY: a C string, as the caller promises.
    let own = unsafe { getenv(name) };
    if !own.is_null() {
        return own;
    }
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr(name) };
    VARIABLES
        .get()
        .and_then(|all| all.iter().find(|(other, _)| other.as_c_str() == name))
        .map_or(std::ptr::null(), |(_, value)| value.as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_used_whole_or_not_at_all() {
        let good =
            parse("# knobs\n\nNCCL_BUFFSIZE=8388608\nNCCL_IB_HCA==mlx5_0:1,mlx5_1\n").unwrap();
        assert_eq!(good[1].1.to_str(), Ok("=mlx5_0:1,mlx5_1"));
        for (text, words) in [
            ("NCCL_BUFFSIZE", "no NAME=value"),
            ("export NCCL_BUFFSIZE=1", "only variables"),
            ("LD_PRELOAD=x", "only variables"),
            (
                "NCCL_A=1\nNCCL_A=2",
                "line 2: the variable stands here twice",
            ),
            ("NCCL_A=1\0", "NUL"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}

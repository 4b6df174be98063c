//! From some moment on the kernel kills the process at any system call but its end (seccomp(2), filter
//! mode; strict mode would let `read` and `write` pass).

use std::ffi::{c_int, c_long, c_ulong};

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

/// `exit`, of one thread: the last one's ends the process.
#[cfg(target_arch = "x86_64")]
const EXIT: u32 = 60;
/// The same in the table that newer platforms share.
#[cfg(not(target_arch = "x86_64"))]
const EXIT: u32 = 93;

const SET_NO_NEW_PRIVILEGES: c_int = 38;
const SET_SECCOMP: c_int = 22;
const FILTER: c_ulong = 2;

/// `struct sock_filter`: an instruction of classic BPF.
#[repr(C)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Loads the system call's number, compares it, and allows or kills.
const PROGRAM: [Instruction; 4] = [
    instruction(0x20, 0, 0, 0),
    instruction(0x15, 0, 1, EXIT),
    instruction(0x06, 0, 0, 0x7fff_0000),
    instruction(0x06, 0, 0, 0x8000_0000),
];

const fn instruction(code: u16, if_true: u8, if_false: u8, value: u32) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        value,
    }
}

/// Seals the process, which must have a single thread.
pub fn no_more_system_calls() {
    let program = Program {
        length: 4,
        instructions: PROGRAM.as_ptr(),
    };
    let (one, none): (c_ulong, c_ulong) = (1, 0);
    unsafe {
        assert_eq!(prctl(SET_NO_NEW_PRIVILEGES, one, none, none, none), 0);
        assert_eq!(prctl(SET_SECCOMP, FILTER, &raw const program), 0);
    }
}

/// Ends it without any other system call.
pub fn end() -> ! {
    unsafe { syscall(c_long::from(EXIT), 0) };
    unreachable!()
}

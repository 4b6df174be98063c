//! Two functions of the C library that this program puts in front of the originals, so that the
//! NCCL it loads finds these.
//!
//! * `getenv`: NCCL 2.21 asks for `NCCL_HOSTID` each time it wants to know on which machine it is.
//!   Threads that answer differently are on different nodes, in one process. (Later releases ask
//!   once per process.) It also knows defaults that keep sockets on this machine.
//! * `recv`: NCCL spins on sockets without blocking. With more ranks than processor cores that
//!   starves whoever has something to send, so an empty socket waits a little in the kernel.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_short, c_ulong, c_void};
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};

/// How long `recv` waits for data that is not there yet: long enough for another thread to run, short
/// enough not to be felt.
static PATIENCE: Timespec = Timespec {
    seconds: 0,
    nanoseconds: 300_000,
};

/// Sockets over loopback only. Whoever sets a variable overrides these.
const DEFAULTS: [(&CStr, &CStr); 3] = [
    (c"NCCL_SOCKET_IFNAME", c"lo"),
    (c"NCCL_NET", c"Socket"),
    (c"NCCL_IB_DISABLE", c"1"),
];

/// Whether [`DEFAULTS`] are in force.
static STAYS_HERE: AtomicBool = AtomicBool::new(false);

/// Room for the name of a node, with its ending zero.
const HOST_BYTES: usize = 24;

thread_local! {
    /// The node this thread is on, as a C string; empty: the real one. No destructor, for NCCL's
    /// own threads pass by here as well.
    static HOST: Cell<[u8; HOST_BYTES]> = const { Cell::new([0; HOST_BYTES]) };
}

/// Puts the calling thread on a node, as far as NCCL can tell.
pub fn be_on_node(node: u32) {
    let mut host = [0; HOST_BYTES];
    for (place, byte) in host.iter_mut().zip(format!("node{node}").bytes()) {
        *place = byte;
    }
    HOST.set(host);
}

/// Lets sockets use loopback only, wherever the environment says nothing else.
pub fn stay_on_this_machine() {
    STAYS_HERE.store(true, Ordering::Relaxed);
}

/// Whether libraries that this process loads find the `getenv` of this module: the program must export
/// it, which its build script asks the linker for.
pub fn are_in_front() -> bool {
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: a null handle asks for what every library finds first.
    let found = unsafe { dlsym(std::ptr::null_mut(), c"getenv".as_ptr()) };
    std::ptr::eq(found, getenv as *const c_void)
}

/// The value of an environment variable; see the module.
///
/// # Safety
/// `name` is a C string, and nobody changes the environment meanwhile, as with the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    // SAFETY: as the caller promises.
    let name = unsafe { CStr::from_ptr(name) };
    if name == c"NCCL_HOSTID" {
        let host = HOST.with(Cell::as_ptr).cast::<c_char>();
        // SAFETY: the array of this thread, of which only this thread reads and writes.
        if unsafe { *host } != 0 {
            return host;
        }
    }
    let name_bytes = name.to_bytes();
    // SAFETY: the C library keeps here a list of C strings that ends with null.
    let mut entry = unsafe { environ };
    while !entry.is_null() {
        // SAFETY: inside the list, for it has not ended yet.
        let text = unsafe { *entry };
        if text.is_null() {
            break;
        }
        // SAFETY: an entry of the list is a C string.
        let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
        if bytes
            .strip_prefix(name_bytes)
            .is_some_and(|rest| rest.first() == Some(&b'='))
        {
            // SAFETY: the entry is longer than the name and the equals sign.
            return unsafe { text.add(name_bytes.len() + 1) };
        }
        // SAFETY: the list goes on until null.
        entry = unsafe { entry.add(1) };
    }
    let default = DEFAULTS.iter().find(|(known, _)| *known == name);
    match default {
        Some((_, value)) if STAYS_HERE.load(Ordering::Relaxed) => value.as_ptr().cast_mut(),
        _ => std::ptr::null_mut(),
    }
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

#[repr(C)]
struct PollFile {
    file: c_int,
    events: c_short,
    returned: c_short,
}

const POLLIN: c_short = 1;

/// Receives from a socket; see the module.
///
/// # Safety
/// As with the original: `buffer` has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
) -> isize {
    unsafe extern "C" {
        fn recvfrom(
            socket: c_int,
            buffer: *mut c_void,
            length: usize,
            flags: c_int,
            address: *mut c_void,
            address_length: *mut c_void,
        ) -> isize;
        fn ppoll(
            files: *mut PollFile,
            count: c_ulong,
            timeout: *const Timespec,
            signals: *const c_void,
        ) -> c_int;
    }
    let null = std::ptr::null_mut();
    // SAFETY: without an address this is what the original does.
    let receive = || unsafe { recvfrom(socket, buffer, length, flags, null, null) };
    let received = receive();
    if received >= 0 || Error::last_os_error().kind() != ErrorKind::WouldBlock {
        return received;
    }
    let mut file = PollFile {
        file: socket,
        events: POLLIN,
        returned: 0,
    };
    // SAFETY: one file, and a timeout that outlives the call. Whatever it answers, the second try
    // says what there is.
    unsafe { ppoll(&raw mut file, 1, &raw const PATIENCE, std::ptr::null()) };
    receive()
}

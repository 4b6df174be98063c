//! Chain mode: a vendor's tuner, asked first. Only one tuner loads, so whoever wants ours beside that
//! of a cloud vendor names theirs in `CCL_AGENT_CHAIN_TUNER`; what our table does not order stays what
//! theirs ordered.
//!
//! Theirs is used through the newest interface it has up to the one NCCL uses for us, as NCCL would
//! use it. What it decides is its own business, registered buffers included. Where it cannot be
//! loaded or its init fails, one line says so and ours works alone.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use ccl_abi::nccl::common::{Logger, NcclResult, SUCCESS};
use ccl_abi::nccl::tuner::{Constants, NvlDomainInfo, TunerV2, TunerV3, TunerV4, TunerV5, TunerV6};

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

/// `RTLD_NOW` of Linux; without `RTLD_GLOBAL`, so that its symbols stay its own.
const NOW: c_int = 2;

/// Its interface.
#[derive(Clone, Copy, Debug)]
enum Interface {
    V2(&'static TunerV2),
    V3(&'static TunerV3),
    V4(&'static TunerV4),
    V5(&'static TunerV5),
    V6(&'static TunerV6),
}

/// What NCCL passes at init, as far as its interface has it.
#[derive(Clone, Copy, Debug)]
pub struct InitArguments {
    /// The interface NCCL uses for us, 2 to 6.
    pub version: u8,
    /// The communicator's id; v5 and later.
    pub comm_id: u64,
    /// Ranks.
    pub ranks: usize,
    /// Nodes.
    pub nodes: usize,
    /// NCCL's logger.
    pub logger: Option<Logger>,
    /// NVLink domains; v5 and later, else null.
    pub domains: *mut NvlDomainInfo,
    /// Constants of the cost model; v5 and later, else null.
    pub constants: *mut Constants,
}

/// One call as the interfaces v3 to v6 have it.
#[derive(Clone, Copy, Debug)]
pub struct TableCall {
    /// NCCL's id of the collective.
    pub collective: c_int,
    /// Size, bytes.
    pub bytes: usize,
    /// Aggregated operations.
    pub pipe_ops: c_int,
    /// The cost table.
    pub cost_table: *mut *mut f32,
    /// Its rows.
    pub algorithms: c_int,
    /// Its columns.
    pub protocols: c_int,
    /// Whether the buffer can be registered; 0 before v4.
    pub registered: c_int,
    /// Where the channel count goes.
    pub channels: *mut c_int,
}

/// A vendor's tuner for one communicator.
#[derive(Debug)]
pub struct Vendor {
    interface: Interface,
    context: *mut c_void,
}

// SAFETY: NCCL calls a tuner's context from whichever thread the communicator is used on, one at a
// time; a vendor's tuner is made for that.
unsafe impl Send for Vendor {}
// SAFETY: as above.
unsafe impl Sync for Vendor {}

impl Vendor {
    /// Loads the library and makes its context. `Ok` with its name as it says.
    ///
    /// # Errors
    /// Why it is not used.
    ///
    /// # Safety
    /// The arguments are NCCL's own. The library is somebody's tuner: what its code does, it does in
    /// this process.
    pub unsafe fn load(path: &str, arguments: InitArguments) -> Result<(Self, String), String> {
        let file = CString::new(path).map_err(|_| "a NUL byte in its name".to_owned())?;
        // SAFETY: a C string; loading runs the library's constructors, as the user asked.
        let library = unsafe { dlopen(file.as_ptr(), NOW) };
        if library.is_null() {
            return Err(last_error());
        }
        // SAFETY: an open library, never closed: its functions may be on some stack for as long as the
        // process lives.
        let found = unsafe { Self::interface(library, arguments.version) };
        let (interface, name) =
            found.ok_or_else(|| format!("no tuner v2 to v{} in it", arguments.version))?;
        let mut context = std::ptr::null_mut();
        // SAFETY: NCCL's own arguments, passed on.
        let result = unsafe { interface.init(arguments, &raw mut context) };
        if result != SUCCESS {
            return Err(format!("its init answered {result}"));
        }
        Ok((Self { interface, context }, name))
    }

    /// The newest interface up to a version, and the name in it.
    ///
    /// # Safety
    /// An open library that stays open.
    unsafe fn interface(library: *mut c_void, newest: u8) -> Option<(Interface, String)> {
        (2..=newest.min(6)).rev().find_map(|version| {
            let symbol = CString::new(format!("ncclTunerPlugin_v{version}")).ok()?;
            // SAFETY: an open library and a C string.
            let found = unsafe { dlsym(library, symbol.as_ptr()) };
            if found.is_null() {
                return None;
            }
            // SAFETY: a symbol of this name is a structure of this version, whose first field is its
            // name; the library stays open.
            let name = unsafe { found.cast::<*const c_char>().read() };
            let name = match name.is_null() {
                true => String::new(),
                // SAFETY: a C string of the library.
                false => unsafe { CStr::from_ptr(name) }
                    .to_string_lossy()
                    .into_owned(),
            };
            // SAFETY: as above.
            let interface = unsafe {
                match version {
                    2 => Interface::V2(&*found.cast()),
                    3 => Interface::V3(&*found.cast()),
                    4 => Interface::V4(&*found.cast()),
                    5 => Interface::V5(&*found.cast()),
                    _ => Interface::V6(&*found.cast()),
                }
            };
            Some((interface, format!("{name} v{version}")))
        })
    }

    /// Asks through v2, where a vendor's v2 is the only one that can be asked.
    ///
    /// # Safety
    /// The arguments are NCCL's own.
    #[allow(clippy::too_many_arguments)] // the interface's own
    pub unsafe fn ask_v2(
        &self,
        collective: c_int,
        bytes: usize,
        collnet: c_int,
        nvls: c_int,
        pipe_ops: c_int,
        algorithm: *mut c_int,
        protocol: *mut c_int,
        channels: *mut c_int,
    ) {
        if let Interface::V2(vendor) = self.interface {
            // SAFETY: NCCL's own arguments and the vendor's own context.
            unsafe {
                (vendor.get_coll_info)(
                    self.context,
                    collective,
                    bytes,
                    collnet,
                    nvls,
                    pipe_ops,
                    algorithm,
                    protocol,
                    channels,
                )
            };
        }
    }

    /// Asks through v3 to v6. A vendor's v2 answers with a pair instead of a table: it is returned, and
    /// the caller prefers it where the table allows. What it answers after a failure is not looked
    /// at, since NCCL would not either.
    ///
    /// # Safety
    /// The arguments are NCCL's own.
    pub unsafe fn ask(&self, call: TableCall) -> Option<(c_int, c_int)> {
        let TableCall {
            collective,
            bytes,
            pipe_ops,
            cost_table,
            algorithms,
            protocols,
            registered,
            channels,
        } = call;
        match self.interface {
            Interface::V2(vendor) => {
                let (mut algorithm, mut protocol) = (-1, -1);
                // What hardware there is stands in the table; v2's flags say that all may be asked for.
                // SAFETY: NCCL's own arguments and the vendor's own context.
                let result = unsafe {
                    (vendor.get_coll_info)(
                        self.context,
                        collective,
                        bytes,
                        1,
                        1,
                        pipe_ops,
                        &raw mut algorithm,
                        &raw mut protocol,
                        channels,
                    )
                };
                return (result == SUCCESS && algorithm >= 0 && protocol >= 0)
                    .then_some((algorithm, protocol));
            }
            // SAFETY: NCCL's own arguments and the vendor's own context.
            Interface::V3(vendor) => unsafe {
                (vendor.get_coll_info)(
                    self.context,
                    collective,
                    bytes,
                    pipe_ops,
                    cost_table,
                    algorithms,
                    protocols,
                    channels,
                )
            },
            Interface::V4(TunerV4 { get_coll_info, .. })
            | Interface::V5(TunerV5 { get_coll_info, .. })
            // SAFETY: as above.
            | Interface::V6(TunerV6 { get_coll_info, .. }) => unsafe {
                get_coll_info(
                    self.context,
                    collective,
                    bytes,
                    pipe_ops,
                    cost_table,
                    algorithms,
                    protocols,
                    registered,
                    channels,
                )
            },
        };
        None
    }

    /// Asks for a chunk size; only v6 can answer.
    ///
    /// # Safety
    /// The arguments are NCCL's own.
    pub unsafe fn ask_chunk_size(
        &self,
        collective: c_int,
        bytes: usize,
        algorithm: c_int,
        protocol: c_int,
        channels: c_int,
        chunk_bytes: *mut usize,
    ) {
        if let Interface::V6(TunerV6 {
            get_chunk_size: Some(get_chunk_size),
            ..
        }) = self.interface
        {
            // SAFETY: NCCL's own arguments and the vendor's own context.
            unsafe {
                get_chunk_size(
                    self.context,
                    collective,
                    bytes,
                    algorithm,
                    protocol,
                    channels,
                    chunk_bytes,
                )
            };
        }
    }
}

impl Interface {
    /// # Safety
    /// NCCL's own arguments, and a place for the context.
    unsafe fn init(self, of: InitArguments, context: *mut *mut c_void) -> NcclResult {
        // SAFETY: as the caller promises.
        unsafe {
            match self {
                Self::V2(TunerV2 { init, .. })
                | Self::V3(TunerV3 { init, .. })
                | Self::V4(TunerV4 { init, .. }) => init(of.ranks, of.nodes, of.logger, context),
                Self::V5(TunerV5 { init, .. }) | Self::V6(TunerV6 { init, .. }) => init(
                    context,
                    of.comm_id,
                    of.ranks,
                    of.nodes,
                    of.logger,
                    of.domains,
                    of.constants,
                ),
            }
        }
    }

    fn finalize(self) -> unsafe extern "C" fn(*mut c_void) -> NcclResult {
        match self {
            Self::V2(TunerV2 { destroy, .. })
            | Self::V3(TunerV3 { destroy, .. })
            | Self::V4(TunerV4 { destroy, .. }) => *destroy,
            Self::V5(TunerV5 { finalize, .. }) | Self::V6(TunerV6 { finalize, .. }) => *finalize,
        }
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        // SAFETY: the context its own init made, ended once.
        unsafe { (self.interface.finalize())(self.context) };
    }
}

fn last_error() -> String {
    // SAFETY: it answers null or a C string that is valid until the next call on this thread.
    let text = unsafe { dlerror() };
    if text.is_null() {
        return "it cannot be loaded".to_owned();
    }
    // SAFETY: not null.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

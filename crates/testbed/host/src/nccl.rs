//! The functions of NCCL this program needs, looked up in an installed `libnccl.so.2`.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::path::{Path, PathBuf};

use ccl_core::Collective;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::driver::{Buffer, Stream};

/// Why NCCL cannot be used.
#[derive(Debug, Error)]
pub enum NcclError {
    /// No NCCL there, or one without a function that every NCCL has.
    #[error("cannot use NCCL at {path}: {source}")]
    Load {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader says.
        source: libloading::Error,
    },
    /// A function answered an error.
    #[error("{function} answered {code}: {text} (NCCL_DEBUG=WARN says more)")]
    Call {
        /// The function.
        function: &'static str,
        /// Its `ncclResult_t`.
        code: c_int,
        /// What NCCL says about it.
        text: String,
    },
    /// NCCL has no such collective; it is made of send and receive.
    #[error("{0:?} is not one of NCCL's five collectives")]
    NotACollective(Collective),
}

/// `ncclUniqueId`: how ranks find each other.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UniqueId([u8; 128]);

impl UniqueId {
    /// As text, to be handed to another process.
    pub fn to_text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From that text; `None` for any other.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut bytes = [0; 128];
        if text.len() != 2 * bytes.len() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2)?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// `ncclComm_t`.
type CommHandle = *mut c_void;

/// A rank's end of a communicator.
#[derive(Debug)]
pub struct Communicator(CommHandle);

/// Bytes of an element of [`Datatype::Float32`], which all calls but those of a check are of.
pub const ELEMENT_BYTES: u64 = 4;

/// Types of elements that this program uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datatype {
    /// `ncclUint8`.
    Uint8,
    /// `ncclBfloat16`, what training mostly sends.
    Bfloat16,
    /// `ncclInt32`.
    Int32,
    /// `ncclFloat32`.
    Float32,
    /// `ncclFloat64`.
    Float64,
}

impl Datatype {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Float32,
        Self::Bfloat16,
        Self::Int32,
        Self::Uint8,
        Self::Float64,
    ];

    /// `ncclDataType_t` of nccl.h.
    fn nccl_id(self) -> c_int {
        match self {
            Self::Uint8 => 1,
            Self::Int32 => 2,
            Self::Float32 => 7,
            Self::Float64 => 8,
            Self::Bfloat16 => 9,
        }
    }

    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Uint8 => 1,
            Self::Bfloat16 => 2,
            Self::Int32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// NCCL's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Bfloat16 => "bfloat16",
            Self::Int32 => "int32",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }
}

/// `ncclSum`.
const SUM: c_int = 0;
/// Root of Broadcast and Reduce.
const ROOT: c_int = 0;

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        struct Functions { $($field: unsafe extern "C" fn($($argument),*) -> c_int,)* }

        impl Functions {
            fn of(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the signatures are those of nccl.h.
                    $($field: *unsafe { library.get($symbol) }?,)*
                })
            }
        }
    };
}

functions! {
    version = b"ncclGetVersion": fn(*mut c_int);
    unique_id = b"ncclGetUniqueId": fn(*mut UniqueId);
    init_rank = b"ncclCommInitRank": fn(*mut CommHandle, c_int, UniqueId, c_int);
    destroy = b"ncclCommDestroy": fn(CommHandle);
    group_start = b"ncclGroupStart": fn();
    group_end = b"ncclGroupEnd": fn();
    all_reduce = b"ncclAllReduce": fn(u64, u64, usize, c_int, c_int, CommHandle, *mut c_void);
    all_gather = b"ncclAllGather": fn(u64, u64, usize, c_int, CommHandle, *mut c_void);
    reduce_scatter = b"ncclReduceScatter": fn(u64, u64, usize, c_int, c_int, CommHandle, *mut c_void);
    broadcast = b"ncclBroadcast": fn(u64, u64, usize, c_int, c_int, CommHandle, *mut c_void);
    reduce = b"ncclReduce": fn(u64, u64, usize, c_int, c_int, c_int, CommHandle, *mut c_void);
}

/// An NCCL that was loaded.
pub struct Nccl {
    functions: Functions,
    error_text: unsafe extern "C" fn(c_int) -> *const c_char,
    version: Version,
}

/// A release of NCCL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32);

impl Version {
    /// The release the stub driver can read launches of.
    pub const OF_THE_STUB: Self = Self(22105);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}",
            self.0 / 10_000,
            self.0 / 100 % 100,
            self.0 % 100
        )
    }
}

impl Nccl {
    /// Loads an NCCL. The driver must have been loaded before. It stays loaded.
    ///
    /// # Errors
    /// When it is not there, or is no NCCL.
    pub fn load(path: &Path) -> Result<Self, NcclError> {
        let failed = |source| NcclError::Load {
            path: path.to_owned(),
            source,
        };
        // SAFETY: an NCCL; its initialisers are made for any process.
        let library =
            unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(failed)?;
        let functions = Functions::of(&library).map_err(failed)?;
        // SAFETY: the signature is that of nccl.h.
        let error_text = *unsafe { library.get(b"ncclGetErrorString") }.map_err(failed)?;
        // Its threads run in there until the process ends.
        std::mem::forget(library);
        let mut nccl = Self {
            functions,
            error_text,
            version: Version(0),
        };
        let mut version = 0;
        // SAFETY: a place for one number.
        let code = unsafe { (nccl.functions.version)(&raw mut version) };
        nccl.check("ncclGetVersion", code)?;
        nccl.version = Version(version.unsigned_abs());
        Ok(nccl)
    }

    /// Its release.
    pub fn version(&self) -> Version {
        self.version
    }

    fn check(&self, function: &'static str, code: c_int) -> Result<(), NcclError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: NCCL answers a constant text for every number.
        let text = unsafe { CStr::from_ptr((self.error_text)(code)) };
        Err(NcclError::Call {
            function,
            code,
            text: text.to_string_lossy().into_owned(),
        })
    }

    /// A meeting point for the ranks of a new communicator.
    ///
    /// # Errors
    /// When NCCL cannot listen.
    pub fn unique_id(&self) -> Result<UniqueId, NcclError> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: a place for one id.
        let code = unsafe { (self.functions.unique_id)(&raw mut id) };
        self.check("ncclGetUniqueId", code)?;
        Ok(id)
    }

    /// Joins a communicator as `rank` of `ranks`, with the calling thread's device. Returns when all
    /// ranks have.
    ///
    /// # Errors
    /// What NCCL says.
    pub fn join(&self, id: UniqueId, rank: u32, ranks: u32) -> Result<Communicator, NcclError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: a place for one handle.
        let code = unsafe {
            (self.functions.init_rank)(&raw mut handle, ranks.cast_signed(), id, rank.cast_signed())
        };
        self.check("ncclCommInitRank", code)?;
        Ok(Communicator(handle))
    }

    /// Leaves a communicator; all ranks must.
    ///
    /// # Errors
    /// What NCCL says.
    pub fn leave(&self, communicator: Communicator) -> Result<(), NcclError> {
        // SAFETY: a communicator of this NCCL, used no more.
        self.check("ncclCommDestroy", unsafe {
            (self.functions.destroy)(communicator.0)
        })
    }

    /// Begins a group: calls until its end are launched together.
    ///
    /// # Errors
    /// What NCCL says.
    pub fn group_start(&self) -> Result<(), NcclError> {
        // SAFETY: no arguments.
        self.check("ncclGroupStart", unsafe { (self.functions.group_start)() })
    }

    /// Ends a group and launches it.
    ///
    /// # Errors
    /// What NCCL says.
    pub fn group_end(&self) -> Result<(), NcclError> {
        // SAFETY: no arguments.
        self.check("ncclGroupEnd", unsafe { (self.functions.group_end)() })
    }

    /// Enqueues a collective. `count` elements as NCCL counts them: for AllGather and ReduceScatter
    /// one rank's part.
    ///
    /// # Errors
    /// What NCCL says, or that it is none of its collectives.
    pub fn enqueue(
        &self,
        communicator: &Communicator,
        collective: Collective,
        (datatype, count): (Datatype, usize),
        (send, receive): (Buffer, Buffer),
        stream: Stream,
    ) -> Result<(), NcclError> {
        let (from, to, at) = (send.0, receive.0, stream.0);
        let (handle, of) = (communicator.0, datatype.nccl_id());
        let f = &self.functions;
        // SAFETY: a communicator of this NCCL, and buffers the caller made large enough.
        let (function, code) = unsafe {
            match collective {
                Collective::AllReduce => (
                    "ncclAllReduce",
                    (f.all_reduce)(from, to, count, of, SUM, handle, at),
                ),
                Collective::AllGather => (
                    "ncclAllGather",
                    (f.all_gather)(from, to, count, of, handle, at),
                ),
                Collective::ReduceScatter => (
                    "ncclReduceScatter",
                    (f.reduce_scatter)(from, to, count, of, SUM, handle, at),
                ),
                Collective::Broadcast => (
                    "ncclBroadcast",
                    (f.broadcast)(from, to, count, of, ROOT, handle, at),
                ),
                Collective::Reduce => (
                    "ncclReduce",
                    (f.reduce)(from, to, count, of, SUM, ROOT, handle, at),
                ),
                Collective::AllToAll | Collective::SendRecv => {
                    return Err(NcclError::NotACollective(collective));
                }
            }
        };
        self.check(function, code)
    }
}

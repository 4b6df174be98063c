//! NCCL 2.21.5 as its kernels see it: the layout of its memory, the meaning of its work queue, and the
//! flags its kernels exchange with the network proxies.
//!
//! True for this one release. Layouts, tables and formulas were taken as facts from NCCL's sources at
//! tag v2.21.5-1 and are checked against what is launched wherever the two meet; a launch that does
//! not fit is an error, never a guess.

pub mod collectives;
pub mod functions;
pub mod layout;
pub mod proxies;
pub mod work;

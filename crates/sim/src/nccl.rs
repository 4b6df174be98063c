//! What NCCL *believes*: an independent implementation of how it estimates and chooses.
//!
//! The input is what NCCL's graph search ends with (channel graphs and their bandwidths,
//! [`System`]); the output is its table of costs and, for the cheapest entry, the channels,
//! threads and chunk it runs with. Nothing here says how fast anything is in reality: that is the
//! other layer's subject, and the gap between the two is what there is to gain.
//!
//! Facts from NCCL 2.27.7 and 2.30.7: `src/graph/tuning.cc`, `src/enqueue.cc`,
//! `src/transport/nvls.cc`, `src/init.cc`, `src/include/device.h`. What other versions
//! (2.18 and later) do differently is read from their sources and checked against nothing; see
//! `rules`. Not modelled: CollNet, user-registered buffers, symmetric memory,
//! `NCCL_ALGO` and `NCCL_PROTO`, communicators that mix GPU generations.

mod chunk;
mod constants;
mod cost;
mod derive;
mod model;
mod rules;
mod schedule;
mod system;
pub mod tables;

pub use cost::CostTable;
pub use model::{Entry, Model};
pub use schedule::Spread;
pub use system::{CpuArchitecture, Graph, HostVendor, PathType, Pattern, System};

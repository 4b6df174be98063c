//! Simulated clusters, pure and seeded: no files, no clock, no hidden randomness.
//!
//! Two layers are kept apart, because the gap between them is what there is to gain: what NCCL
//! *believes* (`nccl`: its own cost model and its choices) and what the machine *does*
//! (`hardware`: bandwidth and latency of a call with a given choice). Above them, `iteration`
//! puts calls and computation on one time line, and `noise` disturbs it.

mod call;
pub mod hardware;
pub mod iteration;
pub mod nccl;
pub mod noise;
mod settings;
pub mod validation;

pub use call::{CallTime, CollectiveCall, ComputeLoad, Group, ResolvedChoice};
pub use settings::{ProcessSettings, SettingsError};

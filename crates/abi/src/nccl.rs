//! NCCL's plugin interfaces, one module per interface.

pub mod common;
pub mod env;
pub mod profiler;
pub mod tuner;

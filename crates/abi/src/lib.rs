//! What crosses a C boundary or a shared-memory boundary: NCCL's plugin structures, the decision
//! log, the event ring. No dependencies, no I/O, no allocation on a path that a rank takes.

pub mod nccl;
pub mod shared;

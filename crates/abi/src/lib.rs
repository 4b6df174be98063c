//! What crosses a C boundary: NCCL's plugin structures, laid out as NCCL's headers lay them out.
//!
//! No dependencies, no logic, no I/O. Sizes and offsets are asserted at compile time and were
//! compared with the headers by a C compiler (`tests/layout.rs`).

pub mod nccl;

//! What crosses a boundary: NCCL's plugin structures, laid out as NCCL's headers lay them out, and
//! the decision log that an agent and the ranks of a job share in memory.
//!
//! No dependencies, no I/O, no allocation. Sizes and offsets of the C structures are asserted at
//! compile time and were compared with the headers by a C compiler (`tests/layout.rs`); the
//! log's agreement is model-checked over this very code (`tests/agreement.rs`).

pub mod nccl;
pub mod shared;

//! What crosses a boundary: NCCL's plugin structures, laid out as NCCL's headers lay them out, and
//! what an agent and the ranks of a job share in memory: decision logs and event rings.
//!
//! No dependencies, no allocation, no I/O but mapping a file. Sizes and offsets of the C structures are asserted at
//! compile time and were compared with the headers by a C compiler (`tests/layout.rs`); the log's
//! agreement and the ring are model-checked over this very code (`tests/agreement.rs`, `tests/ring.rs`).

pub mod nccl;
pub mod shared;

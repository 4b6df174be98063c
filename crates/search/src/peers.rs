//! The published methods ours is compared with, each an [`Optimiser`](crate::Optimiser) over the
//! same space and the same evaluations.
//!
//! Written from the publications, and from public code where they are silent; each says what is as
//! published and what had to be decided. None of them repeats a point to beat the noise unless its
//! publication does, and none knows what an evaluation costs. What is unfair to whom is in
//! `doc/adr/016-peers.md`.

mod afnfa;
mod auto_ccl;
mod random;
mod smac;
mod tpe;

pub use afnfa::Afnfa;
pub use auto_ccl::{AutoCcl, AutoCclSteps};
pub use random::RandomSearch;
pub use smac::Smac;
pub use tpe::Tpe;

#[cfg(test)]
mod tests;

//! The commands, one module each: an `Args` struct and a `run` function.

pub mod knobs;

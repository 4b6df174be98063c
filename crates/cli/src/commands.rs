//! The commands, one module each: an `Args` struct and a `run` function.

mod cluster_argument;
pub mod compare;
mod embeddings;
pub mod export;
pub mod fit;
pub mod knobs;
pub mod knowledge;
pub mod mcp;
mod memory_argument;
pub mod objective;
pub mod observe;
pub mod provider;
mod run;
pub mod schema;
pub mod sim;
pub mod tune;

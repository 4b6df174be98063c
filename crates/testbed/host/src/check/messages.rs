//! What the checking process and its ranks say to each other: JSON, a line each, through pipes.
//!
//! A rank that reads the end of its pipe knows that the checking process is gone, and ends.

use serde::{Deserialize, Serialize};

use crate::launches::Operation;

/// To a rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Join the communicator of this id.
    Join(String),
    /// Make calls until so many were made altogether.
    Until(u64),
    /// Wait until nothing is under way.
    Quiesce,
    /// Leave the communicator and end.
    Leave,
}

/// From a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It has loaded everything.
    Ready(Machine),
    /// The id of the communicator to be; from rank 0.
    Id(String),
    /// It is in the communicator.
    Joined,
    /// A call was made and its result compared.
    Called(Called),
    /// Nothing is under way any more.
    Quiet,
    /// It has left the communicator.
    Left,
    /// It cannot go on.
    Failed(String),
}

/// What a rank runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// NCCL's release.
    pub nccl: String,
    /// The GPU.
    pub device: String,
    /// The CUDA release of the driver.
    pub cuda: String,
    /// Whether the driver is the stub: nothing moves, nothing is compared.
    pub is_stub: bool,
}

/// One call of one rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Which, from 0.
    pub call: u64,
    /// Elements that were compared.
    pub elements: u64,
    /// Those of them that were wrong.
    pub mismatches: u64,
    /// The first of them.
    pub first_mismatch: Option<u64>,
    /// Whether something behind the result was written to.
    pub is_overrun: bool,
    /// What the stub saw launched.
    pub launched: Option<Operation>,
}

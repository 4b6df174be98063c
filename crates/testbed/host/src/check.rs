//! Checks live switching on whatever NCCL and driver there are: are results right before, during and after
//! switches, do all ranks run the same, and is what ran what was ordered?
//!
//! Several ranks share one GPU, each a process that takes itself for a node of its own, over sockets: a
//! functional test, its times mean nothing. With the stub driver no data moves, so results are not
//! looked at, and that is said; everything else is the same.
//!
//! ```text
//! parent ──starts──> ranks (processes)      calls, round after round, until told to stop
//!        ──starts──> agent (a process)      orders everything that is legal, or is killed in the middle
//!        then: the decision log says what each call should have run, the rings what it did
//! ```

pub mod agent;
pub mod numbers;
pub mod rank;
pub mod verdict;

use std::io;
use std::path::Path;

use ccl_core::Collective;
use thiserror::Error;

use crate::driver::DriverError;
use crate::nccl::NcclError;

/// The collectives of a round, in order.
pub const COLLECTIVES: [Collective; 5] = [
    Collective::Broadcast,
    Collective::Reduce,
    Collective::AllGather,
    Collective::ReduceScatter,
    Collective::AllReduce,
];
/// The sizes of a round, bytes as nccl-tests counts them.
pub const SIZES: [u64; 4] = [1 << 10, 16 << 10, 256 << 10, 4 << 20];
/// Calls of a round.
pub const CALLS: u64 = (COLLECTIVES.len() * SIZES.len()) as u64;
/// Rounds before the first order.
pub const ROUNDS_BEFORE: u64 = 3;
/// The file that says after which round the ranks end.
pub const STOP_AFTER: &str = "stop-after";

/// Why a check could not be made.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// NCCL.
    #[error(transparent)]
    Nccl(#[from] NcclError),
    /// The job's files.
    #[error("the job's files: {0}")]
    Io(#[from] io::Error),
    /// What is in them.
    #[error("the job's files: {0}")]
    Json(#[from] serde_json::Error),
    /// Anything else that stands in the way.
    #[error("{0}")]
    Failed(String),
}

/// The `number`-th call of a job: what, and of which size.
pub fn call(number: u64) -> (Collective, u64) {
    let of_round = usize::try_from(number % CALLS).unwrap_or(0);
    let sizes = SIZES.len();
    (COLLECTIVES[of_round / sizes], SIZES[of_round % sizes])
}

/// Which call the `sequence`-th of a collective is.
pub fn number_of(collective: Collective, sequence: u64) -> Option<u64> {
    let sizes = SIZES.len() as u64;
    let place = COLLECTIVES.iter().position(|c| *c == collective)? as u64;
    Some(sequence / sizes * CALLS + place * sizes + sequence % sizes)
}

/// Writes a file so that whoever reads it reads all of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    std::fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_a_collective_has_its_number() {
        let mut sequences = [0u64; 5];
        for number in 0..3 * CALLS {
            let (collective, _) = call(number);
            let place = COLLECTIVES.iter().position(|c| *c == collective);
            let sequence = &mut sequences[place.unwrap_or(0)];
            assert_eq!(number_of(collective, *sequence), Some(number));
            *sequence += 1;
        }
        assert_eq!(number_of(Collective::AllToAll, 0), None);
    }
}

//! What a run scheduled, for people and for programs. Both say what it is: the real NCCL's control
//! path, and a simulated data path.

use std::collections::BTreeMap;

use ccl_core::{Collective, CommShape, format_bytes};
use serde::Serialize;

use crate::launches::{Launch, Operation};
use crate::nccl::Version;

/// What every text begins with when the driver is the stub.
pub const SIMULATED: &str = "real NCCL control path, simulated data path: no data moved";

/// One line: what ran for one collective and size on one communicator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Always `simulated`: a real driver does not tell what is launched.
    pub source: &'static str,
    /// NCCL's release.
    pub nccl: String,
    /// The shape of the communicator.
    pub communicator: String,
    /// Its place in the job's list.
    pub communicator_index: usize,
    /// What was launched.
    #[serde(flatten)]
    pub operation: Operation,
    /// Thread blocks of the kernel.
    pub thread_blocks: u32,
    /// Threads of a block of the kernel.
    pub block_threads: u32,
    /// Calls that ran like this, all ranks together.
    pub calls: usize,
    /// Ranks that launched like this.
    pub ranks: usize,
    /// Simulated duration of the kernel, with all that is in it, mean over the calls, microseconds.
    pub time_us: f64,
    /// The same as CUDA events around the call tell it, with the computation before it.
    pub elapsed_us: f64,
}

/// A launch, and the time that events around its call told, microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// The launch.
    pub launch: Launch,
    /// The time.
    pub elapsed_us: f64,
}

/// What distinguishes a line.
type Key = (usize, Collective, u64, Operation, u32, u32);

/// Sums up the launches of all ranks: equal ones are one line, so that a collective on whose choice
/// ranks differ has several.
pub fn lines<'a>(version: Version, launches: impl IntoIterator<Item = &'a Timed>) -> Vec<Line> {
    struct Sum {
        shape: CommShape,
        ranks: Vec<u32>,
        calls: usize,
        total_us: f64,
        total_elapsed_us: f64,
    }
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    for Timed { launch, elapsed_us } in launches {
        for operation in &launch.operations {
            let key = (
                launch.communicator,
                operation.collective,
                operation.bytes,
                *operation,
                launch.thread_blocks,
                launch.block_threads,
            );
            let sum = sums.entry(key).or_insert(Sum {
                shape: launch.shape,
                ranks: Vec::new(),
                calls: 0,
                total_us: 0.0,
                total_elapsed_us: 0.0,
            });
            if !sum.ranks.contains(&launch.rank) {
                sum.ranks.push(launch.rank);
            }
            sum.calls += 1;
            #[allow(clippy::cast_precision_loss)] // durations below 2^53 ns
            let time_us = launch.duration_ns as f64 / 1e3;
            sum.total_us += time_us;
            sum.total_elapsed_us += elapsed_us;
        }
    }
    let line = |((index, _, _, operation, thread_blocks, block_threads), sum): (Key, Sum)| {
        #[allow(clippy::cast_precision_loss)] // a count
        let calls = sum.calls as f64;
        Line {
            source: "simulated",
            nccl: version.to_string(),
            communicator: sum.shape.to_string(),
            communicator_index: index,
            operation,
            thread_blocks,
            block_threads,
            calls: sum.calls,
            ranks: sum.ranks.len(),
            time_us: sum.total_us / calls,
            elapsed_us: sum.total_elapsed_us / calls,
        }
    };
    sums.into_iter().map(line).collect()
}

/// The lines as a table for people.
pub fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<12} {:<14} {:>10} {:<14} {:<7} {:>8} {:>7} {:>8} {:>12}\n",
        "communicator",
        "collective",
        "size",
        "algorithm",
        "proto",
        "channels",
        "threads",
        "calls",
        "simulated us"
    );
    for line in lines {
        let Operation {
            collective,
            bytes,
            algorithm,
            protocol,
            channels,
            threads,
            ..
        } = line.operation;
        text += &format!(
            "{:<12} {:<14} {:>10} {:<14} {:<7} {:>8} {:>7} {:>8} {:>12.1}\n",
            line.communicator,
            collective.name(),
            format_bytes(bytes),
            algorithm.name(),
            protocol.name(),
            channels,
            threads,
            line.calls,
            line.time_us
        );
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ccl_core::{Algorithm, Protocol};

    use super::*;

    fn launch(rank: u32, channels: u32, duration_ns: u64) -> Timed {
        let operation = Operation {
            collective: Collective::AllReduce,
            bytes: 1 << 20,
            algorithm: Algorithm::Ring,
            protocol: Protocol::Ll,
            channels,
            threads: 512,
            chunk_bytes: 4096,
        };
        let launch = Launch {
            communicator: 0,
            rank,
            shape: CommShape::new(2, 1),
            thread_blocks: channels,
            block_threads: 512,
            start_ns: 0,
            duration_ns,
            operations: vec![operation],
        };
        Timed {
            launch,
            elapsed_us: 7.0,
        }
    }

    #[test]
    fn ranks_that_agree_are_one_line_and_others_are_seen() {
        let version = Version::OF_THE_STUB;
        let agree = lines(version, &[launch(0, 4, 1000), launch(1, 4, 3000)]);
        let [line] = &agree[..] else {
            unreachable!("{agree:?}");
        };
        assert_eq!(
            (line.ranks, line.calls, line.nccl.as_str()),
            (2, 2, "2.21.5")
        );
        assert!((line.time_us - 2.0).abs() < 1e-9 && (line.elapsed_us - 7.0).abs() < 1e-9);
        let differ = lines(version, &[launch(0, 4, 1000), launch(1, 5, 1000)]);
        assert_eq!(differ.len(), 2);
        assert!(differ.iter().all(|line| line.ranks == 1));
    }

    /// Programs that read the lines must be able to tell that they are simulated.
    #[test]
    fn every_line_says_that_it_is_simulated() {
        let line = &lines(Version::OF_THE_STUB, &[launch(0, 4, 1000)])[0];
        let json = serde_json::to_value(line).unwrap();
        assert_eq!(json["source"], "simulated");
        assert_eq!(
            (&json["algorithm"], &json["protocol"]),
            (&"Ring".into(), &"LL".into())
        );
        assert!(SIMULATED.contains("no data moved"));
    }
}

//! Records of what NCCL launched, where the plugin's profiler would put them, and the iteration times.
//! All of them say that they are simulated.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use ccl_abi::nccl::common::COLLECTIVES;
use ccl_abi::shared::job::{CommunicatorName, ITERATIONS_FILE, ring_file};
use ccl_abi::shared::{Control, Mapping, Membership, Process, Record, Ring, Timing, Waits};
use ccl_core::Collective;
use serde_json::json;

use super::RANKS_FILE;
use crate::launches::Launch;
use crate::nccl::ELEMENT_BYTES;
use crate::rank::Rank;
use crate::world::JobError;

/// Records that the ring holds.
const SLOTS: u32 = 1 << 16;

/// Nanoseconds on a clock that only goes forward.
pub(super) fn now_ns() -> u64 {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let elapsed = BEGAN.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// The process's ring, and the file of the iteration times.
pub(super) struct Recorder {
    mapping: Mapping,
    /// Wall clock minus [`now_ns`].
    offset_ns: u64,
    communicators: AtomicU64,
    lines: Mutex<File>,
    ranks: Mutex<File>,
}

impl Recorder {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let words = Ring::<AtomicU64>::words(SLOTS).ok_or(io::ErrorKind::InvalidInput)?;
        let me = Process::this();
        let mapping = Mapping::create(&directory.join(ring_file(me.pid, 0)), words)?;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let wall_ns = wall.map_or(0, |wall| u64::try_from(wall.as_nanos()).unwrap_or(0));
        let offset_ns = wall_ns.saturating_sub(now_ns());
        let control = Control {
            kinds: 0,
            one_in: 1,
        };
        Ring::initialise(mapping.words(), SLOTS, me, offset_ns, true, control)
            .map_err(|doubt| io::Error::other(format!("{doubt:?}")))?;
        Ok(Self {
            mapping,
            offset_ns,
            communicators: AtomicU64::new(0),
            lines: Mutex::new(File::create_new(directory.join(ITERATIONS_FILE))?),
            ranks: Mutex::new(File::create_new(directory.join(RANKS_FILE))?),
        })
    }

    fn ring(&self) -> Ring<'_, AtomicU64> {
        Ring::again(self.mapping.words(), SLOTS)
    }

    /// One rank's records. Its communicators have the names that the plugin gives them.
    pub(super) fn rank(&self, rank: &Rank, members: &[usize]) -> Result<OfRank<'_>, JobError> {
        let mut ends = Vec::new();
        for communicator in members {
            let shape = rank.shape(*communicator)?;
            let number = self.communicators.fetch_add(1, Ordering::Relaxed);
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            // The job has one communicator of a shape: the first.
            let name = CommunicatorName::of_ordinal(0, shape.ranks.into(), shape.nodes.into());
            let member = Membership {
                id: name.id,
                ranks: shape.ranks,
                nodes: shape.nodes,
                rank: rank.number_in(*communicator).unwrap_or(0),
            };
            self.ring().describe(number, member);
            ends.push(End {
                communicator: *communicator,
                number,
                member,
                sequences: [0; COLLECTIVES],
                digest: FNV_OFFSET,
            });
        }
        Ok(OfRank {
            recorder: self,
            ends,
        })
    }

    /// Writes an iteration's line.
    pub(super) fn iteration(&self, number: u64, time_us: f64) -> Result<(), JobError> {
        let line = json!({
            "iteration": number,
            "iteration_time_ms": time_us / 1e3,
            "ended_us": (self.offset_ns + now_ns()) / 1000,
            "source": "simulated",
        });
        write_line(&self.lines, &line)
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; <http://www.isthe.com/chongo/tech/comp/fnv/>).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// One rank's end of a communicator.
struct End {
    /// By place in the world.
    communicator: usize,
    /// Its number in the ring.
    number: u32,
    member: Membership,
    sequences: [u64; COLLECTIVES],
    /// Of everything it ran, in order: equal on all ranks, or they disagreed.
    digest: u64,
}

/// One rank's records.
pub(super) struct OfRank<'a> {
    recorder: &'a Recorder,
    ends: Vec<End>,
}

impl OfRank<'_> {
    /// Records a launch.
    pub(super) fn add(&mut self, launch: &Launch, enqueued_ns: u64) -> Result<(), JobError> {
        let of = self
            .ends
            .iter_mut()
            .find(|end| end.communicator == launch.communicator);
        let end = of.ok_or(JobError::NotAMember(launch.communicator))?;
        for operation in &launch.operations {
            let id = operation.collective.nccl_id().unwrap_or(u32::MAX);
            let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
            let Some(sequence) = end.sequences.get_mut(usize::from(small(id))) else {
                return Err(JobError::Unreadable(format!("{}", operation.collective)));
            };
            let sharers = match operation.collective {
                Collective::AllGather | Collective::ReduceScatter => launch.shape.ranks,
                _ => 1,
            };
            let record = Record {
                communicator: end.number,
                sequence: *sequence,
                collective: small(id),
                algorithm: small(operation.algorithm.nccl_id()),
                protocol: small(operation.protocol.nccl_id()),
                channels: small(operation.channels),
                warps: small(operation.threads / 32),
                element_bytes: small(u32::try_from(ELEMENT_BYTES).unwrap_or(1)),
                timing: Timing::Device,
                is_complete: true,
                count: operation.bytes / ELEMENT_BYTES / u64::from(sharers.max(1)),
                enqueued_ns,
                duration_ns: launch.duration_ns,
                transfers: 0,
                sampled: 1,
                transferred_bytes: 0,
                waits: Waits::default(),
            };
            *sequence += 1;
            let ran = [
                record.collective,
                record.algorithm,
                record.protocol,
                record.channels,
            ];
            let bytes = ran.into_iter().chain(operation.bytes.to_le_bytes());
            end.digest = bytes.fold(end.digest, |digest, byte| {
                (digest ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
            });
            // A full ring counts what it dropped.
            self.recorder.ring().push(&record);
        }
        Ok(())
    }

    /// Writes what this rank ran: a line for each of its communicators.
    pub(super) fn finish(&self) -> Result<(), JobError> {
        for end in &self.ends {
            let line = json!({
                "communicator": end.communicator,
                "rank": end.member.rank,
                "calls": end.sequences.iter().sum::<u64>(),
                "digest": format!("{:016x}", end.digest),
            });
            write_line(&self.recorder.ranks, &line)?;
        }
        Ok(())
    }
}

fn write_line(file: &Mutex<File>, line: &serde_json::Value) -> Result<(), JobError> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(file, "{line}").map_err(|e| JobError::Thread(e.to_string()))
}

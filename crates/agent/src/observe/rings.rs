//! The rings of a job directory on this machine.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use ccl_abi::shared::{Control, Losses, Mapping, Membership, Process, Record, Ring};
use ccl_core::{Algorithm, Choice, Collective, Protocol};

/// One collective on one rank, in the words of the domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The process.
    pub pid: u32,
    /// The communicator and this rank in it, where that is known.
    pub member: Option<Membership>,
    /// What was called.
    pub collective: Collective,
    /// What ran.
    pub choice: Choice,
    /// When it was enqueued, microseconds since 1970.
    pub enqueued_us: u64,
    /// Everything else.
    pub record: Record,
    /// Whether the duration comes from a simulation.
    pub is_simulated: bool,
}

impl Seen {
    /// Bytes as nccl-tests and the tuner interface count them: those of the larger of the two
    /// buffers, where the number of ranks is known.
    pub fn bytes(&self) -> u64 {
        let one = self.record.count * u64::from(self.record.element_bytes);
        match self.collective {
            Collective::AllGather | Collective::ReduceScatter => one * u64::from(self.ranks()),
            _ => one,
        }
    }

    /// Ranks of the communicator; 1 where nobody says (NCCL before 2.27).
    pub fn ranks(&self) -> u32 {
        self.member.map_or(1, |m| m.ranks).max(1)
    }
}

/// A ring that is being read.
#[derive(Debug)]
struct Attached {
    mapping: Mapping,
    slots: u32,
}

impl Attached {
    fn ring(&self) -> Ring<'_, AtomicU64> {
        Ring::again(self.mapping.words(), self.slots)
    }
}

/// All rings of a job.
#[derive(Debug)]
pub struct Rings {
    folder: PathBuf,
    me: Process,
    attached: BTreeMap<PathBuf, Attached>,
    /// What cannot be read, and why, each said once.
    refused: BTreeMap<PathBuf, String>,
    damaged: u64,
}

impl Rings {
    /// The rings in a folder; there may be none yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            me: Process::this(),
            attached: BTreeMap::new(),
            refused: BTreeMap::new(),
            damaged: 0,
        }
    }

    /// Looks for rings that were not there before; what cannot be read is returned once, with the
    /// reason.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn find(&mut self) -> io::Result<Vec<(PathBuf, String)>> {
        let mut refused = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_ring = path.extension().is_some_and(|e| e == "ring");
            if !is_ring || self.attached.contains_key(&path) {
                continue;
            }
            match self.attach(&path) {
                Ok(Some(attached)) => {
                    self.refused.remove(&path);
                    self.attached.insert(path, attached);
                }
                // Not complete yet.
                Ok(None) => {}
                Err(why) => {
                    if self.refused.insert(path.clone(), why.clone()).as_ref() != Some(&why) {
                        refused.push((path, why));
                    }
                }
            }
        }
        Ok(refused)
    }

    fn attach(&self, path: &Path) -> Result<Option<Attached>, String> {
        let mapping = match Mapping::existing(path) {
            Ok(mapping) => mapping,
            // Made, but not grown yet.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let words = mapping.words();
        if words[0].load(std::sync::atomic::Ordering::Acquire) == 0 {
            return Ok(None);
        }
        let ring =
            Ring::new(words).map_err(|doubt| format!("no ring of this version: {doubt:?}"))?;
        ring.claim(self.me, Process::is_gone)
            .map_err(|other| format!("process {} observes it", other.pid))?;
        let slots = u32::try_from(ring.slots()).map_err(|e| e.to_string())?;
        Ok(Some(Attached { mapping, slots }))
    }

    /// Takes everything out of the rings.
    pub fn drain(&mut self, mut sink: impl FnMut(Seen)) {
        for attached in self.attached.values() {
            let ring = attached.ring();
            let pid = ring.maker().map_or(0, |maker| maker.pid);
            let offset = ring.wall_minus_monotonic_ns();
            let is_simulated = ring.is_simulated();
            while let Some(record) = ring.pop(&mut self.damaged) {
                let Some((collective, choice)) = named(&record) else {
                    self.damaged += 1;
                    continue;
                };
                let member = ring
                    .membership(record.communicator)
                    .filter(|m| m.ranks > 0 || m.id > 0);
                sink(Seen {
                    pid,
                    member,
                    collective,
                    choice,
                    enqueued_us: record.enqueued_ns.wrapping_add(offset) / 1000,
                    record,
                    is_simulated,
                });
            }
        }
    }

    /// Processes whose rings are read.
    pub fn processes(&self) -> usize {
        self.attached.len()
    }

    /// Whether there were ranks and none of them lives.
    pub fn are_over(&self) -> bool {
        let mut makers = self.attached.values().map(|a| a.ring().maker());
        !self.attached.is_empty() && makers.all(|maker| maker.is_none_or(Process::is_gone))
    }

    /// What all rings together lost, and records that could not be read.
    pub fn losses(&self) -> (Losses, u64) {
        let mut sum = Losses::default();
        for attached in self.attached.values() {
            let losses = attached.ring().losses();
            sum.dropped += losses.dropped;
            sum.crowded += losses.crowded;
            sum.late += losses.late;
        }
        (sum, self.damaged)
    }

    /// Asks all ranks to record that much.
    pub fn ask(&self, control: Control) {
        for attached in self.attached.values() {
            attached.ring().ask(control);
        }
    }

    /// What the ranks were asked, by any one of them.
    pub fn asked(&self) -> Option<Control> {
        self.attached.values().next().map(|a| a.ring().control())
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        for attached in self.attached.values() {
            attached.ring().leave(self.me);
        }
    }
}

/// NCCL's numbers in our words.
fn named(record: &Record) -> Option<(Collective, Choice)> {
    let is = |id: u8| move |other: u32| other == u32::from(id);
    let collective = Collective::ALL
        .into_iter()
        .find(|c| c.nccl_id().is_some_and(is(record.collective)))?;
    let algorithm = Algorithm::ALL
        .into_iter()
        .find(|a| is(record.algorithm)(a.nccl_id()))?;
    let protocol = Protocol::ALL
        .into_iter()
        .find(|p| is(record.protocol)(p.nccl_id()))?;
    let choice = Choice::new(algorithm, protocol)
        .with_channels(u32::from(record.channels))
        .with_threads(u32::from(record.warps) * 32);
    Some((collective, choice))
}

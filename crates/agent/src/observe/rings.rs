//! The rings of a job directory on this machine.
//!
//! Ranks come and go, and so do their files: a file that appears is read from then on, one that is
//! replaced is read to its end beside the new one, one that was cut short is left alone. Whether a
//! process lives is asked of `/proc`, so observer and ranks must share a pid namespace.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ccl_abi::shared::{Control, Doubt, Losses, Mapping, Membership, Process, Ring};
use thiserror::Error;

use super::seen::Seen;

/// Communicators of a ring that are remembered after their place became another's.
const MOST_REMEMBERED: usize = 1 << 14;

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Another observer has it.
    #[error("process {0} observes it")]
    Observed(u32),
    /// Nothing in it yet, or half a word.
    #[error("it is empty or was not written to its end")]
    Incomplete,
    /// Something else.
    #[error("it is no ring of records ({0})")]
    NotARing(&'static str),
    /// What the system says.
    #[error("{0}")]
    System(String),
    /// Somebody cut it.
    #[error("it was cut short while it was read")]
    Shortened,
}

impl From<Doubt> for Refusal {
    fn from(doubt: Doubt) -> Self {
        Self::NotARing(match doubt {
            Doubt::Short => "too short",
            Doubt::Magic => "it does not begin like one",
            Doubt::Version => "of another version: plugin and observer do not belong together",
            Doubt::Sizes => "its sizes contradict each other",
        })
    }
}

/// Which file it is, whatever its name is.
type Identity = (u64, u64);

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// A ring that is being read.
#[derive(Debug)]
struct Attached {
    mapping: Mapping,
    slots: u32,
    /// The same file, to ask for its length.
    file: File,
    identity: Identity,
    /// Communicators by number, those included whose place is another's by now.
    members: BTreeMap<u32, Membership>,
}

impl Attached {
    fn new(path: &Path, me: Process) -> Result<Self, Refusal> {
        let system = |error: io::Error| Refusal::System(error.to_string());
        let file = File::open(path).map_err(system)?;
        let identity_before = identity(&file.metadata().map_err(system)?);
        let mapping = match Mapping::existing(path) {
            Ok(mapping) => mapping,
            // Made, but not grown yet.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(Refusal::Incomplete),
            Err(error) => return Err(system(error)),
        };
        // Replaced between the two: the next look finds it.
        if identity(&std::fs::metadata(path).map_err(system)?) != identity_before {
            return Err(Refusal::Incomplete);
        }
        let words = mapping.words();
        // The magic is written last.
        if words.first().map(|w| w.load(Ordering::Acquire)) == Some(0) {
            return Err(Refusal::Incomplete);
        }
        let ring = Ring::new(words)?;
        let slots = u32::try_from(ring.slots()).map_err(|_| Doubt::Sizes)?;
        ring.claim(me, Process::is_gone)
            .map_err(|other| Refusal::Observed(other.pid))?;
        Ok(Self {
            slots,
            file,
            identity: identity_before,
            members: BTreeMap::new(),
            mapping,
        })
    }

    fn ring(&self) -> Ring<'_, AtomicU64> {
        Ring::again(self.mapping.words(), self.slots)
    }

    /// Whether all of it can be touched: beyond the end of its file memory is deadly.
    fn is_whole(&self) -> bool {
        let bytes = size_of_val(self.mapping.words()) as u64;
        self.file.metadata().is_ok_and(|m| m.len() >= bytes)
    }

    /// Whether it is still ours to read.
    fn check(&self, me: Process) -> Result<(), Refusal> {
        if !self.is_whole() {
            return Err(Refusal::Shortened);
        }
        match self.ring().claim(me, |_| false) {
            Err(holder) if holder != me => Err(Refusal::Observed(holder.pid)),
            _ => Ok(()),
        }
    }

    fn drain(&mut self, damaged: &mut u64, sink: &mut impl FnMut(Seen)) -> u64 {
        let ring = Ring::again(self.mapping.words(), self.slots);
        let pid = ring.maker().map_or(0, |maker| maker.pid);
        let mut count = 0;
        // Once around: a rank that is faster than this comes again.
        for _ in 0..self.slots {
            let Some(record) = ring.pop(damaged) else {
                break;
            };
            count += 1;
            let number = record.communicator;
            let described = ring.membership(number).filter(|m| m.ranks > 0 || m.id > 0);
            if let Some(member) = described {
                if self.members.len() >= MOST_REMEMBERED {
                    self.members.clear();
                }
                self.members.insert(number, member);
            }
            let member = self.members.get(&number).copied();
            let (offset, is_simulated) = (ring.wall_minus_monotonic_ns(), ring.is_simulated());
            match Seen::of(record, member, pid, offset, is_simulated) {
                Some(seen) => sink(seen),
                None => *damaged = damaged.saturating_add(1),
            }
        }
        count
    }
}

/// All rings of a job.
#[derive(Debug)]
pub struct Rings {
    folder: PathBuf,
    me: Process,
    attached: BTreeMap<PathBuf, Attached>,
    /// Those whose name is another file's by now.
    replaced: Vec<Attached>,
    /// What is not read, and why.
    refused: BTreeMap<PathBuf, Refusal>,
    wanted_kinds: Option<u32>,
    wanted_one_in: Option<u32>,
    damaged: u64,
    /// Of rings that are no longer read.
    past_losses: Losses,
}

impl Rings {
    /// The rings in a folder; there may be none yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            me: Process::this(),
            attached: BTreeMap::new(),
            replaced: Vec::new(),
            refused: BTreeMap::new(),
            wanted_kinds: None,
            wanted_one_in: None,
            damaged: 0,
            past_losses: Losses::default(),
        }
    }

    /// Looks for rings that were not there before. What is not read is then in [`Rings::refused`].
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn find(&mut self) -> io::Result<()> {
        let mut refused = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "ring") {
                continue;
            }
            if let Some(attached) = self.attached.get(&path) {
                let is_same =
                    std::fs::metadata(&path).is_ok_and(|m| identity(&m) == attached.identity);
                if is_same {
                    continue;
                }
            }
            match Attached::new(&path, self.me) {
                Ok(attached) => {
                    self.want(&attached);
                    self.replaced.extend(self.attached.insert(path, attached));
                }
                Err(why) => {
                    refused.insert(path, why);
                }
            }
        }
        self.refused = refused;
        Ok(())
    }

    /// Files that are not read, and why.
    pub fn refused(&self) -> impl Iterator<Item = (&Path, &Refusal)> {
        self.refused.iter().map(|(path, why)| (path.as_path(), why))
    }

    /// Takes out of the rings what is in them; how many records that was. A ring that is no longer ours
    /// or no longer whole is let go, and is then in [`Rings::refused`].
    pub fn drain(&mut self, mut sink: impl FnMut(Seen)) -> u64 {
        let me = self.me;
        let mut count = 0;
        let mut lost = Vec::new();
        for (path, attached) in &mut self.attached {
            match attached.check(me) {
                Ok(()) => count += attached.drain(&mut self.damaged, &mut sink),
                Err(why) => lost.push((path.clone(), why)),
            }
        }
        for (path, why) in lost {
            if let Some(attached) = self.attached.remove(&path)
                && why != Refusal::Shortened
            {
                self.past_losses = sum(self.past_losses, attached.ring().losses());
            }
            self.refused.insert(path, why);
        }
        self.replaced.retain(|attached| attached.check(me).is_ok());
        for attached in &mut self.replaced {
            count += attached.drain(&mut self.damaged, &mut sink);
        }
        count
    }

    fn all(&self) -> impl Iterator<Item = &Attached> {
        let all = self.attached.values().chain(&self.replaced);
        all.filter(|attached| attached.is_whole())
    }

    /// Processes whose rings are read.
    pub fn processes(&self) -> usize {
        self.all().count()
    }

    /// Those of them that live.
    pub fn living(&self) -> usize {
        let makers = self.all().filter_map(|attached| attached.ring().maker());
        makers.filter(|maker| !maker.is_gone()).count()
    }

    /// What all rings together lost.
    pub fn losses(&self) -> Losses {
        self.all().fold(self.past_losses, |losses, attached| {
            sum(losses, attached.ring().losses())
        })
    }

    /// Records that were none.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Asks all ranks, those that come later too, to record that much from their next collective on:
    /// kinds of events (`ccl_abi::nccl::profiler::kind`), and one collective in how many. What is `None`
    /// stays as it is.
    pub fn ask(&mut self, kinds: Option<u32>, one_in: Option<u32>) {
        (self.wanted_kinds, self.wanted_one_in) = (kinds, one_in);
        self.all().for_each(|attached| self.want(attached));
    }

    fn want(&self, attached: &Attached) {
        let (ring, now) = (attached.ring(), attached.ring().control());
        let control = Control {
            kinds: self.wanted_kinds.unwrap_or(now.kinds),
            one_in: self.wanted_one_in.unwrap_or(now.one_in),
        };
        if control != now {
            ring.ask(control);
        }
    }

    /// What the ranks are asked to record; `None` without ranks, and where they differ.
    pub fn asked(&self) -> Option<Control> {
        let mut controls = self.all().map(|attached| attached.ring().control());
        let first = controls.next()?;
        controls.all(|other| other == first).then_some(first)
    }
}

fn sum(a: Losses, b: Losses) -> Losses {
    Losses {
        dropped: a.dropped.saturating_add(b.dropped),
        crowded: a.crowded.saturating_add(b.crowded),
        late: a.late.saturating_add(b.late),
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        self.all()
            .for_each(|attached| attached.ring().leave(self.me));
    }
}

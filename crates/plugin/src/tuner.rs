//! One communicator's tuner: made at init, asked per collective, ended at finalize.

use std::ffi::c_int;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ccl_abi::nccl::common::{ALGORITHMS, IGNORE, PROTOCOLS};
use ccl_abi::shared::Rule;
use ccl_abi::shared::job::CommunicatorName;

use crate::chain::Vendor;
use crate::live::Live;
use crate::log::Log;
use crate::mode::Mode;
use crate::policy::{Entry, MOST_BYTES, Table, parse};
use crate::text;
use crate::version;

/// A communicator as NCCL describes it; v2 to v4 pass no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Communicator {
    /// Ranks.
    pub ranks: u64,
    /// Nodes.
    pub nodes: u64,
    /// Its id, equal on all ranks.
    pub id: Option<u64>,
    /// Its name in a job's directory, where it is known: see [`crate::identity`].
    pub name: Option<CommunicatorName>,
}

/// What a call is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// NCCL's id of the algorithm.
    pub algorithm: u8,
    /// NCCL's id of the protocol.
    pub protocol: u8,
    /// Channels; 0 keeps NCCL's.
    pub channels: u8,
}

/// The state of one communicator. Shared by threads; counters only change.
#[derive(Debug)]
pub struct Tuner {
    table: Table,
    live: Option<Live>,
    vendor: Option<Vendor>,
    is_one_node: bool,
    log: Log,
    /// By rule: its line, and how often NCCL could not run what it asks for.
    impossible: Box<[(u32, AtomicU64)]>,
}

impl Tuner {
    /// Reads the policy and compiles it; in any doubt a tuner that decides nothing, and one line
    /// that says why.
    pub fn new(mode: &Mode, communicator: Communicator, log: Log) -> Self {
        let tuner = Self::with_policy(mode, communicator, log).unwrap_or_else(|doubt| {
            log.info(&format!("off, NCCL chooses: {doubt}"));
            Self::off(log)
        });
        Self {
            is_one_node: communicator.nodes == 1,
            ..tuner
        }
    }

    fn off(log: Log) -> Self {
        Self {
            table: Table::default(),
            live: None,
            vendor: None,
            is_one_node: false,
            log,
            impossible: Box::default(),
        }
    }

    fn with_policy(mode: &Mode, communicator: Communicator, log: Log) -> Result<Self, String> {
        let path = match mode {
            Mode::Off(why) => return Err((*why).to_owned()),
            Mode::Live(job) => return Self::live(job, communicator, log),
            Mode::Observe(_) => return Ok(Self::off(log)),
            Mode::Static(path) => path,
        };
        let shown = path.display();
        let text = text::read(path, MOST_BYTES).map_err(|e| format!("{shown}: {e}"))?;
        let parsed = parse(&text).map_err(|e| format!("{shown}: {e}; nothing of it is used"))?;
        if let Some((first, last)) = parsed.releases {
            let loaded = version::loaded(log);
            if !loaded.is_some_and(|v| first <= v && v <= last) {
                let here = loaded.map_or("unknown".to_owned(), |v| v.0.to_string());
                return Err(format!("{shown} is not for this NCCL ({here})"));
            }
        }
        for skipped in &parsed.skipped {
            log.warn(&format!(
                "{shown}: line {} is not used: {}",
                skipped.line, skipped.why
            ));
        }
        let Communicator {
            ranks, nodes, id, ..
        } = communicator;
        let table = Table::compile(&parsed.rules, ranks, nodes, id)
            .ok_or_else(|| format!("{shown}: too many of its rules overlap"))?;
        log.info(&format!(
            "{} rules from {shown} for {ranks} ranks on {nodes} nodes{}",
            parsed.rules.len(),
            if table.is_empty() {
                "; none matches this communicator"
            } else {
                ""
            }
        ));
        let impossible = parsed
            .rules
            .iter()
            .map(|r| (r.line, AtomicU64::new(0)))
            .collect();
        Ok(Self {
            table,
            impossible,
            ..Self::off(log)
        })
    }

    fn live(job: &Path, communicator: Communicator, log: Log) -> Result<Self, String> {
        let name = communicator.name.ok_or(
            "live needs to know communicators apart: a tuner interface v5 or later, this profiler \
             beside it in NCCL 2.27, or CCL_AGENT_INIT_ORDER from whoever starts the job",
        )?;
        let live = Live::open(job, name, version::loaded(log))
            .map_err(|e| format!("the log in {}: {e}", job.display()))?;
        log.info(&format!(
            "live, following {}",
            job.join(name.file()).display()
        ));
        Ok(Self {
            live: Some(live),
            ..Self::off(log)
        })
    }

    /// Asks a vendor's tuner first from now on.
    pub fn chain(&mut self, vendor: Vendor) {
        self.vendor = Some(vendor);
    }

    /// The vendor's tuner, if there is one.
    pub fn vendor(&self) -> Option<&Vendor> {
        self.vendor.as_ref()
    }

    /// Whether all ranks of its communicator are on one node.
    pub fn is_one_node(&self) -> bool {
        self.is_one_node
    }

    /// Whether it follows a decision log.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// The first rule for this call that `can` run; what cannot is counted and skipped. No
    /// allocation, no lock, no system call.
    pub fn decide(
        &self,
        collective: usize,
        bytes: u64,
        pipe_ops: i32,
        can: impl Fn(usize, usize) -> bool,
    ) -> Option<Decision> {
        if let Some(live) = &self.live {
            let Rule {
                algorithm,
                protocol,
                channels,
                ..
            } = live.next(u8::try_from(collective).ok()?, bytes, can)?;
            return Some(Decision {
                algorithm,
                protocol,
                channels,
            });
        }
        for entry in self.matching(collective, bytes, pipe_ops) {
            let Entry {
                algorithm,
                protocol,
                channels,
                ..
            } = *entry;
            if can(usize::from(algorithm), usize::from(protocol)) {
                return Some(Decision {
                    algorithm,
                    protocol,
                    channels,
                });
            }
            if let Some((_, count)) = self.impossible.get(entry.rule as usize) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        None
    }

    /// The chunk size for a call that runs this; `None` keeps NCCL's. NCCL does not say how many
    /// operations are aggregated here, so only rules for any number can speak.
    pub fn chunk_bytes(
        &self,
        collective: usize,
        bytes: u64,
        algorithm: usize,
        protocol: usize,
    ) -> Option<u64> {
        if let Some(live) = &self.live {
            let rule = live.last(u8::try_from(collective).ok()?, bytes)?;
            let runs =
                usize::from(rule.algorithm) == algorithm && usize::from(rule.protocol) == protocol;
            return Some(rule.chunk_bytes).filter(|n| runs && *n > 0);
        }
        self.table
            .lookup(collective, bytes)
            .iter()
            .find(|e| {
                e.pipe_ops == -1
                    && usize::from(e.algorithm) == algorithm
                    && usize::from(e.protocol) == protocol
            })
            .map(|e| e.chunk_bytes)
            .filter(|n| *n > 0)
    }

    fn matching(
        &self,
        collective: usize,
        bytes: u64,
        pipe_ops: i32,
    ) -> impl Iterator<Item = &Entry> {
        let entries = self.table.lookup(collective, bytes).iter();
        entries.filter(move |e| e.pipe_ops == -1 || e.pipe_ops == pipe_ops)
    }

    /// Says once what could not be run, or that the agent was gone.
    pub fn report(&self) {
        if self
            .live
            .as_ref()
            .is_some_and(|live| live.times_frozen() > 0)
        {
            self.log
                .warn("the agent did not answer in time; the log was frozen as it stood");
        }
        for (line, count) in &self.impossible {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                self.log.warn(&format!(
                    "the rule of line {line} asked {count} times for what NCCL cannot run there; \
                     NCCL's own choice ran"
                ));
            }
        }
    }
}

/// The cost table of one call, borrowed from NCCL.
#[derive(Debug)]
pub struct CostTable<'a> {
    cells: &'a mut [f32],
    protocols: usize,
}

impl<'a> CostTable<'a> {
    /// How many cells a table of that many algorithms and protocols has; `None` where NCCL has none, or
    /// more than any NCCL will have.
    pub fn cells(algorithms: c_int, protocols: c_int) -> Option<(usize, usize)> {
        let algorithms = usize::try_from(algorithms).ok()?;
        let protocols = usize::try_from(protocols).ok()?;
        let sane =
            (1..=ALGORITHMS * 2).contains(&algorithms) && (1..=PROTOCOLS * 2).contains(&protocols);
        sane.then_some((algorithms * protocols, protocols))
    }

    /// A table with this many protocols in each row.
    pub fn new(cells: &'a mut [f32], protocols: usize) -> Self {
        Self { cells, protocols }
    }

    fn index(&self, algorithm: usize, protocol: usize) -> Option<usize> {
        (protocol < self.protocols).then_some(algorithm * self.protocols + protocol)
    }

    /// Whether NCCL can run this.
    pub fn can(&self, algorithm: usize, protocol: usize) -> bool {
        let cell = self
            .index(algorithm, protocol)
            .and_then(|i| self.cells.get(i));
        // Exactly -1 by definition; NaN and other negatives are doubts.
        cell.is_some_and(|cost| *cost >= 0.0 && cost.total_cmp(&IGNORE).is_ne())
    }

    /// Takes back what somebody else made the cheapest: of equals NCCL runs the first in the table.
    pub fn outbid(&mut self) {
        for cell in self.cells.iter_mut().filter(|cost| **cost == 0.0) {
            *cell = f32::MIN_POSITIVE;
        }
    }

    /// Makes this the cheapest; never an entry that cannot be run.
    pub fn prefer(&mut self, algorithm: usize, protocol: usize) {
        if !self.can(algorithm, protocol) {
            return;
        }
        if let Some(cell) = self
            .index(algorithm, protocol)
            .and_then(|index| self.cells.get_mut(index))
        {
            *cell = 0.0;
        }
    }
}

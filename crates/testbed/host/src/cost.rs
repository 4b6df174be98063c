//! What the plugin costs a host program: the processor time of a workload's calls on the real NCCL,
//! with the plugin and without it, in turn.
//!
//! NCCL 2.21 asks a tuner, but knows no profiler. So this program makes the profiler's calls itself, as NCCL
//! 2.30 makes them ([`calls`]), around each collective that the real NCCL enqueues. What a newer NCCL does on
//! its own to have something to tell (more proxy work, timers in the kernels) is not in the figures.
//!
//! Kernels take no time and the stub driver launches in no time, so there is nothing the plugin's
//! time could hide behind. One round runs a piece of the workload under every setting, each next
//! round beginning with another one; what a setting adds is compared within its round.

pub mod calls;
pub mod clock;
pub mod network;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};

use ccl_abi::shared::job::ring_file;
use ccl_abi::shared::{Control, Mapping, Ring};
use ccl_core::DecisionTable;
use ccl_sim::iteration::IterationCall;

use self::calls::{Context, Enqueued, Launched, Profiler};
use crate::job::{Job, RunError, SetupError, Step};
use crate::launches::NoTime;
use crate::nccl::ELEMENT_BYTES;
use crate::placement::Member;
use crate::rank::Rank;
use crate::world::{JobError, Libraries};

/// Collectives of a phase, each rank: it enqueues so many ahead of the GPU. Short, so that what is
/// compared happens at about the same time on a machine that others use as well.
const PHASE: usize = 64;

/// What is measured.
pub struct Measurement {
    /// The workload. Its directory is where the plugin's ring is.
    pub job: Job,
    /// The plugin's profiler; none: only the baseline is measured.
    pub profiler: Option<Profiler>,
    /// What is asked of it, one setting after another.
    pub settings: Vec<Control>,
    /// How often each.
    pub rounds: usize,
}

/// One phase, of all ranks or one: totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// Collectives that were enqueued.
    pub calls: u64,
    /// Processor time of the application's threads, nanoseconds.
    pub application_ns: u64,
    /// Processor time of the calls made from proxies' threads, nanoseconds.
    pub proxy_ns: u64,
    /// Processor time of the whole process, nanoseconds, network proxies included.
    pub process_ns: u64,
    /// Records that came out of the ring.
    pub records: u64,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// By round: without the plugin, and then under each setting.
    pub rounds: Vec<Vec<Phase>>,
    /// Records and events lost.
    pub losses: u64,
    /// Collectives of an iteration, per rank.
    pub calls_per_iteration: f64,
    /// Wall time of an iteration by the simulator, microseconds.
    pub iteration_us: f64,
}

/// What the ranks share.
struct Running {
    calls: Vec<IterationCall>,
    steps: Vec<Step>,
    profiler: Option<Profiler>,
    settings: Vec<Option<Control>>,
    rounds: usize,
    directory: PathBuf,
    ring: OnceLock<Mapping>,
}

impl Measurement {
    /// Measures.
    ///
    /// # Errors
    /// What cannot be set up, or what went wrong in a rank.
    pub fn run(&self, libraries: &Arc<Libraries>) -> Result<Measured, RunError> {
        let model = self.job.model().map_err(SetupError::from)?;
        let calls = model.iteration_calls();
        let (world, steps) = self.job.world(&calls)?;
        let asked = self.settings.iter().copied().map(Some);
        let running = Arc::new(Running {
            calls,
            profiler: self.profiler,
            settings: std::iter::once(None).chain(asked).collect(),
            rounds: self.rounds,
            directory: self.job.directory.clone(),
            ring: OnceLock::new(),
            steps,
        });
        let shared = Arc::clone(&running);
        let ranks = world.run(libraries, Arc::new(NoTime), move |rank| shared.live(rank))?;
        let phase = |round: usize, setting: usize| {
            let ranks: Vec<Phase> = ranks.iter().map(|rank| rank[round][setting]).collect();
            Phase::of_all(&ranks)
        };
        let round = |round| {
            (0..running.settings.len())
                .map(|s| phase(round, s))
                .collect()
        };
        let rounds = (0..self.rounds).map(round).collect();
        let losses = running.ring().map_or(0, |ring| {
            let losses = ring.losses();
            losses.dropped + losses.crowded + losses.late
        });
        #[allow(clippy::cast_precision_loss)] // a count of calls
        Ok(Measured {
            rounds,
            losses,
            calls_per_iteration: running.steps.len() as f64,
            iteration_us: model.evaluate(&DecisionTable::default()).iteration_us,
        })
    }
}

impl Phase {
    /// All ranks'. The application's threads are taken to be like the median one: where another process had
    /// the caches, that is no measure of this one. Proxies differ in what they have to do, and are summed up.
    fn of_all(ranks: &[Self]) -> Self {
        let sum = |what: fn(&Self) -> u64| ranks.iter().map(what).sum::<u64>();
        let mut each_ns: Vec<u64> = ranks.iter().filter_map(Self::application_call_ns).collect();
        each_ns.sort_unstable();
        let median_ns = each_ns.get(each_ns.len() / 2).copied().unwrap_or(0);
        let calls = sum(|phase| phase.calls);
        Self {
            calls,
            application_ns: median_ns * calls,
            proxy_ns: sum(|phase| phase.proxy_ns),
            process_ns: sum(|phase| phase.process_ns),
            records: sum(|phase| phase.records),
        }
    }

    fn application_call_ns(&self) -> Option<u64> {
        self.application_ns.checked_div(self.calls)
    }

    /// Nanoseconds for each call.
    #[allow(clippy::cast_precision_loss)] // times and counts far below 2^53
    pub fn per_call(&self, ns: u64) -> f64 {
        ns as f64 / self.calls.max(1) as f64
    }

    /// Processor time of the threads that meet the plugin, the application's and the proxies', nanoseconds a
    /// call.
    pub fn threads_ns(&self) -> f64 {
        self.per_call(self.application_ns + self.proxy_ns)
    }
}

/// One rank's way into the profiler.
struct Side {
    /// By communicator of the world.
    contexts: Vec<Option<Context>>,
    /// By communicator and collective: how many there were.
    sequences: Vec<[u64; 8]>,
    /// By kind of call.
    enqueued: Vec<Option<Enqueued>>,
    to_proxy: Sender<Vec<Launched>>,
    from_proxy: Receiver<(u64, Vec<Launched>)>,
}

/// NCCL's progress thread, as far as a profiler sees it.
fn proxy(work: &Receiver<Vec<Launched>>, done: &Sender<(u64, Vec<Launched>)>) {
    while let Ok(mut batch) = work.recv() {
        let before = clock::thread_ns();
        for launched in &batch {
            launched.progress();
        }
        let used_ns = clock::thread_ns() - before;
        batch.clear();
        if done.send((used_ns, batch)).is_err() {
            return;
        }
    }
}

impl Running {
    fn ring(&self) -> Option<Ring<'_, std::sync::atomic::AtomicU64>> {
        Ring::new(self.ring.get()?.words()).ok()
    }

    /// One rank's life: its phases by round and setting.
    fn live(&self, rank: &mut Rank) -> Result<Vec<Vec<Phase>>, JobError> {
        let (to_proxy, work) = channel();
        let (done, from_proxy) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || proxy(&work, &done));
            let mut side = self.open(rank, to_proxy, from_proxy)?;
            let measured = self.measure(rank, &mut side);
            side.contexts.into_iter().flatten().for_each(Context::close);
            measured
        })
    }

    /// Opens the communicators, and makes each call once to see what NCCL launches for it.
    fn open(
        &self,
        rank: &mut Rank,
        to_proxy: Sender<Vec<Launched>>,
        from_proxy: Receiver<(u64, Vec<Launched>)>,
    ) -> Result<Side, JobError> {
        let communicators: Vec<usize> = rank.communicators().collect();
        let most = communicators.iter().max().map_or(0, |most| most + 1);
        let mut contexts = vec![None; most];
        for &communicator in &communicators {
            let number = rank.number_in(communicator).unwrap_or(0);
            let shape = rank.shape(communicator)?;
            let id = 1 + communicator as u64;
            contexts[communicator] = self.profiler.and_then(|p| p.open(id, number, shape));
        }
        let mut enqueued = vec![None; self.calls.len()];
        for step in &self.steps {
            if enqueued[step.kind].is_some() || !communicators.contains(&step.communicator) {
                continue;
            }
            let call = &self.calls[step.kind];
            rank.collective(step.communicator, call.collective, call.bytes)?;
            let launch = rank.launches()?.pop();
            let operation = launch.and_then(|launch| launch.operations.first().copied());
            let operation = operation.ok_or(JobError::Unreadable("nothing".to_owned()))?;
            let count = usize::try_from(call.bytes / ELEMENT_BYTES).unwrap_or(usize::MAX);
            let shape = rank.shape(step.communicator)?;
            enqueued[step.kind] = Some(Enqueued::of(&operation, shape, count));
        }
        rank.barrier()?;
        let ring = self.directory.join(ring_file(std::process::id(), 0));
        if self.profiler.is_some() && is_first(rank) {
            let mapping = Mapping::existing(&ring)
                .map_err(|e| JobError::Thread(format!("{}: {e}", ring.display())))?;
            self.ring.get_or_init(|| mapping);
        }
        Ok(Side {
            sequences: vec![[0; 8]; contexts.len()],
            contexts,
            enqueued,
            to_proxy,
            from_proxy,
        })
    }

    fn measure(&self, rank: &mut Rank, side: &mut Side) -> Result<Vec<Vec<Phase>>, JobError> {
        let settings = self.settings.len();
        let mut rounds = vec![vec![Phase::default(); settings]; self.rounds];
        // The first round warms up, and is forgotten.
        for round in 0..=self.rounds {
            for turn in 0..settings {
                let setting = (round + turn) % settings;
                let phase = self.phase(rank, side, round * PHASE, setting)?;
                if let Some(round) = round.checked_sub(1) {
                    rounds[round][setting] = phase;
                }
            }
        }
        Ok(rounds)
    }

    /// One phase: the calls from `from` on, under a setting.
    fn phase(
        &self,
        rank: &mut Rank,
        side: &mut Side,
        from: usize,
        setting: usize,
    ) -> Result<Phase, JobError> {
        let is_first = is_first(rank);
        let control = self.settings[setting];
        if let (true, Some(ring), Some(control)) = (is_first, self.ring(), control) {
            ring.ask(control);
        }
        let process_ns = clock::process_ns();
        rank.barrier()?;
        // Twice, of which the second counts: the first ends what another setting began, and gets the
        // plugin's memory into the caches.
        let mut phase = Phase::default();
        for _ in 0..2 {
            phase = self.batch(rank, side, from, control.is_some())?;
        }
        rank.synchronize()?;
        rank.barrier()?;
        if is_first {
            phase.process_ns = (clock::process_ns() - process_ns) / 2;
            let mut damaged = 0;
            while self
                .ring()
                .is_some_and(|ring| ring.pop(&mut damaged).is_some())
            {
                phase.records += 1;
            }
            phase.records /= 2;
        }
        rank.barrier()?;
        Ok(phase)
    }

    fn batch(
        &self,
        rank: &mut Rank,
        side: &mut Side,
        from: usize,
        is_told: bool,
    ) -> Result<Phase, JobError> {
        let mut phase = Phase::default();
        let before = clock::thread_ns();
        let launched = self.enqueue(rank, side, from..from + PHASE, is_told, &mut phase)?;
        phase.application_ns = clock::thread_ns() - before;
        let gone = || JobError::Thread("the proxy's has ended".to_owned());
        side.to_proxy.send(launched).map_err(|_| gone())?;
        (phase.proxy_ns, _) = side.from_proxy.recv().map_err(|_| gone())?;
        // What the stub told of the launches.
        rank.launches()?;
        Ok(phase)
    }

    fn enqueue(
        &self,
        rank: &mut Rank,
        side: &mut Side,
        which: std::ops::Range<usize>,
        is_told: bool,
        phase: &mut Phase,
    ) -> Result<Vec<Launched>, JobError> {
        let mut all = Vec::with_capacity(PHASE);
        for number in which {
            let step = self.steps[number % self.steps.len()];
            let Some(enqueued) = side.enqueued[step.kind] else {
                continue;
            };
            let call = &self.calls[step.kind];
            let context = side.contexts[step.communicator].as_ref();
            // Without the plugin all is the same but that it hears nothing.
            let mask = context.filter(|_| is_told).map_or(0, Context::called);
            rank.collective(step.communicator, call.collective, call.bytes)?;
            let of = &mut side.sequences[step.communicator];
            let sequence = &mut of[call.collective as usize % 8];
            if let Some(context) = context {
                all.push(context.launched(mask, *sequence, &enqueued));
            }
            *sequence += 1;
            phase.calls += 1;
        }
        Ok(all)
    }
}

fn is_first(rank: &Rank) -> bool {
    rank.member() == Member { node: 0, gpu: 0 }
}

//! A job: nodes and GPUs, and the communicators its ranks make, one after another.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ccl_core::CommShape;
use thiserror::Error;

use crate::barrier::{Barrier, Broken};
use crate::driver::{Driver, DriverError};
use crate::launches::{self, Durations};
use crate::nccl::{Nccl, NcclError, UniqueId, Version};
use crate::overrides;
use crate::placement::{Group, Member};
use crate::rank::Rank;

/// Why a job did not end well.
#[derive(Debug, Error)]
pub enum JobError {
    /// The driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// NCCL.
    #[error(transparent)]
    Nccl(#[from] NcclError),
    /// A launch that cannot be read is not guessed at.
    #[error("{0}")]
    Unreadable(String),
    /// A shape the world does not have.
    #[error("{shape} does not tile {nodes} nodes of {gpus_per_node} GPUs")]
    Shape {
        /// The shape.
        shape: CommShape,
        /// Nodes of the world.
        nodes: u32,
        /// GPUs of each.
        gpus_per_node: u32,
    },
    /// More GPUs per node than the machine has.
    #[error("{wanted} GPUs per node; the driver has {available}")]
    Devices {
        /// What the world wants.
        wanted: u32,
        /// What there is.
        available: u32,
    },
    /// The stub driver knows the launches of one release only.
    #[error("the stub driver can read launches of NCCL {known}, and this is {loaded}")]
    Release {
        /// The one it knows.
        known: Version,
        /// The one that was loaded.
        loaded: Version,
    },
    /// Nodes in one process need the overrides.
    #[error("this program does not export its getenv, so that all ranks are on one node")]
    Overrides,
    /// A size that leaves nothing to do, or more than the buffers hold.
    #[error("{bytes} bytes: expected at least one element per rank, and at most {most}")]
    Size {
        /// The size, bytes.
        bytes: u64,
        /// Most bytes, see [`World::most_bytes`].
        most: u64,
    },
    /// A communicator this rank is not in.
    #[error("this rank has no communicator {0}")]
    NotAMember(usize),
    /// A rank failed, and this one did not go on without it.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The ranks did not end in time.
    #[error("after {0:?} {1} ranks still ran")]
    TimedOut(Duration, usize),
    /// A rank's thread could not be made, or panicked.
    #[error("a rank's thread: {0}")]
    Thread(String),
}

/// The driver and the NCCL of this process: loaded once, used by any number of worlds.
pub struct Libraries {
    /// The driver.
    pub driver: Driver,
    /// NCCL.
    pub nccl: Nccl,
}

impl Libraries {
    /// Loads the driver the loader finds, and then the NCCL of a path.
    ///
    /// # Errors
    /// What is not there.
    pub fn load(nccl: &Path) -> Result<Arc<Self>, JobError> {
        let driver = Driver::load()?;
        let nccl = Nccl::load(nccl)?;
        Ok(Arc::new(Self { driver, nccl }))
    }
}

/// A job about to run.
#[derive(Clone, Debug)]
pub struct World {
    /// Nodes.
    pub nodes: u32,
    /// GPUs, and ranks, of each node.
    pub gpus_per_node: u32,
    /// The communicators, in the order in which they are made. A rank is in those that list it.
    pub communicators: Vec<Group>,
    /// Largest message, bytes as nccl-tests counts them.
    pub most_bytes: u64,
    /// How long the ranks may take altogether before the job is given up.
    pub patience: Duration,
}

/// A rank's thread; NCCL's initialisation needs a good deal.
const STACK_BYTES: usize = 4 << 20;
/// How long the others get to end after one rank has failed.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// How long network proxies must have stood still before a communicator is destroyed.
pub(crate) const QUIET: Duration = Duration::from_millis(100);

impl World {
    /// A world without communicators.
    pub fn new(nodes: u32, gpus_per_node: u32) -> Self {
        Self {
            nodes,
            gpus_per_node,
            communicators: Vec::new(),
            most_bytes: 64 << 20,
            patience: Duration::from_secs(300),
        }
    }

    /// Runs `work` on every rank, in a thread of its own, once all communicators are made; what each
    /// answered, in the order of [`World::members`].
    ///
    /// One world at a time per process: the stub has one callback, and threads of a world that failed
    /// may still be stuck inside NCCL.
    ///
    /// # Errors
    /// What the first rank that failed said, or that ranks did not end in time.
    pub fn run<T, F>(
        &self,
        libraries: &Arc<Libraries>,
        durations: Arc<dyn Durations>,
        work: F,
    ) -> Result<Vec<T>, JobError>
    where
        T: Send + 'static,
        F: Fn(&mut Rank) -> Result<T, JobError> + Send + Sync + 'static,
    {
        self.check(libraries)?;
        launches::set_durations(durations);
        libraries.driver.on_launch(launches::on_launch);
        if libraries.driver.is_stub() {
            overrides::stay_on_this_machine();
        }
        let members: Vec<Member> = self.members().collect();
        let shared = Arc::new(Shared {
            world: self.clone(),
            libraries: Arc::clone(libraries),
            everybody: Barrier::new(members.len()),
            of_group: self
                .communicators
                .iter()
                .map(|g| Barrier::new(g.0.len()))
                .collect(),
            meeting_points: self.communicators.iter().map(|_| OnceLock::new()).collect(),
        });
        let work = Arc::new(work);
        let (sender, receiver) = channel();
        for (number, member) in members.iter().copied().enumerate() {
            let (of_rank, work) = (Arc::clone(&shared), Arc::clone(&work));
            let report = Report {
                number,
                sender: sender.clone(),
                result: None,
            };
            let started = std::thread::Builder::new()
                .name(format!("node{} gpu{}", member.node, member.gpu))
                .stack_size(STACK_BYTES)
                .spawn(move || live(&of_rank, member, work.as_ref(), report));
            if let Err(error) = started {
                shared.break_barriers();
                return Err(JobError::Thread(error.to_string()));
            }
        }
        drop(sender);
        let mut deadline = Instant::now() + self.patience;
        let mut answers: Vec<Option<T>> = members.iter().map(|_| None).collect();
        let mut failure: Option<JobError> = None;
        for ended in 0..members.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left) {
                Ok((number, Ok(answer))) => answers[number] = Some(answer),
                Ok((_, Err(error))) => {
                    shared.break_barriers();
                    // That another rank failed is no news beside how it did.
                    if failure
                        .as_ref()
                        .is_none_or(|f| matches!(f, JobError::Broken(_)))
                    {
                        failure = Some(error);
                    }
                    deadline = deadline.min(Instant::now() + AFTER_A_FAILURE);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    shared.break_barriers();
                    let running = members.len() - ended;
                    return Err(failure.unwrap_or(JobError::TimedOut(self.patience, running)));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(answers.into_iter().flatten().collect()),
        }
    }

    fn check(&self, libraries: &Libraries) -> Result<(), JobError> {
        let available = libraries.driver.devices()?;
        if self.gpus_per_node > available || self.gpus_per_node == 0 {
            return Err(JobError::Devices {
                wanted: self.gpus_per_node,
                available,
            });
        }
        let version = libraries.nccl.version();
        if libraries.driver.is_stub() && version != Version::OF_THE_STUB {
            return Err(JobError::Release {
                known: Version::OF_THE_STUB,
                loaded: version,
            });
        }
        if self.nodes > 1 && !overrides::are_in_front() {
            return Err(JobError::Overrides);
        }
        Ok(())
    }
}

/// What the ranks of a world share.
pub(crate) struct Shared {
    pub world: World,
    pub libraries: Arc<Libraries>,
    pub everybody: Barrier,
    pub of_group: Vec<Barrier>,
    pub meeting_points: Vec<OnceLock<UniqueId>>,
}

impl Shared {
    fn break_barriers(&self) {
        self.everybody.break_it();
        self.of_group.iter().for_each(Barrier::break_it);
    }
}

/// Tells how a rank ended, even if its thread unwinds.
struct Report<T> {
    number: usize,
    sender: Sender<(usize, Result<T, JobError>)>,
    result: Option<Result<T, JobError>>,
}

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        let panicked = || Err(JobError::Thread("panicked".to_owned()));
        let result = self.result.take().unwrap_or_else(panicked);
        // Nobody listens once the job was given up.
        let _ = self.sender.send((self.number, result));
    }
}

/// A rank's life.
fn live<T>(
    shared: &Arc<Shared>,
    member: Member,
    work: &(impl Fn(&mut Rank) -> Result<T, JobError> + ?Sized),
    mut report: Report<T>,
) {
    report.result = Some((|| {
        let mut rank = Rank::start(Arc::clone(shared), member)?;
        let answer = work(&mut rank)?;
        rank.end()?;
        Ok(answer)
    })());
}

//! A job: nodes and GPUs, and the communicators its ranks make, one after another.

use std::collections::BTreeMap;
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

/// Where a rank lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its node, from 0.
    pub node: u32,
    /// Its GPU there, from 0.
    pub gpu: u32,
}

/// Who is in a communicator, in the order of its ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(pub Vec<Member>);

impl Group {
    /// The shape, with nodes that hold members.
    pub fn shape(&self) -> CommShape {
        let mut nodes: Vec<u32> = self.0.iter().map(|member| member.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        CommShape::new(count(self.0.len()), count(nodes.len()))
    }
}

/// The driver and the NCCL of this process: loaded once, used by any number of worlds.
pub struct Libraries {
    /// The driver.
    pub driver: Driver,
    /// NCCL.
    pub nccl: Nccl,
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

    /// All ranks in the order of their numbers: node by node.
    pub fn members(&self) -> impl Iterator<Item = Member> + use<> {
        let gpus = self.gpus_per_node;
        (0..self.nodes).flat_map(move |node| (0..gpus).map(move |gpu| Member { node, gpu }))
    }

    /// All groups of a shape that tile the world: `8r1n` is one group per node of eight GPUs, `4r4n`
    /// one group per GPU of four nodes. Every rank is in exactly one of them.
    ///
    /// # Errors
    /// When the shape does not divide the world.
    pub fn tile(&self, shape: CommShape) -> Result<Vec<Group>, JobError> {
        let CommShape { ranks, nodes } = shape;
        let fits = |part: u32, whole: u32| part > 0 && part <= whole && whole.is_multiple_of(part);
        let per_node = ranks.checked_div(nodes).unwrap_or(0);
        if !fits(nodes, self.nodes)
            || !fits(per_node, self.gpus_per_node)
            || per_node * nodes != ranks
        {
            return Err(JobError::Shape {
                shape,
                nodes: self.nodes,
                gpus_per_node: self.gpus_per_node,
            });
        }
        let mut groups: BTreeMap<(u32, u32), Vec<Member>> = BTreeMap::new();
        for member in self.members() {
            let place = (member.node / nodes, member.gpu / per_node);
            groups.entry(place).or_default().push(member);
        }
        Ok(groups.into_values().map(Group).collect())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn members(group: &Group) -> Vec<(u32, u32)> {
        group.0.iter().map(|m| (m.node, m.gpu)).collect()
    }

    #[test]
    fn packed_spread_and_whole_groups_tile_a_world() {
        let world = World::new(2, 4);
        let packed = world.tile(CommShape::new(4, 1)).unwrap();
        assert_eq!(packed.len(), 2);
        assert_eq!(members(&packed[1]), [(1, 0), (1, 1), (1, 2), (1, 3)]);
        let spread = world.tile(CommShape::new(2, 2)).unwrap();
        assert_eq!(spread.len(), 4);
        assert_eq!(members(&spread[3]), [(0, 3), (1, 3)]);
        let whole = world.tile(CommShape::new(8, 2)).unwrap();
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].0, world.members().collect::<Vec<_>>());
        for shape in [packed[0].shape(), spread[0].shape(), whole[0].shape()] {
            assert!(world.tile(shape).is_ok(), "{shape}");
        }
        for (ranks, nodes) in [(3, 1), (3, 2), (16, 2), (4, 4), (0, 0), (5, 2)] {
            assert!(
                world.tile(CommShape::new(ranks, nodes)).is_err(),
                "{ranks}r{nodes}n"
            );
        }
    }
}

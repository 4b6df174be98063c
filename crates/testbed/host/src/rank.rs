//! One rank of a job, inside its thread: its device, stream, buffers and communicators.

use std::sync::Arc;
use std::time::Duration;

use ccl_core::{Collective, CommShape};

use crate::driver::{Buffer, Stream};
use crate::launches::{self, Launch};
use crate::nccl::{Communicator, Datatype, ELEMENT_BYTES};
use crate::overrides;
use crate::placement::Member;
use crate::world::{JobError, QUIET, Shared};

/// A rank. Everything it enqueues goes to one stream.
pub struct Rank {
    shared: Arc<Shared>,
    member: Member,
    stream: Stream,
    send: Buffer,
    receive: Buffer,
    /// By place in the world's list.
    communicators: Vec<Option<Communicator>>,
}

impl Rank {
    /// Puts the calling thread on its node and device, and makes all communicators: one after the
    /// other, everybody waiting for each, so that all ranks of the process make them in one order.
    pub(crate) fn start(shared: Arc<Shared>, member: Member) -> Result<Self, JobError> {
        if shared.world.nodes > 1 {
            overrides::be_on_node(member.node);
        }
        let driver = &shared.libraries.driver;
        driver.use_device(member.gpu)?;
        let bytes = usize::try_from(shared.world.most_bytes).unwrap_or(usize::MAX);
        let mut rank = Self {
            stream: driver.stream()?,
            send: driver.allocate(bytes)?,
            receive: driver.allocate(bytes)?,
            communicators: Vec::new(),
            member,
            shared,
        };
        for index in 0..rank.shared.world.communicators.len() {
            let communicator = rank.join(index)?;
            rank.communicators.push(communicator);
            rank.barrier()?;
        }
        Ok(rank)
    }

    fn join(&self, index: usize) -> Result<Option<Communicator>, JobError> {
        let group = &self.shared.world.communicators[index].0;
        let Some(number) = group.iter().position(|member| *member == self.member) else {
            return Ok(None);
        };
        let nccl = &self.shared.libraries.nccl;
        let meeting_point = &self.shared.meeting_points[index];
        if number == 0 {
            let id = nccl.unique_id()?;
            meeting_point.get_or_init(|| id);
        }
        self.shared.of_group[index].wait()?;
        let Some(id) = meeting_point.get() else {
            return Err(JobError::NotAMember(index));
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Some(nccl.join(*id, count(number), count(group.len()))?))
    }

    /// Where this rank lives.
    pub fn member(&self) -> Member {
        self.member
    }

    /// This rank's number in a communicator of the world.
    pub fn number_in(&self, communicator: usize) -> Option<u32> {
        let group = self.shared.world.communicators.get(communicator)?;
        let number = group.0.iter().position(|member| *member == self.member)?;
        u32::try_from(number).ok()
    }

    /// The communicators this rank is in, by place in the world's list.
    pub fn communicators(&self) -> impl Iterator<Item = usize> + use<> {
        let has: Vec<bool> = self.communicators.iter().map(Option::is_some).collect();
        (0..has.len()).filter(move |index| has[*index])
    }

    /// The shape of a communicator of the world.
    ///
    /// # Errors
    /// When there is none at that place.
    pub fn shape(&self, communicator: usize) -> Result<CommShape, JobError> {
        let groups = &self.shared.world.communicators;
        let group = groups
            .get(communicator)
            .ok_or(JobError::NotAMember(communicator))?;
        Ok(group.shape())
    }

    /// Waits for all ranks of the world.
    ///
    /// # Errors
    /// When one has failed.
    pub fn barrier(&self) -> Result<(), JobError> {
        Ok(self.shared.everybody.wait()?)
    }

    /// Enqueues a collective of `bytes` as nccl-tests counts them (for AllGather and ReduceScatter
    /// all ranks together), rounded down to whole elements of 4 bytes per rank as nccl-tests does.
    /// Sums and roots: `ncclSum` of `ncclFloat32`, rank 0.
    ///
    /// # Errors
    /// A size that leaves nothing or does not fit, what NCCL says, or that what it launched cannot be
    /// read.
    pub fn collective(
        &mut self,
        communicator: usize,
        collective: Collective,
        bytes: u64,
    ) -> Result<(), JobError> {
        let found = self
            .communicators
            .get(communicator)
            .and_then(Option::as_ref);
        let end = found.ok_or(JobError::NotAMember(communicator))?;
        let most = self.shared.world.most_bytes;
        let sharers = match collective {
            Collective::AllGather | Collective::ReduceScatter => self.shape(communicator)?.ranks,
            _ => 1,
        };
        let count = bytes / ELEMENT_BYTES / u64::from(sharers);
        let elements = usize::try_from(count)
            .ok()
            .filter(|n| *n > 0 && bytes <= most);
        let elements = elements.ok_or(JobError::Size { bytes, most })?;
        launches::launching(communicator);
        let buffers = (self.send, self.receive);
        let nccl = &self.shared.libraries.nccl;
        let what = (Datatype::Float32, elements);
        Ok(nccl.enqueue(end, collective, what, buffers, self.stream)?)
    }

    /// Enqueues what `what` enqueues as one group: NCCL launches it together, and choices may differ
    /// from those of single calls.
    ///
    /// # Errors
    /// What `what` or NCCL says.
    pub fn group(
        &mut self,
        what: impl FnOnce(&mut Self) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        self.shared.libraries.nccl.group_start()?;
        let enqueued = what(self);
        self.shared.libraries.nccl.group_end()?;
        enqueued
    }

    /// Enqueues computation that takes this long, between collectives.
    ///
    /// # Errors
    /// That a real driver does not simulate.
    pub fn compute(&mut self, duration: Duration) -> Result<(), JobError> {
        Ok(self
            .shared
            .libraries
            .driver
            .advance(self.stream, duration)?)
    }

    /// Waits until all that was enqueued is done.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn synchronize(&self) -> Result<(), JobError> {
        Ok(self.shared.libraries.driver.synchronize(self.stream)?)
    }

    /// How long what `what` enqueues takes on the device, microseconds. With the stub: simulated.
    ///
    /// # Errors
    /// What `what` or the driver says.
    pub fn elapsed_us(
        &mut self,
        what: impl FnOnce(&mut Self) -> Result<(), JobError>,
    ) -> Result<f64, JobError> {
        let libraries = Arc::clone(&self.shared.libraries);
        let start = libraries.driver.record(self.stream)?;
        what(self)?;
        let end = libraries.driver.record(self.stream)?;
        self.synchronize()?;
        Ok(libraries.driver.elapsed_us(start, end)?)
    }

    /// What this rank launched since it was last asked; empty with a real driver, which does not tell.
    ///
    /// # Errors
    /// That a launch could not be read.
    pub fn launches(&mut self) -> Result<Vec<Launch>, JobError> {
        launches::take().map_err(JobError::Unreadable)
    }

    /// Leaves all communicators, the last one first, everybody together.
    pub(crate) fn end(mut self) -> Result<(), JobError> {
        let libraries = Arc::clone(&self.shared.libraries);
        let (driver, nccl) = (&libraries.driver, &libraries.nccl);
        self.synchronize()?;
        self.barrier()?;
        driver.quiesce(QUIET);
        self.barrier()?;
        while let Some(communicator) = self.communicators.pop() {
            if let Some(end) = communicator {
                nccl.leave(end)?;
            }
            self.barrier()?;
        }
        driver.free(self.send)?;
        driver.free(self.receive)?;
        driver.destroy_stream(self.stream)?;
        // What nobody asked for must still have been readable.
        self.launches().map(drop)
    }
}
